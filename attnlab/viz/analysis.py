"""Numbers about tables of weights (layer, head, query, key): how sharp, how local, how symmetric, where they lead."""

from __future__ import annotations

import numpy as np


def entropy(weights: np.ndarray) -> np.ndarray:
    """Entropy in nats over the last axis; a weight of 0 adds 0."""
    logs = np.log(weights, where=weights > 0, out=np.zeros_like(weights))
    return -(weights * logs).sum(axis=-1)


def rollout(weights: np.ndarray, residual: float = 0.5) -> np.ndarray:
    """(layer, head, token, token) in, (token, token) out: which input each output token comes from.

    R_1 = A'_1 and R_l = A'_l R_(l-1), with A' = (1 - residual) * mean over heads + residual * I. Row i belongs to
    output token i. Abnar and Zuidema, Quantifying Attention Flow in Transformers, 2020. A row that may see nothing
    keeps only itself, so rows sum to one there too.
    """
    identity = np.eye(weights.shape[-1])
    flow = identity
    for layer in weights.astype(np.float64):
        step = (1 - residual) * layer.mean(axis=0) + residual * identity
        flow = (step / step.sum(axis=-1, keepdims=True)) @ flow
    return flow


def largest(weights: np.ndarray, n: int) -> list[tuple[int, ...]]:
    """Indices of the n largest weights, largest first; equal ones in the order in which they stand."""
    flat = weights.ravel()
    n = min(n, flat.size)
    # Everything as large as the n-th, so that ties are not decided by the partition.
    candidates = np.flatnonzero(flat >= np.partition(flat, flat.size - n)[flat.size - n]) if n else np.array([], int)
    order = np.lexsort((candidates, -flat[candidates]))[:n]
    return [tuple(int(i) for i in np.unravel_index(place, weights.shape)) for place in candidates[order]]


def distances(query_places: np.ndarray, key_places: np.ndarray) -> np.ndarray:
    """(query, key) Euclidean distances between places (number, coordinates)."""
    return np.sqrt(((query_places[:, None] - key_places[None]) ** 2).sum(axis=-1))


def symmetry(tables: np.ndarray) -> np.ndarray:
    """(..., n, n) in, (...) out: correlation with the mirror image, off the diagonal; 1 is symmetric, 0 is unrelated.

    An entry and its mirror image are drawn from the same entries, so mean and variance are the same on both sides.
    """
    n = tables.shape[-1]
    off = tables * ~np.eye(n, dtype=bool)
    off -= off.sum(axis=(-2, -1), keepdims=True) / (n * (n - 1)) * ~np.eye(n, dtype=bool)
    spread = np.einsum("...ij,...ij->...", off, off)
    mirrored = np.einsum("...ij,...ji->...", off, off)
    same = spread < 1e-12 * n * n  # all alike: a quotient would be rounding by rounding
    return np.divide(mirrored, spread, out=np.ones_like(spread), where=~same)


def on_offset(table: np.ndarray, offset: int) -> float:
    """Mean weight on the token `offset` places further (0 itself, -1 the one before), over queries that have one."""
    line = np.diagonal(table, offset)
    return float(line.mean()) if line.size else 0.0
