"""Killed at any statement, the journal loses nothing that it had said was done, and doubles nothing."""

import os
import random
import signal
import time

import pytest

from grader.books import sqlite
from grader.books.journal import Journal
from tests.grader.test_journal import LESSON, receive, result_of


def in_a_child(work) -> int:
    """Run it in a fork that ends without cleaning up; returns how the fork ended."""
    child = os.fork()
    if child == 0:
        status = 70
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1]


def steps(journal: Journal) -> None:
    key = receive(journal)
    if journal.entry(key).state == "received":
        journal.start(key)
    if journal.entry(key).state == "received":
        journal.mark(key, result_of())
    journal.committed(key)


def dying_at(path, statement: int) -> None:
    left = statement

    def count(_: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def connect(*arguments):
        db = connect_as_it_is(*arguments)
        db.set_trace_callback(count)
        return db

    connect_as_it_is, sqlite.connect = sqlite.connect, connect
    steps(Journal(path))


def test_a_kill_at_each_statement_in_turn_is_made_good_by_the_next_run(tmp_path):
    for statement in range(200):
        path = tmp_path / f"{statement}.db"
        ended = in_a_child(lambda path=path, statement=statement: dying_at(path, statement))
        with Journal(path) as journal:
            steps(journal)
            (entry,) = [journal.latest("ann", LESSON)]
            assert (entry.state, journal.result(entry.key)) == ("committed", result_of())
            assert 1 <= entry.tries <= 2
            assert [row.new for row in journal.audit.rows()] == [3, 7] and journal.audit.verify() is None
            assert journal._db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        if ended == 0:
            break
        assert os.WTERMSIG(ended) == signal.SIGKILL
    assert 20 < statement < 199, "the whole script was gone through, statement by statement"


@pytest.mark.parametrize("seed", range(4))
def test_what_was_said_to_be_done_is_there_after_kills_at_random_moments(tmp_path, seed):
    """The child says each step after it returned; whatever it said must be in the journal."""
    path, draw, said = tmp_path / "journal.db", random.Random(seed), {}

    def work(write: int, first: int) -> None:
        journal = Journal(path)
        for number in range(first, first + 10_000):
            student = f"s{number}"
            key = receive(journal, student)
            journal.start(key)
            os.write(write, f"{student} received\n".encode())
            journal.mark(key, result_of(student))
            os.write(write, f"{student} marked\n".encode())
            journal.committed(key)
            os.write(write, f"{student} committed\n".encode())

    for round in range(12):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                work(write, round * 10_000)
            finally:
                os._exit(70)
        os.close(write)
        with os.fdopen(read) as lines:
            while not lines.readline():  # it has begun
                pass
            time.sleep(draw.uniform(0, 0.05))
            os.kill(child, signal.SIGKILL)
            assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
            said |= dict(line.split() for line in lines)

    order = ["received", "marked", "committed"]
    with Journal(path) as journal:
        assert journal._db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert journal.audit.verify() is None
        audited = [row.student for row in journal.audit.rows()]
        for student, state in said.items():
            entry = journal.latest(student, LESSON)
            assert order.index(entry.state) >= order.index(state) and entry.tries == 1
        for (student,) in journal._db.execute("SELECT student FROM submissions").fetchall():
            done = journal.latest(student, LESSON).state == "committed"
            assert audited.count(student) == (2 if done else 0), "the audit and the commit are one"
    assert len(said) > 12
