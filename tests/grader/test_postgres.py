"""The same gradebook on a real PostgreSQL server: the same marks, and two processes at once."""

import multiprocessing
import re

import pytest

from grader.books import export
from grader.books.errors import GraderError
from grader.books.gradebook import Book
from tests.grader import postgres
from tests.grader.test_gradebook import CHECKS, LESSON, MONDAY, RELEASED, TUESDAY, give, marks, mixed_release, result_of

pytestmark = [
    pytest.mark.skipif(
        postgres.binaries() is None,
        reason="no PostgreSQL server: install Debian's package postgresql; `make test` does so where apt and root are",
    ),
    pytest.mark.xdist_group("postgres"),
]
STUDENTS = [f"s{number}" for number in range(10)]


@pytest.fixture(scope="module")
def url():
    with postgres.served() as url:
        yield url


@pytest.fixture(scope="module")
def book(url):
    with Book(url, "attnlab") as book:
        book.prepare(LESSON, RELEASED)
        yield book


def ten(book: Book) -> None:
    for number, student in enumerate(STUDENTS):
        book.commit(result_of(student, check_scale=number / 2), MONDAY)


def test_ten_results_twice_make_the_marks_that_sqlite_has(book, tmp_path):
    with Book(f"sqlite:///{tmp_path / 'gradebook.db'}", "attnlab") as sqlite:
        sqlite.prepare(LESSON, RELEASED)
        for one in (book, sqlite):
            ten(one)
            give(one, "s3", "check_attention", 9, extra=0.25)
            ten(one)
        for student in STUDENTS:
            assert marks(book, student) == marks(sqlite, student)
        assert export.rows(book) == export.rows(sqlite)
    assert marks(book, "s3")["check_attention"] == (1, 9, 0.25, False)


def test_with_several_lessons_too(book, tmp_path):
    released = mixed_release(tmp_path)
    book.prepare("07_mixed", released)
    book.commit(result_of("s1", "07_mixed", released=released), MONDAY)
    assert marks(book, "s1", "07_mixed")["check_f"] == (1, None, None, False)
    assert {row.assignment for row in export.rows(book)} == {LESSON, "07_mixed"}


def test_a_mark_out_of_range_writes_nothing(book):
    with pytest.raises(GraderError):
        book.commit(result_of("eve", check_scale=99), MONDAY)
    assert not [row for row in export.rows(book) if row.student_id == "eve"]


def commit_many(url: str, points: float, at: str, start, failed) -> None:
    """In another process: the same new students as the other one, in the same order, at the same moment."""
    with Book(url, "attnlab") as book:
        start.wait()
        for number in range(40):
            try:
                book.commit(result_of(f"both{number}", check_scale=points), at)
            except Exception as error:
                failed.put(repr(error))
                raise


@pytest.mark.slow
def test_two_processes_at_once_lose_and_double_nothing(book, url):
    spawn = multiprocessing.get_context("spawn")
    start, failed = spawn.Barrier(2), spawn.Queue()
    both = [
        spawn.Process(target=commit_many, args=(url, points, at, start, failed))
        for points, at in ((2, MONDAY), (3, TUESDAY))
    ]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0], failed.get_nowait()
    for number in range(40):
        found = marks(book, f"both{number}")
        assert len(found) == len(CHECKS) and found["check_scale"][0] in (2, 3)


def test_a_server_that_is_not_there_is_said_so(url):
    with pytest.raises(GraderError, match="Look whether its server runs"):
        Book(re.sub("host=.*", "host=/nowhere", url), "attnlab")
