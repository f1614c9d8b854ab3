"""The lesson's shape: its sections, its number of cells."""

from collections.abc import Iterator

from grader.pipeline.source import SECTIONS, Source

CELLS = range(45, 76)


def sections_in_order(source: Source) -> Iterator[str]:
    found = [cell.section for cell in source.cells if cell.section]
    missing = [section for section in SECTIONS if section not in found]
    if missing:
        yield f"sections: {', '.join(missing)} missing"
    if found != sorted(found, key=SECTIONS.index):
        yield f"sections: expected the order {', '.join(SECTIONS)}; got {', '.join(found)}"


def card_first(source: Source) -> Iterator[str]:
    if not source.cells or source.cells[0].section != "card":
        yield 'cell 1: expected the card (section="card")'
    elif "{{card}}" not in source.cells[0].text:
        yield "cell 1: {{card}} missing, where the table of times and points goes"


def number_of_cells(source: Source) -> Iterator[str]:
    if len(source.cells) not in CELLS:
        yield f"{len(source.cells)} cells; expected {CELLS[0]} to {CELLS[-1]}"


def interactive_figures(source: Source, least: int = 2) -> Iterator[str]:
    count = sum(cell.role == "interactive" for cell in source.code)
    if count < least:
        yield f'{count} interactive figures (cells with role="interactive"); expected at least {least}'


RULES = (sections_in_order, card_first, number_of_cells, interactive_figures)
