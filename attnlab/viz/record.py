"""One record of attention, whatever it came from: words, patches, frames, channels.

Weights have four axes, always in this order: layer, head, query, key. A gate (squeeze-and-excitation, CBAM) is told
in the same four: its *queries* are the inputs it was computed for, its *keys* the channels or places it opens and
closes. A view, a table or a description therefore needs to know one shape only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from attnlab.viz import analysis, words
from attnlab.viz.validation import AXES, as_array, checked

KINDS = ("self", "cross", "gate")


@dataclass(frozen=True)
class Grid:
    """How tokens lie in a picture or a clip: t frames of y rows by x columns, in that order, after some others.

    before: the names of tokens that stand in front of the grid and belong to no place ("[CLS]", registers).
    """

    y: int
    x: int
    t: int = 1
    before: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "before", tuple(self.before))

    @property
    def places(self) -> int:
        return self.t * self.y * self.x

    @property
    def size(self) -> int:
        return len(self.before) + self.places

    def names(self) -> tuple[str, ...]:
        """ "y2 x3", with the frame in front where there are several."""
        frame = (lambda t: f"t{t} ") if self.t > 1 else (lambda t: "")
        places = (f"{frame(t)}y{y} x{x}" for t in range(self.t) for y in range(self.y) for x in range(self.x))
        return (*self.before, *places)


class Link(NamedTuple):
    """One weight with where it stands: index of the layer, names of head, query and key."""

    layer: int
    head: str
    query: str
    key: str
    weight: float


@dataclass(frozen=True, eq=False)
class AttentionRecord:
    """Attention weights (layer, head, query, key) with what is needed to read them.

    weights: array or tensor; (query, key) and (head, query, key) are given the axes they lack.
    kind: "self" and "cross", whose rows sum to one, or "gate", whose numbers stand each for itself.
    query_labels, key_labels: one text for each; for "self" the keys' are taken from the queries' when missing.
    query_grid, key_grid: a `Grid`, where the tokens are places of a picture or a clip.
    mask: boolean, True = may be seen, broadcast to the weights' axes. A query that may see nothing has zeros.
    source: the name of each layer, such as the module that computed it.
    heads: the name of each head, where its number is not enough.
    queries, keys: the vectors (layer, head, query or key, width) whose products became the weights, and `scale`,
        what the products were multiplied by. The neuron view needs them; all other views do without.
    over: for a gate, what it opens and closes: "channel", "space" or "time".
    complete: False once keys were left out, so that rows need no longer sum to one.

    Raises ValueError, naming what was expected and what came, for a wrong rank, empty axes, labels or grids that do
    not fit, NaN or infinite or negative weights, rows that do not sum to one, and weight on what is hidden.
    """

    weights: np.ndarray
    kind: str = "self"
    query_labels: Sequence[str] | None = None
    key_labels: Sequence[str] | None = None
    query_grid: Grid | None = None
    key_grid: Grid | None = None
    mask: np.ndarray | None = None
    source: Sequence[str] = ()
    heads: Sequence[str] = ()
    queries: np.ndarray | None = None
    keys: np.ndarray | None = None
    scale: float | None = None
    over: str = ""
    complete: bool = True
    _cache: dict[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for name, value in checked(self).items():
            object.__setattr__(self, name, value)

    # ------------------------------------------------------------------ what it is

    @classmethod
    def gate(
        cls,
        values: Any,
        over: str = "channel",
        items: Sequence[str] | None = None,
        labels: Sequence[str] | None = None,
        source: Sequence[str] = (),
    ) -> AttentionRecord:
        """A gate: values (channels,), (y, x), (t,) or (t, y, x), with [layers and] inputs in front.

        over: "channel" or "time" (one axis), "space" (two), "space-time" (three).
        items: a name for each input; labels: a name for each channel or moment.
        """
        axes = {"channel": 1, "time": 1, "space": 2, "space-time": 3}
        if over not in axes:
            raise ValueError(f"Expected over= one of {', '.join(axes)}; got {over!r}.")
        values = as_array(values, "gate values")
        own = axes[over]
        if not own <= values.ndim <= own + 2:
            raise ValueError(
                f"Expected a gate over {over} to have {own} to {own + 2} axes ([layer], [input], then its own); "
                f"got shape {values.shape}."
            )
        values = values.reshape((1,) * (own + 2 - values.ndim) + values.shape)
        layers, inputs, *places = values.shape
        grid = None
        if over.startswith("space"):
            t, y, x = (1, *places)[-3:]
            grid = Grid(y=y, x=x, t=t)
        return cls(
            values.reshape(layers, 1, inputs, -1),
            kind="gate",
            query_labels=items if items is not None else tuple(f"input {i}" for i in range(inputs)),
            key_labels=labels,
            key_grid=grid,
            source=source,
            over="space" if grid else over,
        )

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return self.weights.shape

    @property
    def query_names(self) -> tuple[str, ...]:
        return _names(self.query_labels, self.query_grid, self.shape[2])

    @property
    def key_names(self) -> tuple[str, ...]:
        return _names(self.key_labels, self.key_grid, self.shape[3])

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Short: of the sources only the part in which they differ, and "layer 3" where that is a number."""
        return shortened(self.source) or tuple(f"layer {i}" for i in range(self.shape[0]))

    @property
    def head_names(self) -> tuple[str, ...]:
        return tuple(self.heads) or tuple(str(i) for i in range(self.shape[1]))

    @property
    def visible(self) -> np.ndarray:
        """The mask with all four axes: (layer, head, query, key), True where a key may be seen."""
        mask = np.True_ if self.mask is None else self.mask
        return np.broadcast_to(mask, self.shape)

    @property
    def chosen(self) -> np.ndarray:
        """The weights, without the rows in which only one key may be seen, as long as other rows are left."""
        if self.kind == "gate" or (self.mask is None and self.shape[3] > 1):
            return self.weights
        free = self.visible.sum(axis=-1, keepdims=True) > 1
        return self.weights * free if free.any() else self.weights

    @property
    def digest(self) -> str:
        """The same for the same weights, names and vectors: views of one record find each other by it."""
        if "digest" not in self._cache:
            told = hashlib.sha256(json.dumps([self.kind, self.shape, self.query_names, self.key_names]).encode())
            for array in (self.weights, self.mask, self.queries, self.keys):
                told.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
            self._cache["digest"] = told.hexdigest()[:12]
        return self._cache["digest"]

    # ------------------------------------------------------------------ other records made of it

    def select(self, layer: Any = None, head: Any = None, query: Any = None, key: Any = None) -> AttentionRecord:
        """A part of it, with all four axes kept.

        Each argument: an index, a list of indices, a slice; or a name, or a list of names.
        Where keys are left out, rows no longer sum to one; `renormalised` shares them out anew.
        """
        chosen = {
            "layer": _indices(layer, self.layer_names, "layer"),
            "head": _indices(head, self.head_names, "head"),
            "query": _indices(query, self.query_names, "query"),
            "key": _indices(key, self.key_names, "key"),
        }
        at = np.ix_(*chosen.values())
        changes: dict[str, Any] = {"weights": self.weights[at], "_cache": {}}
        if self.mask is not None:
            changes["mask"] = self.visible[at]
        if self.source:
            changes["source"] = [self.source[i] for i in chosen["layer"]]
        if len(chosen["head"]) < self.shape[1] or self.heads:
            changes["heads"] = [self.head_names[i] for i in chosen["head"]]
        for side, vectors in (("query", self.queries), ("key", self.keys)):
            if vectors is not None:
                own = np.ix_(chosen["layer"], chosen["head"], chosen[side], range(vectors.shape[-1]))
                changes["queries" if side == "query" else "keys"] = vectors[own]
            everything = getattr(self, f"{side}_names")
            if len(chosen[side]) < len(everything) or list(chosen[side]) != list(range(len(everything))):
                changes[f"{side}_labels"] = [everything[i] for i in chosen[side]]
                changes[f"{side}_grid"] = None
        if len(chosen["key"]) < self.shape[3]:
            changes["complete"] = self.kind == "gate"
        if self.kind == "self" and list(chosen["query"]) != list(chosen["key"]):
            changes["kind"] = "cross"  # no longer one sequence looking at itself
        return replace(self, **changes)

    def renormalised(self) -> AttentionRecord:
        """Rows shared out anew so that they sum to one; a row without weight stays zero and counts as hidden."""
        sums = self.weights.sum(axis=-1, keepdims=True)
        weights = np.divide(self.weights, sums, out=np.zeros_like(self.weights), where=sums > 0)
        mask = self.visible & (sums > 0)
        return replace(self, weights=weights, mask=None if mask.all() else mask, complete=True, _cache={})

    def mean(self, *axes: str) -> AttentionRecord:
        """The mean over "head", "layer" or both; for a gate also over "query", its inputs. The axes stay."""
        allowed = ("layer", "head", "query") if self.kind == "gate" else ("layer", "head")
        if not axes or set(axes) - set(allowed):
            raise ValueError(f"Expected mean over {' or '.join(allowed)}; got {axes or 'nothing'}.")
        numbers = tuple(AXES.index(axis) for axis in axes)
        changes: dict[str, Any] = {"weights": self.weights.mean(axis=numbers, keepdims=True), "_cache": {}}
        if self.mask is not None:
            changes["mask"] = self.visible.any(axis=numbers, keepdims=True)
            # A query that one head hides and another does not has rows that sum to less than one.
            changes["complete"] = self.complete and bool((self.visible == changes["mask"]).all())
        if "layer" in axes and self.shape[0] > 1:
            changes["source"] = [f"mean of {self.shape[0]} layers"]
        if "head" in axes and self.shape[1] > 1:
            changes["heads"] = [f"mean of {self.shape[1]}"]
        if "query" in axes:
            changes["query_labels"], changes["query_grid"] = [f"mean of {self.shape[2]} inputs"], None
        return replace(self, **changes, queries=None, keys=None, scale=None)

    def rollout(self, residual: float = 0.5) -> AttentionRecord:
        """Attention followed through all layers, as one table (Abnar and Zuidema 2020).

        Heads are averaged, the skip connection is a share `residual` of the identity, later layers multiply from
        the left. Raises ValueError unless queries and keys are the same tokens.
        """
        if self.kind != "self" or self.shape[2] != self.shape[3]:
            raise ValueError(
                f'Rollout needs self-attention, the same tokens as queries and keys; got kind "{self.kind}" with '
                f"{self.shape[2]} queries and {self.shape[3]} keys."
            )
        if not self.complete:
            raise ValueError("Rollout needs whole rows; keys were left out here. Call .renormalised() first.")
        table = analysis.rollout(self.weights, residual)
        return replace(
            self, weights=table[None, None], mask=None, source=[f"rollout of {self.shape[0]} layers"],
            heads=["all"], queries=None, keys=None, scale=None, _cache={},
        )  # fmt: skip

    def at_temperature(self, temperature: float) -> AttentionRecord:
        """The weights that a softmax at this temperature would have given: w^(1/T), shared out anew.

        Below 1 sharper, above 1 flatter. It needs no scores: a softmax forgets only a constant per row.
        """
        if not temperature > 0:
            raise ValueError(f"Expected a temperature above 0, got {temperature}.")
        if self.kind == "gate":
            raise ValueError("A gate has no softmax, so no temperature.")
        largest = self.weights.max(axis=-1, keepdims=True)
        relative = np.divide(self.weights, largest, out=np.zeros_like(self.weights), where=largest > 0)
        weights = relative ** (1 / temperature)
        sums = weights.sum(axis=-1, keepdims=True)
        weights = np.divide(weights, sums, out=np.zeros_like(weights), where=sums > 0)
        return replace(self, weights=weights, scale=None, queries=None, keys=None, _cache={})

    def masked(self, mask: Any) -> AttentionRecord:
        """The weights if fewer keys could be seen: hidden ones get none, the others share (True = may be seen)."""
        mask = self.visible & as_array(mask, "mask").astype(bool)
        return replace(self, weights=self.weights * mask, mask=mask, complete=False, _cache={}).renormalised()

    # ------------------------------------------------------------------ numbers about it

    def top_links(self, n: int = 10, itself: bool = True) -> list[Link]:
        """The n largest weights, largest first; `itself=False` leaves out tokens that look at themselves.

        Queries that may see a single key are left out too, unless there are no others: they choose nothing.
        """
        weights = self.chosen
        if not itself and self.kind == "self":
            weights = np.where(np.eye(*self.shape[2:], dtype=bool), 0, weights)
        heads, queries, keys = self.head_names, self.query_names, self.key_names
        found = analysis.largest(weights, n)
        return [Link(i, heads[j], queries[q], keys[k], float(weights[i, j, q, k])) for i, j, q, k in found]

    def entropy(self) -> np.ndarray:
        """Entropy in nats of every row, (layer, head, query). exp(entropy): as if so many keys were seen."""
        if self.kind == "gate":
            raise ValueError("A gate is no distribution, so it has no entropy.")
        if "entropy" not in self._cache:
            self._cache["entropy"] = analysis.entropy(self.weights)
            self._cache["entropy"].flags.writeable = False
        return self._cache["entropy"]

    def describe(self) -> str:
        """A paragraph in words: strongest links, how sharp, how local, how symmetric, heads that do nothing."""
        return words.describe(self)

    def to_table(self, n: int = 10) -> Mapping[str, Sequence[Any]]:
        """The n strongest links by column: what the picture shows, in numbers."""
        links = self.top_links(n)
        columns = {name: [link[i] for link in links] for i, name in enumerate(Link._fields)}
        if self.kind == "gate":
            columns["input"], columns[self.over or "key"] = columns.pop("query"), columns.pop("key")
            columns["gate"] = columns.pop("weight")
        for name, axis in (("head", 1), ("layer", 0)):
            if self.shape[axis] == 1:
                del columns[name]
        return columns

    # ------------------------------------------------------------------ on disk, and in a notebook

    def save(self, path: str | Path) -> Path:
        """Write one .npz file: arrays and a line of JSON, nothing that runs when it is read."""
        path = Path(path)
        if path.suffix != ".npz":
            raise ValueError(f'Expected a file name that ends in ".npz", got "{path.name}".')
        arrays = {name: getattr(self, name) for name in ("weights", "mask", "queries", "keys")}
        grids = {name: vars(grid) for name in ("query_grid", "key_grid") if (grid := getattr(self, name))}
        rest = {name: getattr(self, name) for name in ("kind", "scale", "over", "complete")}
        lists = {name: getattr(self, name) for name in ("query_labels", "key_labels", "source", "heads")}
        about = json.dumps(rest | lists | grids)
        with path.open("wb") as file:
            np.savez_compressed(
                file, about=np.array(about), **{name: array for name, array in arrays.items() if array is not None}
            )
        return path

    @classmethod
    def load(cls, path: str | Path) -> AttentionRecord:
        """Read what `save` wrote. Raises ValueError for any other file."""
        try:
            with np.load(path, allow_pickle=False) as file:
                about = json.loads(str(file["about"]))
                arrays = {name: file[name] for name in file.files if name != "about"}
        except (KeyError, ValueError) as error:
            raise ValueError(f'"{Path(path).name}" is no attention record that `save` wrote: {error}') from error
        grids = {name: Grid(**about.pop(name)) for name in ("query_grid", "key_grid") if name in about}
        return cls(**arrays, **about, **grids)

    def bertviz(self, view: str = "head") -> Any:
        """The same record in BertViz: its "head", "model" or "neuron" view, in a frame that needs no network.

        Needs `pip install 'attnlab[bertviz]'`. What is too large for it is shown in our own view instead, with a
        line that says so.
        """
        from attnlab.viz.bertviz import show

        return show(self, view)

    def __repr__(self) -> str:
        layers, heads, queries, keys = self.shape
        return f"AttentionRecord({self.kind}: layers {layers}, heads {heads}, queries {queries}, keys {keys})"

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        from attnlab.viz.views import fitting_view

        return fitting_view(self)._repr_mimebundle_()


