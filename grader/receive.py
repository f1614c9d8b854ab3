"""Receives what lies under submitted/: reads each file once, keeps a copy by its hash, and notes it in the journal.

Marking reads the kept copy alone, so what happens to the folder afterwards changes nothing. A name or a file that
cannot be received is told by name, and stops nobody else.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

from nbgrader.utils import parse_utc

from grader.books.errors import GraderError
from grader.books.journal import Journal
from grader.files import keep_whole
from grader.folder import Folder

NAME = re.compile(r"[\w@+][\w@+. -]{0,63}")
PIECE = 1 << 20


@dataclass(frozen=True)
class Received:
    """A file that was handed in. too_large: it is kept in no copy, and its hash is of its first bytes."""

    student: str
    lesson: str
    submission: str
    received_at: str | None  # None: now
    too_large: bool = False


@dataclass(frozen=True)
class Rejected:
    """What lies under submitted/ and cannot be received. why: expected, got, what to do."""

    where: str
    why: str


def scan(folder: Folder, lessons: Sequence[str], students: Sequence[str] = ()) -> Iterator[Received | Rejected]:
    """All that is handed in for these lessons, by all students or those named, each file copied once.

    Raises GraderError where a named student handed in nothing at all.
    """
    names = sorted(os.listdir(folder.submitted)) if folder.submitted.is_dir() else []
    for name in students:
        if name not in names:
            raise GraderError("student", f"a folder under {folder.submitted}", repr(name), "Correct the name.")
    twins: dict[str, list[str]] = {}
    for name in names:
        twins.setdefault(_folded(name), []).append(name)
    for name in names:
        if (students and name not in students) or name.startswith("."):
            continue
        why = _bad_name(name, twins[_folded(name)])
        if why:
            yield Rejected(f"submitted/{ascii(name)[1:-1]}", why)
            continue
        for lesson in lessons:
            found = _take(folder, name, lesson)
            if found is not None:
                yield found


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def _bad_name(name: str, twins: list[str]) -> str:
    if unicodedata.normalize("NFKC", name) != name or not NAME.fullmatch(name) or name.endswith((".", " ")):
        return (
            "expected a name of up to 64 letters, digits and _@+.- in their usual form, got another. Rename the folder."
        )
    if len(twins) > 1:
        return f"expected names that differ in more than case, got {' and '.join(map(ascii, twins))}. Rename one."
    return ""


def _take(folder: Folder, student: str, lesson: str) -> Received | Rejected | None:
    """One notebook, read once through a descriptor that cannot be exchanged for another file on the way."""
    where = f"submitted/{student}/{lesson}/{lesson}.ipynb"
    try:
        descriptor = _open_within(folder.submitted, [student, lesson, f"{lesson}.ipynb"])
    except FileNotFoundError:
        return None
    except OSError as error:
        return Rejected(
            where, f"expected a regular file, got one that cannot be opened ({error.strerror}). Replace it."
        )
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return Rejected(where, "expected a regular file, got another kind. Replace it.")
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(int(folder.settings.max_notebook_mb * 1e6) + 1)
    digest = hashlib.sha256(data).hexdigest()
    too_large = len(data) > folder.settings.max_notebook_mb * 1e6
    if not too_large:
        keep_whole(folder.received(digest), data)
    at = _handed_in(folder, student, lesson) if folder.settings.timestamps == "file" else None
    return Received(student, lesson, digest, at, too_large)


def _open_within(root: Path, parts: list[str]) -> int:
    """Open a file below `root` without following a single link. Raises OSError."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts[:-1]:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        return os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    finally:
        os.close(folder)


def _handed_in(folder: Folder, student: str, lesson: str) -> str | None:
    """The time in timestamp.txt, as nbgrader's exchange writes it, where the course trusts it."""
    try:
        descriptor = _open_within(folder.submitted, [student, lesson, "timestamp.txt"])
        with os.fdopen(descriptor) as file:
            return parse_utc(file.read(100).strip()).replace(tzinfo=UTC).isoformat(timespec="microseconds")
    except (OSError, ValueError):
        return None


def note(journal: Journal, received: Received, tests: str, environment: str, seed: str) -> str:
    """Note it in the journal; its key. The time is this machine's clock, unless the course trusts the file's."""
    return journal.receive(
        received.submission, received.student, received.lesson, tests, environment, seed, received.received_at
    )
