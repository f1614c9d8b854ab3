"""nbgrader's own gradebook, by its own models: what is written here Formgrader, `nbgrader export` and feedback read.

nbgrader saves a mark with about ten queries and a transaction for each cell; here a submission is one transaction
and six queries, and the values are the same. What people wrote (manual scores, extra credit,
comments) is never touched.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import nbformat
from alembic.script import ScriptDirectory
from nbgrader import api
from nbgrader.utils import compute_checksum, is_grade, is_locked, is_solution, is_task, parse_utc
from sqlalchemy import event, select
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session
from traitlets.config import Config

from grader.books.audit import ByHand
from grader.books.errors import GraderError
from grader.books.gradebook_rows import COMMENT, GRADE, Lesson, comment, mark, read_lesson, rows, submitted
from grader.books.names import plain_name
from grader.books.sqlite import WAIT_S
from grader.referee.result import ExerciseResult, Result, Verdict


def newest_schema() -> str:
    """The version that a new gradebook's tables have, as `alembic heads` prints it."""
    return ScriptDirectory(str(Path(api.__file__).parent / "alembic")).get_heads()[0]


api.get_alembic_version = newest_schema  # the same answer; nbgrader's own starts a program for it, two seconds long
UNMARKED = {Verdict.MANUAL, Verdict.GRADER_FAULT}
TRIES = 3  # at a row that another process creates in the same moment


@dataclass(frozen=True)
class Committed:
    """What the gradebook held beside the automatic marks: by grade_id what people gave, and the penalty in points."""

    by_hand: dict[str, ByHand]
    late_penalty: float | None


