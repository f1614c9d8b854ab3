"""The most memory that a call needs beyond what was there before it, outputs included, and how that grows with N.

On a GPU the allocator counts. On a CPU the system does, on Linux: the most that was resident, set back before the call.
That sees what kernels allocate inside, too; it does not see memory that is asked for and never touched.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable, Iterator
from math import log2
from pathlib import Path
from typing import Any

import torch

from attnlab.bench.machine import fits
from attnlab.bench.measuring import REFUSALS, Row, Setting, calling, dtype_name

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
HEADS, WIDTH = 8, 64
WAYS = ("fast", "sdpa", "naive")


def peak(call: Callable[[], Any], device: torch.device) -> int | None:
    """Bytes; None where this system does not say. Call once before, so that nothing is set up on the way."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        result = call()
        torch.cuda.synchronize(device)
        most = torch.cuda.max_memory_allocated(device)
    else:
        if not _reset():
            return None
        before = _resident("VmRSS")
        result = call()
        most = _resident("VmHWM")
    del result
    return most - before


def _reset() -> bool:
    """Give free memory back, or calls would use it unseen; then let the most so far be what is there now."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
        RESET.write_text("5", encoding="ascii")
    except (OSError, AttributeError):
        return False
    return True


def _resident(which: str) -> int:
    lines = STATUS.read_text(encoding="ascii").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(which))


def rows(setting: Setting) -> Iterator[Row]:
    """Attention at N, 2 N, 4 N tokens; forward, and forward with backward."""
    from attnlab.bench.attention import forwards, inputs

    dtype = torch.bfloat16 if setting.on_gpu else torch.float32
    start = 256 if setting.quick else 4096 if setting.on_gpu else 1024
    for backward in (False, True):
        for name in WAYS:
            for tokens in (start, 2 * start, 4 * start):
                what = {
                    "tokens": tokens,
                    "heads": HEADS,
                    "width": WIDTH,
                    "backward": backward,
                    "dtype": dtype_name(dtype),
                }
                row = {"section": "memory", "case": what, "way": name, "ours": name == "fast"}
                if name == "naive" and not fits(8 * HEADS * tokens**2 * dtype.itemsize, setting.device):
                    yield row | {"why": "does not fit"}
                    continue
                query, key, value, grad = inputs((1, HEADS, tokens, WIDTH), dtype, setting.device, backward)
                call = calling(forwards(False)[name], (query, key, value), grad)
                try:
                    call()
                    found = peak(call, setting.device)
                except REFUSALS as refusal:
                    yield row | {"why": f"refused: {str(refusal)[:80]}"}
                    continue
                yield row | ({"why": "not told by this system"} if found is None else {"mb": found / 1e6})


def growth(rows: list[Row], name: str, backward: bool) -> float | None:
    """The exponent of N by which memory grows between the smallest and the largest N: 1 is linear, 2 is square."""
    found = {
        row["case"]["tokens"]: row["mb"]
        for row in rows
        if row["section"] == "memory" and row["way"] == name and row["case"]["backward"] == backward and "mb" in row
    }
    if len(found) < 2 or min(found.values()) <= 0:
        return None
    few, many = min(found), max(found)
    return log2(found[many] / found[few]) / log2(many / few)
