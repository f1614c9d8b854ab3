"""Times in turns: A B C, B C A, C A B, ... What disturbs the machine disturbs all of them, and ratios hardly notice.

A ratio is the median over rounds of the ratio within a round, not the ratio of two medians.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from statistics import median, quantiles
from typing import Any

import torch

FLUSH_BYTES = 1 << 28  # more than any GPU's second-level cache holds
FEWEST = 3
Clock = Callable[[Callable[[], Any]], float]


def clock_of(device: torch.device) -> Clock:
    """What measures the seconds of one call on this device."""
    if device.type == "cuda":
        return _cuda_clock(device)
    # One thread's own time does not run while somebody else has the processor. Of several, only the wall's tells.
    return _cpu_clock(time.process_time if torch.get_num_threads() == 1 else time.perf_counter)


def _cpu_clock(now: Callable[[], float]) -> Clock:
    def clock(call: Callable[[], Any]) -> float:
        start = now()
        result = call()
        seconds = now() - start
        del result  # giving the memory back is not part of it
        return seconds

    return clock


def _cuda_clock(device: torch.device) -> Clock:
    flush = torch.empty(FLUSH_BYTES, dtype=torch.int8, device=device)

    def clock(call: Callable[[], Any]) -> float:
        """Device time between two events, with a cold cache; the flush also gives the launches a head start."""
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        flush.zero_()
        start.record()
        call()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1000

    return clock


def paired(
    calls: dict[str, Callable[[], Any]],
    clock: Clock,
    seconds: float,
    least: int = 5,
    most: int = 200,
    often: Collection[str] = (),
) -> dict[str, list[float]]:
    """Seconds of each call in each round, `seconds` in all if `least` rounds allow it.

    Everybody is called once before, to warm up. All start in round 0 and get the same share of the time: who is slow
    drops out earlier, and is compared with the others over the rounds that both were in. Who takes longer than all the
    time there is for a single call, gets `FEWEST` rounds and no more. `often`: whose ratio matters most, and who
    therefore get at least twice as many rounds.
    """
    share = seconds / max(len(calls), 1)
    rounds = {}
    for name, call in calls.items():
        once = max(clock(call), 1e-9)
        few = min(least, FEWEST) if once > seconds > 0 else least
        rounds[name] = min(max(int(share / once), 2 * few if name in often else few), most)
    times: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    with _no_collection():
        for turn in range(max(rounds.values(), default=0)):
            first = turn % len(names)  # nobody always follows the same one
            for name in names[first:] + names[:first]:
                if turn < rounds[name]:
                    times[name].append(clock(calls[name]))
    return times


def ratio(theirs: list[float], ours: list[float]) -> float:
    """How many times as fast as theirs ours is: the median over the rounds that both were in."""
    return median(their / our for their, our in zip(theirs, ours, strict=False))


def spread(times: list[float]) -> float:
    """Half the distance between the quartiles, as a share of the median."""
    if len(times) < 2:
        return 0.0
    low, middle, high = quantiles(times, n=4, method="inclusive")
    return (high - low) / 2 / middle


@contextmanager
def _no_collection() -> Iterator[None]:
    gc.collect()
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