class Book:
    """A gradebook, open. db_url as nbgrader takes it: sqlite:///… or postgresql+psycopg2://…

    config is nbgrader's configuration; of it the late penalty is used. A gradebook that is not there is made.
    Several processes may have the same one open. Methods raise GraderError for what cannot be booked; then nothing was.
    """

    def __init__(self, db_url: str, course_id: str, config: Config | None = None):
        self.db_url, self.config = db_url, config or Config()
        self._lessons: dict[str, Lesson] = {}
        self._penalties = None
        with self._said_in_words():
            self.gradebook = self._open(course_id)

    def __enter__(self) -> Book:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.gradebook.close()

    def prepare(self, lesson: str, released: Path, source: Path | None = None) -> None:
        """Record the lesson as `nbgrader generate_assignment` does, by nbgrader's own code; not if it is there already.

        source: what it was released from. A release lacks the hidden tests, and nbgrader's own autograder takes them
        from the gradebook. Raises GraderError if cells came or went while there are submissions.
        """
        from nbgrader.preprocessors import SaveCells

        notebook = nbformat.read(released, as_version=4)
        if source is not None:
            _put_back_hidden_tests(notebook, nbformat.read(source, as_version=4))
        if self._recorded(lesson) == _checksums(notebook):
            return
        resources = {"nbgrader": {"notebook": lesson, "assignment": lesson, "db_url": self.db_url}}
        try:
            with self._said_in_words():
                self.gradebook.update_or_create_assignment(plain_name(lesson, "lesson"))
                self.gradebook.db.remove()  # SaveCells opens the gradebook itself
                SaveCells().preprocess(notebook, resources)
        except RuntimeError as error:
            raise GraderError(
                f"lesson {lesson}",
                "the grade and solution cells that its submissions in the gradebook have",
                f"other ones in {released} (nbgrader: {error})",
                "Give the changed lesson another name, or start a new gradebook.",
            ) from error
        self._lessons.pop(lesson, None)

    def commit(self, result: Result, received_at: datetime | str) -> Committed:
        """Write a result's marks, all in one transaction; the student is created when unknown.

        As `nbgrader autograde` would: a cell that a person has marked, or that has no automatic mark, is flagged for
        a person. A fault of the grader leaves the automatic mark that was there. The same result again changes
        nothing, not even a flag that a person has cleared since.
        """
        plain_name(result.student, "student")
        lesson = self._lesson(result.lesson)
        self._check(result, lesson)
        for _ in range(TRIES):
            try:
                with self._transaction() as db:
                    return self._write(db, result, lesson, parse_utc(received_at))
            except IntegrityError as error:
                failure = error
        raise GraderError(
            f"{result.student}, {result.lesson}",
            "rows that no other process makes at the same time",
            f"“{failure.orig}”, {TRIES} times",
            "Run again.",
        ) from failure

    def by_hand(self, lesson: str) -> Iterator[tuple[str, dict[str, ByHand]]]:
        """Student by student, what people gave for each grade cell of a lesson."""
        assignment_id = self._lesson(lesson).assignment_id
        found: dict[str, dict[str, ByHand]] = {}
        with self.reading() as db:
            for student, name, manual, extra in db.execute(
                select(
                    api.SubmittedAssignment.student_id,
                    api.BaseCell.name,
                    api.Grade.manual_score,
                    api.Grade.extra_credit,
                )
                .join(api.SubmittedNotebook, api.SubmittedNotebook.id == api.Grade.notebook_id)
                .join(api.SubmittedAssignment, api.SubmittedAssignment.id == api.SubmittedNotebook.assignment_id)
                .join(api.BaseCell, api.BaseCell.id == api.Grade.cell_id)
                .where(api.SubmittedAssignment.assignment_id == assignment_id)
                .order_by(api.SubmittedAssignment.student_id)
            ):
                found.setdefault(student, {})[name] = ByHand(manual, extra)
        yield from found.items()

    def _open(self, course_id: str) -> api.Gradebook:
        try:
            gradebook = api.Gradebook(self.db_url, course_id)
        except ModuleNotFoundError as error:
            raise GraderError(
                "the gradebook",
                "a database driver that is installed",
                f"{error}",
                "For PostgreSQL install psycopg2 and write the address as postgresql+psycopg2://…",
            ) from error
        if gradebook.engine.dialect.name == "sqlite":
            gradebook.db.remove()
            gradebook.engine.dispose()
            event.listen(
                gradebook.engine, "connect", lambda db, _: db.execute(f"PRAGMA busy_timeout = {WAIT_S * 1000}")
            )
        return gradebook

    def reading(self) -> AbstractContextManager[Session]:
        """A session over nbgrader's models to read with; it ends with the block."""
        return self._transaction(to_write=False)

    @contextmanager
    def _transaction(self, to_write: bool = True) -> Iterator[Session]:
        db = self.gradebook.db()
        try:
            with self._said_in_words():
                if to_write and db.get_bind().dialect.name == "sqlite":
                    # SQLite would take its lock at the first write only, after what the write depends on was read.
                    db.connection().exec_driver_sql("BEGIN IMMEDIATE")
                with db.no_autoflush:
                    yield db
                db.commit()
        finally:
            self.gradebook.db.remove()  # rolls back what is open, and forgets the rows: memory stays flat

    @contextmanager
    def _said_in_words(self) -> Iterator[None]:
        try:
            yield
        except OperationalError as error:
            raise GraderError(
                "the gradebook",
                "a database that can be read and written",
                f"“{error.orig}”",
                "Look whether its server runs, its disk has room and no other program holds it, then run again.",
            ) from error

    def _recorded(self, lesson: str) -> dict[str, str | None]:
        with self.reading() as db:
            return dict(
                db.execute(
                    select(api.SourceCell.name, api.SourceCell.checksum)
                    .join(api.Notebook, api.Notebook.id == api.SourceCell.notebook_id)
                    .join(api.Assignment, api.Assignment.id == api.Notebook.assignment_id)
                    .where(api.Assignment.name == lesson, api.Notebook.name == lesson)
                ).all()
            )

    def _lesson(self, name: str) -> Lesson:
        if name not in self._lessons:
            with self.reading() as db:
                self._lessons[name] = read_lesson(db, name)
        return self._lessons[name]

    def _check(self, result: Result, lesson: Lesson) -> None:
        seen: set[str] = set()
        for exercise in result.exercises:
            where = f"{result.student}, {result.lesson}, {exercise.grade_id}"
            most = lesson.most.get(exercise.grade_id)
            if most is None or exercise.max_points != most or exercise.grade_id in seen:
                raise GraderError(
                    where,
                    f"each grade cell once, with the gradebook's points: {lesson.most}",
                    f"{exercise.max_points} points for {exercise.grade_id!r}",
                    "The gradebook was made from another release: prepare it from the one that was marked.",
                )
            seen.add(exercise.grade_id)
            if not _can_be_booked(exercise):
                raise GraderError(
                    where, f"0 to {most} points", f"{exercise.points}", "Nothing was written. Report this."
                )

    def _write(self, db: Session, result: Result, lesson: Lesson, received_at: datetime) -> Committed:
        submission, notebook, is_repeat = submitted(db, result.student, lesson, received_at)
        grades = rows(db, api.Grade, notebook, lesson.graded, GRADE)
        for exercise in result.exercises:
            mark(grades[exercise.grade_id], exercise, is_repeat)
        comment(rows(db, api.Comment, notebook, lesson.commented, COMMENT), result, lesson)
        db.flush()
        self._penalize(db, submission, notebook, result.student)
        by_hand = {name: ByHand(grade.manual_score, grade.extra_credit) for name, grade in grades.items()}
        return Committed(by_hand, notebook.late_submission_penalty)

    def _penalize(
        self, db: Session, submission: api.SubmittedAssignment, notebook: api.SubmittedNotebook, student: str
    ) -> None:
        """nbgrader's late penalty, by the plugin that its configuration names."""
        duedate = db.scalar(select(api.Assignment.duedate).where(api.Assignment.id == submission.assignment_id))
        late = submission.total_seconds_late if duedate else 0  # nbgrader cannot add an extension to no date
        penalty = None
        if late > 0:
            plugin = self._plugin()
            score = db.scalar(select(api.SubmittedNotebook.score).where(api.SubmittedNotebook.id == notebook.id))
            penalty = plugin.plugin_inst.late_submission_penalty(student, score, late)
            penalty = penalty if penalty is None else min(max(penalty, 0.0), score)
        notebook.late_submission_penalty = penalty

    def _plugin(self):
        if self._penalties is None:
            from nbgrader.preprocessors import AssignLatePenalties

            self._penalties = AssignLatePenalties(config=self.config)
            self._penalties.init_plugin()
        return self._penalties


def _checksums(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """Of the cells that nbgrader records. Its checksum covers a cell's text, kind, name and points."""
    kinds = (is_grade, is_solution, is_locked, is_task)
    cells = [cell.metadata.nbgrader for cell in notebook.cells if any(kind(cell) for kind in kinds)]
    return {cell.grade_id: cell.get("checksum") for cell in cells}


def _put_back_hidden_tests(notebook: nbformat.NotebookNode, source: nbformat.NotebookNode) -> None:
    """The texts of cells that are not the student's, as they stand in the source."""
    texts = {cell.metadata.nbgrader.grade_id: cell.source for cell in source.cells if is_nbgrader(cell)}
    for cell in notebook.cells:
        if is_nbgrader(cell) and not is_solution(cell):
            cell.source = texts.get(cell.metadata.nbgrader.grade_id, cell.source)
            cell.metadata.nbgrader.checksum = compute_checksum(cell)


def is_nbgrader(cell: nbformat.NotebookNode) -> bool:
    return "nbgrader" in cell.metadata


def _can_be_booked(exercise: ExerciseResult) -> bool:
    if exercise.points is None:
        return exercise.verdict in UNMARKED
    return math.isfinite(exercise.points) and 0 <= exercise.points <= exercise.max_points
