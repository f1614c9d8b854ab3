"""Gives a notebook its outputs: the old ones while what made them is the same, else those of a fresh run."""

import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from grader.pipeline import kernel

WIDGET = "application/vnd.jupyter.widget-view+json"
WIDGET_REPR = re.compile(r"[A-Z]\w*\(.*\)", re.DOTALL)


def stored_hash(path: Path) -> str | None:
    """The hash of what the notebook at `path` was made from; None if there is no such notebook."""
    if not path.exists():
        return None
    return nbformat.read(path, as_version=4).metadata.get("attnlab", {}).get("hash")


def run(notebook: NotebookNode, made_from: str, folder: Path, root: Path, where: str) -> None:
    """Execute in place, with failing checks raising, and note what it took."""
    measured = kernel.run(notebook, folder, root, where, ATTNLAB_STRICT="1")
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in map(without_widget, cell.outputs) if output]
            cell.metadata.pop("execution", None)
    # The kernel writes its own version here; the notebook would change with the machine.
    notebook.metadata["language_info"] = {"name": "python"}
    notebook.metadata["attnlab"] = {"hash": made_from, **measured}


def keep(notebook: NotebookNode, old: NotebookNode) -> None:
    """Take outputs and measurements from `old`, cell by cell, by id."""
    outputs = {cell.id: cell for cell in old.cells if cell.cell_type == "code"}
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.id in outputs:
            cell.outputs = outputs[cell.id].outputs
            cell.execution_count = outputs[cell.id].execution_count
    notebook.metadata["attnlab"] = old.metadata["attnlab"]


def without_widget(output: NotebookNode) -> NotebookNode | None:
    """The output without its widget, or None when nothing else is in it.

    A widget needs a live kernel, its saved state is large and carries ids that differ at every run, and
    GitHub shows none of it. What stays is the picture or the text twin that stands in the same output.
    """
    data = output.get("data", {})
    if WIDGET not in data:
        return output
    del data[WIDGET]
    if set(data) == {"text/plain"} and WIDGET_REPR.fullmatch(data["text/plain"]):
        return None  # only the widget's repr, a line of code that says nothing
    return output if data else None
