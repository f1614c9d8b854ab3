"""Marking runs only the cells that a mark needs, and a right solution gets all its points from them."""

import ast
from pathlib import Path

import nbformat
import pytest

from grader.pipeline import kernel
from grader.tags import NOT_FOR_MARKS


@pytest.mark.slow
def test_a_solution_earns_every_point_without_the_cells_that_no_mark_needs(solved: Path, root: Path):
    notebook = nbformat.read(solved, as_version=4)
    notebook.cells = [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and NOT_FOR_MARKS not in cell.metadata.get("tags", [])
    ]
    kernel.run(notebook, solved.parent, root, f"solutions/{solved.stem}/{solved.name}", ATTNLAB_SEED="20240229")
    checks = [cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade")]
    assert checks
    for cell in checks:
        earned = [ast.literal_eval(output.data["text/plain"]) for output in cell.outputs if "data" in output]
        assert earned == [float(cell.metadata.nbgrader.points)], cell.source
        assert isinstance(earned[0], float)
