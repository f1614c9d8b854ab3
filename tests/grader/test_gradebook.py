"""The gradebook as nbgrader keeps it: the same rows, a submission at a time, and never over a person's marks."""

import os
import shutil
import sqlite3
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from nbgrader.api import Gradebook
from nbgrader.utils import compute_checksum, parse_utc
from traitlets.config import Config

from grader.books.audit import ByHand
from grader.books.errors import GraderError
from grader.books.gradebook import Book, newest_schema
from grader.pipeline.release import generate
from grader.referee.result import CellRead, ExerciseResult, Result, Verdict

ROOT = Path(__file__).parents[2]
LESSON = "05_self_attention"
RELEASED = ROOT / "lessons" / LESSON / f"{LESSON}.ipynb"
MONDAY, TUESDAY = "2026-03-02T10:00:00+00:00", "2026-03-03T10:00:00+00:00"
CHECKS = {
    cell.metadata.nbgrader.grade_id: cell.metadata.nbgrader.points
    for cell in nbformat.read(RELEASED, as_version=4).cells
    if cell.metadata.get("nbgrader", {}).get("grade")
}


def result_of(student: str, lesson: str = LESSON, submission: str = "a" * 64, released: Path = RELEASED, **points):
    """A result in which every check has one point, or what `points` says (a Verdict: none, and this verdict)."""
    exercises = []
    for cell in nbformat.read(released, as_version=4).cells:
        known = cell.metadata.get("nbgrader", {})
        if known.get("grade"):
            name, got = known.grade_id, points.get(known.grade_id, 1)
            verdict = got if isinstance(got, Verdict) else Verdict.PARTLY
            exercise = name.removeprefix("check_")
            number = None if isinstance(got, Verdict) else got
            exercises.append(ExerciseResult(name, verdict, number, known.points, exercise=exercise))
    return Result(student, lesson, submission, Verdict.PARTLY, exercises, cells_of(released))


def cells_of(released: Path) -> list[CellRead]:
    cells = nbformat.read(released, as_version=4).cells
    return [
        CellRead(cell.cell_type, cell.source, cell.metadata.get("nbgrader", {}).get("grade_id", ""), own=False)
        for cell in cells
    ]


def grade(book: Book, student: str, name: str, lesson: str = LESSON):
    """A Grade of nbgrader's, by nbgrader's own look-up; to be used before the next commit."""
    return book.gradebook.find_grade(name, lesson, lesson, student)


def marks(book: Book, student: str, lesson: str = LESSON) -> dict[str, tuple]:
    notebook = book.gradebook.find_submission_notebook(lesson, lesson, student)
    found = {g.name: (g.auto_score, g.manual_score, g.extra_credit, g.needs_manual_grade) for g in notebook.grades}
    book.gradebook.db.remove()
    return found


def give(book: Book, student: str, name: str, manual: float | None, extra: float | None = None, lesson: str = LESSON):
    """What Formgrader does when a person types a score."""
    row = grade(book, student, name, lesson)
    row.manual_score, row.extra_credit = manual, extra
    row.needs_manual_grade = manual is None and row.auto_score is None
    book.gradebook.db.commit()


