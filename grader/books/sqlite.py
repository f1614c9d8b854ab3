"""Opening SQLite so that nothing that was written is lost, and saying in words when there is no room.

WAL lets others read while one writes; synchronous=FULL waits for the disk at the end of each transaction, so a row
is there after a power cut too, not only after a kill.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from grader.books.errors import GraderError, JournalFull

WAIT_S = 30
NO_ROOM = {"SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"}


def connect(path: Path, read_only: bool = False) -> sqlite3.Connection:
    """Raises GraderError where the file cannot be opened; a reader needs a file that is there."""
    mode = "ro" if read_only else "rwc"
    with said_in_words(path):
        db = sqlite3.connect(f"{path.resolve().as_uri()}?mode={mode}", uri=True, timeout=WAIT_S, isolation_level=None)
        try:
            if not read_only:
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = FULL")
                db.execute("PRAGMA recursive_triggers = ON")  # so that REPLACE counts as DELETE
            db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.Error:
            db.close()
            raise
    db.row_factory = sqlite3.Row
    return db


@contextmanager
def change(db: sqlite3.Connection, path: Path) -> Iterator[sqlite3.Connection]:
    """One transaction: all of what is done inside, or none of it. Inside another one it is part of that.

    The lock is taken at the start, so what is read inside is still true when it is written.
    """
    if db.in_transaction:
        yield db
        return
    with said_in_words(path):
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
            db.execute("COMMIT")
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")


@contextmanager
def said_in_words(path: Path) -> Iterator[None]:
    """SQLite's errors as JournalFull or GraderError."""
    try:
        yield
    except (sqlite3.OperationalError, sqlite3.DatabaseError) as error:
        name = getattr(error, "sqlite_errorname", "")
        if name in NO_ROOM:
            raise JournalFull(
                str(path), "room on the disk", f"“{error}”", "Free some space and run again; nothing is lost."
            ) from error
        if isinstance(error, sqlite3.IntegrityError):
            raise
        raise GraderError(
            str(path),
            "a database that can be read and written",
            f"“{error}” ({name})",
            "Look whether the disk, the rights and the file are sound, then run again.",
        ) from error


def statements(script: str) -> Iterator[str]:
    """The statements of a script one by one: `executescript` would end the transaction that it runs in."""
    statement = ""
    for part in script.split(";"):
        statement += part + ";"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
