"""Rung 1: tile by tile, so that no table is ever whole. Three walks over the keys for every tile of queries.

The softmax of a row needs the row's maximum before its sum, and its sum before its first weight. So the walks are:
the maximum of each row; the sum of exp(score - maximum); and then the weights, one tile at a time, each multiplied with
its values and forgotten. Memory: one tile. Price: the scores are computed three times.

NumPy, one head, no mask but the causal one: this rung is about the loops. `visited` counts the tiles, because what is
not visited costs nothing: causal attention leaves out the tiles above the diagonal.
"""

import numpy as np
from jaxtyping import Float


def tiles(length: int, size: int) -> list[slice]:
    """The stretches 0..size, size..2 size, ...; the last one may be shorter."""
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def scores_of(query, key, rows: slice, columns: slice, scale: float, causal: bool) -> np.ndarray | None:
    """One tile of scores; None where no query of it may see any key of it."""
    shift = len(key) - len(query)  # the last query sees the last key
    if causal and columns.start > rows.stop - 1 + shift:
        return None
    scores = scale * query[rows] @ key[columns].T
    if causal and columns.stop - 1 > rows.start + shift:  # only tiles that the diagonal crosses need to look
        seen = np.arange(rows.start, rows.stop)[:, None] + shift >= np.arange(columns.start, columns.stop)
        scores = np.where(seen, scores, -np.inf)
    return scores


def tiled(
    query: Float[np.ndarray, "queries width"],
    key: Float[np.ndarray, "keys width"],
    value: Float[np.ndarray, "keys features"],
    *,
    causal: bool = False,
    scale: float | None = None,
    tile: int = 64,
    visited: list | None = None,
) -> tuple[Float[np.ndarray, "queries features"], Float[np.ndarray, " queries"]]:
    """Output and log-sum-exp. `visited` gets the (rows, columns) of each tile whose scores were computed."""
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    output = np.zeros((len(query), value.shape[-1]), query.dtype)
    lse = np.full(len(query), -np.inf, query.dtype)
    for rows in tiles(len(query), tile):

        def walk(rows=rows):
            """The tiles of scores of these queries, with the keys they belong to."""
            for columns in tiles(len(key), tile):
                scores = scores_of(query, key, rows, columns, scale, causal)
                if scores is not None:
                    if visited is not None:
                        visited.append((rows, columns))
                    yield scores, columns

        highest = np.full(rows.stop - rows.start, -np.inf, query.dtype)
        for scores, _ in walk():
            highest = np.maximum(highest, scores.max(axis=1))
        base = np.where(np.isneginf(highest), 0, highest)  # a row that sees nothing: exp(-inf - 0) = 0, not NaN
        total = sum((np.exp(scores - base[:, None]).sum(axis=1) for scores, _ in walk()), np.zeros_like(highest))
        seen = total != 0  # not "> 0": of a row with a NaN the total is NaN, and it has to show
        lse[rows] = np.where(seen, base + np.log(np.where(seen, total, 1)), -np.inf)
        for scores, columns in walk():
            weights = np.exp(scores - base[:, None]) / np.where(seen, total, 1)[:, None]
            output[rows] += weights @ value[columns]
    return output, lse
