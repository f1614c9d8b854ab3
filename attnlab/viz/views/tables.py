"""The static table of weights that several views draw with matplotlib."""

from __future__ import annotations

from typing import Any

import numpy as np

from attnlab.viz.record import AttentionRecord

MOST_NAMES = 40  # more names than this along an axis cannot be read in a picture


def draw_table(ax: Any, record: AttentionRecord, layer: int, head: int, high: float, names: bool = True) -> Any:
    """One head on matplotlib axes; what may not be seen is hatched. Returns the image, for a colour bar."""
    weights = np.ma.masked_array(record.weights[layer, head], ~record.visible[layer, head])
    ax.patch.set(hatch="////", edgecolor="#00000055", facecolor="white")
    image = ax.imshow(weights, cmap="cividis", vmin=0, vmax=high, interpolation="nearest", aspect="equal")
    if names:
        _name(ax, "x", record.key_names)
        _name(ax, "y", record.query_names)
    else:
        ax.set(xticks=[], yticks=[])
    return image


def _name(ax: Any, axis: str, names: tuple[str, ...]) -> None:
    step = -(-len(names) // MOST_NAMES)
    places = range(0, len(names), step)
    texts = [names[i][:24] for i in places]
    if axis == "x":
        ax.set_xticks(places, texts, rotation=90, parse_math=False)
    else:
        ax.set_yticks(places, texts, parse_math=False)


def table_size(record: AttentionRecord) -> tuple[float, float]:
    """Width and height in inches in which one table can be read."""
    rows, columns = record.shape[2:]
    cell = min(0.32, 5.0 / max(rows, columns))
    return max(3.0, cell * columns) + 1.8, max(1.2, cell * rows) + 1.4
