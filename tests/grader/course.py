"""A course folder of its own, with a lesson small enough to be marked in no time, for tests of the whole way."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from grader.books.journal import Journal
from grader.folder import Folder

ROOT = Path(__file__).parents[2]
SLUG = "01_tiny"

DOUBLE = "def double(x):\n    return 2 * x"
MEAN = "def mean(x):\n    return x.sum() / x.numel()"


def cell(text: str, grade_id: str = "", points: float | None = None, solution: bool = False, tags: tuple = ()) -> dict:
    """A code cell as nbgrader writes it."""
    metadata: dict = {"tags": list(tags)} if tags else {}
    if grade_id:
        stamp = {"schema_version": 3, "grade_id": grade_id, "task": False, "solution": solution}
        stamp |= {"grade": points is not None, "locked": points is not None}
        metadata["nbgrader"] = stamp | ({"points": points} if points is not None else {})
    number = abs(hash((text, grade_id))) % 10**8
    made = {"cell_type": "code", "source": text, "metadata": metadata, "outputs": [], "execution_count": None}
    return made | {"id": f"{grade_id or 'cell'}-{number}"}


def notebook(double: str = DOUBLE, mean: str = MEAN, *more: dict) -> dict:
    """The lesson with these answers: two exercises in plain nbgrader style, 2 and 3 points."""
    cells = [
        cell("import torch"),
        cell(double, "double", solution=True),
        cell("x = torch.tensor([1.0, 2.0])\nassert torch.equal(double(x), 2 * x)", "test_double", 2),
        cell(mean, "mean", solution=True),
        cell("x = torch.arange(5.0)\n3.0 if abs(mean(x).item() - 2) < 1e-6 else 1.0", "test_mean", 3),
        *more,
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}


STUB = "raise NotImplementedError"


def make_course(root: Path) -> Folder:
    """lessons/ and solutions/ of the tiny course."""
    write(root / "lessons" / SLUG / f"{SLUG}.ipynb", notebook(STUB, STUB))
    write(root / "solutions" / SLUG / f"{SLUG}.ipynb", notebook())
    return Folder(root)


def hand_in(folder: Folder, student: str, *answers: str | dict, lesson: str = SLUG) -> Path:
    return write(folder.submitted / student / lesson / f"{lesson}.ipynb", notebook(*answers))


def write(path: Path, made: dict) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(made))
    return path


def copy_lesson(folder: Folder, slug: str) -> None:
    """One of the project's own lessons, released and solved."""
    for kind in ("lessons", "solutions"):
        shutil.copytree(ROOT / kind / slug, folder.root / kind / slug)


def marks(folder: Folder) -> dict[str, dict[str, tuple[float | None, str]]]:
    """student/lesson -> grade_id -> (points, verdict), from the journal."""
    with Journal(folder.journal, read_only=True) as journal:
        return {
            f"{r.student}/{r.lesson}": {e.grade_id: (e.points, e.verdict.value) for e in r.exercises}
            for r in journal.results()
        }


def booked(folder: Folder) -> dict[str, dict[str, float | None]]:
    """student/lesson -> grade_id -> automatic points, from nbgrader's gradebook."""
    from nbgrader.api import Gradebook

    with Gradebook(folder.db_url, folder.settings.course_id) as book:
        return {
            f"{s.student.id}/{s.assignment.name}": {g.cell.name: g.auto_score for n in s.notebooks for g in n.grades}
            for a in book.assignments
            for s in a.submissions
        }
