"""The audit: every change of a mark, by the grader or by a person, in a table that only grows.

Each row carries sha256(hash of the row before + this row), so a row that was changed, taken out or slipped in
shows. Triggers refuse UPDATE and DELETE. This finds accidents and quiet edits; whoever may write the file could still
compute the whole chain anew, so keep `head()` somewhere else (the report prints it) to be able to tell.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from grader.books import sqlite

SCHEMA = """
CREATE TABLE audit (
    number   INTEGER PRIMARY KEY,
    at       TEXT NOT NULL,
    who      TEXT NOT NULL,
    student  TEXT NOT NULL,
    lesson   TEXT NOT NULL,
    grade_id TEXT NOT NULL,
    what     TEXT NOT NULL,
    old      REAL,
    new      REAL,
    key      TEXT NOT NULL,
    hash     TEXT NOT NULL
) STRICT;
CREATE INDEX audited ON audit (student, lesson, grade_id, what, number);
CREATE TRIGGER audit_keeps BEFORE UPDATE ON audit BEGIN SELECT raise(ABORT, 'the audit only grows'); END;
CREATE TRIGGER audit_holds BEFORE DELETE ON audit BEGIN SELECT raise(ABORT, 'the audit only grows'); END;
"""
START = "0" * 64
FROM_PEOPLE = "gradebook"


class ByHand(NamedTuple):
    """What people gave in the gradebook for one grade cell, in points; None where they gave nothing."""

    manual: float | None
    extra_credit: float | None


@dataclass(frozen=True)
class Row:
    """A change. what: "auto", "manual", "extra credit" or "late penalty"; old and new in points; at in UTC.

    who is "gradebook" for what people changed there: it does not say who, and `at` is when it was seen.
    key is the journal's, for what the grader did.
    """

    number: int
    at: str
    who: str
    student: str
    lesson: str
    grade_id: str
    what: str
    old: float | None
    new: float | None
    key: str
    hash: str

    def chained(self, before: str) -> str:
        return hashlib.sha256((before + json.dumps(astuple(self)[:-1])).encode()).hexdigest()


class Audit:
    """The audit of a journal; `db` is the journal's connection, so rows go into its transactions."""

    def __init__(self, db: sqlite3.Connection, path: Path):
        self._db, self._path = db, path

    def append(
        self,
        who: str,
        student: str,
        lesson: str,
        grade_id: str,
        what: str,
        old: float | None,
        new: float | None,
        key: str = "",
    ) -> Row:
        """Add one row, in the present transaction or in one of its own."""
        with sqlite.change(self._db, self._path) as db:
            number, before = self.head()
            at = datetime.now(UTC).isoformat(timespec="microseconds")
            old, new = (None if value is None else float(value) for value in (old, new))
            row = Row(number + 1, at, who, student, lesson, grade_id, what, old, new, key, "")
            row = Row(*astuple(row)[:-1], row.chained(before))
            db.execute("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", astuple(row))
        return row

    def record(
        self, who: str, student: str, lesson: str, grade_id: str, what: str, new: float | None, key: str = ""
    ) -> None:
        """Append a change from the value that was audited last, unless this very key is known to have set this value.

        A value that people set, or a penalty, is news only where it differs.
        """
        last = self._db.execute(
            """SELECT new, key FROM audit WHERE student = ? AND lesson = ? AND grade_id = ? AND what = ?
               ORDER BY number DESC LIMIT 1""",
            (student, lesson, grade_id, what),
        ).fetchone()
        old, last_key = (last["new"], last["key"]) if last else (None, None)
        same_source = what != "auto" or key == last_key
        if not (same_source and old == new):
            self.append(who, student, lesson, grade_id, what, old, new, key)

    def notice(self, student: str, lesson: str, by_hand: Mapping[str, ByHand]) -> None:
        """Append what people have changed in the gradebook since it was looked at last."""
        with sqlite.change(self._db, self._path):
            for grade_id, given in sorted(by_hand.items()):
                self.record(FROM_PEOPLE, student, lesson, grade_id, "manual", given.manual)
                self.record(FROM_PEOPLE, student, lesson, grade_id, "extra credit", given.extra_credit)

    def rows(self, student: str | None = None, lesson: str | None = None) -> Iterator[Row]:
        """The rows in order, of all or of one student or lesson."""
        found = self._db.execute(
            "SELECT * FROM audit WHERE student = coalesce(?, student) AND lesson = coalesce(?, lesson) ORDER BY number",
            (student, lesson),
        )
        return (Row(*row) for row in found)

    def head(self) -> tuple[int, str]:
        """Number and hash of the last row; (0, zeros) before the first."""
        row = self._db.execute("SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1").fetchone()
        return (row["number"], row["hash"]) if row else (0, START)

    def verify(self) -> int | None:
        """The number of the first row that does not follow from those before it; None if all do.

        Rows cut off at the end do not show here: compare `head()` with one that was kept.
        """
        before = START
        for expected, row in enumerate(self.rows(), start=1):
            if row.number != expected or row.hash != row.chained(before):
                return expected
            before = row.hash
        return None
