"""The lesson's code: how long its cells are, and whether its figures can be read without seeing."""

import ast
from collections.abc import Iterator
from statistics import median

from grader.pipeline.lint.calls import calls
from grader.pipeline.source import Cell, Source
from grader.referee.inert import WITHHELD

LINES = 30
USUAL_LINES = (3, 8)
ONE_LINERS = ("predict", "quiz", "recall")


def lines(cell: Cell) -> int:
    """Lines that say something: solutions count, their markers and blank lines do not."""
    return sum(bool(line.strip()) and "SOLUTION" not in line for line in cell.text.split("\n"))


def no_long_cells(source: Source) -> Iterator[str]:
    for cell in source.code:
        if lines(cell) > LINES:
            yield f"cell {cell.number}: {lines(cell)} lines of code; expected at most {LINES}"


def usual_length(source: Source) -> Iterator[str]:
    """Checks and questions are one line by their nature and would hide what the other cells are like."""
    counts = [lines(cell) for cell in source.code if not cell.check and cell.role not in ONE_LINERS]
    low, high = USUAL_LINES
    if counts and not low <= median(counts) <= high:
        yield f"code cells of {median(counts):g} lines (median); expected {low} to {high}"


# What a figure must be given in words. A view describes itself, but only the author knows what it is to show.
WORDS = {"figure": ("alt", "table")} | dict.fromkeys(
    ("compare", "gate", "heads", "heatmap", "links", "neuron", "overlay", "space_time"), ("title",)
)


def figures_have_words(source: Source) -> Iterator[str]:
    for cell, name, call in calls(source):
        function = name.removeprefix("viz.")
        given = {keyword.arg for keyword in call.keywords}
        for missing in WORDS.get(function, ()):
            if missing not in given:
                yield f"cell {cell.number}: {function}(...) without {missing}="


def answers_stay_out_of_marking(source: Source) -> Iterator[str]:
    """A cell without a role is run when a submission is marked, and these imports fail there."""
    for cell in source.code:
        if cell.role or cell.check:
            continue
        for node in ast.walk(ast.parse(cell.text)):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                if name.startswith(WITHHELD):
                    yield (
                        f"cell {cell.number}: imports {name}, which is not there while marking; "
                        'give its cell role="experiment"'
                    )


RULES = (no_long_cells, usual_length, figures_have_words, answers_stay_out_of_marking)
