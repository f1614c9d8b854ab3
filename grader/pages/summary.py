"""The numbers of a class: what the report draws and what is written as JSON, counted once."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import mean, median
from typing import Any

from grader.referee.result import ExerciseResult, Result, Verdict

FOR_A_PERSON = (Verdict.MANUAL, Verdict.GRADER_FAULT, Verdict.UNREADABLE)
BINS = 10  # of the distribution of marks, equally wide; the last one holds full marks too


def summary(results: Iterable[Result]) -> dict[str, Any]:
    """Counts over all results, lesson by lesson in the order of their names; plain data, ready for JSON.

    A mark is the share, 0 to 1, of the points of the exercises that have been marked. Times are in seconds. A law's
    share is of the answers that it was asked of. p95 is the nearest rank: 95 % took no longer.
    """
    lessons: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        lessons[result.lesson].append(result)
    every = [result for those in lessons.values() for result in those]
    return {
        "results": len(every),
        "students": len({result.student for result in every}),
        "lessons": [_lesson(name, lessons[name]) for name in sorted(lessons)],
    }


def mark(result: Result) -> float | None:
    """The share of the points of all exercises that have a mark; None where none has."""
    marked = [exercise for exercise in result.exercises if exercise.points is not None]
    possible = sum(exercise.max_points for exercise in marked)
    return result.points / possible if possible else None


def _lesson(name: str, results: list[Result]) -> dict[str, Any]:
    by_exercise: dict[str, list[tuple[str, ExerciseResult]]] = defaultdict(list)
    for result in results:
        for exercise in result.exercises:
            by_exercise[exercise.grade_id].append((result.student, exercise))
    titles = {grade_id: _title(answers) for grade_id, answers in by_exercise.items()}
    return {
        "lesson": name,
        "results": len(results),
        "verdicts": _counts(result.verdict for result in results),
        "marks": _marks(results),
        "seconds": _times([(result.student, result.seconds) for result in results]),
        "exercises": [_exercise(grade_id, titles[grade_id], answers) for grade_id, answers in by_exercise.items()],
        "mistakes": _mistakes(by_exercise, titles),
        "shortcuts": _who(
            ((titles[grade_id], shortcut), student)
            for grade_id, answers in by_exercise.items()
            for student, exercise in answers
            for shortcut in exercise.shortcuts
        ),
        "notes": _who(((note,), result.student) for result in results for note in result.notes),
        "for_a_person": [entry for result in results for entry in _for_a_person(result)],
    }


def _marks(results: list[Result]) -> dict[str, Any]:
    marks = [share for result in results if (share := mark(result)) is not None]
    bins = [0] * BINS
    for share in marks:
        bins[min(int(share * BINS), BINS - 1)] += 1
    return {
        "marked": len(marks),
        "unmarked": len(results) - len(marks),
        "full": sum(share == 1 for share in marks),
        "none": sum(share == 0 for share in marks),
        "median": median(marks) if marks else None,
        "mean": mean(marks) if marks else None,
        "bins": bins,
    }


def _exercise(grade_id: str, title: str, answers: list[tuple[str, ExerciseResult]]) -> dict[str, Any]:
    given = [exercise.points for _, exercise in answers if exercise.points is not None]
    return {
        "grade_id": grade_id,
        "title": title,
        "max_points": max(exercise.max_points for _, exercise in answers),
        "mean_points": mean(given) if given else None,
        "verdicts": _counts(exercise.verdict for _, exercise in answers),
        "laws": _laws(answers),
        "seconds": _times([(student, exercise.seconds) for student, exercise in answers]),
    }


def _title(answers: list[tuple[str, ExerciseResult]]) -> str:
    """What an exercise is called: the first title that an answer to it has, else its name."""
    named = (exercise.title or exercise.exercise for _, exercise in answers)
    return next(filter(None, named), answers[0][1].grade_id)


def _laws(answers: list[tuple[str, ExerciseResult]]) -> list[dict[str, Any]]:
    laws: dict[str, dict[str, Any]] = {}
    for _, exercise in answers:
        for law in exercise.laws:
            entry = laws.setdefault(
                law.name, {"law": law.name, "asks": law.asks, "points": law.points, "held": 0, "asked": 0}
            )
            entry["held"] += law.held
            entry["asked"] += 1
    return [{**entry, "share": entry["held"] / entry["asked"]} for entry in laws.values()]


def _mistakes(by_exercise: dict[str, list[tuple[str, ExerciseResult]]], titles: dict[str, str]) -> list[dict[str, Any]]:
    """Every mistake that was named, the commonest first. exactly: to how many it was more than a likeness."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for grade_id, answers in by_exercise.items():
        for student, exercise in answers:
            for mistake in exercise.mistakes:
                new = {"exercise": titles[grade_id], "mistake": mistake.name, "belief": mistake.belief}
                entry = found.setdefault((grade_id, mistake.name), new | {"exactly": 0, "students": []})
                entry["exactly"] += exercise.certainty in ("same outputs", "two mistakes")
                entry["students"].append(student)
    return _commonest_first(found.values())


def _who(told: Iterable[tuple[tuple[str, ...], str]]) -> list[dict[str, Any]]:
    """Who is told what: sentences (with the exercise, where there is one), the commonest first."""
    students: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for what, student in told:
        students[what].append(student)
    return _commonest_first({"what": list(what), "students": who} for what, who in students.items())


def _commonest_first(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    for_json = [{**entry, "students": sorted(set(entry["students"]))} for entry in entries]
    return sorted(({**entry, "count": len(entry["students"])} for entry in for_json), key=lambda entry: -entry["count"])


def _for_a_person(result: Result) -> list[dict[str, str]]:
    """What somebody has to look at in a result: the whole of it, or some of its exercises."""
    if result.verdict in FOR_A_PERSON:
        return [_entry(result, "", result.verdict, result.staff)]
    return [_entry(result, e.grade_id, e.verdict, e.staff) for e in result.exercises if e.verdict in FOR_A_PERSON]


def _entry(result: Result, grade_id: str, verdict: Verdict, staff: str) -> dict[str, str]:
    return {"student": result.student, "grade_id": grade_id, "verdict": str(verdict), "staff": staff}


def _counts(verdicts: Iterable[Verdict]) -> dict[str, int]:
    """How many of each verdict that occurs, in the order in which verdicts are declared."""
    given = list(verdicts)
    return {str(verdict): count for verdict in Verdict if (count := given.count(verdict))}


def _times(taken: Sequence[tuple[str, float]]) -> dict[str, Any]:
    """Median, nearest-rank 95th percentile and the slowest with whose it is."""
    ordered = sorted((seconds for _, seconds in taken))
    student, slowest = max(taken, key=lambda pair: pair[1])
    return {
        "median": median(ordered),
        "p95": ordered[math.ceil(0.95 * len(ordered)) - 1],
        "slowest": slowest,
        "slowest_student": student,
    }
