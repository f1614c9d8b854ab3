"""Run All on a lesson as a student first has it: nothing written yet, and no cell stops."""

import shutil
from pathlib import Path

import nbformat
import pytest

from grader.pipeline import kernel


@pytest.mark.slow
def test_an_untouched_lesson_runs_from_top_to_bottom(released: Path, root: Path, tmp_path: Path):
    folder = shutil.copytree(released.parent, tmp_path / released.stem)
    notebook = nbformat.read(folder / released.name, as_version=4)
    assert not any(cell.outputs for cell in notebook.cells if cell.cell_type == "code")
    kernel.run(notebook, folder, root, f"lessons/{released.stem}/{released.name}")  # raises at the first error
    checks = [cell for cell in notebook.cells if "check" in cell.metadata.get("attnlab", {})]
    for cell in checks:
        assert cell.outputs, f"{cell.source}: an untouched exercise is told that it is not attempted"
