"""How a course is marked: `grading.toml` in the course folder, every line of it optional.

course_id = "attnlab"
database = "postgresql+psycopg2://grader@db/grades"   # default: gradebook.db in the course folder
minimum_tier = "A"          # grading on a machine that isolates less is refused (see `python -m grader doctor`)
shortcuts = "warn"          # a library call that defeats an exercise: "ignore", "warn" or "refuse"
timestamps = "receipt"      # when a submission counts as handed in: "receipt", or "file" (its timestamp.txt)
max_notebook_mb = 20
[limits]                    # of one submission: memory_mb, processes, scratch_mb, file_mb, open_files, cpu_seconds
memory_mb = 2048
[budget]                    # seconds: cell, check, submission
submission = 120
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from grader.books.errors import GraderError
from grader.jail.limits import Limits
from grader.referee.budget import Budget

FILE = "grading.toml"
MOST_MB = 50  # a message to a checker holds a little more
CHOICES = {
    "minimum_tier": ("A", "B", "C"),
    "shortcuts": ("ignore", "warn", "refuse"),
    "timestamps": ("receipt", "file"),
}


@dataclass(frozen=True)
class Settings:
    course_id: str = "attnlab"
    database: str = ""
    minimum_tier: str = "A"
    shortcuts: str = "warn"
    timestamps: str = "receipt"
    max_notebook_mb: float = 20
    limits: Limits = field(default_factory=Limits)
    budget: Budget = field(default_factory=Budget)


def read_settings(course: Path) -> Settings:
    """The settings of a course; the defaults where it has no file. Raises GraderError for a line that means nothing."""
    path = course / FILE
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise GraderError(str(path), "TOML", str(error), "Mend that line.") from error
    parts = {name: _filled(path, name, given.pop(name, {}), kind) for name, kind in _TABLES.items()}
    return _filled(path, "the file", given | parts, Settings)


_TABLES = {"limits": Limits, "budget": Budget}


def _filled(path: Path, where: str, given: Any, kind: type) -> Any:
    """An instance of `kind` from what the file says, each value of the type of its default."""
    defaults = {f.name: getattr(kind(), f.name) for f in fields(kind)}
    if not isinstance(given, dict):
        raise GraderError(f"{path}, {where}", "a table", repr(given), f"Write [{where}] on a line of its own.")
    for name, value in given.items():
        if name not in defaults:
            raise GraderError(f"{path}, {where}", f"one of {', '.join(defaults)}", repr(name), "Correct the name.")
        default = defaults[name]
        number = isinstance(default, int | float) and isinstance(value, int | float) and not isinstance(value, bool)
        if not number and not isinstance(value, type(default)):
            raise GraderError(
                f"{path}, {name}",
                "text in quotes" if isinstance(default, str) else "a number",
                repr(value),
                "Correct the value.",
            )
        if number and value <= 0:
            raise GraderError(f"{path}, {name}", "a number above zero", repr(value), "Correct the value.")
        if name == "max_notebook_mb" and value > MOST_MB:
            raise GraderError(f"{path}, {name}", f"at most {MOST_MB}", repr(value), "Outputs can be cleared.")
        if value not in CHOICES.get(name, (value,)):
            raise GraderError(f"{path}, {name}", f"one of {', '.join(CHOICES[name])}", repr(value), "Choose one.")
    return kind(**given)
