"""One figure in three forms: the picture, a sentence that says what it shows, and its numbers as a table.

A matplotlib figure goes in; what comes out shows itself in a notebook, keeps its picture when the notebook is
saved, and has a plain-text twin for whoever cannot see it.
"""

from __future__ import annotations

import base64
import html
import importlib
import io
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

DPI = 120  # sharp on fine screens, and a notebook of photographs stays near a megabyte
MOST_ROWS = 20  # a table that is longer is a wall, not a twin


if "ipykernel" in sys.modules:
    # matplotlib takes half a second to import. In a notebook that passes while the cell is read that draws first.
    threading.Thread(target=importlib.import_module, args=("matplotlib.pyplot",), daemon=True).start()


class Figure:
    """A finished picture with its description and its table."""

    def __init__(self, png: bytes, alt: str, table: Mapping[str, Sequence[Any]]):
        self.png, self.alt, self.table = png, alt, table

    @property
    def width(self) -> int:
        """In CSS pixels."""
        return int.from_bytes(self.png[16:20], "big") * 72 // DPI

    def __repr__(self) -> str:
        rows = _rows(self.table)
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        return "\n".join([f"[Figure] {self.alt}", *lines, *filter(None, [_thinned(self.table)])])

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self.html()}

    def html(self) -> str:
        """The picture on white, so that it reads in dark themes too, and the table folded below it."""
        data = base64.b64encode(self.png).decode()
        head, *body = _rows(self.table)
        thinned = _thinned(self.table)
        cells = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in head)
        rows = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in body)
        return (
            '<figure class="attnlab-figure" style="margin: 4px 0">'
            f'<img src="data:image/png;base64,{data}" alt="{html.escape(self.alt, quote=True)}" width="{self.width}" '
            'style="max-width: 100%; height: auto; background: #ffffff">'
            '<figcaption><details><summary data-lm-suppress-shortcuts="true">The same in words and numbers</summary>'
            f"<p>{html.escape(self.alt)}</p>"
            f"<table><caption>{thinned}</caption><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table></details></figcaption></figure>"
        )


def figure(picture: Any, alt: str, table: Mapping[str, Sequence[Any]]) -> Figure:
    """Turn a matplotlib figure into a Figure, and close it.

    alt: what the picture shows, finding included, in a sentence or two.
    table: column name -> values, the numbers behind the picture (all columns of one length; beyond 20 rows,
    evenly spaced ones are kept, and it says so).
    Raises ValueError when the description or the table is missing.
    """
    if not alt.strip() or not table:
        raise ValueError("A figure needs `alt` (what it shows, in words) and `table` (its numbers, by column).")
    lengths = {name: len(column) for name, column in table.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"Expected table columns of one length, got {lengths}.")
    return Figure(closed_png(picture), alt, table)


def closed_png(picture: Any) -> bytes:
    """A matplotlib figure as PNG bytes; it is closed."""
    import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    # No date and no version inside: the same figure is the same bytes.
    picture.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight", facecolor="white", metadata={"Software": None})
    plt.close(picture)
    return buffer.getvalue()


def _thinned(table: Mapping[str, Sequence[Any]]) -> str:
    """What to say where not all rows are shown."""
    length = len(next(iter(table.values())))
    return f"{MOST_ROWS} of {length} rows, evenly chosen" if length > MOST_ROWS else ""


def _rows(table: Mapping[str, Sequence[Any]]) -> list[list[str]]:
    """Header and body as text; a long table is thinned out evenly."""
    length = len(next(iter(table.values())))
    kept = np.unique(np.linspace(0, length - 1, min(length, MOST_ROWS)).round().astype(int))
    return [list(table), *[[_cell(column[i]) for column in table.values()] for i in kept]]


def _cell(value: Any) -> str:
    value = value.item() if hasattr(value, "item") else value
    return f"{value:.3g}" if isinstance(value, float) else str(value)
