"""The journal: rows go received → marked → committed, repeats change nothing, and only the newest submission counts."""

import sqlite3
import subprocess
import sys

import pytest

from grader.books.audit import ByHand
from grader.books.errors import GraderError
from grader.books.journal import Journal, key_of
from grader.referee.result import ExerciseResult, Result, Verdict

LESSON = "05_self_attention"


def result_of(student="ann", submission="a", points=3.0, verdict=Verdict.PARTLY, seconds=1.0) -> Result:
    exercises = [
        ExerciseResult("check_scale", verdict, points, 6),
        ExerciseResult("check_attention", Verdict.PARTLY, 7.0, 14),
    ]
    return Result(student, LESSON, submission, Verdict.PARTLY, exercises, seconds=seconds)


def receive(journal, student="ann", submission="a", tests="t1", **more) -> str:
    return journal.receive(submission, student, LESSON, tests, "env", "seed", **more)


def finish(journal, key, **result) -> None:
    entry = journal.entry(key)
    journal.start(key)
    journal.mark(key, result_of(entry.student, entry.submission, **result))
    journal.committed(key)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path):
    with Journal(path) as journal:
        yield journal


class TestOneSubmission:
    def test_it_goes_from_received_to_marked_to_committed(self, journal):
        key = receive(journal)
        assert [e.key for e in journal.pending()] == [key] and journal.result(key) is None
        journal.start(key)
        journal.mark(key, result_of())
        assert not journal.pending() and [e.key for e in journal.uncommitted()] == [key]
        journal.committed(key)
        entry = journal.latest("ann", LESSON)
        assert (entry.state, entry.tries) == ("committed", 1)
        assert entry.received_at <= entry.marked_at <= entry.committed_at and entry.committed_at.endswith("+00:00")
        assert not journal.pending() and not journal.uncommitted()
        assert journal.result(key) == result_of() == next(journal.results())

    def test_every_step_again_changes_nothing(self, journal, path):
        key = receive(journal)
        finish(journal, key)
        before = list(journal._db.iterdump())
        assert receive(journal) == key
        journal.mark(key, result_of())
        journal.committed(key)
        assert list(journal._db.iterdump()) == before

    def test_its_key_names_all_that_a_mark_depends_on(self):
        parts = ["submission", "student", "lesson", "tests", "environment", "seed"]
        keys = {key_of(*(part + "x" if i == changed else part for i, part in enumerate(parts))) for changed in range(7)}
        assert len(keys) == 7 and all(len(key) == 64 for key in keys)
        assert key_of("a", "bc", "l", "t", "e", "s") != key_of("ab", "c", "l", "t", "e", "s")

    def test_tries_are_on_the_disk_before_the_attempt(self, journal, path):
        key = receive(journal)
        assert [journal.start(key), journal.start(key)] == [1, 2]
        with Journal(path, read_only=True) as other:
            assert other.entry(key).tries == 2

    def test_a_second_mark_is_refused(self, journal):
        key = receive(journal)
        journal.mark(key, result_of(points=3))
        with pytest.raises(GraderError, match="one result for a key"):
            journal.mark(key, result_of(points=4))
        assert journal.result(key) == result_of(points=3)

    def test_a_faulty_mark_may_be_replaced(self, journal):
        key = receive(journal)
        finish(journal, key, points=None, verdict=Verdict.GRADER_FAULT)
        assert [entry.key for entry in journal.faulty()] == [key]
        journal.mark(key, result_of(points=4))
        assert [entry.key for entry in journal.uncommitted()] == [key] and not journal.faulty()
        journal.committed(key)
        assert [(row.grade_id, row.new) for row in journal.audit.rows()] == [
            ("check_attention", 7),
            ("check_scale", 4),
        ]

    @pytest.mark.parametrize("wrong", [{"student": "bob"}, {"submission": "b"}])
    def test_the_result_of_another_is_refused(self, journal, wrong):
        key = receive(journal)
        with pytest.raises(GraderError, match="mixed up"):
            journal.mark(key, result_of(**wrong))
        assert journal.entry(key).state == "received"

    def test_an_unmarked_one_cannot_be_committed(self, journal):
        with pytest.raises(GraderError, match="Mark it first"):
            journal.committed(receive(journal))

    def test_an_unknown_key_is_refused(self, journal):
        for step in (journal.start, journal.result, journal.committed, journal.entry):
            with pytest.raises(GraderError, match="Call receive first"):
                step("0" * 64)

    def test_the_time_of_the_servers_receipt_can_be_given(self, journal):
        key = receive(journal, received_at="2026-03-02T11:00:00+01:00")
        assert journal.entry(key).received_at == "2026-03-02T10:00:00.000000+00:00"

    @pytest.mark.parametrize("time", ["yesterday", "2026-03-02T11:00:00"])
    def test_a_time_without_its_zone_is_refused(self, journal, time):
        with pytest.raises(GraderError, match="with its zone"):
            receive(journal, received_at=time)


