"""A small local file of what is done: best points, attempts, answers to questions. It never leaves the machine.

It lies in the user's data folder, or where ATTNLAB_PROGRESS says. A file that cannot be read or written must
never stand between a learner and a check, so such errors are swallowed here, and told by `attnlab progress`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attnlab.checks.report import Report

ENTRY = ("points", "max_points", "attempts")  # what is noted of an exercise


def path() -> Path:
    """Where the file lies."""
    import platformdirs

    given = os.environ.get("ATTNLAB_PROGRESS")
    return Path(given) if given else platformdirs.user_data_path("attnlab", appauthor=False) / "progress.json"


def load() -> dict[str, Any]:
    """All that is noted: {"exercises": {name: {points, max_points, attempts}}, "answers": {question: choice}}.

    Raises OSError or ValueError when there is a file that cannot be read.
    """
    try:
        noted = json.loads(path().read_text())
    except FileNotFoundError:
        noted = {}
    if not isinstance(noted, dict):
        raise ValueError("expected a JSON object")
    exercises, answers = noted.get("exercises", {}), noted.get("answers", {})
    if not isinstance(exercises, dict) or not isinstance(answers, dict):
        raise ValueError("expected objects under exercises and answers")
    for name, entry in exercises.items():
        if not isinstance(entry, dict) or not all(isinstance(entry.get(key), int) for key in ENTRY):
            raise ValueError(f"expected {', '.join(ENTRY)} as numbers under {name}, got {entry!r:.60}")
    return {"exercises": exercises, "answers": answers}


def note(report: Report) -> None:
    """Note a check of an exercise: one more attempt, and the points if they are the best so far."""
    if not report.attempted:
        return

    def change(noted: dict[str, Any]) -> None:
        before = noted["exercises"].get(report.name, {"points": 0, "attempts": 0})
        noted["exercises"][report.name] = {
            "points": max(report.points, before["points"]),
            "max_points": report.max_points,
            "attempts": before["attempts"] + 1,
        }

    _update(change)


def note_answer(question: str, choice: str) -> None:
    """Note the choice that was made at a question."""
    _update(lambda noted: noted["answers"].__setitem__(question, choice))


def attempted(exercise: str) -> bool:
    """Has this exercise been checked, with something written?"""
    try:
        return exercise in load()["exercises"]
    except (OSError, ValueError):
        return False


def answer_to(question: str) -> str | None:
    """The choice noted for a question."""
    try:
        return load()["answers"].get(question)
    except (OSError, ValueError):
        return None


def _update(change: Any) -> None:
    try:
        noted = load()
        change(noted)
        target = path()
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_suffix(f".{os.getpid()}.tmp")
        fresh.write_text(json.dumps(noted, indent=1))
        fresh.replace(target)  # one step: another notebook never reads half a file
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return
