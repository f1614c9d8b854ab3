"""Weights as bytes: small enough for a notebook, and no small weight vanishes.

One byte a weight, two where there are few: the square root of its share of the largest weight in its row, and one
number a row for that largest. Linear bytes would turn most of the small weights of a long sequence into zero. The
other half, which reads them, is front/bytes.js.
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from attnlab.viz.record import AttentionRecord

SOFT_LIMIT = 1_000_000  # bytes of one output; beyond it the figure says how to make it smaller
HARD_LIMIT = 4_000_000  # beyond it there is no figure
FEW_WEIGHTS = 40_000  # up to here two bytes each are no burden, and what is read agrees in every digit that is shown
MOST_WEIGHTS = 3_200_000  # one byte each, and base64 makes four of three: this many fit below the hard limit

TYPES = ("uint8", "uint16", "int16", "float32")


@dataclass(frozen=True)
class Coded:
    """Codes (layer, head, query, key), the largest weight of each row, and how far off reading them can be."""

    codes: np.ndarray
    largest: np.ndarray
    error: float


def encode(weights: np.ndarray) -> Coded:
    """A weight above zero gets a code above zero, however small it is."""
    largest = weights.max(axis=-1, keepdims=True)
    share = np.divide(weights, largest, out=np.zeros_like(weights), where=largest > 0)
    kind = np.uint16 if weights.size <= FEW_WEIGHTS else np.uint8
    codes = np.maximum(np.rint(np.iinfo(kind).max * np.sqrt(share)), share > 0).astype(kind)
    error = np.abs(decode(codes, largest) - weights).max()
    return Coded(codes, largest[..., 0].astype(np.float32), float(error))


def decode(codes: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """What the page reads: (code / largest code)^2 of the row's largest weight."""
    return np.square(codes.astype(np.float32) / np.iinfo(codes.dtype).max) * largest


def at_most(error: float) -> str:
    """One digit that is never below the error, so that "at most" is true."""
    if error == 0:
        return "0"
    digit = 10.0 ** math.floor(math.log10(error))
    return f"{math.ceil(error / digit) * digit:.1g}"


def pack(arrays: Mapping[str, np.ndarray]) -> tuple[list[dict[str, Any]], bytes]:
    """All arrays in one deflated block, and the list that tells them apart."""
    listed = []
    for name, array in arrays.items():
        if str(array.dtype) not in TYPES:
            raise TypeError(f"Expected arrays of {', '.join(TYPES)}; {name} has {array.dtype}.")
        listed.append({"name": name, "type": str(array.dtype), "length": int(array.size)})
    # Level 1: on coded weights higher levels take several times as long and save a few per cent.
    return listed, zlib.compress(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays.values()), 1)


def base64_text(block: bytes) -> str:
    return base64.b64encode(block).decode()


def fitted(record: AttentionRecord, most: int = MOST_WEIGHTS) -> tuple[AttentionRecord, int]:
    """The record, pooled if it has too many weights: each number the largest of n x n. Returns it and n."""
    layers, heads, queries, keys = record.shape
    n = 1
    while layers * heads * -(-queries // n) * -(-keys // n) > most:
        n += 1
    return (record, 1) if n == 1 else (_pooled(record, n), n)


def _pooled(record: AttentionRecord, n: int) -> AttentionRecord:
    return replace(
        record,
        weights=blocks(record.weights, n),
        mask=None if record.mask is None else blocks(record.visible, n),
        kind="cross" if record.kind == "self" else record.kind,
        query_labels=[_span(record.query_names[i : i + n]) for i in range(0, record.shape[2], n)],
        key_labels=[_span(record.key_names[i : i + n]) for i in range(0, record.shape[3], n)],
        query_grid=None,
        key_grid=None,
        queries=None,
        keys=None,
        complete=False,
        _cache={},
    )


def blocks(array: np.ndarray, n: int) -> np.ndarray:
    """The largest of each n x n block of the last two axes; averaging would wipe out thin lines."""
    spare = [(0, 0)] * 2 + [(0, -size % n) for size in array.shape[2:]]
    padded = np.pad(array, spare)
    layers, heads, rows, columns = padded.shape
    return padded.reshape(layers, heads, rows // n, n, columns // n, n).max(axis=(3, 5))


def _span(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}"
