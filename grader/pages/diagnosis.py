"""The diagnosis of an exercise, in the very words that the panel in the notebook has for it."""

from __future__ import annotations

from functools import lru_cache

from grader.referee.result import ExerciseResult, Verdict

UNKNOWN = "What your code does is no mistake that we know. The laws that are not held say where to look."
DIAGNOSIS = ("diagnosis", "why", "next")  # the panel's names for the lines wanted here


def diagnosis_lines(exercise: ExerciseResult) -> list[tuple[str, str]]:
    """What is known of the mistake, line by line: ("diagnosis", "why" or "next", sentence). [] where nothing is."""
    if not exercise.mistakes:
        return [("diagnosis", UNKNOWN)] if exercise.certainty == "unknown" else []
    # torch comes with the panel: pages without a named mistake are written without it.
    from attnlab.checks.diagnosis import Diagnosis
    from attnlab.checks.report import Report

    panel = Report(
        name=exercise.exercise,
        attempted=True,
        points=0,
        max_points=1,
        laws={"": False},
        broken={"": ""},
        hunt=_is_hunt(exercise.exercise),
        raised=exercise.verdict is Verdict.ERROR,
        diagnosed=Diagnosis(exercise.certainty, tuple(exercise.mistakes)),
    )
    return [(kind, sentence) for kind, sentence in panel.lines() if kind in DIAGNOSIS]


@lru_cache(maxsize=256)
def _is_hunt(name: str) -> bool:
    """Is the answer of this exercise a law about implementations? The words are others then."""
    from attnlab.checks import lessons

    known = [exercise for lesson in lessons() for exercise in lesson.exercises.values()]
    return any(exercise.hunt for exercise in known if name in (exercise.name, exercise.full_name))
