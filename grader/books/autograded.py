"""The notebook that Formgrader shows: made from the result and the release, never from the file handed in.

Formgrader renders markdown with whatever HTML is in it, and raw cells as they are, in the browser of somebody who
may change marks. So only the release's own markdown is rendered; what a student wrote in prose is shown as plain
text in a code fence, code as code, and nothing that the student's code put out is kept.

Cells are made as plain nodes: nbformat's own constructors hold each against a schema, 20 ms a notebook.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbgrader.utils import is_grade, is_solution, parse_utc

from grader.books.names import plain_name
from grader.files import write_whole
from grader.referee.result import WORDS, CellRead, ExerciseResult, Result, Verdict
from grader.visible import visible

MISSING = "This cell was not in the notebook that was handed in."
TIMESTAMP = "%Y-%m-%d %H:%M:%S.%f UTC"  # as nbgrader's exchange writes it


def write(result: Result, release: Release, autograded: Path, received_at: datetime | str) -> Path:
    """Write <autograded>/<student>/<lesson>/<lesson>.ipynb and timestamp.txt; returns the notebook's path.

    The same result gives the same bytes. Raises GraderError for a name that is no name, OSError where the disk refuses.
    """
    folder = autograded / plain_name(result.student, "student") / plain_name(result.lesson, "lesson")
    path = folder / f"{result.lesson}.ipynb"
    for part in folder.glob(".*.part"):  # of a run that was killed while it wrote here; only one run is at work
        part.unlink(missing_ok=True)
    stamp(folder, received_at)
    text = json.dumps(notebook(result, release), ensure_ascii=False, indent=1, sort_keys=True)
    write_whole(path, text + "\n")
    return path


def stamp(folder: Path, received_at: datetime | str) -> None:
    """Write nbgrader's timestamp.txt.

    Formgrader calls a submission "needs autograding" while the stamp in its submitted folder is missing or is not the
    gradebook's time: so that folder needs the same stamp.
    """
    write_whole(folder / "timestamp.txt", parse_utc(received_at).strftime(TIMESTAMP))


class Release:
    """The released notebook, read once for all submissions of a lesson."""

    def __init__(self, path: Path):
        read = nbformat.read(path, as_version=4)
        self.metadata = read.metadata
        self.named = {cell.metadata.nbgrader.grade_id: cell for cell in read.cells if "nbgrader" in cell.metadata}
        self.prose = {cell.source for cell in read.cells if cell.cell_type == "markdown"}


def notebook(result: Result, release: Release) -> NotebookNode:
    """The student's cells in the student's order; cells of the release that are not there come at the end."""
    exercises = {exercise.grade_id: exercise for exercise in result.exercises}
    cells = []
    if said := _said(result):
        cells.append(_cell("markdown", fenced(said), "said"))
    missing = dict(release.named)
    for number, cell in enumerate(result.cells):
        original = missing.pop(cell.grade_id, None)
        if original is None:
            cells.append(_other(cell, release, number))
        else:
            cells.append(_named(original, cell, exercises.get(cell.grade_id)))
    for name, original in missing.items():
        if is_grade(original) or is_solution(original):
            cells.append(_named(original, None, exercises.get(name)))
    return NotebookNode(nbformat=4, nbformat_minor=5, metadata=release.metadata, cells=cells)


def fenced(text: str) -> str:
    """Markdown that shows the text as it is: a fence longer than any run of backticks inside."""
    runs = re.findall("`+", text)
    fence = "`" * max(3, 1 + max(map(len, runs), default=0))
    return f"{fence}text\n{text}\n{fence}"


def verdict_text(exercise: ExerciseResult) -> str:
    """Verdict, points, and each law with its points, in plain text."""
    points = "no points yet" if exercise.points is None else f"{exercise.points:g} of {exercise.max_points:g} points"
    lines = [f"{exercise.verdict}: {points}", exercise.words or WORDS[exercise.verdict]]
    lines += [f"{'holds' if law.held else 'fails':>6}  {law.points:g}  {law.asks}" for law in exercise.laws]
    return "\n".join(lines) + "\n"


def _said(result: Result) -> str:
    words = [WORDS[result.verdict]] if result.verdict in (Verdict.UNREADABLE, Verdict.GRADER_FAULT) else []
    return "\n".join(words + result.notes)


def _named(original: NotebookNode, cell: CellRead | None, exercise: ExerciseResult | None) -> NotebookNode:
    """A cell of the release: a solution with the student's text, others with the release's."""
    source = _answer(original, cell) if is_solution(original) else original.source
    shown = _cell(original.cell_type, source, original.id, original.metadata)
    if shown.cell_type == "code" and is_grade(original) and exercise is not None:
        shown.outputs.append(NotebookNode(output_type="stream", name="stdout", text=verdict_text(exercise)))
    return shown


def _answer(original: NotebookNode, cell: CellRead | None) -> str:
    is_code = original.cell_type == "code"
    if cell is None:
        return f"# {MISSING}" if is_code else MISSING
    text = visible(cell.text)
    return text if is_code or text == original.source else fenced(text)


def _other(cell: CellRead, release: Release, number: int) -> NotebookNode:
    text, id = visible(cell.text), f"cell-{number}"
    if cell.kind == "code":
        return _cell("code", text, id)
    return _cell("markdown", text if cell.kind == "markdown" and text in release.prose else fenced(text), id)


def _cell(kind: str, source: str, id: str, metadata: NotebookNode | None = None) -> NotebookNode:
    cell = NotebookNode(cell_type=kind, id=id, metadata=metadata or NotebookNode(), source=source)
    if kind == "code":
        cell.outputs, cell.execution_count = [], None
    return cell
