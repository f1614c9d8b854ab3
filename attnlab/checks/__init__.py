"""Checks that say which mistake was made.

    evaluate("self_attention.attention", answer) -> Report       for scripts and graders
    exercises() -> the names of all exercises;  find_exercise(name) -> the Exercise
    from attnlab.checks.self_attention import check              in a notebook: check.attention(attention)

Nothing is imported here before it is asked for: the checks need torch, `import attnlab` must not.
"""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attnlab.checks.exercise import Exercise
    from attnlab.checks.lesson import Lesson
    from attnlab.checks.report import Report

# In the order of the course.
LESSONS = ("welcome", "rnn_attention", "squeeze_excitation", "cbam", "spatial_temporal", "self_attention")


def lessons() -> list[Lesson]:
    """Every lesson's checks, in the order of the course."""
    return [importlib.import_module(f"attnlab.checks.{name}").check for name in LESSONS]


def exercises() -> list[str]:
    """The full names of all exercises, such as "self_attention.attention"."""
    return [exercise.full_name for lesson in lessons() for exercise in lesson.exercises.values()]


def find_exercise(name: str) -> Exercise:  # `exercise` is taken by the module of that name
    """The exercise of this full name. Raises KeyError with the nearest name when there is none."""
    found = {e.full_name: e for lesson in lessons() for e in lesson.exercises.values()}
    if name not in found:
        raise KeyError(_no_such(name, list(found)))
    return found[name]


def evaluate(name: str, answer: Any, seed: int = 0) -> Report:
    """Mark an answer. A name that is not there gives a report that says so; nothing is raised for the answer's sake.

    seed: decides the inputs. Marks are given under a seed that the learner does not know.
    """
    from attnlab.checks.marking import mark
    from attnlab.checks.report import Report

    try:
        found = find_exercise(name)
    except KeyError as error:
        return Report.without_exercise(name, error.args[0])
    return mark(found, answer, seed)


def _no_such(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    advice = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(known)}."
    return f"There is no exercise called {name!r}. {advice}"
