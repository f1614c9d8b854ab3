"""Runs a class through an engine: receive, mark, commit. It may be killed at any moment and started again.

It has no torch and runs no student's code. The order of the steps is what makes a kill harmless: the journal first,
then the gradebook, then files; each step can be repeated, and a finished mark is a row in the journal.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

from grader.books.autograded import Release, stamp
from grader.books.gradebook import Book
from grader.books.journal import Entry, Journal
from grader.books.posting import post
from grader.engines.task import Done, Task
from grader.folder import Folder, seed_id, seed_of
from grader.identity import environment_hash, tests_hash
from grader.progress import Progress
from grader.receive import Received, Rejected, note, scan
from grader.referee.master import Master, read_master
from grader.referee.pair import Setup
from grader.referee.result import Result
from grader.referee.without import grader_fault, unreadable

TRIES = 3  # then the submission is given to a person
WAIT_S = 1.0
DAMAGED = "The copy kept at receipt is damaged. Remove it from grading/received and mark again."


@dataclass
class Outcome:
    """What a run did: how many were marked, and what could not be received."""

    marked: int = 0
    already: int = 0
    faults: int = 0
    rejected: list[Rejected] = field(default_factory=list)


class Supervisor:
    """One run over one course folder."""

    def __init__(self, folder: Folder, journal: Journal, book: Book, lessons: Sequence[str], every_cell: bool = False):
        self.folder, self.journal, self.book, self.lessons = folder, journal, book, list(lessons)
        self.every_cell = every_cell
        self.secret = folder.secret()
        self.seed_id = seed_id(self.secret)
        self.masters: dict[str, Master] = {}
        self.releases: dict[str, Release] = {}
        self.outcome = Outcome()

    def setup(self) -> Setup:
        """What the engine's workers have to know."""
        settings = self.folder.settings
        solutions = {lesson: self.folder.source_of(lesson) for lesson in self.lessons}
        return Setup(
            lessons={lesson: str(self.folder.released(lesson).resolve()) for lesson in self.lessons},
            solutions={lesson: str(path.resolve()) for lesson, path in solutions.items() if path},
            hidden=[str(self.folder.root.resolve())],
            tier=settings.minimum_tier,
            limits=asdict(settings.limits),
            budget=asdict(settings.budget),
            shortcuts=settings.shortcuts,
            every_cell=self.every_cell,
        )

    def receive(self, students: Sequence[str] = ()) -> list[Entry]:
        """Take in what is handed in; what is to be marked, the longest first."""
        for lesson in self.lessons:
            released = self.folder.released(lesson)
            self.masters[lesson], self.releases[lesson] = self._master(lesson), Release(released)
            self.book.prepare(lesson, released, self.folder.source_of(lesson))
        settings, environment = self.folder.settings, environment_hash()
        tests = {lesson: tests_hash(self.masters[lesson], settings, self.every_cell) for lesson in self.lessons}
        keys = []
        for found in scan(self.folder, self.lessons, students):
            if isinstance(found, Rejected):
                self.outcome.rejected.append(found)
                continue
            key = note(self.journal, found, tests[found.lesson], environment, self.seed_id)
            if found.too_large:
                self._refuse_too_large(key, found)
            keys.append(key)
        entries = [self.journal.entry(key) for key in keys]
        todo = [entry for entry in entries if entry.state == "received" or entry.faulty]
        self.outcome.already = len(entries) - len(todo)
        return sorted(todo, key=self._order)

    def _master(self, lesson: str) -> Master:
        return read_master(lesson, self.folder.released(lesson), self.folder.source_of(lesson))

    def _order(self, entry: Entry) -> tuple[bool, float]:
        """What no run has survived comes last; before it the longest first, so that none is waited for at the end."""
        return entry.tries >= TRIES, -(self.journal.seconds_of_last(entry.student, entry.lesson) or 0.0)

    def _refuse_too_large(self, key: str, found: Received) -> None:
        if self.journal.entry(key).state == "received":
            most = self.folder.settings.max_notebook_mb
            why = f"Expected a notebook of at most {most:g} MB, got a larger one. Clear its outputs and save it."
            master = self.masters[found.lesson]
            self.journal.mark(key, unreadable(master, found.student, found.submission, why, self.seed_id))

    def commit_what_is_marked(self) -> None:
        """Finish what an earlier run had marked and not committed."""
        for lesson in self.lessons:
            for entry in self.journal.uncommitted(lesson):
                self._post(entry.key, lesson)

    def run(
        self, todo: Sequence[Entry], engine, progress: Progress, each: Callable[[Result], None] | None = None
    ) -> None:
        """Mark all of `todo`. One that takes its worker down again and again is given to a person."""
        waiting, under_way = list(reversed(todo)), 0  # the next one is at the end
        tries: Counter[str] = Counter()
        while waiting or under_way:
            while waiting and engine.room():
                entry = waiting.pop()
                tries[entry.key] += 1
                self.journal.start(entry.key)
                task = self._task(entry)
                if hashlib.sha256(task.notebook).hexdigest() != entry.submission:
                    fault = self._fault(task, DAMAGED)
                    self._finish(Done(task, fault), progress, each)
                    continue
                engine.submit(task)
                under_way += 1
            for done in engine.wait(WAIT_S):
                under_way -= 1
                if done.result is None or done.result.faulty:
                    if tries[done.task.key] < TRIES:
                        waiting.append(self.journal.entry(done.task.key))
                        continue
                    done = Done(done.task, self._fault(done.task, done.why or done.result.staff))
                self._finish(done, progress, each)

    def _task(self, entry: Entry) -> Task:
        notebook = self.folder.received(entry.submission).read_bytes()
        seed = seed_of(self.secret, entry.student, entry.lesson, entry.submission)
        return Task(entry.key, entry.student, entry.lesson, entry.submission, notebook, seed, entry.seed_id)

    def _fault(self, task: Task, why: str) -> Result:
        return grader_fault(self.masters[task.lesson], task.student, task.submission, why, task.seed_id)

    def _finish(self, done: Done, progress: Progress, each: Callable[[Result], None] | None) -> None:
        self.journal.mark(done.task.key, done.result)
        self._post(done.task.key, done.task.lesson)
        self.outcome.marked += 1
        self.outcome.faults += done.result.faulty
        progress.note(done.result)
        if each is not None:
            each(done.result)

    def _post(self, key: str, lesson: str) -> None:
        post(self.journal, self.book, key, self.releases[lesson], self.folder.autograded)
        entry = self.journal.entry(key)
        submitted = self.folder.submitted / entry.student / lesson
        if submitted.is_dir() and not (submitted / "timestamp.txt").exists():
            stamp(submitted, entry.received_at)  # without it Formgrader says that nothing has been marked
