"""What the executed notebook shows: output, pictures with words, time and memory."""

import re
from collections.abc import Iterator

from nbformat import NotebookNode

SHOWING = 0.8
CELL_S, LESSON_S, LESSON_MB = 10, 120, 1200


def _code(notebook: NotebookNode) -> Iterator[tuple[int, NotebookNode]]:
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "code":
            yield number, cell


def almost_every_cell_shows_something(notebook: NotebookNode) -> Iterator[str]:
    cells = [(number, cell) for number, cell in _code(notebook) if "exercise" not in cell.metadata.get("attnlab", {})]
    silent = [number for number, cell in cells if not cell.outputs]
    if cells and 1 - len(silent) / len(cells) < SHOWING:
        yield (
            f"{len(cells) - len(silent)} of {len(cells)} code cells show something; expected {SHOWING:.0%}: "
            f"nothing after cells {', '.join(map(str, silent))}"
        )


def pictures_have_words(notebook: NotebookNode) -> Iterator[str]:
    for number, cell in _code(notebook):
        for output in cell.outputs:
            data = output.get("data", {})
            html = data.get("text/html", "")
            if "image/png" in data or "image/svg+xml" in data:
                yield f"cell {number}: a bare picture; show it with attnlab.viz.figure(..., alt=, table=)"
            for image in re.findall(r"<img\b[^>]*>", html):
                if not re.search(r'\balt="[^"]+"', image):
                    yield f"cell {number}: a picture without alt text"


def figures_are_in_the_notebook(notebook: NotebookNode) -> Iterator[str]:
    """A saved notebook is read where nothing runs: a figure has to be there as a picture."""
    for number, cell in _code(notebook):
        role = cell.metadata.get("attnlab", {}).get("role")
        html = "".join(output.get("data", {}).get("text/html", "") for output in cell.outputs)
        if role in ("figure", "interactive") and "<img" not in html:
            yield f"cell {number}: role {role!r}, but no static picture in its output"


def quick_and_small(notebook: NotebookNode) -> Iterator[str]:
    measured = notebook.metadata.get("attnlab", {})
    for key, limit, unit in (
        ("slowest_cell_s", CELL_S, "s for the slowest cell"),
        ("seconds", LESSON_S, "s for the whole lesson"),
        ("peak_mb", LESSON_MB, "MB of memory"),
    ):
        if key not in measured:
            yield f"{key} was not measured: build the lesson again"
        elif measured[key] > limit:
            yield f"{measured[key]:g} {unit}; expected at most {limit}"


RULES = (almost_every_cell_shows_something, pictures_have_words, figures_are_in_the_notebook, quick_and_small)
