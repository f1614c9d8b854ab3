"""Marks one submission: runs its plan against student processes, and puts down what each exercise came to.

A student process that dies takes nothing with it: a new one runs the cells again, without the one that was to blame,
and the exercises that are still open are checked there.
"""

from __future__ import annotations

import builtins
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from grader.referee.budget import Budget
from grader.referee.desk import Desk, Ending
from grader.referee.errors import RemoteError
from grader.referee.judging import judged
from grader.referee.master import Master
from grader.referee.plan import Plan, Step, checked, make_plan
from grader.referee.proxies import CheckerLink
from grader.referee.result import ExerciseResult, Result, Verdict
from grader.referee.test_cells import TestBench
from grader.referee.wire import Ended, Gone, Malformed, TooLarge
from grader.referee.without import faulted, unmarked

PRINTED_NOTED = 1_000_000  # characters: a cell that prints more is mentioned


@dataclass(frozen=True)
class Job:
    """One submission to mark. seed is secret; seed_id names it."""

    student: str
    lesson: str
    submission: str
    notebook: bytes
    seed: int
    seed_id: str = ""


@dataclass
class Marking:
    """The marking of one submission, while it goes on."""

    desk: Desk
    bench: TestBench
    job: Job
    budget: Budget = field(default_factory=Budget)
    every_cell: bool = False
    shortcuts: str = "warn"  # the course's policy
    at_the_end: Callable[[CheckerLink], None] | None = None  # called with a student process that got through

    def __post_init__(self) -> None:
        self.master: Master = self.bench.master
        self.ran: list[str] = []
        self.names = self.bench.names(self.job.seed, self.ran, self.shortcuts)
        self.results: dict[str, ExerciseResult] = {}
        self.guilty: dict[int, Verdict] = {}  # cells that a student process died of
        self.notes: list[str] = []
        self.endings: list[Ending] = []
        self.link: CheckerLink | None = None
        self.stop = time.monotonic() + self.budget.submission

    def result(self) -> Result:
        """Mark it. Raises wire.Gone only where the nursery itself has died."""
        start = time.perf_counter()
        plan, why = self._read()
        if plan is None:
            return self._unreadable(why, start)
        self._walk_all(plan)
        if plan.left_out and self._misses_a_name():
            self.results, self.guilty = {}, {}
            plan = make_plan(self._rows, self.master, own_cells=True)
            self._walk_all(plan)
        exercises = [self.results.get(cell.grade_id) or unmarked(cell) for cell in self.master.marked]
        return self._result(_overall(exercises), exercises, start, plan)

    # Reading.

    def _read(self) -> tuple[Plan | None, str]:
        """The plan, or why there is none, in words."""
        self._open()
        try:
            self.link.seconds = self.budget.cell
            self.link.channel.send({"op": "read"}, [self.job.notebook])
            head, _ = self.link.channel.receive(time.monotonic() + self.budget.cell)
            if "error" in head:
                return None, self._close(str(head["error"].get("message", ""))[:300])
            self._rows = checked(head.get("cells"))
        except TooLarge:
            return None, self._close("The file is larger than a submission may be.")
        except (Gone, Malformed):
            reason = self.close().reason
            return None, f"Reading the file took more than a submission may use ({reason or 'time'})."
        plan = make_plan(self._rows, self.master, self.every_cell)
        self.notes += plan.notes
        return plan, ""

    def _close(self, words: str) -> str:
        self.close()
        return words

    # Walking through the plan.

    def _walk_all(self, plan: Plan) -> None:
        """Walk until every exercise has a result. Each new walk knows one guilty cell or result more."""
        while not self._walk(plan):
            if time.monotonic() > self.stop:
                for cell in self.master.marked:
                    if cell.tests:
                        self.results.setdefault(cell.grade_id, faulted(cell, Verdict.NOT_REACHED))
                return

    def _walk(self, plan: Plan) -> bool:
        """One student process through all steps. False where it ended before the last of them."""
        if self.link is None:
            self._open()
        self.ran.clear()
        try:
            for step in plan.steps:
                done = self._run_cell(plan, step.cell) if step.cell is not None else self._check(plan, step)
                if not done:
                    return False
            if self.at_the_end is not None:
                self.at_the_end(self.link)
            return True
        finally:
            if self.link is not None:
                self.close()

    def _run_cell(self, plan: Plan, i: int) -> bool:
        if i in self.guilty:
            return True
        if time.monotonic() > self.stop:
            return False
        cell = plan.cells[i]
        self.link.seconds = self._time_for(self.budget.cell)
        try:
            answer, _ = self.link.ask({"op": "run", "text": cell.text})
        except (Gone, Malformed) as error:
            return self._guilty(plan, i, self._verdict_of_the_end(error))
        except MemoryError:  # outside the cell's own code: there is no room left to answer in
            self.close()
            return self._guilty(plan, i, Verdict.OUT_OF_MEMORY)
        except RemoteError as error:  # what no cell's error is told by; the student's code may have sent it
            answer = {"raised": {"type": type(error).__name__}}
        cell.ran = True
        self.ran.append(cell.text)
        error = answer.get("raised")
        cell.error = _known_error(error.get("type")) if isinstance(error, dict) else ""
        if isinstance(answer.get("total"), int) and answer["total"] > PRINTED_NOTED:
            self._note(f"Cell {i + 1} printed more than a million characters; they were not kept.")
        return True

    def _guilty(self, plan: Plan, i: int, verdict: Verdict) -> bool:
        """The student process ended in this cell: the next one does without it."""
        self.guilty[i] = verdict
        plan.cells[i].error = verdict.value
        return False

    def _check(self, plan: Plan, step: Step) -> bool:
        cell = step.check
        if cell.grade_id in self.results:
            return True
        if time.monotonic() > self.stop:
            self.results[cell.grade_id] = faulted(cell, Verdict.NOT_REACHED)
            return True
        self.link.seconds = self._time_for(self.budget.check)
        start = time.perf_counter()
        outcome = self.bench.run(cell, self.names, self._time_for(self.budget.check))
        broken = self.link.broken
        fault = self._verdict_of_the_end(broken) if broken is not None else None
        result = judged(cell, outcome, fault, self.names.missing, self._blame(plan))
        result.seconds = round(time.perf_counter() - start, 4)
        self.results[cell.grade_id] = result
        self.link.forget() if broken is None else None
        return broken is None

    def _blame(self, plan: Plan) -> dict[str, Verdict]:
        """Names that are missing because of a cell that failed: name -> the verdict that this means."""
        blame = {}
        for i, cell in enumerate(plan.cells):
            if cell.error:
                verdict = Verdict.NOT_ATTEMPTED if cell.error == "NotImplementedError" else Verdict.ERROR
                names = plan.defines[i] | self.master.defined_by(cell.grade_id)
                blame |= dict.fromkeys(names, self.guilty.get(i, verdict))
        return blame

    def _misses_a_name(self) -> bool:
        """Was a name missing that a cell which was left out may have made by other means?"""
        return any(result.verdict is Verdict.NOT_DEFINED for result in self.results.values())

    # Student processes.

    def _open(self) -> None:
        self.link = self.names.link = CheckerLink(self.desk.fork())

    def close(self, ended: bool = False) -> Ending:
        """End the student process; ended: it has hung up by itself."""
        link, self.link = self.link, None
        link.channel.close()
        ending = self.desk.end(ended)
        self.endings.append(ending)
        return ending

    def _verdict_of_the_end(self, error: Exception) -> Verdict:
        """Why nothing more comes from the student process, which is ended."""
        ending = self.close(isinstance(error, Ended))
        if ending.reason == "memory":
            return Verdict.OUT_OF_MEMORY
        if ending.reason in ("cpu", f"signal {signal.SIGXCPU.value}"):
            return Verdict.TIMED_OUT
        if isinstance(error, Malformed):
            return Verdict.TOO_LARGE if isinstance(error, TooLarge) else Verdict.MALFORMED
        return Verdict.DIED if isinstance(error, Ended) else Verdict.TIMED_OUT

    def _time_for(self, most: float) -> float:
        return max(min(most, self.stop - time.monotonic()), 0.1)

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    # Results.

    def _result(self, verdict: Verdict, exercises: list[ExerciseResult], start: float, plan: Plan | None) -> Result:
        return Result(
            student=self.job.student,
            lesson=self.job.lesson,
            submission=self.job.submission,
            verdict=verdict,
            exercises=exercises,
            cells=plan.cells if plan else [],
            notes=self.notes,
            seed_id=self.job.seed_id,
            tier=self.desk.ready()["tier"],
            seconds=round(time.perf_counter() - start, 4),
            cpu_seconds=round(sum(ending.cpu_seconds for ending in self.endings), 4),
            peak_mb=round(max((ending.peak_mb for ending in self.endings), default=0.0), 1),
        )

    def _unreadable(self, why: str, start: float) -> Result:
        exercises = [faulted(cell, Verdict.UNREADABLE) for cell in self.master.marked]
        self.notes.append(why)
        return self._result(Verdict.UNREADABLE, exercises, start, None)


def _known_error(name: object) -> str:
    """Python's own kinds by name; a student could write what was seen of the secret inputs into another."""
    known = isinstance(name, str) and isinstance(getattr(builtins, name, None), type)
    return name if known else "an error"


def _overall(exercises: list[ExerciseResult]) -> Verdict:
    automatic = [exercise for exercise in exercises if exercise.verdict is not Verdict.MANUAL]
    if all(exercise.verdict is Verdict.PASSED for exercise in automatic):
        return Verdict.PASSED
    return Verdict.PARTLY if any(exercise.points for exercise in automatic) else Verdict.FAILED
