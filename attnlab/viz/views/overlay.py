"""The weights of one query laid over a picture: each key is a patch of it."""

from __future__ import annotations

import math
import textwrap
from typing import Any

import numpy as np

from attnlab.viz.record import AttentionRecord, Grid
from attnlab.viz.views.coding import MOST_WEIGHTS
from attnlab.viz.views.part import cut, left_out, part_that_fits
from attnlab.viz.views.pictures import data_uri, pixels, several
from attnlab.viz.views.view import View, axes_of, checked_start, highest, view_of

KEYS_HELP = (
    "Arrow keys move the cell over the picture and up to the tokens in front of it, {ask}comma and full stop change "
    "the head, page up and down the layer, Escape leaves the figure."
)
ASK = "Enter or Space asks from there, "


def overlay(
    record: AttentionRecord,
    image: Any = None,
    query: int | str | None = None,
    layer: int | None = None,
    head: int | None = None,
    opacity: float = 0.6,
    same_scale: bool = False,
    title: str = "",
    alt: str = "",
) -> View:
    """Where in a picture one query looks: its weights as patches over the picture, none smoothed.

    record: its keys lie on a grid of one frame (`key_grid`); tokens before the grid stand above the picture. Where
        queries lie on the same grid, a click on a patch asks from there; others are chosen by name.
    image: (y, x) or (y, x, 3), uint8 or floats from 0 to 1, of any size: the grid is stretched over all of it, so
    crop it as the model did. For a gate over several inputs, a list with one for each. None: the weights alone.
    query: index or name; layer, head: index; all three: what is asked first, else the strongest link.
    same_scale: colours go up to the largest weight of the record, so that queries, heads and records can be compared;
        otherwise up to the largest of the query that asks, which the colour bar shows. It can be changed in the figure.
    opacity: of the weights over the picture, 0 to 1; at 1 colours are exactly those of the scale.

    Raises ValueError for a record without a grid or with several frames, and for a picture that is none.
    """
    grid = grid_of_keys(record)
    if grid.t > 1:
        raise ValueError(f"Expected keys on a grid of one frame, got {grid.t} frames. Use space_time(record, frames).")
    images = _images(record, image)
    start = {"layer": layer, "head": head, "query": query_index(record, query)}
    shown, start, missing = kept_whole(record, start)
    high = highest(record)  # of all of it, also where only a part is shown
    at = checked_start(shown, start)
    top = high if same_scale or record.kind == "gate" else float(row(shown.weights, at).max()) or 1.0

    def picture(shown: AttentionRecord) -> Any:
        import matplotlib.pyplot as plt

        under = images[at["query"] if len(images) > 1 else 0] if images else None
        tall, wide = under.shape[:2] if images else (grid.y, grid.x)
        scale = min(4.6 / wide, 4.2 / tall)
        size = max(2.4, wide * scale) + 1.4, max(1.0, tall * scale) + (1.2 if grid.before else 0.5)
        figure, ax = plt.subplots(figsize=size, layout="constrained")
        weights = np.ma.masked_array(row(shown.weights, at), ~row(shown.visible, at))
        drawn = draw_places(ax, weights[len(grid.before) :].reshape(grid.y, grid.x), under, opacity, top)
        mark_query(ax, shown, at, tall, wide)
        draw_front(ax, weights[: len(grid.before)], grid.before, top)
        figure.suptitle(textwrap.fill(view.title, 60), parse_math=False)
        scale_beside(ax, drawn, shown)
        return figure

    title = title or finding(shown, at)
    view = view_of(
        "overlay",
        shown,
        picture,
        title,
        alt or f"{title}. {in_words(shown, at)} {record.describe()}",
        start,
        extra={"pictures": [data_uri(one) for one in images], "high": high},
        extra_start={"opacity": checked_opacity(opacity), "scale": int(same_scale or record.kind == "gate")},
        keys_help=KEYS_HELP.format(ask=ASK if can_ask(shown) else ""),
        table=shown.select(**{axis: at[axis] for axis in ("layer", "head", "query")}).to_table(),
        more_note=missing,
    )
    return view


