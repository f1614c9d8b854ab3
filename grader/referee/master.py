"""The master: a released lesson as the referee needs it. Tests and points come from here, never from a submission."""

from __future__ import annotations

import ast
import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

from grader.referee.reading import names_of, without_magics
from grader.tags import NOT_FOR_MARKS


@dataclass(frozen=True)
class MasterCell:
    """One cell of the release. `points` is None where the cell carries no mark."""

    kind: str
    text: str
    grade_id: str = ""
    grade: bool = False
    solution: bool = False
    locked: bool = False
    points: float | None = None
    check: str = ""  # the exercise that it checks, for a lesson of attnlab's own
    left_out: bool = False

    @property
    def tests(self) -> bool:
        """Is it run by the checker, in place of whatever the submission holds under its id?"""
        return self.grade and not self.solution and self.kind == "code"

    @property
    def manual(self) -> bool:
        """Does a person mark it?"""
        return self.points is not None and not self.tests


@dataclass(frozen=True)
class Master:
    """A released lesson."""

    slug: str
    cells: tuple[MasterCell, ...]
    digest: str
    solved: tuple[MasterCell, ...] = ()  # the solution cells of the source, where it is at hand

    @property
    def marked(self) -> list[MasterCell]:
        return [cell for cell in self.cells if cell.points is not None]

    @property
    def by_id(self) -> dict[str, MasterCell]:
        return {cell.grade_id: cell for cell in self.cells if cell.grade_id}

    def imports(self) -> list[str]:
        """The top-level import statements of the cells that every student is given as they are."""
        found = []
        for cell in self.cells:
            if cell.kind == "code" and not cell.solution and not cell.left_out:
                found += [
                    ast.unparse(node) for node in _body(cell.text) if isinstance(node, ast.Import | ast.ImportFrom)
                ]
        return found

    def without_tests(self) -> bytes:
        """The lesson as a notebook that a student process may know: its cells but for the tests."""
        shown = [{"cell_type": cell.kind, "source": cell.text} for cell in self.cells if not cell.tests]
        return json.dumps({"cells": shown}).encode()

    def defined_by(self, grade_id: str) -> set[str]:
        """The names that a right answer in this cell binds."""
        return {name for cell in self.solved if cell.grade_id == grade_id for name in names_of(cell.text).defines}

    def texts(self) -> set[str]:
        """The texts of all cells, to tell what a student has changed."""
        return {cell.text for cell in self.cells}


def read_master(slug: str, released: Path, source: Path | None = None) -> Master:
    """Read a released notebook. Raises OSError or ValueError where there is none.

    source: the notebook that it was released from, if it is at hand: nbgrader takes hidden tests out of a release, so
    the texts of cells that are not the student's are taken from there.
    """
    data = [path.read_bytes() for path in (released, source) if path is not None]
    cells, solved = [_cell(cell) for cell in json.loads(data[0])["cells"]], ()
    if source is not None:
        theirs = [_cell(cell) for cell in json.loads(data[1])["cells"]]
        solved = tuple(cell for cell in theirs if cell.solution)
        whole = {cell.grade_id: cell.text for cell in theirs}
        cells = [replace(c, text=whole.get(c.grade_id, c.text)) if c.grade_id and not c.solution else c for c in cells]
    return Master(slug, tuple(cells), hashlib.sha256(b"".join(data)).hexdigest(), solved)


def _cell(cell: dict) -> MasterCell:
    source, metadata = cell["source"], cell["metadata"]
    stamp = metadata.get("nbgrader", {})
    marked = stamp.get("grade") or stamp.get("task")
    return MasterCell(
        kind=cell["cell_type"],
        text="".join(source) if isinstance(source, list) else source,
        grade_id=stamp.get("grade_id", ""),
        grade=stamp.get("grade", False),
        solution=stamp.get("solution", False),
        locked=stamp.get("locked", False),
        points=float(stamp.get("points", 0)) if marked else None,
        check=metadata.get("attnlab", {}).get("check", ""),
        left_out=NOT_FOR_MARKS in metadata.get("tags", []),
    )


def _body(text: str) -> list[ast.stmt]:
    try:
        return ast.parse(without_magics(text)).body
    except SyntaxError:  # such a cell gives the checker nothing
        return []