def dump(path: Path) -> list[str]:
    with sqlite3.connect(path) as db:
        return sorted(db.iterdump())


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A gradebook with the lesson and no student; making one takes nbgrader two seconds."""
    path = tmp_path_factory.mktemp("prepared") / "gradebook.db"
    with Book(f"sqlite:///{path}", "attnlab") as book:
        book.prepare(LESSON, RELEASED)
    return path


@pytest.fixture
def path(prepared, tmp_path):
    return Path(shutil.copy(prepared, tmp_path))


@pytest.fixture
def book(path):
    with Book(f"sqlite:///{path}", "attnlab") as book:
        yield book


def mixed_release(folder: Path) -> Path:
    """A lesson with a question for a person, a check, and a task."""

    def told(cell, **known):
        settings = {"schema_version": 3, "grade": False, "solution": False, "locked": False, "task": False} | known
        cell.metadata["nbgrader"] = settings
        cell.metadata.nbgrader["checksum"] = compute_checksum(cell)
        cell.metadata.nbgrader["cell_type"] = cell.cell_type
        return cell

    cells = [
        told(new_markdown_cell("Why?", id="why"), grade_id="why", grade=True, solution=True, points=4),
        told(new_code_cell("def f(): ...", id="f"), grade_id="f", solution=True),
        told(new_code_cell("check(f)", id="cf"), grade_id="check_f", grade=True, locked=True, points=2),
        told(new_markdown_cell("Draw it.", id="draw"), grade_id="draw", task=True, locked=True, points=3),
    ]
    path = folder / "07_mixed.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    return path


def test_a_new_gradebook_has_the_version_that_nbgrader_would_give_it():
    """Ours is read in this process; nbgrader starts `alembic` for it."""
    scripts = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    ask = "from nbgrader.api import get_alembic_version; print(get_alembic_version())"
    said = subprocess.check_output([sys.executable, "-c", ask], env=os.environ | {"PATH": scripts}, text=True)
    assert newest_schema() == said.strip()


class TestPreparing:
    @pytest.mark.slow
    def test_it_writes_what_generate_assignment_writes(self, prepared, tmp_path):
        shutil.copytree(ROOT / "solutions" / LESSON, tmp_path / "solutions" / LESSON)
        generate([LESSON], tmp_path)
        tables = {
            "assignment": "name, duedate, course_id",
            "notebook": "name, kernelspec",
            "base_cell": "name, type",
            "grade_cells": "max_score, cell_type",
            "source_cell": "name, cell_type, locked, source, checksum",
            "course": "id",
            "alembic_version": "version_num",
        }
        ours, theirs = sqlite3.connect(prepared), sqlite3.connect(tmp_path / "gradebook.db")
        for table, columns in tables.items():
            query = f"SELECT {columns} FROM {table} ORDER BY {columns}"
            rows = ours.execute(query).fetchall()
            assert rows and rows == theirs.execute(query).fetchall(), table

    def test_again_it_changes_nothing(self, book, path):
        before = dump(path)
        book.prepare(LESSON, RELEASED)
        assert dump(path) == before

    def test_a_changed_text_is_taken_over_and_marks_stay(self, book, tmp_path):
        book.commit(result_of("ann"), MONDAY)
        notebook = nbformat.read(RELEASED, as_version=4)
        cell = next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade"))
        cell.source += "  # clearer"
        cell.metadata.nbgrader["checksum"] = compute_checksum(cell)
        nbformat.write(notebook, tmp_path / "changed.ipynb")
        book.prepare(LESSON, tmp_path / "changed.ipynb")
        name = cell.metadata.nbgrader.grade_id
        assert book.gradebook.find_source_cell(name, LESSON, LESSON).source == cell.source
        assert {auto for auto, *_ in marks(book, "ann").values()} == {1}

    def test_a_check_taken_away_under_submissions_is_refused(self, book, tmp_path):
        book.commit(result_of("ann"), MONDAY)
        notebook = nbformat.read(RELEASED, as_version=4)
        notebook.cells = [c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") != "check_scale"]
        nbformat.write(notebook, tmp_path / "changed.ipynb")
        with pytest.raises(GraderError, match="Give the changed lesson another name"):
            book.prepare(LESSON, tmp_path / "changed.ipynb")


class TestCommitting:
    def test_the_rows_are_those_that_nbgraders_own_way_would_make(self, book, path):
        book.commit(result_of("ours"), MONDAY)
        with Gradebook(book.db_url, "attnlab") as theirs:
            theirs.add_student("theirs")
            theirs.add_submission(LESSON, "theirs", timestamp=MONDAY)
            for name in CHECKS:
                row = theirs.find_grade(name, LESSON, LESSON, "theirs")
                row.auto_score, row.needs_manual_grade = 1, False
            for comment in theirs.find_submission_notebook(LESSON, LESSON, "theirs").comments:
                comment.auto_comment = "No response."
            theirs.db.commit()
        query = """SELECT c.name, g.auto_score, g.manual_score, g.extra_credit, g.needs_manual_grade, s.timestamp,
                          s.extension, n.flagged, n.late_submission_penalty
                   FROM grade g JOIN base_cell c ON c.id = g.cell_id JOIN submitted_notebook n ON n.id = g.notebook_id
                   JOIN submitted_assignment s ON s.id = n.assignment_id WHERE s.student_id = ? ORDER BY c.name"""
        comments = """SELECT c.name, k.auto_comment, k.manual_comment
                   FROM comment k JOIN base_cell c ON c.id = k.cell_id JOIN submitted_notebook n ON n.id = k.notebook_id
                   JOIN submitted_assignment s ON s.id = n.assignment_id WHERE s.student_id = ? ORDER BY c.name"""
        student = "SELECT first_name, last_name, email, lms_user_id FROM student WHERE id = ?"
        db = sqlite3.connect(path)
        for question in (query, comments, student):
            rows = db.execute(question, ["ours"]).fetchall()
            assert rows and rows == db.execute(question, ["theirs"]).fetchall()

    def test_points_become_automatic_scores(self, book):
        book.commit(result_of("ann", check_scale=2.5, check_attention=0), MONDAY)
        found = marks(book, "ann")
        assert found["check_scale"] == (2.5, None, None, False)
        assert found["check_attention"] == (0, None, None, False)
        assert book.gradebook.find_submission(LESSON, "ann").score == 2.5 + len(CHECKS) - 2

    def test_a_repeat_changes_nothing(self, book, path):
        book.commit(result_of("ann"), MONDAY)
        before = dump(path)
        assert book.commit(result_of("ann"), MONDAY) == book.commit(result_of("ann"), MONDAY)
        assert dump(path) == before

    def test_what_people_gave_stays_under_repeat_and_regrade(self, book):
        book.commit(result_of("ann"), MONDAY)
        give(book, "ann", "check_scale", 5, extra=0.5)
        comment = book.gradebook.find_comment("scale", LESSON, LESSON, "ann")
        comment.manual_comment = "Nearly."
        book.gradebook.db.commit()

        there = book.commit(result_of("ann"), MONDAY)
        assert there.by_hand["check_scale"] == ByHand(5, 0.5)
        assert marks(book, "ann")["check_scale"] == (1, 5, 0.5, False), "a repeat does not ask the person again"

        book.commit(result_of("ann", check_scale=3), MONDAY)
        assert marks(book, "ann")["check_scale"] == (3, 5, 0.5, True), "another automatic mark does, as in nbgrader"
        assert book.gradebook.find_comment("scale", LESSON, LESSON, "ann").comment == "Nearly."

    def test_a_new_submission_with_the_same_mark_asks_the_person_again(self, book):
        book.commit(result_of("ann"), MONDAY)
        give(book, "ann", "check_scale", 5)
        book.commit(result_of("ann"), TUESDAY)
        assert marks(book, "ann")["check_scale"] == (1, 5, None, True)

    def test_what_a_person_marks_has_no_automatic_score(self, book):
        book.commit(result_of("ann", check_scale=Verdict.MANUAL), MONDAY)
        assert marks(book, "ann")["check_scale"] == (None, None, None, True)

    def test_a_fault_of_the_grader_lowers_nothing(self, book):
        book.commit(result_of("ann", check_scale=6, check_attention=Verdict.GRADER_FAULT), MONDAY)
        book.commit(result_of("ann", check_scale=Verdict.GRADER_FAULT), TUESDAY)
        assert marks(book, "ann")["check_scale"] == (6, None, None, False)
        book.commit(result_of("bob", check_scale=Verdict.GRADER_FAULT), MONDAY)
        assert marks(book, "bob")["check_scale"] == (None, None, None, True)

    def test_a_result_that_could_not_be_marked_at_all_waits_for_a_person(self, book):
        book.commit(Result("ann", LESSON, "a" * 64, Verdict.UNREADABLE), MONDAY)
        assert set(marks(book, "ann").values()) == {(None, None, None, True)}
        assert len(marks(book, "ann")) == len(CHECKS)

    def test_no_response_is_said_of_untouched_solutions_only(self, book):
        result = result_of("ann", check_scale=Verdict.MANUAL)
        touched = next(cell for cell in result.cells if cell.grade_id == "attention")
        touched.text, touched.own = "def attention(): return 1", True
        result.cells = [cell for cell in result.cells if cell.grade_id != "causal_mask"]
        book.commit(result, MONDAY)
        said = {c.name: c.auto_comment for c in book.gradebook.find_submission_notebook(LESSON, LESSON, "ann").comments}
        assert said["attention"] is None and said["causal_mask"] is None
        assert said["scale"] == said["SelfAttention1d"] == "No response."

    def test_of_a_copied_solution_the_first_counts(self, book):
        result = result_of("ann")
        result.cells = [CellRead("code", "scale = 1", "scale"), *result.cells]
        book.commit(result, MONDAY)
        assert book.gradebook.find_comment("scale", LESSON, LESSON, "ann").auto_comment is None

    def test_questions_and_tasks_for_a_person_are_kept_apart_from_checks(self, book, tmp_path):
        released = mixed_release(tmp_path)
        book.prepare("07_mixed", released)
        book.commit(result_of("ann", "07_mixed", released=released, why=Verdict.MANUAL), MONDAY)
        give(book, "ann", "draw", 2, lesson="07_mixed")
        there = book.commit(result_of("ann", "07_mixed", released=released, why=Verdict.MANUAL), MONDAY)
        assert there.by_hand["draw"] == ByHand(2, None)
        found = marks(book, "ann", "07_mixed")
        assert found["draw"] == (None, 2, None, False)
        assert found["why"] == (None, None, None, True)
        assert found["check_f"] == (1, None, None, False)

    def test_a_known_student_keeps_name_and_address(self, book):
        book.gradebook.add_student("ann", first_name="Ann", email="ann@example.org")
        book.commit(result_of("ann"), MONDAY)
        student = book.gradebook.find_student("ann")
        assert (student.first_name, student.email) == ("Ann", "ann@example.org")

    def test_text_of_a_student_never_reaches_the_database_as_sql(self, book):
        name = "x'; DROP TABLE grade; --"
        book.commit(result_of(name), MONDAY)
        assert len(marks(book, name)) == len(CHECKS)

    def test_the_sum_of_two_lessons_is_the_students_score(self, book, tmp_path):
        released = mixed_release(tmp_path)
        book.prepare("07_mixed", released)
        book.commit(result_of("ann"), MONDAY)
        book.commit(result_of("ann", "07_mixed", released=released), MONDAY)
        assert book.gradebook.find_student("ann").score == len(CHECKS) + 2


class TestRefusing:
    @pytest.mark.parametrize("points", [-0.5, 6.5, float("nan"), float("inf")])
    def test_points_outside_the_cells_range(self, book, path, points):
        before = dump(path)
        with pytest.raises(GraderError, match="expected 0 to 6"):
            book.commit(result_of("ann", check_scale=points), MONDAY)
        assert dump(path) == before

    def test_no_points_without_a_verdict_that_says_why(self, book):
        with pytest.raises(GraderError, match="got None"):
            book.commit(result_of("ann", check_scale=Verdict.FAILED), MONDAY)

    def test_a_check_that_the_gradebook_does_not_know(self, book):
        result = result_of("ann")
        result.exercises[0].grade_id = "check_other"
        with pytest.raises(GraderError, match="prepare it from the one that was marked"):
            book.commit(result, MONDAY)

    def test_other_points_than_the_gradebooks(self, book):
        result = result_of("ann")
        result.exercises[0].max_points += 1
        with pytest.raises(GraderError, match="another release"):
            book.commit(result, MONDAY)

    def test_the_same_check_twice(self, book):
        result = result_of("ann")
        result.exercises.append(result.exercises[0])
        with pytest.raises(GraderError, match="each grade cell once"):
            book.commit(result, MONDAY)

    def test_a_lesson_that_was_not_prepared(self, book):
        with pytest.raises(GraderError, match="Prepare it first"):
            book.commit(result_of("ann", lesson="06_unknown"), MONDAY)

    @pytest.mark.parametrize("student", ["", "..", "a/b", "a\x00b", "a\nb", "x" * 129])
    def test_a_name_that_is_none(self, book, student):
        with pytest.raises(GraderError, match="the name of a student"):
            book.commit(result_of(student), MONDAY)

    def test_a_driver_that_is_not_there(self):
        with pytest.raises(GraderError, match="psycopg2"):
            Book("postgresql+pg8000://nowhere/x", "attnlab")

    def test_a_gradebook_that_another_program_holds_is_said_so(self, book, path):
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        with book.reading() as db:
            db.connection().exec_driver_sql("PRAGMA busy_timeout = 50")
            with pytest.raises(GraderError, match="no other program holds it"):
                book.commit(result_of("ann"), MONDAY)
        holder.execute("ROLLBACK")
        book.commit(result_of("ann"), MONDAY)


class TestLateness:
    @pytest.fixture
    def due(self, path):
        """A gradebook whose lesson was due on Monday; late work gets nothing."""
        config = Config({"LateSubmissionPlugin": {"penalty_method": "zero"}})
        with Book(f"sqlite:///{path}", "attnlab", config) as book:
            book.gradebook.update_or_create_assignment(LESSON, duedate=MONDAY)
            yield book

    def submission(self, book):
        return book.gradebook.find_submission(LESSON, "ann")

    def test_the_time_of_receipt_is_the_submissions(self, due):
        due.commit(result_of("ann"), TUESDAY)
        assert self.submission(due).timestamp == parse_utc(TUESDAY)
        assert self.submission(due).total_seconds_late == 86400

    def test_nbgraders_penalty_is_taken(self, due):
        assert due.commit(result_of("ann"), TUESDAY).late_penalty == len(CHECKS)
        assert self.submission(due).late_submission_penalty == len(CHECKS)

    def test_in_time_there_is_none(self, due):
        assert due.commit(result_of("ann"), MONDAY).late_penalty is None

    def test_an_extension_counts(self, due):
        due.commit(result_of("ann"), TUESDAY)
        due.gradebook.grant_extension(LESSON, "ann", days=1)
        assert due.commit(result_of("ann"), TUESDAY).late_penalty is None
        assert self.submission(due).extension == timedelta(days=1)

    def test_without_nbgraders_setting_there_is_none(self, book):
        book.gradebook.update_or_create_assignment(LESSON, duedate=MONDAY)
        assert book.commit(result_of("ann"), TUESDAY).late_penalty is None

    def test_an_extension_of_a_lesson_without_a_date_harms_nothing(self, book):
        book.commit(result_of("ann"), MONDAY)
        book.gradebook.grant_extension(LESSON, "ann", days=1)
        assert book.commit(result_of("ann"), TUESDAY).late_penalty is None


def test_what_people_gave_is_read_student_by_student(book):
    for student in ("ann", "bob"):
        book.commit(result_of(student), MONDAY)
    give(book, "bob", "check_scale", 4)
    found = dict(book.by_hand(LESSON))
    assert list(found) == ["ann", "bob"]
    assert found["bob"]["check_scale"] == ByHand(4, None)
    assert set(found["ann"].values()) == {ByHand(None, None)}


def test_hidden_tests_go_into_the_gradebook_as_generate_assignment_puts_them_there(tmp_path):
    """A release has none; `nbgrader autograde` takes the test cells from the gradebook."""
    from tests.grader.course import SLUG, make_course

    folder = make_course(tmp_path)
    source = folder.solution(SLUG)
    source.write_text(source.read_text().replace('2 * x)"', "2 * x)\\nassert 'hidden'\""))
    with Book(f"sqlite:///{tmp_path / 'gradebook.db'}", "attnlab") as book:
        book.prepare(SLUG, folder.released(SLUG), source)
        book.prepare(SLUG, folder.released(SLUG), source)
        cell = book.gradebook.find_source_cell("test_double", SLUG, SLUG)
        answer = book.gradebook.find_source_cell("double", SLUG, SLUG)
    assert cell.source.endswith("assert 'hidden'") and "NotImplementedError" in answer.source
