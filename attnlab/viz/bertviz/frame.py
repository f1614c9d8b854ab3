"""A sealed page for a script that was made for the open web: everything inside, no way out."""

from __future__ import annotations

import html
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from attnlab.viz.bertviz.drawing import Drawing
from attnlab.viz.bertviz.vendor import SCRIPTS
from attnlab.viz.figure import Figure, figure
from attnlab.viz.plots import matrix

if TYPE_CHECKING:
    from attnlab.viz.record import AttentionRecord

# BertViz asks a loader for its two scripts. They are there already.
LOADER = "const requirejs = (names, draw) => draw(jQuery, d3);"
LICENCES = (
    "<!-- D3 (BSD-3-Clause), jQuery (MIT), and BertViz by Jesse Vig (Apache-2.0), "
    "changed by attnlab so that it loads nothing and holds its numbers once. -->"
)
# The frame may run what stands in it, and load nothing.
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light; background: #fff; color: #111; font: 14px sans-serif }
body { margin: 8px } svg { overflow: visible }
"""
TALLEST = 720  # pixels; what is taller scrolls inside the frame
MOST_WORDS = 24  # at the ticks of the picture


class Frame(Figure):
    """BertViz in a frame; below it, folded, what a Figure has: a picture, its description, its table.

    page: the whole page inside the frame, which also works alone, saved as a file.
    """

    def __init__(self, still: Figure, page: str, title: str, height: int, note: str = ""):
        super().__init__(still.png, still.alt, still.table)
        self.page, self.title, self.height, self.note = page, title, height, note

    def __repr__(self) -> str:
        return "\n".join(filter(None, [super().__repr__(), self.note]))

    def html(self) -> str:
        page = self.page.replace("&", "&amp;").replace('"', "&quot;")
        note = f"<p>{html.escape(self.note)}</p>" if self.note else ""
        return (
            f'<iframe class="attnlab-bertviz" title="{html.escape(self.title, quote=True)}" sandbox="allow-scripts" '
            f'style="width: 100%; height: {min(self.height, TALLEST)}px; border: 0; background: #ffffff" '
            f'srcdoc="{page}"></iframe>{note}'
            '<details><summary data-lm-suppress-shortcuts="true">The same as picture, words and numbers</summary>'
            f"{super().html()}</details>"
        )


def frame(record: AttentionRecord, view: str, drawing: Drawing) -> Frame:
    """BertViz's drawing of a record, sealed, with its twins for whoever cannot see or point."""
    alt = f"BertViz's {view} view. {record.describe()}"
    title = f"BertViz's {view} view of {record!r}; for the mouse. Picture, words and table follow."
    return Frame(
        figure(_picture(record), alt, record.to_table()), page(drawing), title, drawing.height, _note(record, view)
    )


def page(drawing: Drawing) -> str:
    """A whole page that asks nobody for anything."""
    scripts = "\n".join(f"<script>{_vendored(name)}</script>" for name in SCRIPTS)
    # "<" occurs in JSON only inside strings, where this means the same and cannot end a script.
    params = drawing.params.replace("<", "\\u003c")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>BertViz</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><style>{STYLE}</style>'
        f"{LICENCES}</head>\n<body>{drawing.markup}\n{scripts}\n"
        f"<script>{LOADER}\nwindow.bertviz_params = {params};</script>\n"
        f"<script>{drawing.script}</script></body></html>\n"
    )


@cache
def _vendored(name: str) -> str:
    return resources.files("attnlab.viz.bertviz").joinpath("vendor", name).read_text(encoding="utf-8").strip()


def _note(record: AttentionRecord, view: str) -> str:
    """Where BertViz's arithmetic is not the record's."""
    if view != "neuron" or record.scale is None:
        return ""
    usual = 1 / np.sqrt(record.queries.shape[-1])
    if np.isclose(record.scale, usual, rtol=1e-3):
        return ""
    return (
        f"BertViz colours q·k times {usual:.4g}, one over the square root of the width. "
        f"These weights were made with q·k times {record.scale:.4g}."
    )


def _picture(record: AttentionRecord):
    """The mean over layers and heads, as a table of colours."""
    layers, heads, queries, keys = record.shape
    title = "mean of all layers and heads" if layers * heads > 1 else "weights"
    same = record.query_names == record.key_names and keys <= MOST_WORDS
    words = [name.replace("$", r"\$") for name in record.key_names] if same else ()  # no formulas
    return matrix({title: record.weights.mean(axis=(0, 1))}, "key", "query", "weight", words=words)