def _images(record: AttentionRecord, image: Any) -> list[np.ndarray]:
    inputs = record.shape[2]
    if image is None:
        return []
    if record.kind == "gate" and (inputs > 1 or isinstance(image, list | tuple)):
        return several(image, inputs, "image")
    if isinstance(image, list | tuple) and np.ndim(image[0]) >= 2:
        raise ValueError(
            f"Expected one picture, got {len(image)}: all queries of attention look at the same one. "
            "Only a gate has one for each of its inputs."
        )
    return [pixels(image)]


# ---------------------------------------------------------------------- shared with the view of clips


def grid_of_keys(record: AttentionRecord) -> Grid:
    """Where the keys lie. Raises ValueError, saying how to tell, where the record does not know."""
    if record.key_grid is None:
        raise ValueError(
            f"Expected a record whose keys lie on a grid; the places of its {record.shape[3]} keys are unknown. "
            f"Say how they lie when the record is made, such as key_grid={_guess(record.shape[3])}."
        )
    return record.key_grid


def _guess(size: int) -> str:
    """A grid with that many tokens, as one would write it: square, with a class token if that fits better."""
    side = math.isqrt(size)
    if side * side != size and math.isqrt(size - 1) ** 2 == size - 1:
        side = math.isqrt(size - 1)
        return f'Grid(y={side}, x={side}, before=("[CLS]",))'
    rows = next(y for y in range(side, 0, -1) if size % y == 0)
    return f"Grid(y={rows}, x={size // rows})"


def query_index(record: AttentionRecord, query: int | str | None) -> int | None:
    """The place of a query that may be given by its name. Raises ValueError for an unknown one."""
    if not isinstance(query, str):
        return query
    if query not in record.query_names:
        some = ", ".join(map(repr, record.query_names[:12]))
        raise ValueError(f"Expected the name of a query, got {query!r}. There are {some}.")
    return record.query_names.index(query)


def checked_opacity(opacity: float) -> float:
    if not 0 <= opacity <= 1:
        raise ValueError(f"Expected opacity from 0 (the picture alone) to 1 (the weights alone), got {opacity}.")
    return float(opacity)


def kept_whole(
    record: AttentionRecord, start: dict[str, int | None], most: int = MOST_WEIGHTS
) -> tuple[AttentionRecord, dict[str, int | None], str]:
    """A part of the record that fits into an output with all its places, what is chosen in it, and what to say.

    Pooling would mix places. So where one head is too large its chosen query is kept, and where all heads are, those
    of one layer or a single one. Raises ValueError for a gate of too many inputs: they belong together.
    """
    told, chosen = [], checked_start(record, start)
    if record.shape[2] * record.shape[3] > most:
        if record.kind == "gate":
            raise ValueError(
                f"Expected a gate of at most {most} values for one output, got {record.shape[2]} inputs with "
                f"{record.shape[3]} each. Show fewer inputs: record.select(query=slice(16))."
            )
        told.append(f'Only query "{record.query_names[chosen["query"]]}" is here: all of them would be too large.')
        record = record.select(query=chosen["query"])
        start, chosen = start | {"query": None}, chosen | {"query": 0}
    part = part_that_fits(record, chosen, record.shape[2] * record.shape[3], most)
    told.append(left_out(record, part))
    start = {axis: None if axis in part else place for axis, place in start.items()}
    return cut(record, part), start, " ".join(filter(None, told))


def row(array: np.ndarray, at: dict[str, int]) -> np.ndarray:
    """The numbers of one query, (key,)."""
    return array[at["layer"], at["head"], at["query"]]


def finding(record: AttentionRecord, at: dict[str, int]) -> str:
    """The title where none is given: where the chosen query looks most."""
    verb = f"opens widest for {axes_of(record)['key']}" if record.kind == "gate" else "looks most at"
    query, key = record.query_names[at["query"]], record.key_names[at["key"]]
    return f'"{query}" {verb} "{key}" ({record.weights[tuple(at.values())]:.2f})'


def in_words(record: AttentionRecord, at: dict[str, int]) -> str:
    """What the picture shows, for whoever does not see it: whose weights, the largest, and what lies in front."""
    weights, grid = row(record.weights, at), record.key_grid
    head = f"head {record.head_names[at['head']]}, " if record.shape[1] > 1 else ""
    layer = f"{record.layer_names[at['layer']]}, " if record.shape[0] > 1 else ""
    gate = record.kind == "gate"
    place = int(weights[len(grid.before) :].argmax()) + len(grid.before)
    what = "largest value" if gate else "largest weight on a place"
    told = f'The {what} is {weights[place]:.2f}, at "{record.key_names[place]}".'
    front = [f'"{name}" gets {weight:.2f}' for name, weight in zip(grid.before, weights, strict=False)]
    shown = f'Shown: {layer}{head}{"input" if gate else "query"} "{record.query_names[at["query"]]}". {told}'
    return f"{shown} {', '.join(front)}." if front else shown


