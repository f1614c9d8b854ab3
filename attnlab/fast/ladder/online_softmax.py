"""Rung 2: one walk over the keys. What was summed up under an old maximum is corrected when a higher one turns up.

After some keys, each query holds (Milakov & Gimelshein 2018, algorithm 3; Dao et al. 2022, algorithm 1)

    highest  the highest score so far                  their m
    total    the sum of exp(score - highest)           their l
    acc      the sum of exp(score - highest) * value   their O, not yet divided

A new tile brings its own maximum. All that is held was computed with exp(. - highest) and should have been computed
with exp(. - higher), where `higher` is the larger of the two, so it is multiplied by

    exp(highest - higher)        at most 1: it shrinks

and the tile's share is added. At the end acc / total is the output, highest + ln total the log-sum-exp. Nothing is an
approximation.

Algorithm 1 of FlashAttention-2 (and 3), as printed, multiplies acc by the *inverse* of this factor: a misprint. With a
single tile nobody notices, because there acc is 0. From then on, every new maximum leaves acc too large by one over the
factor's square.
"""

import numpy as np
from jaxtyping import Float

from attnlab.fast.ladder.tiled_numpy import scores_of, tiles


def merge(first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Two results (output, lse) over different keys as one over all of them, in whatever order.

    L = log(exp(L1) + exp(L2)),   O = exp(L1 - L) O1 + exp(L2 - L) O2

    This is how keys are shared out between programs, or between machines. Nothing seen on either side stays nothing.
    """
    lse = np.logaddexp(first[1], second[1])
    base = np.where(np.isneginf(lse), 0, lse)
    return sum(np.exp(own - base)[:, None] * output for output, own in (first, second)), lse


def online(
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
        highest = np.full(rows.stop - rows.start, -np.inf, query.dtype)
        total, acc = np.zeros_like(highest), np.zeros_like(output[rows])
        for columns in tiles(len(key), tile):
            scores = scores_of(query, key, rows, columns, scale, causal)
            if scores is None:
                continue
            if visited is not None:
                visited.append((rows, columns))
            higher = np.maximum(highest, scores.max(axis=1))
            base = np.where(np.isneginf(higher), 0, higher)  # nothing seen so far: exp(-inf - 0) = 0, not NaN
            weights, shrink = np.exp(scores - base[:, None]), np.exp(highest - base)
            total = total * shrink + weights.sum(axis=1)
            acc = acc * shrink[:, None] + weights @ value[columns]
            highest = higher
        seen = total != 0  # not "> 0": of a row with a NaN the total is NaN, and it has to show
        output[rows] = np.where(seen[:, None], acc / np.where(seen, total, 1)[:, None], 0)
        lse[rows] = np.where(seen, highest + np.log(np.where(seen, total, 1)), -np.inf)
    return output, lse
