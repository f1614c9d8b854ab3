"""Marks as files for other systems: nbgrader's own columns, Canvas, Moodle.

A spreadsheet takes a cell that begins with = + - @ for a formula and computes it on the machine of whoever opens the
file, and a student chooses some of the texts. Each such text gets an apostrophe in front, as OWASP ("CSV Injection")
advises; numbers are written as numbers, all texts in quotes.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from nbgrader import api
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from grader.books.errors import GraderError
from grader.books.gradebook import Book
from grader.files import write_whole

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # the wide ones are computed in some languages
NBGRADER = (
    "assignment",
    "duedate",
    "timestamp",
    "student_id",
    "last_name",
    "first_name",
    "email",
    "raw_score",
    "late_submission_penalty",
    "score",
    "max_score",
)
CANVAS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")
MOODLE = {"Username": "student_id", "Email address": "email", "ID number": "lms_user_id"}


@dataclass(frozen=True)
class Row:
    """A student and a lesson, also where nothing was handed in (timestamp None, no points). Times are in UTC."""

    assignment: str
    duedate: datetime | None
    timestamp: datetime | None
    student_id: str
    last_name: str
    first_name: str
    email: str
    lms_user_id: str
    raw_score: float
    late_submission_penalty: float
    max_score: float

    @property
    def score(self) -> float:
        return max(0.0, self.raw_score - self.late_submission_penalty)


def rows(book: Book, lessons: Sequence[str] = ()) -> list[Row]:
    """Every student for every lesson (or for those named), in nbgrader's order; three queries in all.

    Raises GraderError for a lesson that the gradebook does not know.
    """
    with book.reading() as db:
        assignments = db.execute(
            select(api.Assignment.id, api.Assignment.name, api.Assignment.duedate, api.Assignment.max_score).order_by(
                api.Assignment.duedate, api.Assignment.name
            )
        ).all()
        students = db.execute(
            select(
                api.Student.id,
                api.Student.last_name,
                api.Student.first_name,
                api.Student.email,
                api.Student.lms_user_id,
            ).order_by(api.Student.last_name, api.Student.first_name)
        ).all()
        points = _points(db)
    known = [name for _, name, _, _ in assignments]
    if unknown := set(lessons) - set(known):
        raise GraderError("export", f"lessons of the gradebook: {known}", f"{sorted(unknown)}", "Prepare them first.")
    return [
        Row(name, due, at, student, *(text or "" for text in about), raw, penalty, most)
        for id, name, due, most in assignments
        if not lessons or name in lessons
        for student, *about in students
        for at, raw, penalty in [points.get((id, student), (None, 0.0, 0.0))]
    ]


def to_nbgrader_csv(rows: Iterable[Row], path: Path) -> None:
    """The columns of `nbgrader export`; that one breaks at a comma in a name and guards nothing."""
    lines = [[getattr(row, column) for column in NBGRADER] for row in rows]
    _write(path, [list(NBGRADER), *lines])


def to_canvas_csv(rows: Iterable[Row], path: Path) -> None:
    """Canvas's gradebook file (Instructor Guide, "How do I import grades in the Gradebook?").

    Five columns about the student, then one for each lesson; the second line has the points possible. ID is
    nbgrader's lms_user_id, the login is nbgrader's student id. Where nothing was handed in the cell is empty.
    """
    lessons, students = _table(rows)
    most = ["    Points Possible", "", "", "", "", *lessons.values()]
    lines = [
        [_name(about), about.lms_user_id, "", about.student_id, "", *(scores.get(lesson, "") for lesson in lessons)]
        for about, scores in students
    ]
    _write(path, [[*CANVAS, *lessons], most, *lines])


def to_moodle_csv(rows: Iterable[Row], path: Path, identifier: str = "Username") -> None:
    """Moodle's grade import (Moodle documentation, "Grade import"): who it is, then one column for each lesson.

    identifier: "Username" (nbgrader's student id), "Email address" or "ID number" (lms_user_id). Raises GraderError
    if some student has none. Where nothing was handed in the cell is empty.
    """
    if identifier not in MOODLE:
        raise GraderError("export", f"one of {', '.join(MOODLE)}", repr(identifier), "Name one of them.")
    lessons, students = _table(rows)
    nameless = [about.student_id for about, _ in students if not getattr(about, MOODLE[identifier])]
    if nameless:
        raise GraderError(
            "export",
            f"an {identifier} for every student",
            f"none for {', '.join(nameless[:5])}" + (f" and {len(nameless) - 5} more" if len(nameless) > 5 else ""),
            "Enter it in Formgrader (Manage Students), or choose another identifier.",
        )
    lines = [
        [getattr(about, MOODLE[identifier]), *(scores.get(lesson, "") for lesson in lessons)]
        for about, scores in students
    ]
    _write(path, [[identifier, *lessons], *lines])


def guarded(text: str) -> str:
    """The text, with an apostrophe in front where a spreadsheet would take it for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text


def _points(db: Session) -> dict[tuple[str, str], tuple[datetime | None, float, float]]:
    """(assignment id, student) -> time, points, penalty; nbgrader's own property would scan all grades for each."""
    penalty = (
        select(func.coalesce(func.sum(api.SubmittedNotebook.late_submission_penalty), 0.0))
        .where(api.SubmittedNotebook.assignment_id == api.SubmittedAssignment.id)
        .correlate(api.SubmittedAssignment)
        .scalar_subquery()
    )
    raw = (
        select(api.SubmittedNotebook.assignment_id, func.sum(api.Grade.score).label("raw"))
        .join(api.Grade, api.Grade.notebook_id == api.SubmittedNotebook.id)
        .group_by(api.SubmittedNotebook.assignment_id)
        .subquery()
    )
    found = db.execute(
        select(
            api.SubmittedAssignment.assignment_id,
            api.SubmittedAssignment.student_id,
            api.SubmittedAssignment.timestamp,
            func.coalesce(raw.c.raw, 0.0),
            penalty,
        ).outerjoin(raw, raw.c.assignment_id == api.SubmittedAssignment.id)
    )
    return {(assignment, student): (at, score, penalty) for assignment, student, at, score, penalty in found}


def _table(rows: Iterable[Row]) -> tuple[dict[str, float], list[tuple[Row, dict[str, float]]]]:
    """Lessons with their points; and each student (any row of it) with the scores by lesson."""
    lessons: dict[str, float] = {}
    students: dict[str, tuple[Row, dict[str, float]]] = {}
    for row in rows:
        lessons[row.assignment] = row.max_score
        _, scores = students.setdefault(row.student_id, (row, {}))
        if row.timestamp is not None:
            scores[row.assignment] = row.score
    return lessons, list(students.values())


def _name(row: Row) -> str:
    return ", ".join(filter(None, [row.last_name, row.first_name])) or row.student_id


def _write(path: Path, lines: list[list]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    for line in lines:
        writer.writerow([_cell(value) for value in line])
    write_whole(path, text.getvalue())


def _cell(value: object) -> str | float:
    if isinstance(value, int | float):
        return value
    return guarded("" if value is None else str(value))
