"""One notebook with every live view in it, of small records whose weights the tests know too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat

from attnlab.viz import views

# Runs in the notebook, and in the tests: the same seeds, the same weights.
SETUP = """
import numpy as np
from attnlab.viz import views
from attnlab.viz.record import AttentionRecord, Grid

def softmax(scores):
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)

def attention(seed, layers, heads, tokens, width=8, visible=True):
    draw = np.random.default_rng(seed)
    queries, keys = draw.normal(size=(2, layers, heads, tokens, width)).astype(np.float32)
    scores = queries @ keys.swapaxes(-2, -1) / width**0.5
    weights = softmax(np.where(visible, scores, -np.inf))
    return {"weights": weights, "queries": queries, "keys": keys, "scale": width**-0.5}

names = ["the", "cat", "</script>", "sat", "on", "it"]
past = np.tril(np.ones((6, 6), bool))
words = AttentionRecord(**attention(0, 2, 3, 6, visible=past), query_labels=names, mask=past)
others = AttentionRecord(**attention(1, 2, 3, 6, visible=past), query_labels=names, mask=past)

grid = Grid(y=3, x=4, before=("[CLS]",))
patches = AttentionRecord(attention(2, 1, 2, grid.size)["weights"], query_grid=grid, key_grid=grid)
image = np.random.default_rng(3).integers(0, 256, size=(48, 64, 3)).astype(np.uint8)

tubes = Grid(t=3, y=2, x=3)
clip = AttentionRecord(attention(4, 1, 2, tubes.size)["weights"], query_grid=tubes, key_grid=tubes)
frames = np.random.default_rng(5).integers(0, 256, size=(3, 32, 48, 3)).astype(np.uint8)

values = np.random.default_rng(6).uniform(size=(2, 8)).astype(np.float32)
channels = AttentionRecord.gate(values, items=["a dog", "a boat"])
lit = np.random.default_rng(7).uniform(size=(2, 3, 4)).astype(np.float32)
places = AttentionRecord.gate(lit, over="space", items=["a dog", "a boat"])
"""

# What a cell of the notebook shows. A view that attnlab does not have yet is left out.
CELLS = {
    "heatmap": "views.heatmap(words)",
    "heads": "views.heads(words)",
    "links": "views.links(words, share=0.9)",
    "neuron": "views.neuron(words)",
    "compare": 'views.compare(words, others, names=("first", "second"))',
    "overlay": "views.overlay(patches, image, opacity=1.0)",
    "space_time": "views.space_time(clip, frames, opacity=1.0)",
    "gate": "views.gate(channels)",
    "gate in space": "views.gate(places)",
}
SHOWN = [name for name, source in CELLS.items() if hasattr(views, source[len("views.") : source.index("(")])]


def records() -> dict[str, Any]:
    """The records of the notebook, by name."""
    known: dict[str, Any] = {}
    exec(SETUP, known)
    return known


def write_gallery(path: Path, kernel: str = "python3") -> Path:
    """The notebook, not run yet."""
    sources = [SETUP.strip(), *(CELLS[name] for name in SHOWN)]
    cells = [nbformat.v4.new_code_cell(source, id=f"cell-{i}") for i, source in enumerate(sources)]
    known = {"kernelspec": {"name": kernel, "display_name": kernel, "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=known), path)
    return path
