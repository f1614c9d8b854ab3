"""The diagnosis of an exercise, in the very words that the panel in the notebook has for it."""

from __future__ import annotations

from attnlab.checks import words
from grader.referee.result import ExerciseResult

UNKNOWN = "What your code does is no mistake that we know. The laws that are not held say where to look."


def diagnosis_lines(exercise: ExerciseResult) -> list[tuple[str, str]]:
    """What is known of the mistake, line by line: ("diagnosis", "why" or "next", sentence). [] where nothing is."""
    if not exercise.mistakes and exercise.certainty == "unknown":
        return [("diagnosis", UNKNOWN)]
    return words.diagnosis_lines(exercise.certainty, exercise.mistakes, exercise.hunt, exercise.raised)
