"""What the canvas of each view must show, worked out from the records and not from the figure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np

from attnlab.viz.record import AttentionRecord
from attnlab.viz.views import coding
from tests.browser.live_figure import LiveFigure

WEIGHTS = np.round(255 * matplotlib.colormaps["cividis"](np.arange(256))[:, :3]).astype(int)
DIFFERENCES = np.round(255 * matplotlib.colormaps["PuOr_r"](np.arange(256))[:, :3]).astype(int)
Records = dict[str, Any]


def kept(record: AttentionRecord) -> np.ndarray:
    """The weights as one byte each can hold them."""
    coded = coding.encode(record.weights)
    return coding.decode(coded.codes, coded.largest[..., None])


def assert_palette(found: np.ndarray, share: np.ndarray, table: np.ndarray) -> None:
    """Colours (n, 4) are those of the table at `share` of it (n,), give or take one step; opaque."""
    level = np.round(255 * share).astype(int).ravel()
    near = np.stack([table[np.clip(level + step, 0, 255)] for step in (-1, 0, 1)])
    wrong = ~(near == found[None, :, :3]).all(-1).any(0) | (found[:, 3] != 255)
    assert not wrong.any(), [(i, found[i].tolist(), table[level[i]].tolist()) for i in np.flatnonzero(wrong)[:5]]


def assert_hatched(found: np.ndarray) -> None:
    """No colour of the scale: what is hidden is never taken for a weight."""
    assert (found[:, 3] < 255).all(), found.tolist()


def table(figure: LiveFigure, known: Records) -> None:
    """Every cell of the chosen head has the colour of its weight."""
    record, state = known["words"], figure.state
    _table(figure, record, state, figure.middles(_pairs(record)), kept(record).max())


def _pairs(record: AttentionRecord) -> list[dict[str, int]]:
    return [{"query": q, "key": k} for q in range(record.shape[2]) for k in range(record.shape[3])]


def _table(figure: LiveFigure, record: AttentionRecord, state: dict, points: np.ndarray, high: float) -> None:
    found, at = figure.colours(points), (state["layer"], state["head"])
    seen = record.visible[at].ravel()
    assert_palette(found[seen], kept(record)[at].ravel()[seen] / high, WEIGHTS)
    assert_hatched(found[~seen])


def all_heads(figure: LiveFigure, known: Records) -> None:
    """The large table, and every small one."""
    table(figure, known)
    record = known["words"]
    queries, keys = np.divmod(np.arange(36), 6)
    for layer, head in np.ndindex(record.shape[:2]):
        box = figure.ask("stage.view.thumb(stage.layout, ...given)", [layer, head])
        size = np.array([box["width"], box["height"]]) / 6
        points = [box["x"], box["y"]] + (np.stack([keys, queries], 1) + 0.5) * size
        _table(figure, record, {"layer": layer, "head": head}, points, record.weights.max())


def lines(figure: LiveFigure, known: Records) -> None:
    """Halfway between the columns a line from i to j is at height (i + j) / 2: there is ink there, or there is none.

    Drawn are each query's strongest keys until they have half of its weight.
    """
    figure.put(share=0.5)
    record, state = known["words"], figure.state
    drawn = set()
    for query, row in enumerate(record.weights[state["layer"], state["head"]]):
        order = np.argsort(-row, kind="stable")
        enough = np.searchsorted(np.cumsum(row[order]), 0.5 * row.sum() - 1e-6) + 1
        drawn |= {(query, int(key)) for key in order[:enough] if row[key] > 0}
    levels = {sum(pair) for pair in drawn}
    assert 0 < len(levels) < 11, "this head cannot tell drawn from not drawn"
    layout, [first, last] = figure.ask("stage.layout"), figure.middles([{"side": 0, "query": q} for q in (0, 5)])
    middle = (layout["x0"] + layout["x1"]) / 2
    heights = first[1] + (last[1] - first[1]) * np.arange(11) / 10
    found = figure.colours(np.stack([np.full(11, middle), heights], 1))
    assert {level for level in range(11) if found[level, 3] > 0} == levels
    chosen = [query + key for query, key in drawn if query == state["query"]]
    strongest = record.weights[state["layer"], state["head"], state["query"]].argmax() + state["query"]
    assert strongest in chosen
    assert np.abs(found[strongest, :3].astype(int) - figure.colour_of("chosen")).max() < 40
    figure.put(share=0.9)


def bars_of_dimensions(figure: LiveFigure, known: Records) -> None:
    """Four strips: each bar goes up or down, in the colour of its sign, as far as its number."""
    record, state = known["words"], figure.state
    layer, head, query, key = (state[axis] for axis in ("layer", "head", "query", "key"))
    q, keys = record.queries[layer, head, query], record.keys[layer, head]
    products = q * keys
    strips = [
        (q, np.abs(record.queries[layer, head]).max()),
        (keys[key], np.abs(keys).max()),
        (products[key], np.abs(products).max()),
        (products[key].cumsum(), np.abs(products.cumsum(-1)).max()),
    ]
    shown, scale = figure.pixels()
    [x, y, _, height] = figure.boxes([{"unit": 0}])[0]
    columns = ((figure.middles([{"unit": unit} for unit in range(len(q))])[:, 0]) * scale).astype(int)
    strip, gap = 58, 16
    assert height == 4 * strip + 3 * gap
    for number, (values, largest) in enumerate(strips):
        top = y + number * (strip + gap)
        rows = slice(round(top * scale), round((top + strip) * scale))
        for column, value in zip(columns, values, strict=True):
            name = "negative" if value < 0 else "positive"
            inked = (np.abs(shown[rows, column, :3].astype(int) - figure.colour_of(name)).max(-1) < 8) & (
                shown[rows, column, 3] == 255
            )
            length = strip / 2 * abs(value) / largest
            assert abs(inked.sum() / scale - length) < 2, (number, value)
            if length > 4:
                middle = np.flatnonzero(inked).mean() / scale
                assert (middle > strip / 2) == (value < 0), "up is positive, down is negative"


def three_tables(figure: LiveFigure, known: Records) -> None:
    first, second, state = known["words"], known["others"], figure.state
    at = (state["layer"], state["head"])
    high = max(first.weights.max(), second.weights.max())
    seen = first.visible[at].ravel()
    change = (second.weights - first.weights)[at].ravel()[seen]
    most = np.abs(second.weights - first.weights).max()
    for number, record in enumerate((first, second, None)):
        layout = figure.ask("stage.layout.tables[given]", number)
        places = np.array([[pair["key"], pair["query"]] for pair in _pairs(first)]) + 0.5
        points = [layout["box"]["x"], layout["box"]["y"]] + places * layout["cell"]
        if record is not None:
            _table(figure, record, state, points, high)
            continue
        found = figure.colours(points)
        assert_palette(found[seen], (1 + change / most) / 2, DIFFERENCES)
        assert_hatched(found[~seen])


def patches(figure: LiveFigure, record: AttentionRecord) -> None:
    """Every key of the chosen query, on the picture or in front of it, is covered by the colour of its weight."""
    state = figure.state
    keys = np.arange(record.shape[3])
    if "frame" in state:
        grid = record.key_grid
        keys = keys[len(grid.before) + state["frame"] * grid.y * grid.x :][: grid.y * grid.x]
    row = kept(record)[state["layer"], state["head"], state["query"]]
    points = figure.middles([{"key": int(key)} for key in keys])
    if record.kind == "gate":
        assert_palette(figure.colours(points), row[keys], WEIGHTS)
        return
    for scale, high in enumerate([row.max(), record.weights.max()]):
        figure.put(scale=scale)
        assert_palette(figure.colours(points), row[keys] / high, WEIGHTS)


def over_a_picture(figure: LiveFigure, known: Records) -> None:
    record = known["patches"]
    figure.put(query=3)
    patches(figure, record)
    figure.put(opacity=0)
    boxes = figure.boxes([{"key": key} for key in range(1, 13)])
    points = boxes[:, :2] + boxes[:, 2:] * 8.5 / 16  # in each patch, its ninth pixel across and down
    under = known["image"].reshape(3, 16, 4, 16, 3)[:, 8, :, 8].reshape(12, 3)
    assert np.abs(figure.colours(points)[:, :3].astype(int) - under).max() <= 1, "the picture itself, at its places"
    figure.put(opacity=1)


def over_a_clip(figure: LiveFigure, known: Records) -> None:
    record = known["clip"]
    for frame in range(3):
        figure.put(frame=frame, query=3)
        patches(figure, record)


def over_places(figure: LiveFigure, known: Records) -> None:
    patches(figure, known["places"])


def bars_of_a_gate(figure: LiveFigure, known: Records) -> None:
    """Each bar ends at the height of its number."""
    record, state = known["channels"], figure.state
    shown, scale = figure.pixels()
    plot, seam = figure.ask("stage.layout.plot"), 0.03  # the step of the mean may hide the end of a bar
    middles = figure.middles([{"key": key} for key in range(record.shape[3])])
    for value, (x, _) in zip(record.weights[0, 0, state["query"]], middles, strict=True):
        column = shown[: round((plot["y"] + plot["height"]) * scale), int((x + 3) * scale)]
        inked = (np.abs(column[:, :3].astype(int) - figure.colour_of("line")).max(-1) < 8) & (column[:, 3] == 255)
        end = 1 - (np.flatnonzero(inked)[0] / scale - plot["y"]) / plot["height"]
        assert abs(end - value) < seam, (end, value)


PROBES: dict[str, Callable[[LiveFigure, Records], None]] = {
    "heatmap": table,
    "heads": all_heads,
    "links": lines,
    "neuron": bars_of_dimensions,
    "compare": three_tables,
    "overlay": over_a_picture,
    "space_time": over_a_clip,
    "gate": bars_of_a_gate,
    "gate in space": over_places,
}
