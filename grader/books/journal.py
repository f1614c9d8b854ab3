"""The journal: which submissions there are, and what each was marked with. A finished mark is a row here.

One SQLite file. A row goes received → marked → committed (its marks are in the gradebook), each step one
transaction that waits for the disk, so a run may be killed at any moment and the next one carries on.
The key names everything that a mark depends on; the same key again is the same mark and is not made twice.

Of each student and lesson only the newest row counts: older ones are neither marked nor committed any more.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from grader.books import sqlite
from grader.books.audit import SCHEMA as AUDIT
from grader.books.audit import Audit, ByHand
from grader.books.errors import GraderError
from grader.books.names import plain_name
from grader.referee.result import Result, Verdict

VERSION = 1
SCHEMA = """
CREATE TABLE submissions (
    key          TEXT PRIMARY KEY,
    turn         INTEGER NOT NULL UNIQUE,     -- the order of handing in: of a student's lesson the highest counts
    student      TEXT NOT NULL,
    lesson       TEXT NOT NULL,
    submission   TEXT NOT NULL,
    tests        TEXT NOT NULL,
    environment  TEXT NOT NULL,
    seed_id      TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('received', 'marked', 'committed')),
    result       TEXT,
    faulty       INTEGER NOT NULL DEFAULT 0,
    seconds      REAL,
    tries        INTEGER NOT NULL DEFAULT 0,
    received_at  TEXT NOT NULL,
    marked_at    TEXT,
    committed_at TEXT,
    CHECK ((state = 'received') = (result IS NULL)),
    CHECK ((state = 'received') = (marked_at IS NULL)),
    CHECK ((state = 'committed') = (committed_at IS NOT NULL))
) STRICT;
CREATE INDEX newest ON submissions (student, lesson, turn);
"""
COLUMNS = """key, student, lesson, submission, tests, environment, seed_id, state, faulty, tries,
             received_at, marked_at, committed_at"""
NEWEST = "turn = (SELECT max(turn) FROM submissions AS s WHERE s.student = o.student AND s.lesson = o.lesson)"


@dataclass(frozen=True)
class Entry:
    """A row without its result (`Journal.result` reads that). Times are UTC, in ISO form."""

    key: str
    student: str
    lesson: str
    submission: str  # sha256 of the file handed in
    tests: str
    environment: str
    seed_id: str
    state: str
    faulty: bool
    tries: int
    received_at: str
    marked_at: str | None
    committed_at: str | None


def key_of(submission: str, student: str, lesson: str, tests: str, environment: str, seed_id: str) -> str:
    """The name of one mark: sha256, in hex, over all that it depends on."""
    parts = json.dumps([submission, student, lesson, tests, environment, seed_id])
    return hashlib.sha256(parts.encode()).hexdigest()


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


class Journal:
    """The journal at `path`; made where there is none, unless it is opened to read only.

    Every method that changes something is one transaction. All raise JournalFull where the disk has no room, and
    GraderError for what the journal refuses. A process that forks does not share it with its forks.
    """

    def __init__(self, path: Path | str, read_only: bool = False):
        self.path = Path(path)
        self._db = sqlite.connect(self.path, read_only)
        self.audit = Audit(self._db, self.path)
        try:
            self._prepare(read_only)
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    def receive(
        self,
        submission: str,
        student: str,
        lesson: str,
        tests: str,
        environment: str,
        seed_id: str,
        received_at: str | None = None,
    ) -> str:
        """Note that a submission is there, and return its key. Saying so again changes nothing.

        received_at is when the server got it, in ISO form with its zone (default: now). The same file under new
        tests keeps the time that it was handed in. A file that was handed in before, then replaced, and now comes
        back counts as new: its old mark is committed again.
        """
        plain_name(student, "student"), plain_name(lesson, "lesson")
        key = key_of(submission, student, lesson, tests, environment, seed_id)
        with self._change() as db:
            newest = self.latest(student, lesson)
            if newest and newest.key == key:
                return key
            at = _utc(received_at) if received_at else now()
            if newest and newest.submission == submission:
                at = newest.received_at
            (turn,) = db.execute("SELECT coalesce(max(turn), 0) + 1 FROM submissions").fetchone()
            db.execute(
                """INSERT INTO submissions
                   (key, turn, student, lesson, submission, tests, environment, seed_id, state, received_at)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'received', ?)
                   ON CONFLICT (key) DO UPDATE SET turn = excluded.turn, received_at = excluded.received_at,
                       committed_at = NULL, state = CASE WHEN result IS NULL THEN 'received' ELSE 'marked' END""",
                (key, turn, student, lesson, submission, tests, environment, seed_id, at),
            )
        return key

    def pending(self, lesson: str | None = None) -> list[Entry]:
        """What is still to be marked, in the order of handing in."""
        return self._newest("state = 'received'", lesson)

    def uncommitted(self, lesson: str | None = None) -> list[Entry]:
        """What is marked, but not known to be in the gradebook."""
        return self._newest("state = 'marked'", lesson)

    def faulty(self, lesson: str | None = None) -> list[Entry]:
        """What was given up because the grader itself failed; it may be marked again."""
        return self._newest("faulty", lesson)

    def start(self, key: str) -> int:
        """Count a try, before it is made, and return how many there are now.

        A submission that takes the whole grader down with it is noticed by this number.
        """
        with self._change() as db:
            self._entry(key)
            db.execute("UPDATE submissions SET tries = tries + 1 WHERE key = ?", (key,))
            return self._entry(key).tries

    def mark(self, key: str, result: Result) -> None:
        """Write down a result. The same one again changes nothing; another one is refused, unless the first was faulty.

        A result of another submission than the key's is refused.
        """
        with self._change() as db:
            entry = self._entry(key)
            self._check_owner(entry, result)
            text = result.to_json()
            if entry.state != "received" and not entry.faulty:
                if self._text(key) == text:
                    return
                raise GraderError(
                    f"{entry.student}, {entry.lesson}",
                    "one result for a key",
                    f"a second one, made after {entry.marked_at}",
                    "To mark it again, change the tests, the environment or the seed: that gives it another key.",
                )
            db.execute(
                """UPDATE submissions SET state = 'marked', result = ?, faulty = ?, seconds = ?, marked_at = ?,
                       committed_at = NULL WHERE key = ?""",
                (text, int(result.faulty), result.seconds, now(), key),
            )

    def committed(
        self,
        key: str,
        by_hand: Mapping[str, ByHand] | None = None,
        late_penalty: float | None = None,
        who: str = "grader",
    ) -> None:
        """Write down that the gradebook has this result, with the audit rows. A repeat changes nothing.

        by_hand is what the gradebook held from people at that moment, by grade_id; late_penalty is in points.
        """
        with self._change() as db:
            entry = self._entry(key)
            if entry.state == "received":
                raise GraderError(
                    f"{entry.student}, {entry.lesson}", "a result to commit", "none yet", "Mark it first."
                )
            if entry.state == "committed":
                return
            self.audit.notice(entry.student, entry.lesson, by_hand or {})
            for exercise in self.result(key).exercises:
                if exercise.verdict is not Verdict.GRADER_FAULT:
                    self.audit.record(who, entry.student, entry.lesson, exercise.grade_id, "auto", exercise.points, key)
            self.audit.record(who, entry.student, entry.lesson, "", "late penalty", late_penalty, key)
            db.execute("UPDATE submissions SET state = 'committed', committed_at = ? WHERE key = ?", (now(), key))

    def entry(self, key: str) -> Entry:
        """The row; raises GraderError for a key that is not there."""
        return self._entry(key)

    def result(self, key: str) -> Result | None:
        """What the submission was marked with; None before that."""
        text = self._text(key)
        return None if text is None else Result.from_json(text)

    def latest(self, student: str, lesson: str) -> Entry | None:
        """The newest submission of a student, marked or not."""
        row = self._db.execute(
            f"SELECT {COLUMNS} FROM submissions WHERE student = ? AND lesson = ? ORDER BY turn DESC LIMIT 1",
            (student, lesson),
        ).fetchone()
        return _entry_of(row) if row else None

    def results(self, lesson: str | None = None) -> Iterator[Result]:
        """For every student and lesson the newest result, read one at a time, by lesson and student.

        A newer submission that is not marked yet does not hide the result before it.
        """
        keys = self._db.execute(
            """SELECT key, max(turn) FROM submissions WHERE result IS NOT NULL AND lesson = coalesce(?, lesson)
               GROUP BY lesson, student ORDER BY lesson, student""",
            (lesson,),
        ).fetchall()
        for key, _ in keys:
            yield self.result(key)

    def seconds_of_last(self, student: str, lesson: str) -> float | None:
        """How long the student's last marked submission took: the longest are started first. None if there is none."""
        row = self._db.execute(
            """SELECT seconds FROM submissions WHERE student = ? AND lesson = ? AND seconds IS NOT NULL
               ORDER BY turn DESC LIMIT 1""",
            (student, lesson),
        ).fetchone()
        return row["seconds"] if row else None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only process that marks with this journal; the claim ends with the process, however that ends.

        Raises GraderError if another one is at it.
        """
        with open(f"{self.path}.lock", "a") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # this kind is not inherited by forks
            except OSError as error:
                raise GraderError(
                    str(self.path),
                    "no other process that marks this course",
                    "one at work",
                    "Wait until it is done, or stop it, then run again.",
                ) from error
            yield

    def _prepare(self, read_only: bool) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version == 0 and not read_only:
            with self._change() as db:
                (version,) = db.execute("PRAGMA user_version").fetchone()  # another may have been first
                if version == 0:
                    for statement in sqlite.statements(SCHEMA + AUDIT):
                        db.execute(statement)
                    db.execute(f"PRAGMA user_version = {VERSION}")
                    version = VERSION
        if version != VERSION:
            raise GraderError(
                str(self.path),
                f"a journal of version {VERSION}",
                f"version {version}",
                "Use the version of the grader that wrote it, or give the path of another file.",
            )

    def _change(self):
        return sqlite.change(self._db, self.path)

    def _entry(self, key: str) -> Entry:
        row = self._db.execute(f"SELECT {COLUMNS} FROM submissions WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise GraderError(str(self.path), "a key that was received", repr(key), "Call receive first.")
        return _entry_of(row)

    def _text(self, key: str) -> str | None:
        self._entry(key)
        return self._db.execute("SELECT result FROM submissions WHERE key = ?", (key,)).fetchone()["result"]

    def _newest(self, condition: str, lesson: str | None) -> list[Entry]:
        rows = self._db.execute(
            f"""SELECT {COLUMNS} FROM submissions AS o WHERE {condition} AND lesson = coalesce(?, lesson) AND {NEWEST}
                ORDER BY turn""",
            (lesson,),
        )
        return [_entry_of(row) for row in rows]

    def _check_owner(self, entry: Entry, result: Result) -> None:
        expected = (entry.student, entry.lesson, entry.submission)
        got = (result.student, result.lesson, result.submission)
        if got != expected:
            raise GraderError(
                f"the result for {entry.key[:12]}",
                f"student, lesson and file {expected}",
                f"{got}",
                "Two submissions were mixed up: nothing was written. Report this.",
            )


def _utc(time: str) -> str:
    try:
        read = datetime.fromisoformat(time)
    except ValueError:
        read = None
    if read is None or read.tzinfo is None:
        raise GraderError("the time of receipt", "a time in ISO form with its zone", repr(time), "Add the zone: +00:00")
    return read.astimezone(UTC).isoformat(timespec="microseconds")


def _entry_of(row) -> Entry:
    return Entry(**dict(row) | {"faulty": bool(row["faulty"])})
