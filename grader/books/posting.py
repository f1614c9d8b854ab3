"""From the journal into the gradebook: the steps in the order in which a run may be killed between any two."""

from __future__ import annotations

from pathlib import Path

from grader.books import autograded
from grader.books.autograded import Release
from grader.books.gradebook import Book
from grader.books.journal import Journal


def post(journal: Journal, book: Book, key: str, release: Release, folder: Path) -> None:
    """Put a marked submission into the gradebook and the autograded folder, then say so in the journal.

    Each step may be repeated, so a run that was killed begins again at the first. A submission that a newer
    one has replaced is left alone.
    """
    entry = journal.entry(key)
    if entry.state == "committed" or journal.latest(entry.student, entry.lesson).key != key:
        return
    result = journal.result(key)
    there = book.commit(result, entry.received_at)
    autograded.write(result, release, folder, entry.received_at)
    journal.committed(key, there.by_hand, there.late_penalty)


def notice_people(journal: Journal, book: Book, lesson: str) -> None:
    """Audit what people have changed in the gradebook since it was looked at last (before an export)."""
    for student, by_hand in book.by_hand(lesson):
        journal.audit.notice(student, lesson, by_hand)
