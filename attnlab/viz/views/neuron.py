"""One query against one key, dimension by dimension: where their product, and so the weight, comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from attnlab.viz.record import AttentionRecord
from attnlab.viz.views.coding import at_most
from attnlab.viz.views.part import cut, left_out, part_that_fits, within
from attnlab.viz.views.signed import encode_signed
from attnlab.viz.views.view import View, checked_start, described, view_of

KEYS_HELP = (
    "Left and right change the key, up and down the query, D goes to the next dimension and shift D to the one before, "
    "Enter to the one that counts most, comma and full stop change the head, page up and down the layer, "
    "Escape leaves the figure."
)
OFF = 2e-3  # weights of half precision are so far from those of float32 products
NEGATIVE, POSITIVE = "#2166ac", "#b35806"


def neuron(
    record: AttentionRecord,
    layer: int | None = None,
    head: int | None = None,
    query: int | None = None,
    key: int | None = None,
    title: str = "",
    alt: str = "",
) -> View:
    """The query's numbers, the key's, their products and the sum of those so far, one bar for each dimension.

    layer, head, query, key: what is chosen first; without them, where the strongest link is. The sentence below
    follows the sum to the weight: times the scale, then the softmax over all keys that may be seen.

    Vectors are sent in 16 bits; where all heads are too many for one output, the chosen layer or head is sent and the
    note says so. Raises ValueError for a record without the vectors of queries and keys, and for a head that is too
    large by itself (about 1660 tokens of width 64).
    """
    _check(record)
    start = {"layer": layer, "head": head, "query": query, "key": key}
    part = part_that_fits(record, checked_start(record, start), _bytes_of_a_head(record))
    chosen = within(checked_start(record, start), part)
    asked = {axis: None if place is None else chosen[axis] for axis, place in start.items()}
    shown = cut(record, part)
    queries, keys = encode_signed(shown.queries, axis=-1), encode_signed(shown.keys, axis=-1)
    pair = Pair.of(shown, chosen)
    title = title or pair.finding
    return view_of(
        "neuron", shown, lambda _: _picture(pair, title), title, alt or f"{described(title, shown)} {pair.told}", asked,
        extra={"colour": False, "width": shown.queries.shape[-1], "scale": shown.scale},
        extra_start={"unit": pair.foremost},
        arrays={"queries": queries.codes, "querySteps": queries.steps, "keys": keys.codes, "keySteps": keys.steps},
        keys_help=KEYS_HELP, table=pair.table(),
        more_note=" ".join(filter(None, [_how_far_off(shown, queries.numbers, keys.numbers), left_out(record, part)])),
    )  # fmt: skip


def _check(record: AttentionRecord) -> None:
    if record.queries is None:
        raise ValueError(
            "Expected a record that keeps the vectors of its queries and keys, got one with weights alone. "
            "capture(model, ..., keep_vectors=True) keeps them where a fused call was given them; for your own, "
            "AttentionRecord(weights, queries=..., keys=..., scale=...). Means over heads and rollouts have none: "
            "their weights are made of several heads."
        )
    for name in ("queries", "keys"):
        if not np.isfinite(getattr(record, name)).all():
            raise ValueError(f"Expected finite {name}, got NaN or infinite numbers among them.")


def _bytes_of_a_head(record: AttentionRecord) -> int:
    queries, keys = record.shape[2:]
    return queries * keys + (queries + keys) * (2 * record.queries.shape[-1] + 4)


def products_softmax(record: AttentionRecord) -> np.ndarray:
    """The weights (layer, head, query, key) that a softmax makes of scale * q . k alone, under the record's mask."""
    scores = record.scale * (record.queries @ record.keys.swapaxes(-1, -2))
    scores = np.where(record.visible, scores, -np.inf)
    largest = scores.max(axis=-1, keepdims=True)
    powers = np.exp(scores - np.where(np.isfinite(largest), largest, 0))
    sums = powers.sum(axis=-1, keepdims=True)
    return np.divide(powers, sums, out=np.zeros_like(powers), where=sums > 0)


