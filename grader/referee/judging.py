"""From what a test cell came to, to the result of an exercise: verdict, points, laws, diagnosis, words."""

from __future__ import annotations

import traceback
from collections.abc import Mapping

from attnlab.checks.exercise import Exercise
from attnlab.checks.report import Report
from grader.referee.errors import RemoteError
from grader.referee.master import MasterCell
from grader.referee.result import WORDS, ExerciseResult, LawResult, MistakeNamed, Verdict
from grader.referee.test_cells import Outcome

STAFF = 4000  # characters


def judged(
    cell: MasterCell, outcome: Outcome, fault: Verdict | None, missing: set[str], blame: Mapping[str, Verdict]
) -> ExerciseResult:
    """The result of one test cell.

    fault: what the student process ended with during the check. missing: names that the submission never bound;
    blame: verdicts of names that a cell which failed would have bound.
    """
    verdict = fault or _verdict(cell, outcome)
    if missing and verdict not in (Verdict.PASSED, Verdict.NOT_ATTEMPTED):
        verdict = next((blame[name] for name in sorted(missing) if name in blame), Verdict.NOT_DEFINED)
    result = ExerciseResult(
        grade_id=cell.grade_id,
        verdict=verdict,
        points=outcome.points if fault is None or _by_law(fault, outcome) else 0.0,
        max_points=cell.points,
        words=WORDS[verdict],
        exercise=cell.check,
        title=cell.check or cell.grade_id,
        staff=_for_staff(outcome),
    )
    if outcome.report is not None:
        _add_report(result, outcome.report)
    return result


def _by_law(fault: Verdict, outcome: Outcome) -> bool:
    """After a hang the lesson's own check still says which laws held before it."""
    return fault is Verdict.TIMED_OUT and outcome.report is not None


def _verdict(cell: MasterCell, outcome: Outcome) -> Verdict:
    if outcome.report is not None and not outcome.report.attempted:
        return Verdict.NOT_ATTEMPTED
    if outcome.report is not None and outcome.report.refused:
        return Verdict.SHORTCUT
    if isinstance(outcome.error, MemoryError) or _ran_out(outcome.report):
        return Verdict.OUT_OF_MEMORY
    if isinstance(outcome.error, RemoteError):
        written = type(outcome.error).__name__ != "NotImplementedError"
        return Verdict.ERROR if written else Verdict.NOT_ATTEMPTED
    if outcome.report is not None and outcome.report.fault == "hang":
        return Verdict.TIMED_OUT
    if outcome.report is not None and outcome.report.fault == "raised":
        return Verdict.ERROR
    if outcome.error is None and outcome.points >= cell.points:
        return Verdict.PASSED
    return Verdict.PARTLY if outcome.points > 0 else Verdict.FAILED


def _ran_out(report: Report | None) -> bool:
    """Did every case of the check end for want of memory?"""
    told = report.broken.values() if report is not None and report.fault == "raised" else ()
    return any(sentence.startswith("It raised MemoryError") for sentence in told)


def _add_report(result: ExerciseResult, report: Report) -> None:
    """Law by law, with the diagnosis; none of the sentences that show what was drawn."""
    from attnlab.checks import find_exercise

    exercise: Exercise = find_exercise(report.name)
    result.title = exercise.title
    result.shortcuts, result.hunt, result.raised = list(report.shortcuts), report.hunt, report.raised
    result.laws = [LawResult(law.name, law.asks, law.points, report.laws[law.name]) for law in exercise.laws]
    named = report.diagnosed.mistakes
    result.certainty = report.diagnosed.certainty if report.broken and report.attempted else ""
    result.mistakes = [MistakeNamed(m.name, m.belief, " ".join(m.why.split()), m.action) for m in named]
    if report.broken:
        result.hint = exercise.hints[0]
        result.staff = "\n".join([*dict.fromkeys(report.broken.values()), result.staff])[:STAFF]


def _for_staff(outcome: Outcome) -> str:
    """What the student's code raised and printed under secret inputs: never for students."""
    parts = []
    if outcome.error is not None:
        parts += traceback.format_exception_only(outcome.error)
        frames = getattr(outcome.error, "remote_frames", [])
        parts += [f"  line {frame.lineno} in {frame.name}: {frame.line}\n" for frame in frames[-5:]]
    if outcome.printed:
        parts.append(f"printed: {outcome.printed}")
    return "".join(parts)[:STAFF]
