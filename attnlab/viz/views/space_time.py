"""Attention over a clip: every frame with the weights over it, and the share of the weight that falls into it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from attnlab.viz.record import AttentionRecord, Grid
from attnlab.viz.validation import as_array
from attnlab.viz.views.overlay import (
    SOLID,
    can_ask,
    checked_opacity,
    draw_front,
    draw_places,
    frame,
    grid_of_keys,
    in_words,
    kept_whole,
    mark_query,
    paint,
    query_index,
    row,
    scale_beside,
)
from attnlab.viz.views.pictures import data_uri, several
from attnlab.viz.views.view import View, checked_start, highest, view_of

KEYS_HELP = (
    "Page up and down change the frame, Space plays and stops. Arrow keys move the cell inside the frame, {ask}comma "
    "and full stop change the head, Escape leaves the figure."
)
ASK = "Enter asks from there, "
LONGEST = 480  # pixels of a frame; a clip carries many
ACROSS = 8  # frames in a row of the static picture
ROOM = 0.45  # below each, for its bar and number, in widths of a frame


def space_time(
    record: AttentionRecord,
    frames: Any = None,
    query: int | str | None = None,
    layer: int | None = None,
    head: int | None = None,
    opacity: float = 0.6,
    same_scale: bool = False,
    title: str = "",
    alt: str = "",
) -> View:
    """Where in a clip one query looks: one frame large, all of them small, and the share of the weight of each.

    record: its keys lie on a grid (t, y, x); with y = x = 1 a key is a whole frame. For a gate the bars show the mean
    of the frame's values in place of a share.
    frames: (t, y, x, 3) or (t, y, x), uint8 or floats from 0 to 1. There may be n times as many as the grid has
    moments, where a token spans n frames: then the middle one of each n is shown. None: the weights alone.
    query: index or name; layer, head: index; all three: what is asked first, else the strongest link.
    same_scale: colours go up to the largest weight of the record, not only of the query that asks.

    Nothing moves before "play" is pressed, it stops at the last frame, and where the system asks for less motion the
    button goes one frame on. Raises ValueError for a record without a grid and for frames that do not fit it.
    """
    grid = grid_of_keys(record)
    clip, told = _clip(record, grid, frames)
    start = {"layer": layer, "head": head, "query": query_index(record, query)}
    shown, start, missing = kept_whole(record, start)
    at = checked_start(shown, start)
    high = highest(record)  # of all of it, also where only a part is shown
    top = high if same_scale or record.kind == "gate" else float(row(shown.weights, at).max()) or 1.0
    shares = per_frame(shown, grid)
    share_name = "mean gate" if record.kind == "gate" else "share of weight"
    best = int(row(shares, at).argmax())
    first = (at["key"] - len(grid.before)) // (grid.y * grid.x) if at["key"] >= len(grid.before) else best

    def picture(shown: AttentionRecord) -> Any:
        return _film_strip(shown, clip, at, first, opacity, top, shares, share_name, view.title)

    title = title or _finding(shown, at, row(shares, at))
    words = f"Frame t{best} has the largest {share_name}, {row(shares, at)[best]:.2f}, of {grid.t} frames."
    view = view_of(
        "space_time",
        shown,
        picture,
        title,
        alt or f"{title}. {words} {in_words(shown, at)} {record.describe()}",
        start,
        extra={
            "pictures": [data_uri(one, LONGEST) for one in clip],
            "high": high,
            "highShare": float(shares.max()) or 1.0,
            "shareName": share_name,
        },
        extra_start={
            "opacity": checked_opacity(opacity),
            "scale": int(same_scale or record.kind == "gate"),
            "frame": first,
            "playing": 0,
        },
        arrays={"shares": shares},
        keys_help=KEYS_HELP.format(ask=ASK if can_ask(shown) else ""),
        table=_table(shown, grid, at, shares, share_name),
        more_note=" ".join(filter(None, [missing, told])),
    )
    return view


def per_frame(record: AttentionRecord, grid: Grid) -> np.ndarray:
    """(layer, head, query, t): the weight that falls into each frame, for a gate its mean over the frame."""
    places = record.weights[..., len(grid.before) :].reshape(*record.shape[:3], grid.t, grid.y * grid.x)
    return places.mean(axis=-1) if record.kind == "gate" else places.sum(axis=-1)


def _clip(record: AttentionRecord, grid: Grid, frames: Any) -> tuple[list[np.ndarray], str]:
    """A picture for each moment of the grid, and what to say where frames were passed over."""
    if frames is None:
        return [], ""
    if record.kind == "gate" and record.shape[2] > 1:
        raise ValueError(
            f"Expected a gate over one clip, got one over {record.shape[2]}. Choose the input that the frames belong "
            "to: record.select(query=0)."
        )
    if not isinstance(frames, Sequence):
        frames = as_array(frames, "frames")
        if frames.ndim == 4 and frames.shape[-1] != 3 and 3 in frames.shape[:2]:
            order = "0, 2, 3, 1" if frames.shape[1] == 3 else "1, 2, 3, 0"
            raise ValueError(
                f"Expected frames (t, y, x) or (t, y, x, 3), got {frames.shape}. Put the colours last: "
                f"frames.permute({order}), or for an array frames.transpose({order})."
            )
    if len(frames) == 0 or len(frames) % grid.t:
        raise ValueError(
            f"Expected {grid.t} frames, one for each moment of the grid, or a multiple of them, got {len(frames)}. "
            "Choose the frames that the model saw."
        )
    each = len(frames) // grid.t
    told = f"A moment of the grid spans {each} frames; one of them is shown." if each > 1 else ""
    return several(frames[each // 2 :: each], grid.t, "frames", "moment"), told


def _finding(record: AttentionRecord, at: dict[str, int], shares: np.ndarray) -> str:
    query, best = record.query_names[at["query"]], int(shares.argmax())
    if record.kind == "gate":
        return f'"{query}" opens widest in frame t{best} (mean {shares[best]:.2f})'
    return f'"{query}" looks most at frame t{best} ({shares[best]:.0%} of its weight)'


def _table(record: AttentionRecord, grid: Grid, at: dict[str, int], shares: np.ndarray, share_name: str) -> dict:
    """For each frame its share, and the place in it with the largest weight."""
    size = grid.y * grid.x
    places = row(record.weights, at)[len(grid.before) :].reshape(grid.t, size)
    best = [len(grid.before) + t * size + int(k) for t, k in enumerate(places.argmax(axis=1))]
    return {
        "frame": [f"t{t}" for t in range(grid.t)],
        share_name: row(shares, at).tolist(),
        "largest at": [record.key_names[key] for key in best],
        "weight there": places.max(axis=1).tolist(),
    }


def _film_strip(
    record: AttentionRecord,
    clip: list[np.ndarray],
    at: dict[str, int],
    first: int,
    opacity: float,
    high: float,
    shares: np.ndarray,
    share_name: str,
    title: str,
) -> Any:
    """One frame large above, all frames below, each with its bar."""
    import matplotlib.pyplot as plt

    grid = record.key_grid
    weights = np.ma.masked_array(row(record.weights, at), ~row(record.visible, at))
    places = weights[len(grid.before) :].reshape(grid.t, grid.y, grid.x)
    tall, wide = clip[0].shape[:2] if clip else (grid.y, grid.x)
    across = min(ACROSS, grid.t)
    large = min(3.4, 5.0 * tall / wide)
    strip = 7.5 * -(-grid.t // across) * (tall / wide + ROOM) / across
    size = (7.5, large + strip + 0.9)
    figure, (above, below) = plt.subplots(2, 1, figsize=size, height_ratios=(large, strip), layout="constrained")
    drawn = draw_places(above, places[first], clip[first] if clip else None, opacity, high)
    above.set_xlabel(f"frame t{first}")
    asking = _frame_of_query(record, at)
    if asking == first:
        mark_query(above, record, at, tall, wide)
    draw_front(above, weights[: len(grid.before)], grid.before, high)
    scale_beside(above, drawn, record)
    below.set_title(f"bars and numbers: {share_name}; orange: the frame above", fontsize=9)
    for t, (weights, share) in enumerate(zip(places, row(shares, at), strict=True)):
        x, y = (t % across) * 1.08, (t // across) * (tall / wide + ROOM)
        paint(below, weights, clip[t] if clip else None, (x, x + 1, y + tall / wide, y), opacity, high)
        _draw_share(below, x, y + tall / wide, t, share, float(shares.max()) or 1.0)
        if t == first:
            frame(below, x - 0.03, y - 0.03, 1.06, tall / wide + 0.06, SOLID)
        if t == asking:
            mark_query(below, record, at, tall / wide, 1, x, y)
    below.set(xlim=(-0.05, across * 1.08), ylim=(-(-grid.t // across) * (tall / wide + ROOM), -0.05))
    below.axis("off")
    figure.suptitle(textwrap.fill(title, 80), parse_math=False)
    return figure


def _frame_of_query(record: AttentionRecord, at: dict[str, int]) -> int | None:
    """The frame that asks, or None where the query is no place of the clip."""
    grid = record.query_grid
    if not can_ask(record) or at["query"] < len(grid.before):
        return None
    return (at["query"] - len(grid.before)) // (grid.y * grid.x)


def _draw_share(ax: Any, x: float, y: float, t: int, share: float, most: float) -> None:
    """A bar from x on, as long as the share, with its number below."""
    from matplotlib.patches import Rectangle

    ax.add_patch(Rectangle((x, y + 0.05), share / most, 0.1, fc="#2166ac"))
    ax.add_patch(Rectangle((x, y + 0.05), 1, 0.1, fill=False, ec="#555555", lw=0.6))
    ax.text(x, y + 0.2, f"t{t}", va="top", fontsize=7)
    ax.text(x + 1, y + 0.2, f"{share:.3f}", va="top", ha="right", fontsize=7)