def _how_far_off(record: AttentionRecord, queries: np.ndarray, keys: np.ndarray) -> str:
    """What coding does to the sums, and what the sums do not explain."""
    error = np.abs(queries @ keys.swapaxes(-1, -2) - record.queries @ record.keys.swapaxes(-1, -2)).max()
    told = f"Vectors are kept in 16 bits: a sum is at most {at_most(error)} off."
    if record.scale is None:
        return f"{told} The record keeps no scale, so the step from the sum to the weight is not shown."
    off = np.abs(products_softmax(record) - record.weights).max()
    if off > OFF:
        told += (
            f" A softmax of scale × sum alone gives weights up to {off:.2g} off from these: something else is added "
            "to the scores, such as a bias for positions, or the vectors were turned or scaled after they were kept."
        )
    return told


@dataclass(frozen=True)
class Pair:
    """One query and one key (width,), and what became of their product."""

    query: str
    key: str
    q: np.ndarray
    k: np.ndarray
    scale: float | None
    weight: float
    among: int
    seen: bool

    @classmethod
    def of(cls, record: AttentionRecord, at: dict[str, int]) -> Pair:
        layer, head, query, key = (at[axis] for axis in ("layer", "head", "query", "key"))
        seen = record.visible[layer, head, query]
        q, k = record.queries[layer, head, query], record.keys[layer, head, key]
        return cls(
            record.query_names[query], record.key_names[key], q, k, record.scale,
            float(record.weights[layer, head, query, key]), int(seen.sum()), bool(seen[key]),
        )  # fmt: skip

    @property
    def products(self) -> np.ndarray:
        return self.q * self.k

    @property
    def foremost(self) -> int:
        """The dimension whose product is largest in size."""
        return int(np.abs(self.products).argmax())

    @property
    def finding(self) -> str:
        first = self.foremost
        return (
            f'"{self.query}" · "{self.key}" = {self.products.sum():.3g}: '
            f"dimension {first} counts most ({self.products[first]:+.3g})"
        )

    @property
    def told(self) -> str:
        total = self.products.sum()
        scaled = "" if self.scale is None else f", times {self.scale:.3g} = {total * self.scale:.3g}"
        became = (
            f"the softmax over {self.among} keys makes a weight of {self.weight:.3g} of it"
            if self.seen
            else "the mask hides it from the softmax"
        )
        return f'"{self.query}" · "{self.key}" = {total:.3g}{scaled}; {became}.'

    def table(self, n: int = 10) -> dict[str, list[Any]]:
        """The n dimensions that count most, in the order of their number."""
        first = np.sort(np.argsort(-np.abs(self.products), kind="stable")[:n])
        columns = {"query": self.q, "key": self.k, "query × key": self.products, "sum so far": self.products.cumsum()}
        return {"dimension": first.tolist(), **{name: column[first].tolist() for name, column in columns.items()}}


def _picture(pair: Pair, title: str) -> Any:
    import matplotlib.pyplot as plt

    width = len(pair.q)
    figure, axes = plt.subplots(4, 1, sharex=True, figsize=(min(9.0, 3.5 + 0.12 * width), 5.2))
    names = [name.replace("$", r"\$")[:20] for name in (pair.query, pair.key)]
    strips = {
        f"query\n{names[0]}": pair.q,
        f"key\n{names[1]}": pair.k,
        "query × key": pair.products,
        "sum so far": pair.products.cumsum(),
    }
    for ax, (name, strip) in zip(axes, strips.items(), strict=True):
        ax.bar(np.arange(width), strip, color=np.where(strip < 0, NEGATIVE, POSITIVE), width=0.85)
        ax.axhline(0, color="black", lw=0.6)
        ax.set_ylabel(name, rotation=0, ha="right", va="center")
        ax.spines[["top", "right", "bottom"]].set_visible(False)
        ax.tick_params(bottom=False)
    axes[-1].set_xlabel(f"dimension\n\n{pair.told}".replace("$", r"\$"))
    axes[0].set_title(title.replace("$", r"\$"))
    figure.align_ylabels()
    return figure
