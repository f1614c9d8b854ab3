"""What a check does inside a notebook: practising it shows a panel, being graded it returns the points.

The same line, `check.attention(attention)`, serves both. It is being graded where ATTNLAB_SEED holds a seed, or
where nbgrader says that it autogrades. ATTNLAB_STRICT=1 turns a failed check into an exception, for tests.
ATTNLAB_SHORTCUTS says what comes of an answer that calls what it should write: ignore, warn or refuse.
"""

from __future__ import annotations

import os
import secrets
import zlib
from collections.abc import Callable
from typing import Any

from attnlab.checks import progress
from attnlab.checks.exercise import Exercise
from attnlab.checks.marking import mark
from attnlab.checks.report import Report
from attnlab.checks.shortcuts import judged_elsewhere, policy, shortcuts_of


class CheckFailed(AssertionError):
    """A check did not pass, and ATTNLAB_STRICT asked to be told."""


def check(exercise: Exercise, answer: Any) -> Report | float:
    """Mark an answer: the panel when practising, the points as a float when graded."""
    seed = grading_seed()
    report = mark(exercise, answer) if seed is None else mark(exercise, answer, seed, diagnosed=False)
    look_for_shortcuts(exercise, answer, report)
    if seed is None:
        progress.note(report)
    return delivered(report)


def look_for_shortcuts(exercise: Exercise, answer: Any, report: Report) -> None:
    """Add to a report what the answer's source shows, by the policy that ATTNLAB_SHORTCUTS names (unset: warn).

    Raises ValueError where it names none.
    """
    chosen = policy(os.environ.get("ATTNLAB_SHORTCUTS") or "warn")
    if chosen == "ignore" or not report.attempted:
        return
    lent = [reference for name, reference in _lent.items() if name != exercise.full_name]
    found = shortcuts_of(answer, exercise.name, exercise.shortcuts, judged_elsewhere(exercise), lent)
    report.note_shortcuts([str(shortcut) for shortcut in found], refuse=chosen == "refuse")


def delivered(report: Report) -> Report | float:
    """A report in the form that the surroundings ask for."""
    if grading_seed() is not None:
        return float(report.points)  # a float: nbgrader takes anything else for full marks
    if os.environ.get("ATTNLAB_STRICT") == "1" and not report.passed:
        raise CheckFailed(str(report))
    return report


def grading_seed() -> int | None:
    """The secret seed, or None when practising. nbgrader's own autograder gets a new one each time.

    ATTNLAB_SEED is a whole number or any other text; equal texts give equal seeds.
    """
    given = os.environ.get("ATTNLAB_SEED")
    if given:
        return int(given) if given.isdecimal() else zlib.crc32(given.encode())
    if os.environ.get("NBGRADER_EXECUTION") == "autograde":
        return secrets.randbits(31)
    return None


_lent: dict[str, Callable] = {}  # the references that were given out, by the exercise's full name


def carry_on(exercise: Exercise, answer: Any) -> Callable:
    """The learner's answer if it passes, else the reference, with a line that says so.

    Being graded it is always the learner's own: nothing that a mark needs may rest on the reference.
    """
    if grading_seed() is not None:
        return answer
    if mark(exercise, answer, diagnosed=False).passed:
        print(f"Carrying on with your own `{exercise.name}`.")
        return answer
    print(f"Carrying on with the reference `{exercise.name}`, because yours does not pass its check yet.")
    _lent[exercise.full_name] = exercise.answer
    return exercise.answer


BEFORE_THE_FIRST_ATTEMPT = (
    "Nothing written yet? Begin with the worked cell before the exercise: which of its lines do you need, and what "
    "changes when there are many rows? Then:"
)
_hints_given: dict[str, int] = {}


class Hint:
    """A hint, shown as it is."""

    def __init__(self, level: int, text: str, more: bool):
        self.level, self.text, self.more = level, text, more

    def __repr__(self) -> str:
        return f"Hint {self.level} of 4: {self.text}" + ("\n(Call it again for the next one.)" if self.more else "")


def hint(exercise: Exercise, level: int | None = None) -> Hint:
    """The next hint of an exercise, or the one of a level. Levels outside 1 to 4 give the nearest."""
    level = _hints_given.get(exercise.full_name, 0) + 1 if level is None else level
    level = min(max(int(level), 1), 4)
    _hints_given[exercise.full_name] = level
    text = exercise.hints[level - 1]
    if level == 1 and not progress.attempted(exercise.full_name):
        text = f"{BEFORE_THE_FIRST_ATTEMPT} {text}"
    return Hint(level, text, more=level < 4)
