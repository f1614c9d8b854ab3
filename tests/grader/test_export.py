"""The exported files: the columns that others read, nbgrader's own numbers, and no text that a spreadsheet computes."""

import csv
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbgrader.plugins.export import CsvExportPlugin
from traitlets.config import Config

from grader.books import export
from grader.books.errors import GraderError
from grader.books.export import Row, guarded
from grader.books.gradebook import Book
from tests.grader.test_gradebook import LESSON, MONDAY, RELEASED, TUESDAY, give, mixed_release, result_of

DANGEROUS = "=+-@\t\r"


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """Two lessons, one late with a penalty, three students, one of whom handed in nothing."""
    folder = tmp_path_factory.mktemp("course")
    config = Config({"LateSubmissionPlugin": {"penalty_method": "zero"}})
    with Book(f"sqlite:///{folder / 'gradebook.db'}", "attnlab", config) as book:
        book.prepare(LESSON, RELEASED)
        book.prepare("07_mixed", mixed_release(folder))
        book.gradebook.update_or_create_assignment("07_mixed", duedate=MONDAY)
        gradebook = book.gradebook
        gradebook.add_student("ann", first_name="Ann", last_name="Arbor", email="ann@example.org", lms_user_id="17")
        gradebook.add_student("bob", first_name="Bob", last_name="Bobbin", email="bob@example.org", lms_user_id="18")
        gradebook.add_student("zoe", first_name="Zoe", last_name="Zorn", email="zoe@example.org", lms_user_id="19")
        book.commit(result_of("ann", check_scale=2.5), MONDAY)
        book.commit(result_of("bob"), MONDAY)
        book.commit(result_of("bob", "07_mixed", released=folder / "07_mixed.ipynb"), TUESDAY)
        give(book, "ann", "check_attention", 10, extra=0.5)
        yield book


def read(path: Path) -> list[list[str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_nbgraders_columns_and_values_are_nbgraders(book, tmp_path):
    export.to_nbgrader_csv(export.rows(book), tmp_path / "ours.csv")
    plugin = CsvExportPlugin()
    plugin.to = str(tmp_path / "theirs.csv")
    plugin.export(book.gradebook)
    assert read(tmp_path / "ours.csv") == read(tmp_path / "theirs.csv")
    assert len(read(tmp_path / "ours.csv")) == 1 + 2 * 3


def test_one_lesson_can_be_asked_for_and_an_unknown_one_is_refused(book):
    assert {row.assignment for row in export.rows(book, [LESSON])} == {LESSON}
    with pytest.raises(GraderError, match="06_unknown"):
        export.rows(book, ["06_unknown"])


def test_a_late_penalty_is_taken_off_and_nobody_gets_less_than_nothing(book):
    (late,) = [row for row in export.rows(book, ["07_mixed"]) if row.student_id == "bob"]
    assert (late.raw_score, late.late_submission_penalty, late.score) == (2, 2, 0)
    assert replace(late, late_submission_penalty=5.0).score == 0


def test_canvas_gets_its_five_columns_the_points_possible_and_a_column_for_each_lesson(book, tmp_path):
    export.to_canvas_csv(export.rows(book), tmp_path / "canvas.csv")
    header, most, *students = read(tmp_path / "canvas.csv")
    assert header == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", LESSON, "07_mixed"]
    assert most[0] == "    Points Possible" and float(most[header.index("07_mixed")]) == 9
    by_login = {line[3]: line for line in students}
    assert by_login["ann"][:5] == ["Arbor, Ann", "17", "", "ann", ""]
    assert by_login["ann"][header.index("07_mixed")] == "", "handed in nothing: no grade, not a zero"
    assert float(by_login["ann"][header.index(LESSON)]) == 2.5 + 10.5 + 5


@pytest.mark.parametrize(
    "identifier, ann", [("Username", "ann"), ("Email address", "ann@example.org"), ("ID number", "17")]
)
def test_moodle_gets_who_it_is_and_a_column_for_each_lesson(book, tmp_path, identifier, ann):
    export.to_moodle_csv(export.rows(book, [LESSON]), tmp_path / "moodle.csv", identifier)
    header, *students = read(tmp_path / "moodle.csv")
    assert header == [identifier, LESSON]
    assert [ann, "18.0"] in students and len(students) == 3


def test_moodle_is_refused_where_somebody_has_no_such_name(book, tmp_path):
    rows = [replace(row, email="") for row in export.rows(book)]
    with pytest.raises(GraderError, match="an Email address for every student; got none for ann, bob, zoe"):
        export.to_moodle_csv(rows, tmp_path / "moodle.csv", "Email address")
    with pytest.raises(GraderError, match="one of Username, Email address, ID number"):
        export.to_moodle_csv(rows, tmp_path / "moodle.csv", "Shoe size")
    assert not (tmp_path / "moodle.csv").exists()


def test_a_file_is_replaced_whole_or_not_at_all(book, tmp_path, monkeypatch):
    path = tmp_path / "grades.csv"
    path.write_text("old")
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("no room")))
        with pytest.raises(OSError):
            export.to_nbgrader_csv(export.rows(book), path)
    assert path.read_text() == "old" and [file.name for file in tmp_path.iterdir()] == ["grades.csv"]


TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.builds(
    "{}{}".format, st.sampled_from([*DANGEROUS, "\n", '"', "'", ",", ";", "＝"]), st.text(max_size=8)
)
POINTS = st.floats(-5, 1e6).map(lambda number: round(number, 3))
ROWS = st.lists(
    st.builds(Row, TEXTS, st.none(), st.none(), TEXTS, TEXTS, TEXTS, TEXTS, TEXTS, POINTS, POINTS, POINTS),
    max_size=4,
)


@given(ROWS)
def test_no_exported_text_begins_a_formula_and_what_is_read_back_is_what_was_written(rows):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "grades.csv")
        export.to_nbgrader_csv(rows, path)
        back = read(path)
    assert len(back) == 1 + len(rows)
    texts = ("assignment", "student_id", "last_name", "first_name", "email")
    numbers = ("raw_score", "late_submission_penalty", "score", "max_score")
    for line, row in zip(back[1:], rows, strict=True):
        cells = dict(zip(back[0], line, strict=True))
        for name in texts:
            assert not cells[name].startswith(tuple(DANGEROUS))
            assert cells[name] == getattr(row, name) or cells[name] == "'" + getattr(row, name)
        for name in numbers:
            assert float(cells[name]) == getattr(row, name)


@given(TEXTS)
def test_only_what_would_be_a_formula_is_touched(text):
    assert (guarded(text) != text) == text.startswith((*DANGEROUS, "\n", "＝", "＋", "－", "＠"))


def test_names_that_are_formulas_are_guarded_in_every_format(book, tmp_path):
    rows = [
        replace(row, student_id="=1+1", last_name="@SUM(A1)", first_name="", email="+49", lms_user_id="-2")
        for row in export.rows(book, [LESSON])[:1]
    ]
    export.to_nbgrader_csv(rows, tmp_path / "a.csv")
    export.to_canvas_csv(rows, tmp_path / "b.csv")
    export.to_moodle_csv(rows, tmp_path / "c.csv", "Email address")
    for file in tmp_path.glob("*.csv"):
        cells = [cell for line in read(file) for cell in line]
        assert not [cell for cell in cells if cell.startswith(tuple(DANGEROUS))], file
    assert "'=1+1" in read(tmp_path / "b.csv")[2] and read(tmp_path / "c.csv")[1][0] == "'+49"
