"""A submission's rows in nbgrader's models: found, made where they are missing, and filled in.

Only the plain columns are loaded: nbgrader's models compute sums over other tables with every row, and the columns that
people fill in are read and never set.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from nbgrader import api
from sqlalchemy import select
from sqlalchemy.orm import Session, load_only

from grader.books.errors import GraderError
from grader.referee.result import CellRead, ExerciseResult, Result, Verdict

NO_RESPONSE = "No response."  # nbgrader's words
GRADE = (
    api.Grade.cell_id,
    api.Grade.auto_score,
    api.Grade.manual_score,
    api.Grade.extra_credit,
    api.Grade.needs_manual_grade,
)
COMMENT = (api.Comment.cell_id, api.Comment.auto_comment)
SUBMISSION = (
    api.SubmittedAssignment.assignment_id,
    api.SubmittedAssignment.timestamp,
    api.SubmittedAssignment.extension,
)


@dataclass(frozen=True)
class Lesson:
    """Where a lesson lies in the gradebook: ids of its rows, by the names of its cells."""

    name: str
    assignment_id: str
    notebook_id: str
    most: dict[str, float]  # points of each grade cell
    graded: dict[str, str]  # grade and task cells
    commented: dict[str, str]  # solution and task cells
    solutions: frozenset[str]


def read_lesson(db: Session, name: str) -> Lesson:
    """Raises GraderError for a lesson that the gradebook does not have."""
    found = db.execute(
        select(api.Assignment.id, api.Notebook.id)
        .join(api.Notebook, api.Notebook.assignment_id == api.Assignment.id)
        .where(api.Assignment.name == name, api.Notebook.name == name)
    ).one_or_none()
    if found is None:
        raise GraderError(f"lesson {name}", "a lesson of the gradebook", "an unknown one", "Prepare it first.")
    assignment_id, notebook_id = found

    def cells(kind: type[api.BaseCell]) -> dict[str, str]:
        return dict(db.execute(select(kind.name, kind.id).where(kind.notebook_id == notebook_id)).all())

    most = select(api.GradeCell.name, api.GradeCell.max_score).where(api.GradeCell.notebook_id == notebook_id)
    grades, solutions, tasks = cells(api.GradeCell), cells(api.SolutionCell), cells(api.TaskCell)
    return Lesson(
        name,
        assignment_id,
        notebook_id,
        dict(db.execute(most).all()),
        grades | tasks,
        solutions | tasks,
        frozenset(solutions),
    )


def submitted(
    db: Session, student: str, lesson: Lesson, received_at: datetime
) -> tuple[api.SubmittedAssignment, api.SubmittedNotebook, bool]:
    """The submission's rows, made where they are missing, and whether it was there with this very time."""
    submission = db.scalar(
        select(api.SubmittedAssignment)
        .where(
            api.SubmittedAssignment.assignment_id == lesson.assignment_id,
            api.SubmittedAssignment.student_id == student,
        )
        .options(load_only(*SUBMISSION))
        .with_for_update()
    )
    if submission is None:
        if db.scalar(select(api.Student.id).where(api.Student.id == student)) is None:
            db.add(api.Student(id=student))
        submission = api.SubmittedAssignment(id=api.new_uuid(), assignment_id=lesson.assignment_id, student_id=student)
        db.add(submission)
    notebook = db.scalar(
        select(api.SubmittedNotebook)
        .where(
            api.SubmittedNotebook.assignment_id == submission.id,
            api.SubmittedNotebook.notebook_id == lesson.notebook_id,
        )
        .options(load_only(api.SubmittedNotebook.late_submission_penalty))
    )
    if notebook is None:
        notebook = api.SubmittedNotebook(id=api.new_uuid(), assignment_id=submission.id, notebook_id=lesson.notebook_id)
        db.add(notebook)
    is_repeat = submission.timestamp == received_at
    submission.timestamp = received_at
    return submission, notebook, is_repeat


def rows(db: Session, model: type, notebook: api.SubmittedNotebook, cells: dict[str, str], columns: tuple) -> dict:
    """The notebook's grades or comments by the names of their cells; missing ones are made."""
    found = db.scalars(select(model).where(model.notebook_id == notebook.id).options(load_only(*columns)))
    rows = {row.cell_id: row for row in found}
    for cell_id in cells.values():
        if cell_id not in rows:
            rows[cell_id] = model(cell_id=cell_id, notebook_id=notebook.id)
            db.add(rows[cell_id])
    return {name: rows[cell_id] for name, cell_id in cells.items()}


def mark(grade: api.Grade, exercise: ExerciseResult, is_repeat: bool) -> None:
    """The automatic score, and nbgrader's rule for who must look at it. A repeat leaves a cleared flag cleared."""
    if exercise.verdict is Verdict.GRADER_FAULT and grade.auto_score is not None:
        return
    if is_repeat and grade.auto_score == exercise.points:
        return
    grade.auto_score = exercise.points
    grade.needs_manual_grade = grade.manual_score is not None or grade.auto_score is None


def comment(comments: dict[str, api.Comment], result: Result, lesson: Lesson) -> None:
    """nbgrader's comment on a solution cell that nothing was written into."""
    not_attempted = {e.exercise for e in result.exercises if e.verdict is Verdict.NOT_ATTEMPTED}
    cells: dict[str, CellRead] = {cell.grade_id: cell for cell in reversed(result.cells)}  # of copies the first
    for name in lesson.solutions & cells.keys():
        untouched = not cells[name].own or name in not_attempted
        comments[name].auto_comment = NO_RESPONSE if untouched else None
