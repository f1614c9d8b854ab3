"""All layers and heads as small tables; one of them large."""

from __future__ import annotations

from typing import Any

import numpy as np

from attnlab.viz.record import AttentionRecord
from attnlab.viz.views.coding import blocks
from attnlab.viz.views.view import View, highest, view_of


def heads(
    record: AttentionRecord,
    layer: int | None = None,
    head: int | None = None,
    title: str = "",
    alt: str = "",
) -> View:
    """Layers by heads, small; click one, or press comma and full stop, to see it large with its names.

    Small tables show the largest weight where several share a pixel, so thin lines stay visible. Colours mean the
    same in all of them.
    """

    def picture(shown: AttentionRecord) -> Any:
        import matplotlib.pyplot as plt

        rows, columns = shown.shape[:2]
        table, tall, wide = montage(shown)
        inch = min(1.1, 12 / columns)
        figure, ax = plt.subplots(figsize=(inch * columns + 1.2, inch * rows * tall / wide + 0.9))
        image = ax.imshow(table, cmap="cividis", vmin=0, vmax=highest(shown), interpolation="nearest")
        ax.set_xticks([(j + 0.5) * wide for j in range(columns)], range(columns))
        ax.set_yticks([(i + 0.5) * tall for i in range(rows)], range(rows))
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        ax.set(xlabel="head", ylabel="layer")
        ax.set_title(view.title, parse_math=False)
        figure.colorbar(image, ax=ax, label="weight", shrink=0.9)
        return figure

    view = view_of("heads", record, picture, title, alt, {"layer": layer, "head": head}, few_colours=True)
    return view


def montage(record: AttentionRecord, most: int = 64) -> tuple[np.ma.MaskedArray, int, int]:
    """All heads in one array, at most `most` cells wide each (the largest weight of each block), with gaps between.

    Returns the array, masked where nothing may be seen, and the height and width of one table with its gap.
    """
    n = -(-max(record.shape[2:]) // most)
    hidden = False if record.mask is None else ~blocks(record.visible, n)
    weights = np.ma.masked_array(blocks(record.weights, n), hidden)
    layers, count, rows, columns = weights.shape
    gap = max(1, max(rows, columns) // 12)
    whole = np.ma.masked_array(np.zeros((layers, rows + gap, count, columns + gap)), mask=True)
    whole[:, :rows, :, :columns] = weights.transpose(0, 2, 1, 3)
    tall, wide = rows + gap, columns + gap
    return whole.reshape(layers * tall, count * wide), tall, wide
