"""The `grade` command: checks the machine, opens the books, chooses an engine, and runs the supervisor."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace

from grader.books.errors import GraderError
from grader.books.gradebook import Book
from grader.books.journal import Journal
from grader.engines.local import LocalEngine
from grader.folder import Folder
from grader.jail.tiers import Tier, probes, tier_reached
from grader.pipeline.release import course_config
from grader.progress import Progress
from grader.referee.pair import PairDied, Setup
from grader.supervisor import Outcome, Supervisor

WORTH_A_WORKER = 8  # submissions: what a worker's start, some seconds of processor time, is worth


def grade_course(
    folder: Folder,
    lessons: Sequence[str],
    students: Sequence[str],
    workers: int | None = None,
    scheduler: str | None = None,
    every_cell: bool = False,
    any_tier: bool = False,
    tell: Callable[[str], None] = print,
    as_json: bool = False,
) -> Outcome:
    """Mark what is handed in and not marked yet. Raises GraderError for what has to be put right first."""
    chosen = folder.lessons(tuple(lessons))
    folder.grading.mkdir(parents=True, exist_ok=True)
    with (
        Journal(folder.journal) as journal,
        journal.alone(),
        Book(folder.db_url, folder.settings.course_id, course_config(folder.root)) as book,
    ):
        run = Supervisor(folder, journal, book, chosen, every_cell)
        todo = run.receive(students)
        run.commit_what_is_marked()
        if todo:
            setup = _with_tier(run.setup(), folder, any_tier, scheduler)
            engine = _engine(setup, workers or os.cpu_count(), len(todo), scheduler, any_tier)
            signal.signal(signal.SIGTERM, _stop)
            try:
                run.run(todo, engine, Progress(len(todo), tell, as_json))
            except PairDied as error:
                do = "Look at its message above; `python -m grader doctor` says what this machine can do."
                raise GraderError("the checker", "it to start", str(error), do) from error
            finally:
                engine.close()
        return run.outcome


def _with_tier(setup: Setup, folder: Folder, any_tier: bool, scheduler: str | None) -> Setup:
    """The setup for the tier that this machine reaches. Raises GraderError below the course's minimum."""
    if scheduler is not None:
        return setup  # each worker's machine is looked at where it is
    reached, minimum = tier_reached(probes()), Tier(folder.settings.minimum_tier)
    if reached < minimum and not any_tier:
        raise GraderError(
            "this machine",
            f"isolation of tier {minimum} or better, which the course asks for",
            f"tier {reached}",
            "`python -m grader doctor` says what is missing; --any-tier marks all the same.",
        )
    return replace(setup, tier=reached.value)


def _engine(setup: Setup, workers: int, submissions: int, scheduler: str | None, any_tier: bool):
    if scheduler is None:
        return LocalEngine(setup, min(workers, -(-submissions // WORTH_A_WORKER)))
    from grader.engines.cluster import ClusterEngine

    return ClusterEngine(setup, scheduler, any_tier)


def _stop(signum: int, frame: object) -> None:
    raise KeyboardInterrupt
