"""Runs a test cell in the checker, as nbgrader would in the student's kernel, and says what it is worth.

A cell is worth all its points if nothing is raised; none if something is; and the value of its last line, if that is a
number. (nbgrader takes anything on stderr for a failure as well; here a warning costs nothing.)
"""

from __future__ import annotations

import ast
import contextlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from attnlab.checks.lesson import Lesson
from attnlab.checks.limits import TimeUp, quiet, run_within
from attnlab.checks.marking import mark
from attnlab.checks.report import Report
from attnlab.checks.shortcuts import find_shortcuts, judged_elsewhere
from grader.referee.master import Master, MasterCell
from grader.referee.names import Names
from grader.referee.reading import names_of, without_magics


@dataclass
class Outcome:
    """What a cell earned. error is what it raised; report is that of the lesson's own check, where it is one."""

    points: float
    error: BaseException | None = None
    report: Report | None = None
    printed: str = ""


class Recorder:
    """Stands for a lesson's `check` in test cells: marks under the secret seed, and keeps the report.

    ran: the texts of the submission's cells that have run, in order, to be read for library shortcuts; policy: what
    comes of one ("ignore", "warn" or "refuse").
    """

    def __init__(self, lesson: Lesson):
        self._lesson = lesson
        self.seed = 0
        self.ran: list[str] = []
        self.policy = "warn"
        self.report: Report | None = None
        self.names: Names | None = None

    def __getattr__(self, name: str) -> Any:
        exercise = self._lesson.exercises.get(name)
        if exercise is None:
            return getattr(self._lesson, name)

        def check(answer: Any) -> float:
            link = self.names.link
            link.write_back = True
            try:
                self.report = mark(exercise, answer, self.seed, example=False)
            finally:
                link.write_back = False
            if self.policy != "ignore" and self.report.attempted:
                found = find_shortcuts(self.ran, name, exercise.shortcuts, judged_elsewhere(exercise))
                self.report.note_shortcuts([str(shortcut) for shortcut in found], self.policy == "refuse")
            return float(self.report.points)

        return check


@dataclass
class TestBench:
    """The tests of one lesson, ready to be run against one submission after the other."""

    __test__ = False

    master: Master
    own: dict[str, Any] = field(default_factory=dict)
    solved: set[str] = field(default_factory=set)  # the names that solution cells define
    ours: set[str] = field(default_factory=set)  # the names that the course's locked cells define
    helpers: list[MasterCell] = field(default_factory=list)  # locked cells that carry no mark
    recorders: list[Recorder] = field(default_factory=list)
    waiting: dict[str, str] = field(default_factory=dict)  # name -> the import that binds it and was not needed yet
    settings: dict[str, Any] = field(default_factory=dict)  # of the recorders, for the submission at hand

    @classmethod
    def of(cls, master: Master) -> TestBench:
        """Import what the tests use of what the lesson's cells import; that is done here once, from the release.

        A lesson imports a lot that only its figures need, and that would take a second and 50 MB here. Should a test
        come by such a name all the same (in a text that it evaluates), it is imported then.
        """
        bench = cls(master)
        bench.solved = {name for cell in master.cells if cell.solution for name in names_of(cell.text).defines}
        bench.helpers = [
            c for c in master.cells if c.kind == "code" and c.locked and c.points is None and not c.solution
        ]
        tests = [cell for cell in master.cells if cell.tests] + bench.helpers
        used = {name for cell in tests for names in [names_of(cell.text)] for name in names.needs | names.late}
        for statement in master.imports():
            bound = names_of(statement).defines
            if bound & (used | {"*"}):
                bench._import(statement)
            else:
                bench.waiting |= dict.fromkeys(bound, statement)
        return bench

    def _import(self, statement: str) -> None:
        found: dict[str, Any] = {}
        exec(statement, found)
        for name, value in found.items():
            if isinstance(value, Lesson):
                value = Recorder(value)
                vars(value).update(self.settings)
                self.recorders.append(value)
            self.own[name] = value

    def imported(self, name: str) -> bool:
        """Is there such a name among the imports? One that is waiting is brought in."""
        if name in self.waiting:
            statement = self.waiting[name]
            self.waiting = {other: its for other, its in self.waiting.items() if its != statement}
            self._import(statement)
        return name in self.own

    def names(self, seed: int, ran: list[str], policy: str) -> Names:
        """A fresh name space for one submission; for `ran` and `policy` see Recorder."""
        names = Names(self.own, self.solved, self.ours, self.imported)
        self.settings = {"seed": seed, "report": None, "names": names, "ran": ran, "policy": policy}
        for recorder in self.recorders:
            vars(recorder).update(self.settings)
        return names

    def run(self, cell: MasterCell, names: Names, seconds: float) -> Outcome:
        """Run one test cell. Never raises because of the submission."""
        if not names.prepared:
            names.prepared = True
            with contextlib.suppress(TimeUp):  # a locked cell may call the student's code
                run_within(seconds, lambda: self._run_helpers(names))
        names.forget()
        for recorder in self.recorders:
            recorder.report = None
        with quiet() as printed:
            try:
                value = run_within(seconds, lambda: _value_of(cell.text, names))
                outcome = Outcome(worth(value, cell.points))
            except KeyboardInterrupt:
                raise
            except (Exception, TimeUp, SystemExit) as error:
                outcome = Outcome(0.0, error=error)
        outcome.report = next((r.report for r in self.recorders if r.report is not None), None)
        outcome.printed = printed.getvalue()
        return outcome

    def _run_helpers(self, names: Names) -> None:
        """The course's own locked cells define helpers for tests. A statement that fails here defines nothing."""
        for statement in (node for cell in self.helpers for node in ast.parse(without_magics(cell.text)).body):
            with quiet(), contextlib.suppress(Exception):
                exec(compile(ast.Module([statement], []), "<locked cell>", "exec"), names)


def worth(value: Any, most: float) -> float:
    """nbgrader's rule: a number is the points, from none to `most`; anything else means all of them.

    Stricter in two points: NaN and numbers below zero are worth nothing, and a NumPy or torch number is a number.
    """
    if isinstance(value, torch.Tensor | np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        return most
    return min(float(value), most) if value >= 0 else 0.0


def _value_of(text: str, names: Names) -> Any:
    """Run a cell as a notebook does, and return the value of its last line where that is an expression."""
    tree = ast.parse(without_magics(text))
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<test cell>", "exec"), names)
    if last is None:
        return None
    value = eval(compile(ast.Expression(last.value), "<test cell>", "eval"), names)
    return None if text.rstrip().endswith(";") else value
