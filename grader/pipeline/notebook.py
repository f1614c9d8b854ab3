"""Makes the notebook from a lesson's cells: nothing in it depends on the clock, the machine or chance."""

import hashlib
from collections import Counter

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from grader.pipeline.headers import exercise_header
from grader.pipeline.source import Cell, Source
from grader.tags import NOT_FOR_MARKS

KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def make_notebook(source: Source, lesson) -> NotebookNode:
    """The lesson as a notebook, not yet executed; `{{card}}` still stands where the card will be."""
    numbers = {cell.exercise: position for position, cell in enumerate(_exercises(source), start=1)}
    ids = cell_ids(source.cells)
    cells = [
        _code(cell, lesson, id) if cell.is_code else _markdown(cell, lesson, id, source.number, numbers)
        for cell, id in zip(source.cells, ids, strict=True)
    ]
    metadata = {"kernelspec": KERNELSPEC, "language_info": {"name": "python"}}
    notebook = new_notebook(cells=cells, metadata=metadata)
    notebook.nbformat_minor = 5
    return notebook


def cell_ids(cells: tuple[Cell, ...]) -> list[str]:
    """An id from what a cell is for and says, so that it stays while other cells come and go."""
    seen, ids = Counter(), []
    for cell in cells:
        text = "\0".join((cell.kind, cell.part, cell.text))
        id = hashlib.sha256(text.encode()).hexdigest()[:12]
        seen[id] += 1
        ids.append(id if seen[id] == 1 else f"{id}-{seen[id]}")
    return ids


def _exercises(source: Source) -> list[Cell]:
    return [cell for cell in source.cells if cell.exercise]


def _markdown(cell: Cell, lesson, id: str, lesson_number: int, numbers: dict) -> NotebookNode:
    text = cell.text
    if cell.exercise_text:
        number = f"{lesson_number}.{numbers[cell.exercise_text]}"
        text = exercise_header(number, lesson.exercises[cell.exercise_text]) + "\n\n" + text
    return new_markdown_cell(text, id=id, metadata=_metadata(cell, lesson))


def _code(cell: Cell, lesson, id: str) -> NotebookNode:
    return new_code_cell(cell.text, id=id, metadata=_metadata(cell, lesson))


def _metadata(cell: Cell, lesson) -> dict:
    keys = ("section", "why", "exercise_text", "exercise", "check", "role")
    metadata = {"attnlab": {key: getattr(cell, key) for key in keys if getattr(cell, key)}}
    if cell.role:
        metadata["tags"] = [NOT_FOR_MARKS]
    if cell.exercise:
        metadata["nbgrader"] = _nbgrader(cell.exercise, solution=True)
    if cell.check:
        points = lesson.exercises[cell.check].points
        metadata["nbgrader"] = _nbgrader(f"check_{cell.check}", grade=True, locked=True, points=points)
    return {key: value for key, value in metadata.items() if value}


def _nbgrader(grade_id: str, **flags) -> dict:
    stamp = {"schema_version": 3, "grade": False, "solution": False, "locked": False, "task": False}
    return {**stamp, "grade_id": grade_id, **flags}