def can_ask(record: AttentionRecord) -> bool:
    """Whether a place of the picture is also a query."""
    own, other = record.query_grid, record.key_grid
    return own is not None and (own.t, own.y, own.x) == (other.t, other.y, other.x)


# ---------------------------------------------------------------------- static drawing


def draw_places(ax: Any, weights: np.ma.MaskedArray, image: np.ndarray | None, opacity: float, high: float) -> Any:
    """Weights (rows, columns) over an image on matplotlib axes; returns them as drawn, for a colour bar."""
    tall, wide = weights.shape if image is None else image.shape[:2]
    extent = (0, wide, tall, 0)
    ax.set(xticks=[], yticks=[])
    return paint(ax, weights, image, extent, opacity, high)


def paint(
    ax: Any,
    weights: np.ma.MaskedArray,
    image: np.ndarray | None,
    extent: tuple[float, float, float, float],
    opacity: float,
    high: float,
) -> Any:
    """The same at a place of the axes, extent (left, right, bottom, top). What may not be seen is hatched."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    if image is not None:
        ax.imshow(image, extent=extent, cmap="gray", vmin=0, vmax=255)
    left, right, bottom, top = extent
    width, height = (right - left) / weights.shape[1], (bottom - top) / weights.shape[0]
    hidden = np.argwhere(np.ma.getmaskarray(weights))
    cells = [Rectangle((left + x * width, top + y * height), width, height) for y, x in hidden]
    ax.add_collection(PatchCollection(cells, hatch="////", fc="#ffffff99", ec="#00000055", lw=0))
    alpha = None if image is None else opacity
    look = {"cmap": "cividis", "vmin": 0, "vmax": high, "interpolation": "nearest", "alpha": alpha}
    return ax.imshow(weights, extent=extent, aspect="equal", **look)


def scale_beside(ax: Any, drawn: Any, record: AttentionRecord) -> None:
    """The scale of the colours, opaque also where the weights are not."""
    bar = ax.figure.colorbar(drawn, ax=ax, label="gate" if record.kind == "gate" else "weight", shrink=0.85)
    bar.solids.set_alpha(1)


def mark_query(
    ax: Any, record: AttentionRecord, at: dict[str, int], tall: float, wide: float, x: float = 0, y: float = 0
) -> None:
    """A dashed frame around the patch that asks, where it has a place; x, y: the corner of the picture."""
    if not can_ask(record) or at["query"] < len(record.query_grid.before):
        return
    grid = record.key_grid
    row, column = divmod((at["query"] - len(record.query_grid.before)) % (grid.y * grid.x), grid.x)
    frame(ax, x + column * wide / grid.x, y + row * tall / grid.y, wide / grid.x, tall / grid.y)


DASHES = (("white", "-"), ("black", (0, (3, 3))))  # who asks; seen on every colour
SOLID = (("#b35806", "-"),)  # what is chosen


def frame(ax: Any, x: float, y: float, width: float, height: float, lines: Any = DASHES) -> None:
    from matplotlib.patches import Rectangle

    for colour, line in lines:
        ax.add_patch(Rectangle((x, y), width, height, fill=False, ec=colour, ls=line, lw=1.8, clip_on=False, zorder=5))


def draw_front(ax: Any, weights: np.ma.MaskedArray, names: tuple[str, ...], high: float) -> None:
    """The tokens before the grid, as a row of cells above the picture."""
    if not names:
        return
    cells = ax.inset_axes((0, 1.04, min(1.0, 0.12 * len(names)), 0.08))
    cells.patch.set(hatch="////", edgecolor="#00000055", facecolor="white")
    cells.imshow(weights[None], cmap="cividis", vmin=0, vmax=high, aspect="auto", interpolation="nearest")
    cells.set(yticks=[])
    cells.set_xticks(range(len(names)), names, rotation=45 if len(names) > 1 else 0, ha="left", parse_math=False)
    cells.xaxis.tick_top()
    cells.tick_params(length=0)
