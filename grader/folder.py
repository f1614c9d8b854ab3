"""Where everything of a course lies: nbgrader's folders, and the grader's own."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from grader.books.errors import GraderError
from grader.settings import Settings, read_settings


@dataclass(frozen=True)
class Folder:
    """A course folder. Everything under grading/ is the grader's own: the journal, what was handed in, the secret."""

    root: Path

    @cached_property
    def settings(self) -> Settings:
        return read_settings(self.root)

    @property
    def submitted(self) -> Path:
        return self.root / "submitted"

    @property
    def autograded(self) -> Path:
        return self.root / "autograded"

    @property
    def feedback(self) -> Path:
        return self.root / "feedback"

    @property
    def grading(self) -> Path:
        return self.root / "grading"

    @property
    def journal(self) -> Path:
        return self.grading / "journal.db"

    @property
    def db_url(self) -> str:
        return self.settings.database or f"sqlite:///{(self.root / 'gradebook.db').resolve()}"

    def released(self, lesson: str) -> Path:
        return self.root / "lessons" / lesson / f"{lesson}.ipynb"

    def solution(self, lesson: str) -> Path:
        return self.root / "solutions" / lesson / f"{lesson}.ipynb"

    def source_of(self, lesson: str) -> Path | None:
        """The solved notebook that the lesson was released from, where the course folder has it."""
        return self.solution(lesson) if self.solution(lesson).exists() else None

    def received(self, submission: str) -> Path:
        """Where the file of this SHA-256 is kept as it was handed in."""
        return self.grading / "received" / f"{submission}.ipynb"

    def lessons(self, asked: tuple[str, ...] = ()) -> list[str]:
        """All released lessons, or those asked for by name or number. Raises GraderError for one that is not there."""
        found = sorted(path.parent.name for path in (self.root / "lessons").glob("*/*.ipynb") if _same_stem(path))
        if not found:
            do = "Start the command in the course folder, or name it with --course."
            raise GraderError(str(self.root / "lessons"), "released lessons (NAME/NAME.ipynb)", "none", do)
        chosen = []
        for name in asked:
            matching = [lesson for lesson in found if name in (lesson, lesson.split("_")[0])]
            if not matching:
                raise GraderError("lesson", f"one of {', '.join(found)}", repr(name), "Name one of them.")
            chosen += matching
        return sorted(set(chosen)) or found

    def secret(self) -> bytes:
        """The course's secret, from which every submission's seed comes. Made once; readable by its owner alone."""
        path = self.grading / "secret"
        try:
            return path.read_bytes()
        except FileNotFoundError:
            self.grading.mkdir(parents=True, exist_ok=True)
        fresh = self.grading / f".secret.{os.getpid()}"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
            os.fsync(file.fileno())
        try:
            os.link(fresh, path)  # the first one wins where two start at once
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
        return path.read_bytes()


def seed_of(secret: bytes, student: str, lesson: str, submission: str) -> int:
    """The seed of one submission: the same for the same file, unknown without the secret, another after any change.

    So a submission that is marked again gets the same marks, and what a student may have learnt about the inputs of
    one attempt is worth nothing in the next.
    """
    text = "\0".join((student, lesson, submission)).encode()
    return int.from_bytes(hmac.digest(secret, text, "sha256")[:4]) & 0x7FFFFFFF


def seed_id(secret: bytes) -> str:
    """A name for the secret that does not tell it."""
    return hashlib.sha256(b"seed id" + secret).hexdigest()[:12]


def _same_stem(path: Path) -> bool:
    return path.stem == path.parent.name
