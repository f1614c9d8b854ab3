"""Two columns of names joined by lines: which query looks at which keys, the strongest first."""

from __future__ import annotations

from typing import Any

import numpy as np

from attnlab.viz.record import AttentionRecord
from attnlab.viz.views.part import cut, left_out, part_that_fits, within
from attnlab.viz.views.view import View, checked_start, default_title, described, view_of

MOST_TOKENS = 256  # beyond it lines and names can no longer be told apart
KEYS_HELP = (
    "Up and down move along the names, left goes to the queries and right to the keys, comma and full stop change "
    "the head, page up and down the layer, Escape leaves the figure."
)
MOST_FAINT = 200  # in print; more of them are a grey field that takes a megabyte
LINE, CHOSEN = "#2166ac", "#b35806"


def links(
    record: AttentionRecord,
    layer: int | None = None,
    head: int | None = None,
    query: int | None = None,
    share: float = 0.9,
    title: str = "",
    alt: str = "",
) -> View:
    """Queries on the left, keys on the right, a line for each weight worth drawing; the chosen query's stand out.

    share: each query's strongest keys are drawn until they have this much of its weight (0.3 to 1). Width and opacity
    of a line grow with the weight itself. layer, head, query: what is chosen first; without them, where the strongest
    link is. Pointing at a key shows who looks at it.

    Raises ValueError for a gate, for more than 256 queries or keys, and for a share outside 0.3 to 1.
    """
    _check(record, share)
    start = {"layer": layer, "head": head, "query": query}
    part = part_that_fits(record, checked_start(record, start), record.shape[2] * record.shape[3])
    chosen = within(checked_start(record, start), part)
    asked = {axis: None if place is None else chosen[axis] for axis, place in start.items()}
    note = "Of each query the strongest keys are drawn, until the chosen share of its weight is reached."
    note = f"{note} {left_out(record, part)}".strip()
    shown = cut(record, part)
    title = title or default_title(shown)
    return view_of(
        "links", shown, lambda shown: _picture(shown, chosen, share, title), title,
        alt or f"{described(title, shown)} {_drawn(shown, chosen, share)}", asked,
        extra={"colour": False}, extra_start={"share": share, "side": 0}, keys_help=KEYS_HELP, more_note=note,
        few_colours=True,
    )  # fmt: skip


def _check(record: AttentionRecord, share: float) -> None:
    if record.kind == "gate":
        raise ValueError(
            "Expected attention whose rows are shared out among keys, got a gate, whose numbers stand each for itself. "
            "Use heatmap(record)."
        )
    if max(record.shape[2:]) > MOST_TOKENS:
        raise ValueError(
            f"Expected at most {MOST_TOKENS} queries and keys, got {record.shape[2]} and {record.shape[3]}: so many "
            "lines cannot be told apart. Choose a part, record.select(query=slice(0, 64), key=slice(0, 64)), or use "
            "heatmap(record)."
        )
    if not 0.3 <= share <= 1:
        raise ValueError(f"Expected a share of each row between 0.3 and 1, got {share}.")


def strongest(row: np.ndarray, share: float) -> np.ndarray:
    """Keys of one row (keys,), largest weight first, as many as are needed to have `share` of its sum."""
    order = np.argsort(-row, kind="stable")
    before = np.cumsum(row[order], dtype=np.float64) - row[order]
    return order[(row[order] > 0) & (before < share * row.sum(dtype=np.float64) - 1e-6)]


def _drawn(record: AttentionRecord, chosen: dict[str, int], share: float) -> str:
    """What is in the picture, for whoever cannot see it."""
    table = record.weights[chosen["layer"], chosen["head"]]
    counts = [len(strongest(row, share)) for row in table]
    row, names = table[chosen["query"]], record.key_names
    faint = f" In print the {MOST_FAINT} strongest of the others." if sum(counts) > MOST_FAINT else ""
    told = ", ".join(f'"{names[key]}" {row[key]:.2f}' for key in strongest(row, share)[:5])
    return (
        f"Drawn: {sum(counts)} lines of {table.size}, which have {share:.0%} of each query's weight.{faint} "
        f'Highlighted: "{record.query_names[chosen["query"]]}", which looks at {told or "nothing"}.'
    )


def _picture(record: AttentionRecord, chosen: dict[str, int], share: float, title: str) -> Any:
    import matplotlib.pyplot as plt

    table = record.weights[chosen["layer"], chosen["head"]]
    most = max(table.shape)
    tall = max(1.6, min(0.24 * most, 9.0))
    figure, ax = plt.subplots(figsize=(5.6, tall))
    at = [(np.arange(size) + 0.5) / size for size in table.shape]
    row = table[chosen["query"]]
    heard = strongest(row, share)
    drawn = [(query, key) for query, weights in enumerate(table) for key in strongest(weights, share)]
    others = sorted((pair for pair in drawn if pair[0] != chosen["query"]), key=lambda pair: -table[pair])
    _lines(ax, at, table, others[:MOST_FAINT][::-1], LINE, (0.08, 0.45))
    _lines(ax, at, table, [(chosen["query"], key) for key in heard[::-1]], CHOSEN, (0.6, 0.4))
    size = 72 * tall / most
    _names(ax, -0.02, "right", record.query_names, at[0], tall, [chosen["query"]])
    kept = _names(ax, 1.14, "left", record.key_names, at[1], tall, list(heard))
    for key in set(kept) & set(heard.tolist()):
        ax.text(1.02, at[1][key], f"{row[key]:.2f}", color=CHOSEN, va="center", fontsize=min(9, max(6, size)))
    ax.set(xlim=(0, 1), ylim=(1, 0), title=title.replace("$", r"\$"))
    ax.axis("off")
    return figure


def _lines(ax: Any, at: list, table: np.ndarray, pairs: list, colour: str, opacity: tuple[float, float]) -> None:
    """A curve for each pair (query, key), the last on top; opacity: at no weight, and how much a weight of 1 adds."""
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_rgba

    across = np.linspace(0, 1, 24)
    bend = across**2 * (3 - 2 * across)  # level at both ends
    curves = [np.column_stack([across, at[0][q] + (at[1][k] - at[0][q]) * bend]) for q, k in pairs]
    weights = [float(table[pair]) for pair in pairs]
    colours = [to_rgba(colour, min(1, opacity[0] + opacity[1] * weight)) for weight in weights]
    ax.add_collection(LineCollection(curves, colors=colours, linewidths=[0.6 + 4 * weight for weight in weights]))


def _names(ax: Any, x: float, side: str, names: tuple[str, ...], at: np.ndarray, tall: float, first: list) -> list[int]:
    """Write as many names as fit below each other, `first` before all others; returns which."""
    size = min(9.0, max(6.0, 72 * tall / len(names)))
    kept: list[int] = []
    for i in [*first, *range(0, len(names), int(np.ceil(size * len(names) / (72 * tall))))]:
        if all(abs(at[i] - at[j]) * 72 * tall >= size * 0.99 for j in kept):
            kept.append(int(i))
            bold = "bold" if i in first else "normal"
            text = names[i].replace("$", r"\$")[:24]
            ax.text(x, at[i], text, ha=side, va="center", fontsize=size, weight=bold, clip_on=False)
    return kept
