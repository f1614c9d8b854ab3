"""Two kinds of bars as inline SVG. Each figure says its finding, describes itself, and has a table that says the same.

Places along the bars are percentages and letters keep their size, so a figure reads the same on a phone and on paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from grader.pages.markup import safe

ROW = 42  # pixels for a label with its bar below
COLUMNS = 130  # pixels for the columns of a histogram
LETTERS = 40  # of a label: what fits on the narrowest screens


def bars(key: str, finding: str, rows: Sequence[tuple[str, float, str]], table: str) -> str:
    """A bar for each row (label, share from 0 to 1, value in words), one below the other."""
    drawn = "".join(_bar(place * ROW, *row) for place, row in enumerate(rows))
    description = "; ".join(f"{label}: {value}" for label, _, value in rows)
    return _figure(key, finding, description, ROW * len(rows), drawn, table)


def _bar(top: int, label: str, share: float, value: str) -> str:
    short = label if len(label) <= LETTERS else f"{label[: LETTERS - 1]}…"
    return (
        f'<text x="0" y="{top + 15}">{safe(short)}</text>'
        f'<text x="100%" y="{top + 15}" text-anchor="end">{safe(value)}</text>'
        f'<rect class="rest" x="0" y="{top + 22}" width="100%" height="10"></rect>'
        f'<rect class="bar" x="0" y="{top + 22}" width="{share:.1%}" height="10"></rect>'
    )


def columns(key: str, finding: str, counts: Sequence[int], edges: Sequence[str], table: str) -> str:
    """A column for each count; edges: what stands below the borders between them, one more than there are counts."""
    wide, most = 100 / len(counts), max(*counts, 1)
    drawn = "".join(_column(place * wide, wide, count, count / most) for place, count in enumerate(counts))
    for place, edge in list(enumerate(edges))[::2]:  # every second one: a phone has no room for more
        anchor = "start" if place == 0 else "end" if place == len(counts) else "middle"
        drawn += (
            f'<text class="axis" x="{place * wide:g}%" y="{COLUMNS + 36}" text-anchor="{anchor}">{safe(edge)}</text>'
        )
    spans = zip(pairwise(edges), counts, strict=True)
    description = "; ".join(f"from {low} to {high}: {count}" for (low, high), count in spans)
    return _figure(key, finding, description, COLUMNS + 42, drawn, table)


def _column(left: float, wide: float, count: int, share: float) -> str:
    tall = max(round(share * COLUMNS), 1)
    top = COLUMNS - tall + 20
    said = f'<text x="{left + wide / 2:g}%" y="{top - 5}" text-anchor="middle">{count}</text>' if count else ""
    kind = "bar" if count else "rest"
    return said + (f'<rect class="{kind}" x="{left + 0.5:g}%" y="{top}" width="{wide - 1:g}%" height="{tall}"></rect>')


def _figure(key: str, finding: str, description: str, height: int, drawn: str, table: str) -> str:
    """finding and description are plain text, drawn and table HTML; key is an id that the page has once."""
    return (
        f'<figure><figcaption id="{key}">{safe(finding)}</figcaption>'
        f'<svg role="img" aria-labelledby="{key}" aria-describedby="{key}-text" height="{height}">'
        f'<desc id="{key}-text">{safe(description)}</desc>{drawn}</svg>'
        f"<details><summary>The same as a table</summary>{table}</details></figure>"
    )