class TestSeveralSubmissions:
    def test_only_the_newest_is_marked(self, journal):
        first = receive(journal, submission="a")
        second = receive(journal, submission="b")
        assert [entry.key for entry in journal.pending()] == [second]
        journal.mark(first, result_of())
        assert not journal.uncommitted()

    def test_until_a_newer_one_is_marked_the_older_result_stands(self, journal):
        finish(journal, receive(journal, submission="a"), points=3)
        key = receive(journal, submission="b")
        assert [result.submission for result in journal.results()] == ["a"]
        finish(journal, key, points=4)
        assert [result.submission for result in journal.results()] == ["b"]

    def test_a_file_that_comes_back_counts_again(self, journal):
        first = receive(journal, submission="a", received_at="2026-03-02T10:00:00+00:00")
        finish(journal, first, points=3)
        finish(journal, receive(journal, submission="b"), points=4)
        assert receive(journal, submission="a", received_at="2026-03-04T10:00:00+00:00") == first
        entry = journal.latest("ann", LESSON)
        assert (entry.key, entry.state, entry.received_at[:10]) == (first, "marked", "2026-03-04")
        journal.committed(first)
        assert [row.new for row in journal.audit.rows() if row.grade_id == "check_scale"] == [3, 4, 3]

    def test_new_tests_keep_the_time_of_receipt(self, journal):
        first = receive(journal, received_at="2026-03-02T10:00:00+00:00")
        second = receive(journal, tests="t2")
        assert second != first
        assert journal.entry(second).received_at == journal.entry(first).received_at
        assert [entry.key for entry in journal.pending()] == [second]

    def test_the_order_is_that_of_handing_in(self, journal):
        keys = [receive(journal, student) for student in ("zoe", "ann", "max")]
        assert [entry.key for entry in journal.pending()] == keys

    def test_lessons_are_told_apart(self, journal):
        receive(journal)
        other = journal.receive("a", "ann", "00_welcome", "t", "env", "seed")
        assert [entry.key for entry in journal.pending("00_welcome")] == [other]
        assert len(journal.pending()) == 2

    def test_the_seconds_of_the_last_mark_are_remembered(self, journal):
        assert journal.seconds_of_last("ann", LESSON) is None
        finish(journal, receive(journal, submission="a"), seconds=2.5)
        receive(journal, submission="b")
        assert journal.seconds_of_last("ann", LESSON) == 2.5


class TestTheFile:
    def test_it_is_written_through_to_the_disk(self, journal):
        assert journal._db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert journal._db.execute("PRAGMA synchronous").fetchone()[0] == 2

    def test_a_reader_sees_what_the_writer_wrote_and_cannot_write(self, journal, path):
        key = receive(journal)
        with Journal(path, read_only=True) as reader:
            assert reader.latest("ann", LESSON).key == key
            with pytest.raises(GraderError, match="readonly"):
                receive(reader, "bob")

    def test_a_reader_needs_a_journal(self, path):
        with pytest.raises(GraderError, match="unable to open"):
            Journal(path, read_only=True)
        assert not path.exists()

    def test_another_kind_of_file_is_refused(self, path):
        path.write_text("not a database, but long enough to be looked at as one by SQLite" * 20)
        with pytest.raises(GraderError, match="not a database"):
            Journal(path)

    def test_another_version_is_refused(self, path):
        Journal(path).close()
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA user_version = 99")
        with pytest.raises(GraderError, match="expected a journal of version 1; got version 99"):
            Journal(path)

    def test_a_state_without_its_data_cannot_be_written(self, journal):
        receive(journal)
        with pytest.raises(sqlite3.IntegrityError):
            journal._db.execute("UPDATE submissions SET state = 'marked'")

    def test_an_error_inside_leaves_nothing_half_written(self, journal):
        key = receive(journal)
        journal.mark(key, result_of())
        with pytest.raises(TypeError):
            journal.committed(key, {"check_attention": ByHand(5, None), "check_scale": ByHand(object(), None)})
        assert journal.entry(key).state == "marked" and not list(journal.audit.rows())

    def test_only_one_process_marks_at_a_time(self, journal, path):
        other = (
            "import sys; from grader.books.journal import Journal\n"
            "with Journal(sys.argv[1]) as journal, journal.alone(): print('alone', flush=True); input()"
        )
        run = subprocess.Popen(
            [sys.executable, "-c", other, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert run.stdout.readline() == "alone\n"
        with pytest.raises(GraderError, match="no other process that marks"), journal.alone():
            pass
        run.kill()
        run.communicate()
        with journal.alone():
            receive(journal)
