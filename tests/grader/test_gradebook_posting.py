"""From the journal into the gradebook, killed between any two steps and begun again."""

import json
import os
import random
import shutil
import signal
import sqlite3
import time

import pytest

from grader.books import posting
from grader.books.autograded import Release
from grader.books.gradebook import Book
from grader.books.journal import Journal
from grader.pipeline.release import course_config
from grader.referee.result import Verdict
from tests.grader.test_gradebook import CHECKS, LESSON, RELEASED, give, marks, result_of


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    folder = tmp_path_factory.mktemp("course")
    with Book(f"sqlite:///{folder / 'gradebook.db'}", "attnlab") as book:
        book.prepare(LESSON, RELEASED)
    return folder


@pytest.fixture
def desk(course, tmp_path):
    """A journal, a book and a place for notebooks."""
    path = shutil.copy(course / "gradebook.db", tmp_path)
    with Journal(tmp_path / "journal.db") as journal, Book(f"sqlite:///{path}", "attnlab") as book:
        yield Desk(journal, book, tmp_path / "autograded")


class Desk:
    def __init__(self, journal, book, folder):
        self.journal, self.book, self.folder, self.release = journal, book, folder, Release(RELEASED)

    def marked(self, student="ann", submission="a", **points) -> str:
        key = self.journal.receive(submission, student, LESSON, "t", "env", "seed")
        self.journal.mark(key, result_of(student, submission=submission, **points))
        return key

    def post(self, key: str) -> None:
        posting.post(self.journal, self.book, key, self.release, self.folder)

    def audited(self, what: str, name: str = "check_scale") -> list[tuple]:
        return [(r.old, r.new) for r in self.journal.audit.rows() if (r.what, r.grade_id) == (what, name)]


def test_marks_notebook_and_audit_are_there_afterwards(desk):
    key = desk.marked(check_scale=2)
    desk.post(key)
    assert marks(desk.book, "ann")["check_scale"] == (2, None, None, False)
    assert (desk.folder / "ann" / LESSON / f"{LESSON}.ipynb").exists()
    assert desk.journal.entry(key).state == "committed"
    assert desk.audited("auto") == [(None, 2)]


@pytest.mark.parametrize("step", ["commit", "write", "committed"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_whatever_step_it_dies_at_the_next_run_makes_it_whole(desk, monkeypatch, step, moment):
    class Killed(BaseException):
        pass

    owner = {"commit": desk.book, "write": posting.autograded, "committed": desk.journal}[step]
    real = getattr(owner, step)

    def dies(*arguments):
        if moment == "after":
            real(*arguments)
        raise Killed

    key = desk.marked(check_scale=2)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(owner, step, dies)
        desk.post(key)
    desk.post(key)
    desk.post(key)
    assert marks(desk.book, "ann")["check_scale"] == (2, None, None, False)
    assert desk.journal.entry(key).state == "committed"
    assert desk.audited("auto") == [(None, 2)]
    assert len(list(desk.journal.audit.rows())) == len(CHECKS)


def test_an_older_submission_is_not_posted_over_a_newer_one(desk):
    old = desk.marked(submission="a", check_scale=1)
    new = desk.marked(submission="b", check_scale=5)
    desk.post(new)
    desk.post(old)
    assert marks(desk.book, "ann")["check_scale"][0] == 5
    assert desk.journal.entry(old).state == "marked"


def test_what_people_gave_before_a_new_mark_is_audited_before_it(desk):
    desk.post(desk.marked(submission="a", check_scale=1))
    give(desk.book, "ann", "check_scale", 4)
    desk.post(desk.marked(submission="b", check_scale=5))
    rows = [(r.what, r.new) for r in desk.journal.audit.rows() if r.grade_id == "check_scale"]
    assert rows == [("auto", 1), ("manual", 4), ("auto", 5)]


def test_before_an_export_everybodys_manual_marks_are_noticed(desk):
    for student in ("ann", "bob"):
        desk.post(desk.marked(student))
        give(desk.book, student, "check_scale", 4, extra=1)
    posting.notice_people(desk.journal, desk.book, LESSON)
    posting.notice_people(desk.journal, desk.book, LESSON)
    assert desk.audited("manual") == [(None, 4), (None, 4)]
    assert desk.audited("extra credit") == [(None, 1), (None, 1)]


def test_a_fault_of_the_grader_is_no_change_of_a_mark(desk):
    desk.post(desk.marked(submission="a", check_scale=5))
    desk.post(desk.marked(submission="b", check_scale=Verdict.GRADER_FAULT))
    assert desk.audited("auto") == [(None, 5)]
    assert marks(desk.book, "ann")["check_scale"][0] == 5


def test_kills_at_random_moments_end_in_the_same_books(desk):
    """Each round is a run of its own that is killed; the last one ends."""
    keys = [desk.marked(f"s{number}", check_scale=number % 7) for number in range(12)]
    database, draw = desk.book.gradebook.engine.url.database, random.Random(7)
    desk.book.close()

    def run(ready: int) -> None:
        with Journal(desk.journal.path) as journal, Book(f"sqlite:///{database}", "attnlab") as book:
            os.write(ready, b".")
            for key in keys:
                posting.post(journal, book, key, desk.release, desk.folder)

    killed = 0
    for last in [False] * 10 + [True]:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                run(write)
                os._exit(0)
            finally:
                os._exit(70)
        os.read(read, 1)
        if not last:
            time.sleep(draw.uniform(0, 0.08))
            os.kill(child, signal.SIGKILL)
        ended = os.waitpid(child, 0)[1]
        killed += ended == signal.SIGKILL
        os.close(read), os.close(write)
    assert ended == 0 and killed > 3

    for number in range(12):
        assert marks(desk.book, f"s{number}")["check_scale"] == (number % 7, None, None, False)
        json.loads((desk.folder / f"s{number}" / LESSON / f"{LESSON}.ipynb").read_text())
    assert not list(desk.folder.rglob(".*")), "what a killed write left is gone"
    audited = [(row.student, row.grade_id) for row in desk.journal.audit.rows()]
    assert len(audited) == len(set(audited)) == 12 * len(CHECKS) and desk.journal.audit.verify() is None
    with sqlite3.connect(database) as db:
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert db.execute("SELECT count(*) FROM submitted_notebook").fetchone()[0] == 12


@pytest.mark.slow
def test_nbgraders_own_feedback_can_be_made_from_what_is_posted(desk, tmp_path):
    from nbgrader.converters import GenerateFeedback
    from nbgrader.coursedir import CourseDirectory
    from nbgrader.utils import capture_log

    desk.post(desk.marked(check_scale=2.5))
    config = course_config(tmp_path)
    done = capture_log(GenerateFeedback(coursedir=CourseDirectory(config=config, assignment_id=LESSON), config=config))
    assert done["success"], done
    page = (tmp_path / "feedback" / "ann" / LESSON / f"{LESSON}.html").read_text()
    assert f"(Score: {len(CHECKS) + 1.5} / {float(sum(CHECKS.values()))})" in page
    assert "partly passed: 2.5 of 6 points" in page