def _names(labels: Sequence[str] | None, grid: Grid | None, size: int) -> tuple[str, ...]:
    if labels is not None:
        return tuple(labels)
    return grid.names() if grid else tuple(str(i) for i in range(size))


def shortened(paths: Sequence[str]) -> tuple[str, ...]:
    """Dotted paths without what they share in front and behind; a single one stays whole."""
    parts = [path.split(".") for path in paths]
    if len(set(paths)) < 2:
        return tuple(paths)
    shortest = min(map(len, parts))
    front = next((i for i in range(shortest) if len({part[i] for part in parts}) > 1), shortest)
    behind = next((i for i in range(shortest - front) if len({part[-1 - i] for part in parts}) > 1), shortest - front)
    kept = [".".join(part[front : len(part) - behind]) or path for part, path in zip(parts, paths, strict=True)]
    return tuple(f"layer {name}" if name.isdigit() else name for name in kept)


def _indices(chosen: Any, names: Sequence[str], axis: str) -> list[int]:
    """What was chosen of an axis, as a list of indices."""
    if chosen is None:
        return list(range(len(names)))
    if isinstance(chosen, slice):
        found = list(range(len(names)))[chosen]
    else:
        one_by_one = [chosen] if isinstance(chosen, str | int | np.integer) else list(chosen)
        found = [_index(item, names, axis) for item in one_by_one]
    if not found:
        raise ValueError(f"Nothing left: {chosen!r} selects no {axis} of {len(names)}.")
    return found


def _index(item: Any, names: Sequence[str], axis: str) -> int:
    if isinstance(item, str):
        if item not in names:
            raise ValueError(f"No {axis} is called {item!r}; there are {', '.join(map(repr, names[:12]))}.")
        return list(names).index(item)
    if not -len(names) <= item < len(names):
        raise ValueError(f"Expected {axis} between 0 and {len(names) - 1}, got {item}.")
    return int(item) % len(names)
