"""The audit: only grows, and shows what was changed in it."""

import sqlite3
from dataclasses import asdict, replace

import pytest

from grader.books.audit import START, ByHand
from grader.books.journal import Journal
from tests.grader.test_journal import LESSON, finish, receive, result_of


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path):
    with Journal(path) as journal:
        yield journal


@pytest.fixture
def audit(journal):
    return journal.audit


def test_a_row_says_when_who_what_from_what_to_what_and_by_which_key(journal, audit):
    key = receive(journal)
    finish(journal, key)
    row = next(audit.rows())
    assert asdict(row) | {"at": "", "hash": ""} == {
        "number": 1,
        "at": "",
        "who": "grader",
        "student": "ann",
        "lesson": LESSON,
        "grade_id": "check_scale",
        "what": "auto",
        "old": None,
        "new": 3.0,
        "key": key,
        "hash": "",
    }
    assert row.at.endswith("+00:00")


def test_a_new_mark_is_written_as_a_change_of_the_old_one(journal, audit):
    finish(journal, receive(journal, submission="a"), points=3)
    finish(journal, receive(journal, submission="b"), points=4)
    changes = [(row.old, row.new) for row in audit.rows() if row.grade_id == "check_scale"]
    assert changes == [(None, 3), (3, 4)]


def test_what_people_change_is_noticed_once(audit):
    audit.notice("ann", LESSON, {"check_scale": ByHand(None, None)})
    assert not list(audit.rows())
    for given in (ByHand(5, None), ByHand(5, None), ByHand(5, 1), ByHand(None, 1)):
        audit.notice("ann", LESSON, {"check_scale": given})
    assert [(row.who, row.what, row.old, row.new) for row in audit.rows()] == [
        ("gradebook", "manual", None, 5),
        ("gradebook", "extra credit", None, 1),
        ("gradebook", "manual", 5, None),
    ]


def test_a_late_penalty_and_its_end_are_written(journal, audit):
    for submission, penalty in (("a", 10.0), ("b", 10.0), ("c", None)):
        key = receive(journal, submission=submission)
        journal.mark(key, result_of(submission=submission))
        journal.committed(key, late_penalty=penalty)
    assert [(row.old, row.new) for row in audit.rows() if row.what == "late penalty"] == [(None, 10), (10, None)]


def test_rows_of_one_student_or_lesson_can_be_asked_for(journal, audit):
    for student in ("ann", "bob"):
        finish(journal, receive(journal, student))
    assert {row.student for row in audit.rows(student="bob")} == {"bob"}
    assert len(list(audit.rows(lesson=LESSON))) == 4 and not list(audit.rows(lesson="00_welcome"))


class TestTheChain:
    @pytest.fixture(autouse=True)
    def five_rows(self, audit):
        for number in range(5):
            audit.append("tester", "ann", LESSON, "check_scale", "manual", number, number + 1)

    def test_an_honest_one_holds(self, audit):
        assert audit.verify() is None

    def test_the_database_refuses_to_change_or_delete(self, journal):
        for statement in (
            "UPDATE audit SET new = 9",
            "DELETE FROM audit WHERE number = 3",
            "REPLACE INTO audit SELECT * FROM audit WHERE number = 2",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="only grows"):
                journal._db.execute(statement)

    @pytest.mark.parametrize("column", ["at", "who", "student", "lesson", "grade_id", "what", "old", "new", "key"])
    def test_a_changed_value_shows(self, audit, path, column):
        self.tamper(path, f"UPDATE audit SET {column} = 7 WHERE number = 3")
        assert audit.verify() == 3

    def test_a_changed_hash_shows(self, audit, path):
        self.tamper(path, f"UPDATE audit SET hash = '{START}' WHERE number = 2")
        assert audit.verify() == 2

    def test_a_changed_row_with_its_hash_made_anew_shows_in_the_next(self, audit, path):
        rows = list(audit.rows())
        changed = replace(rows[2], new=99.0)
        self.tamper(path, f"UPDATE audit SET new = 99, hash = '{changed.chained(rows[1].hash)}' WHERE number = 3")
        assert audit.verify() == 4

    @pytest.mark.parametrize("number", [1, 3])
    def test_a_row_taken_out_shows(self, audit, path, number):
        self.tamper(path, f"DELETE FROM audit WHERE number = {number}")
        assert audit.verify() == number

    def test_two_rows_exchanged_show(self, audit, path):
        self.tamper(path, "UPDATE audit SET number = -1 WHERE number = 2; UPDATE audit SET number = 2 WHERE number = 4;"
                          "UPDATE audit SET number = 4 WHERE number = -1")  # fmt: skip
        assert audit.verify() == 2

    def test_rows_cut_off_at_the_end_show_in_the_head(self, audit, path):
        before = audit.head()
        self.tamper(path, "DELETE FROM audit WHERE number = 5")
        assert audit.verify() is None and audit.head() != before

    def tamper(self, path, statements: str) -> None:
        """As somebody would who may write the file."""
        with sqlite3.connect(path) as db:
            db.executescript(f"DROP TRIGGER audit_keeps; DROP TRIGGER audit_holds; {statements}")
