"""Results that need no student process: what could not be read, not be reached, or waits for a person."""

from __future__ import annotations

from grader.referee.master import Master, MasterCell
from grader.referee.result import WORDS, ExerciseResult, Result, Verdict


def faulted(cell: MasterCell, verdict: Verdict) -> ExerciseResult:
    """An exercise that could not be checked. Worth nothing, but for a fault of the grader's, which has no points."""
    if cell.manual:
        return unmarked(cell)
    points = None if verdict is Verdict.GRADER_FAULT else 0.0
    name = cell.check or cell.grade_id
    return ExerciseResult(cell.grade_id, verdict, points, cell.points, WORDS[verdict], name, cell.check)


def unmarked(cell: MasterCell) -> ExerciseResult:
    """An exercise that waits for a person."""
    verdict = Verdict.MANUAL
    return ExerciseResult(cell.grade_id, verdict, None, cell.points, WORDS[verdict], cell.grade_id)


def unreadable(master: Master, student: str, submission: str, why: str, seed_id: str = "") -> Result:
    """The result of a file that is no notebook; why: a sentence for the student."""
    exercises = [faulted(cell, Verdict.UNREADABLE) for cell in master.marked]
    return Result(student, master.slug, submission, Verdict.UNREADABLE, exercises, notes=[why], seed_id=seed_id)


def grader_fault(master: Master, student: str, submission: str, why: str, seed_id: str = "") -> Result:
    """The result where the grader itself failed, again and again; why: for staff."""
    exercises = [faulted(cell, Verdict.GRADER_FAULT) for cell in master.marked]
    return Result(student, master.slug, submission, Verdict.GRADER_FAULT, exercises, staff=why, seed_id=seed_id)
