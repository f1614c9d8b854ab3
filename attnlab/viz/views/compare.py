"""Two records of one shape side by side, and what changed from the first to the second."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from attnlab.viz import analysis
from attnlab.viz.record import AttentionRecord
from attnlab.viz.validation import AXES
from attnlab.viz.views.coding import at_most, encode
from attnlab.viz.views.part import cut, left_out, part_that_fits, within
from attnlab.viz.views.signed import encode_signed
from attnlab.viz.views.tables import draw_table, table_size
from attnlab.viz.views.view import View, axes_of, checked_start, highest, view_of

BYTES_OF_A_WEIGHT = 4  # one in the first, one in the second, two for the difference


def compare(
    first: AttentionRecord,
    second: AttentionRecord,
    names: Sequence[str] = ("first", "second"),
    layer: int | None = None,
    head: int | None = None,
    title: str = "",
    alt: str = "",
) -> View:
    """Three tables with one cursor: the first record, the second, and second minus first.

    The first two share their colours; the difference has its own, the same distance from zero up and down. names:
    what the two are called. layer, head: what is chosen first; without them, where the difference is largest. Where
    the two have different labels, both are shown, as "a | b".

    Where all heads are too many for one output, the chosen layer or head is sent and the note says so. Raises
    ValueError for records of different shapes, a gate beside attention, names that are not two different ones, and a
    head of more than about 890 x 890 weights.
    """
    names = tuple(map(str, names))
    _check(first, second, names)
    first = _with_both_labels(first, second)
    asked = {"layer": layer, "head": head}
    checked_start(first, asked)
    chosen = _largest_difference(np.abs(second.weights - first.weights), asked)
    part = part_that_fits(first, chosen, BYTES_OF_A_WEIGHT * first.shape[2] * first.shape[3])
    chosen = within(chosen, part)
    pair = Two(cut(first, part), cut(second, part), names)
    title = title or pair.finding(chosen)
    coded, signed = encode(pair.second.weights), encode_signed(pair.difference)
    arrays = {
        "secondCodes": coded.codes, "secondLargest": coded.largest, "diverging": diverging(),
        "differences": signed.codes, "differenceStep": signed.steps.ravel(),
    }  # fmt: skip
    if pair.second.mask is not None:
        arrays["secondMask"] = pair.second.mask.astype(np.uint8)
    note = f"The difference is kept in 16 bits, at most {at_most(signed.error)} off. {left_out(first, part)}".strip()
    return view_of(
        "compare", pair.first, lambda _: _picture(pair, chosen, title), title, alt or f"{title}. {pair.told}",
        {axis: None if place is None else chosen[axis] for axis, place in asked.items()},
        extra={
            "names": list(names), "high": max(highest(pair.first), highest(pair.second)), "most": pair.most,
            "secondMaskShape": None if pair.second.mask is None else list(pair.second.mask.shape),
        },
        extra_start=chosen, arrays=arrays, table=pair.table(),
        more_note=note,
    )  # fmt: skip


def _check(first: AttentionRecord, second: AttentionRecord, names: tuple[str, ...]) -> None:
    if first.shape != second.shape:
        raise ValueError(
            f"Expected two records of one shape (layer, head, query, key), got {first.shape} and {second.shape}. "
            "Select the part they share, record.select(layer=..., query=...), or average, record.mean('head')."
        )
    if (first.kind == "gate") != (second.kind == "gate"):
        raise ValueError(f'Expected two gates or none, got kind "{first.kind}" and "{second.kind}".')
    if len(names) != 2 or names[0] == names[1]:
        raise ValueError(f'Expected two different names, such as ("before", "after"), got {names}.')


def _with_both_labels(first: AttentionRecord, second: AttentionRecord) -> AttentionRecord:
    """The first record; a token that is called otherwise in the second has both names."""
    changes: dict[str, Any] = {}
    for side in ("query", "key"):
        ours, theirs = getattr(first, f"{side}_names"), getattr(second, f"{side}_names")
        if ours != theirs:
            both = zip(ours, theirs, strict=True)
            changes[f"{side}_labels"] = [a if a == b else f"{a} | {b}" for a, b in both]
    return replace(first, **changes, _cache={}) if changes else first


def _largest_difference(sizes: np.ndarray, asked: dict[str, int | None]) -> dict[str, int]:
    for axis, place in asked.items():
        if place is not None:
            here = np.arange(sizes.shape[AXES.index(axis)]) == place
            sizes = np.where(here.reshape([-1 if name == axis else 1 for name in AXES]), sizes, -1)
    return dict(zip(AXES, map(int, np.unravel_index(sizes.argmax(), sizes.shape)), strict=True))


@dataclass(frozen=True)
class Two:
    """Two records of one shape and what they are called."""

    first: AttentionRecord
    second: AttentionRecord
    names: tuple[str, str]

    @functools.cached_property
    def difference(self) -> np.ndarray:
        """(layer, head, query, key), the second's weights minus the first's."""
        return self.second.weights - self.first.weights

    @property
    def most(self) -> float:
        """The largest size of a difference: both ends of its colours."""
        return float(np.abs(self.difference).max())

    def finding(self, at: dict[str, int]) -> str:
        if self.most == 0:
            return f"{self.names[0]} and {self.names[1]} have the same weights"
        place = tuple(at[axis] for axis in AXES)
        a, b = self.first.weights[place], self.second.weights[place]
        query, key = self.first.query_names[at["query"]], self.first.key_names[at["key"]]
        return (
            f'Largest difference: "{query}" to "{key}", {a:.2f} in {self.names[0]} and {b:.2f} in {self.names[1]} '
            f"({b - a:+.2f})"
        )

    @property
    def told(self) -> str:
        a, b = self.names
        return (
            f"Three tables: {a}, {b}, and {b} minus {a}. On average a weight differs by "
            f"{np.abs(self.difference).mean():.2g}, at most by {self.most:.2g}. "
            f"{a}: {self.first.describe()} {b}: {self.second.describe()}"
        )

    def table(self, n: int = 10) -> dict[str, list[Any]]:
        """The n largest differences, largest first."""
        places = analysis.largest(np.abs(self.difference), n)
        record = self.first
        columns: dict[str, list[Any]] = {}
        for axis, number in (("layer", 0), ("head", 1), ("query", 2), ("key", 3)):
            if number > 1 or record.shape[number] > 1:
                columns[axis] = [getattr(record, f"{axis}_names")[place[number]] for place in places]
        # A record may be called "query" too, so weights say that they are weights.
        weights = {f"in {self.names[0]}": record.weights, f"in {self.names[1]}": self.second.weights}
        columns |= {name: [float(values[place]) for place in places] for name, values in weights.items()}
        return columns | {"difference": [float(self.difference[place]) for place in places]}


@functools.cache
def diverging() -> np.ndarray:
    """256 colours (256, 3): purple-blue below zero, near white at it, orange above."""
    import matplotlib

    return np.round(255 * matplotlib.colormaps["PuOr_r"](np.arange(256))[:, :3]).astype(np.uint8)


def _picture(pair: Two, chosen: dict[str, int], title: str) -> Any:
    import matplotlib.pyplot as plt

    width, height = table_size(pair.first)
    figure, axes = plt.subplots(1, 3, figsize=(2.4 * width + 1, height), layout="constrained")
    layer, head = chosen["layer"], chosen["head"]
    high = max(highest(pair.first), highest(pair.second))
    for ax, record, name in zip(axes[:2], (pair.first, pair.second), pair.names, strict=True):
        image = draw_table(ax, replace(record, **_labels_of(pair.first), _cache={}), layer, head, high)
        ax.set_title(_plain(name))
    figure.colorbar(image, ax=axes[1], label="gate" if pair.first.kind == "gate" else "weight", shrink=0.8)
    _draw_difference(figure, axes[2], pair, layer, head)
    told = axes_of(pair.first)
    for ax in axes:
        ax.set_xlabel(told["key"])
    axes[0].set_ylabel(told["query"])
    for ax in axes[1:]:
        ax.set_yticks([])  # the same rows
    figure.suptitle(_plain(title))
    return figure


def _draw_difference(figure: Any, ax: Any, pair: Two, layer: int, head: int) -> None:
    """The same table, with signed numbers in it."""
    draw_table(ax, pair.first, layer, head, 1.0)
    hidden = ~(pair.first.visible | pair.second.visible)[layer, head]
    ax.images[0].remove()
    change = np.ma.masked_array(pair.difference[layer, head], hidden)
    most = pair.most or 1.0
    image = ax.imshow(change, cmap="PuOr_r", vmin=-most, vmax=most, interpolation="nearest", aspect="equal")
    ax.set_title(_plain(f"{pair.names[1]} − {pair.names[0]}"))
    figure.colorbar(image, ax=ax, label="difference", shrink=0.8)


def _labels_of(record: AttentionRecord) -> dict[str, Any]:
    return {"query_labels": record.query_names, "key_labels": record.key_names}


def _plain(text: str) -> str:
    """A dollar sign is no formula."""
    return text.replace("$", r"\$")
