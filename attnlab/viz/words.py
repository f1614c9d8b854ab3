"""A record in words: what a careful reader would say after looking at all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnlab.viz import analysis

if TYPE_CHECKING:
    from attnlab.viz.record import AttentionRecord, Grid

SAME = 0.9  # as large as this share of the most there can be, a head counts as uniform, or as fixed on one key
PATTERN = 0.5  # a head that puts this much on one offset is named after it


def describe(record: AttentionRecord) -> str:
    """One paragraph: sizes, strongest links, sharpness, locality, symmetry, heads that do nothing."""
    if record.kind == "gate":
        return " ".join([_sizes(record), *_gate(record)])
    return " ".join([_sizes(record), _strongest(record), _sharpness(record), *_locality(record), *_idle(record)])


def _sizes(record: AttentionRecord) -> str:
    layers, heads, queries, keys = record.shape
    if record.kind == "gate":
        where = f"{layers} layers" if layers > 1 else record.layer_names[0] if record.source else "one layer"
        return f"A gate over {keys} {_unit(record, keys)} for {_count(queries, 'input')} ({where})."
    what = {"self": "Self-attention", "cross": "Attention of one sequence to another"}[record.kind]
    table = f"{queries} tokens" if record.kind == "self" else f"{queries} queries over {keys} keys"
    return f"{what}: {_count(layers, 'layer')}, {_count(heads, 'head')}, {table}."


def _unit(record: AttentionRecord, n: int) -> str:
    word = {"channel": "channel", "space": "place", "time": "moment"}.get(record.over, "key")
    return word if n == 1 else word + "s"


def _count(n: int, word: str) -> str:
    return f"one {word}" if n == 1 else f"{n} {word}s"


def _strongest(record: AttentionRecord) -> str:
    links = record.top_links(3)
    if links[0].weight == 0:
        return "No query may see anything."
    told = [f'"{link.query}" to "{link.key}" ({link.weight:.2f}{_where(record, link)})' for link in links]
    return f"The strongest links are {_join(told)}."


def _where(record: AttentionRecord, link: tuple) -> str:
    layer = f", {record.layer_names[link[0]]}" if record.shape[0] > 1 else ""
    head = f", head {link[1]}" if record.shape[1] > 1 else ""
    return layer + head


def _join(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _sharpness(record: AttentionRecord) -> str:
    seen = np.median(np.exp(record.entropy()))
    may = np.median(record.visible.sum(axis=-1))
    share = seen / may if may else 0.0
    word = "sharp" if share < 0.2 else "nearly uniform" if share > SAME else "spread out"
    return f"Attention is {word}: half of all rows see effectively {seen:.1f} of {may:.0f} keys or fewer."


def _locality(record: AttentionRecord) -> list[str]:
    """How far a query looks, beside what looking everywhere alike would give; and how symmetric a self-table is."""
    told = []
    places = _places(record.query_grid, record.shape[2]), _places(record.key_grid, record.shape[3])
    if record.kind == "self" or (record.query_grid and record.key_grid):
        rows, columns = (np.flatnonzero(~np.isnan(side[:, 0])) for side in places)  # class tokens stand nowhere
        far = analysis.distances(places[0][rows], places[1][columns])
        # Distances are the same in all heads, so their tables may be added up first.
        weights = record.weights.sum(axis=(0, 1))[rows[:, None], columns]
        seen = record.visible.sum(axis=(0, 1))[rows[:, None], columns]
        if weights.sum() > 0:
            mean, chance = (weights * far).sum() / weights.sum(), (seen * far).sum() / seen.sum()
            told.append(f"A query looks {mean:.1f} tokens away on average; evenly spread it would be {chance:.1f}.")
    if record.kind == "self" and record.shape[2] > 2:
        symmetry = analysis.symmetry(record.weights).mean()
        word = "symmetric" if symmetry > 0.8 else "partly symmetric" if symmetry > 0.3 else "not symmetric"
        told.append(f"Who looks at whom is {word} (correlation with the mirror image {symmetry:.2f}).")
    return told


def _places(grid: Grid | None, size: int) -> np.ndarray:
    """Coordinates (number, axes) of each token; NaN for one that stands in front of a grid."""
    if grid is None:
        return np.arange(size, dtype=float)[:, None]
    coordinates = np.indices((grid.t, grid.y, grid.x)).reshape(3, -1).T
    return np.vstack([np.full((len(grid.before), 3), np.nan), coordinates])


def patterns(record: AttentionRecord) -> dict[tuple[int, int], str]:
    """Heads (layer, head) that follow one plain rule: uniform, on one key, on themselves, on a neighbour."""
    found = {}
    may = record.visible.sum(axis=-1)
    seen = np.exp(record.entropy())
    for layer in range(record.shape[0]):
        for head in range(record.shape[1]):
            name = _pattern(record, record.weights[layer, head], seen[layer, head], may[layer, head])
            if name:
                found[layer, head] = name
    return found


def _pattern(record: AttentionRecord, table: np.ndarray, seen: np.ndarray, may: np.ndarray) -> str:
    choosing = may > 1  # a query with a single key to see has nothing to choose
    if not choosing.any():
        return ""
    if (seen[choosing] / may[choosing]).mean() > SAME:
        return "uniform"
    received = table[choosing].mean(axis=0)
    if len(table) > 1 and received.max() > SAME:
        return f'all on "{record.key_names[int(received.argmax())]}"'
    if record.kind == "self":
        for offset, name in ((0, "on itself"), (-1, "on the token before"), (1, "on the token after")):
            if analysis.on_offset(table, offset) > PATTERN:
                return name
    return ""


def _idle(record: AttentionRecord) -> list[str]:
    """Heads with a plain rule, and above all those that do nothing: uniform ones and those on a single key."""
    several = record.shape[0] * record.shape[1] > 1
    groups: dict[str, list[str]] = {}
    for (layer, head), name in patterns(record).items():
        who = record.head_names[head]
        groups.setdefault(name, []).append(f"{layer}.{who}" if record.shape[0] > 1 else who)
    told = []
    for name, heads in groups.items():
        idle = name == "uniform" or name.startswith("all")
        who = f"{'Heads' if len(heads) > 1 else 'Head'} {_join(_shortened(heads))}" if several else "It"
        verb = "are" if len(heads) > 1 else "is"
        what = "uniform" if name == "uniform" else name if name.startswith("all") else f"mostly {name}"
        told.append(f"{who} {verb} {what}{', so it chooses nothing' if idle and len(heads) == 1 else ''}.")
    return told


def _shortened(names: list[str], most: int = 6) -> list[str]:
    return names if len(names) <= most else [*names[: most - 1], f"{len(names) - most + 1} more"]


def _gate(record: AttentionRecord) -> list[str]:
    values = record.weights
    told = [f"Values run from {values.min():.2f} to {values.max():.2f}, mean {values.mean():.2f}."]
    mean = values.mean(axis=(0, 1, 2))
    names = record.key_names
    most, least = int(mean.argmax()), int(mean.argmin())
    if mean[most] > mean[least]:
        told.append(
            f'Widest open: "{names[most]}" ({mean[most]:.2f}); most closed: "{names[least]}" ({mean[least]:.2f}).'
        )
    closed, opened = (values < 0.1).mean(), (values > 0.9).mean()
    told.append(f"{closed:.0%} are nearly closed (below 0.1), {opened:.0%} nearly open (above 0.9).")
    if record.shape[2] > 1:
        across = values.std(axis=2).mean()
        told.append(f"From input to input a value moves by {across:.3f} (standard deviation).")
    if np.ptp(values) < 0.05:
        told.append("So it treats everything about alike and chooses nothing.")
    return told
