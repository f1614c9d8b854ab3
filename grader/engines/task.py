"""What goes to an engine, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass

from grader.referee.result import Result


@dataclass(frozen=True)
class Task:
    """One submission to mark."""

    key: str
    student: str
    lesson: str
    submission: str
    notebook: bytes
    seed: int
    seed_id: str


@dataclass(frozen=True)
class Done:
    """A result; or None, and in words what the worker died of."""

    task: Task
    result: Result | None
    why: str = ""
