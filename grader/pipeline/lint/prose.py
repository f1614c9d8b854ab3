"""The lesson's words: how many, and which not."""

import re
from collections.abc import Iterator

from grader.pipeline.source import Source

WORDS_A_CELL = 180
WORDS_FOR_A_CODE_CELL = 110
FORBIDDEN = ("simply", "just", "obviously")

NOT_PROSE = re.compile(r"```.*?```|<!--.*?-->|<[^<>]+>|\$\$.*?\$\$", re.DOTALL)


def prose(text: str) -> str:
    """The text without fenced code, displayed formulas and HTML tags."""
    return NOT_PROSE.sub(" ", text)


def words(text: str) -> int:
    return sum(any(letter.isalnum() for letter in word) for word in prose(text).split())


def short_cells(source: Source) -> Iterator[str]:
    for cell in source.markdown:
        count = words(cell.text)
        if count > WORDS_A_CELL:
            yield f"cell {cell.number}: {count} words; expected at most {WORDS_A_CELL}"


def prose_for_code(source: Source) -> Iterator[str]:
    total, cells = sum(words(cell.text) for cell in source.markdown), max(1, len(source.code))
    if total / cells > WORDS_FOR_A_CODE_CELL:
        yield (
            f"{total / cells:.0f} words of prose for each code cell ({total} words, {cells} cells); "
            f"expected about {WORDS_FOR_A_CODE_CELL} at most"
        )


def forbidden_words(source: Source) -> Iterator[str]:
    for cell in source.cells:
        text = re.sub(r"`[^`]*`", " ", prose(cell.text))
        for word in FORBIDDEN:
            if re.search(rf"\b{word}\b", text, re.IGNORECASE):
                yield f"cell {cell.number}: the word {word!r}, which tells a stuck reader that they are slow"


RULES = (short_cells, prose_for_code, forbidden_words)
