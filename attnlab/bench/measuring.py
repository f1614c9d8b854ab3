"""One problem, the ways to solve it, and what they took: each verified first, then all timed in turns."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.checking import Answer, Outputs, WrongResult
from attnlab.bench.timing import clock_of, paired, ratio, spread

Way = Callable[[], Outputs]
Row = dict[str, Any]
REFUSALS = (RuntimeError, NotImplementedError, ImportError, ValueError, TypeError)


@dataclass(frozen=True)
class Setting:
    """How this run measures. seconds: for the rounds of one case. ceilings: of `machine.ceilings`.

    tokens, widths, dtypes: of the section on attention; chosen: by whoever asked, so nothing is left out for its time.
    """

    device: torch.device
    quick: bool
    seconds: float
    ceilings: dict[str, float]
    tokens: tuple[int, ...] = ()
    widths: tuple[int, ...] = ()
    dtypes: tuple[torch.dtype, ...] = ()
    chosen: bool = False

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"


@dataclass(frozen=True)
class Case:
    """`ways`: what to call by name, or why it cannot be called. A ratio says how many times as fast as `yardstick`.

    ours: the names whose failure is an error; anybody else may refuse. flops, moved: see `counting`.
    """

    section: str
    what: dict[str, Any]
    ways: dict[str, Way | str]
    answer: Answer
    yardstick: str
    ours: tuple[str, ...] = ("fast",)
    flops: float = 0
    moved: float = 0
    ceiling: str = ""  # which of the machine's, by dtype


def calling(forward: Callable[..., Tensor], tensors: Sequence[Tensor], grad: Tensor | None = None) -> Way:
    """What is timed: forward, or with the gradient `grad` of its output forward and the gradients of all tensors."""

    def call() -> Outputs:
        output = forward(*tensors)
        if grad is None:
            return (output,)
        return output.detach(), *torch.autograd.grad(output, tensors, grad)

    return call


def measured(case: Case, setting: Setting) -> Iterator[Row]:
    """A row for each way: its time, or why there is none. Says on stderr how far it is."""
    print(f"  {case.section}: {', '.join(map(str, case.what.values()))}", file=sys.stderr, flush=True)
    errors: dict[str, float] = {}
    reasons: dict[str, Row] = {}
    for name, way in case.ways.items():
        try:
            errors[name] = case.answer.check(_called(way))
        except WrongResult as wrong:
            reasons[name] = {"wrong": str(wrong)}
        except Absent as absent:
            reasons[name] = {"why": str(absent)}
        except torch.cuda.OutOfMemoryError:
            reasons[name] = {"why": "does not fit"}
        except REFUSALS as refusal:
            if name in case.ours:
                raise
            reasons[name] = {"why": f"refused: {_first_line(refusal)}"}
    least = 20 if setting.on_gpu else 3 if setting.quick else 5
    calls = {name: case.ways[name] for name in errors}
    often = () if setting.quick or setting.on_gpu else (*case.ours, case.yardstick)
    times = paired(calls, clock_of(setting.device), setting.seconds, least, often=often)
    for name in case.ways:
        row = {"section": case.section, "case": case.what, "way": name, "ours": name in case.ours}
        row["yardstick"] = case.yardstick
        yield row | (reasons[name] if name in reasons else _figures(case, setting, name, times, errors[name]))


class Absent(Exception):
    """There is nothing to call, and the message says why."""


def _called(way: Way | str) -> Outputs:
    if isinstance(way, str):
        raise Absent(way)
    return way()


def _figures(case: Case, setting: Setting, name: str, times: dict[str, list[float]], error: float) -> Row:
    seconds = median(times[name])
    row: Row = {"ms": 1000 * seconds, "rounds": len(times[name]), "spread": spread(times[name]), "error": error}
    if case.yardstick in times:
        row["ratio"] = ratio(times[case.yardstick], times[name])
    if case.flops:
        row["tflops"] = case.flops / seconds / 1e12
        if ceiling := setting.ceilings.get(case.ceiling):
            row["of_ceiling"] = row["tflops"] / ceiling
    if case.moved:
        row["gb_per_s"] = case.moved / seconds / 1e9
    if case.flops and case.moved:
        row["flops_per_byte"] = case.flops / case.moved
    return row


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
