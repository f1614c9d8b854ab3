"""A gate: how far each channel, moment or place is opened for one input, beside what is usual."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np

from attnlab.viz.record import AttentionRecord
from attnlab.viz.views.overlay import finding, kept_whole, overlay, query_index, row
from attnlab.viz.views.pictures import data_uri, several
from attnlab.viz.views.space_time import space_time
from attnlab.viz.views.view import View, axes_of, checked_start, highest, view_of

KEYS_HELP = (
    "Left and right move along the {axis}s, up and down change the input, page up and down the layer, Escape leaves "
    "the figure."
)
MOST_BARS = 400  # more cannot be told apart in the static picture


def gate(
    record: AttentionRecord,
    images: Any = None,
    query: int | str | None = None,
    layer: int | None = None,
    sort: bool = False,
    title: str = "",
    alt: str = "",
) -> View:
    """The values of a gate for one input, with the mean over all inputs marked, so that one sees what is special.

    record: of kind "gate". Over channels or time: a bar for each. Over space: as `overlay` draws it, over a clip as
    `space_time` does.
    images: for channels, time and space a list with one picture for each input; for a clip, its frames.
    query, layer: the input (index or name) and the layer that are shown first.
    sort: bars ordered by their mean over inputs, largest first (can be changed in the figure), not as they came.

    Raises ValueError for a record that is no gate.
    """
    if record.kind != "gate":
        raise ValueError(
            f'Expected a record of kind "gate", got "{record.kind}". Numbers between 0 and 1 that stand each for '
            "itself: AttentionRecord.gate(values, over=...). Attention is shown by overlay, heads or heatmap."
        )
    if record.key_grid is not None:
        over_places = overlay if record.key_grid.t == 1 else space_time
        return over_places(record, images, query=query, layer=layer, title=title, alt=alt)
    pictures = [] if images is None else several(images, record.shape[2])
    record, start, missing = kept_whole(record, {"layer": layer, "query": query_index(record, query)})
    at = checked_start(record, start)
    means = record.weights.mean(axis=2)
    order = np.argsort(-means, axis=-1, kind="stable")

    def picture(shown: AttentionRecord) -> Any:
        return _bars(shown, at, order[at["layer"], at["head"]] if sort else np.arange(shown.shape[3]), sort, view.title)

    title = title or finding(record, at)
    view = view_of(
        "gate",
        record,
        picture,
        title,
        alt or f"{title}. {_special(record, at)}{record.describe()}",
        start,
        extra={"pictures": [data_uri(one) for one in pictures], "colour": False, "orderName": order_name(record)},
        extra_start={"sort": int(sort)},
        arrays={"means": means, "order": order.astype(np.float32)},
        keys_help=KEYS_HELP.format(axis=axes_of(record)["key"]),
        table=_table(record, at) if record.shape[2] > 1 else None,
        more_note=missing,
    )
    return view


def order_name(record: AttentionRecord) -> str:
    return "by mean over inputs" if record.shape[2] > 1 else "by value"


def _beside(record: AttentionRecord, at: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """The values of the chosen input, and the mean of all inputs, (key,) each."""
    return row(record.weights, at), record.weights[at["layer"], at["head"]].mean(axis=0)


def _special(record: AttentionRecord, at: dict[str, int]) -> str:
    """In words, what this input opens or closes more than others do."""
    if record.shape[2] == 1:
        return ""
    values, mean = _beside(record, at)
    far = int(np.abs(values - mean).argmax())
    side = "above" if values[far] > mean[far] else "below"
    return (
        f'Shown: input "{record.query_names[at["query"]]}". Furthest from the mean of all {record.shape[2]} inputs is '
        f'{axes_of(record)["key"]} "{record.key_names[far]}": {values[far]:.2f}, {side} {mean[far]:.2f}. '
    )


def _table(record: AttentionRecord, at: dict[str, int], most: int = 10) -> dict[str, list]:
    """What is furthest from its mean."""
    values, mean = _beside(record, at)
    far = np.argsort(-np.abs(values - mean), kind="stable")[:most]
    return {
        axes_of(record)["key"]: [record.key_names[i] for i in far],
        f"gate of {record.query_names[at['query']]}": values[far].tolist(),
        "mean of inputs": mean[far].tolist(),
        "difference": (values - mean)[far].tolist(),
    }


def pooled(values: np.ndarray, most: int) -> tuple[np.ndarray, int]:
    """At most `most` values, each the largest of n neighbours; returns them and n."""
    each = -(-len(values) // most)
    padded = np.pad(values, (0, -len(values) % each), constant_values=-np.inf)
    return padded.reshape(-1, each).max(axis=1), each


def _bars(record: AttentionRecord, at: dict[str, int], order: np.ndarray, sort: bool, title: str) -> Any:
    import matplotlib.pyplot as plt

    (values, each), (mean, _) = (pooled(array[order], MOST_BARS) for array in _beside(record, at))
    axis, places = axes_of(record)["key"], np.arange(len(values))
    figure, ax = plt.subplots(figsize=(8, 3), layout="constrained")
    width = 0.85 if len(values) < 100 else 1
    ax.bar(places, values, width, color="#2166ac", label=f"bars: {record.query_names[at['query']]}")
    if record.shape[2] > 1:
        _mark_means(ax, mean, width, f"mean of {record.shape[2]} inputs")
    step = -(-len(values) // 30)
    names = [record.key_names[i][:24] for i in order[::each]]
    turned = 90 if max(map(len, names)) > 3 else 0
    ax.set_xticks(places[::step], names[::step], rotation=turned, parse_math=False)
    ordered = f", {order_name(record)}" if sort else ""
    merged = f"; each bar is the largest of {each}" if each > 1 else ""
    ax.set(xlabel=axis + ordered + merged, xlim=(-0.7, len(values) - 0.3), ylabel="gate", ylim=(0, highest(record)))
    legend = ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=9)
    for text in legend.get_texts():
        text.set_parse_math(False)
    figure.suptitle(textwrap.fill(title, 80), parse_math=False)
    return figure


def _mark_means(ax: Any, mean: np.ndarray, width: float, label: str) -> None:
    """A line at the height of each mean, black on white: seen on the bar and beside it."""
    from matplotlib.patheffects import withStroke

    places = np.arange(len(mean))
    look = {"color": "black", "lw": 1.3, "path_effects": [withStroke(linewidth=3, foreground="white")]}
    if width < 1:
        ax.hlines(mean, places - width / 2, places + width / 2, label=label, **look)
    else:
        ax.plot(places, mean, label=label, **look)
