"""The smallest example on which an answer differs from the reference, for a mistake that nobody has named.

Axes are narrowed one after the other, by their names, in all inputs at once; then the numbers are rounded. What
still differs is small enough to follow with a pencil.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch

from attnlab.checks.axes import input_axes
from attnlab.checks.exercise import Case, Exercise
from attnlab.checks.gates import gated
from attnlab.checks.laws import Seen, close
from attnlab.checks.observe import observe

SECONDS = 0.8


@dataclass(frozen=True)
class Example:
    """Inputs by name (tensors and numbers), and one output as it came and as it was expected."""

    inputs: dict[str, torch.Tensor | float]
    name: str
    got: torch.Tensor
    want: torch.Tensor


def smallest_example(exercise: Exercise, answer: Callable, seen: Seen) -> Example | None:
    """Shrink the first case that differs. None where nothing can be drawn (inputs such as functions)."""
    best = _first_that_differs(exercise, answer, seen)
    if best is None:
        return None
    first = example = _example(exercise, answer, best)
    stop = time.perf_counter() + SECONDS
    for candidates in _steps(exercise, best):
        for change in candidates:
            smaller = _example(exercise, answer, change(best)) if time.perf_counter() < stop else None
            if smaller and (_in_shape_only(first) or not _in_shape_only(smaller)):
                best, example = change(best), smaller
                break
    return example


def _in_shape_only(example: Example) -> bool:
    """The numbers are right and only the axes differ: with one item nearly every wrong sum looks like that."""
    got, want = example.got, example.want
    return got.numel() == want.numel() and close(got.reshape(want.shape), want)


def _steps(exercise: Exercise, case: Case) -> Iterator[list[Callable[[Case], Case]]]:
    """Ways to make a case smaller, the boldest of each step first."""
    for axis in dict.fromkeys(axis for axes in input_axes(exercise.answer, case).values() for axis in axes):
        yield [partial(_narrowed, exercise, axis, size) for size in (1, 2, 3)]
    yield [partial(_rounded, factor) for factor in (1, 10, 100)]


def _first_that_differs(exercise: Exercise, answer: Callable, seen: Seen) -> Case | None:
    """The first case that differs; the smallest where there are only numbers, which cannot be narrowed."""
    drawable = [case for case in seen.cases.values() if all(_drawable(v) for v in case.named_inputs().values())]
    if not any(input_axes(exercise.answer, case) for case in drawable):
        drawable.sort(key=lambda case: seen.want[case.name].outputs[0].numel())
    return next((case for case in drawable if _example(exercise, answer, case)), None)


def _drawable(value: object) -> bool:
    return isinstance(value, torch.Tensor | int | float)


def _narrowed(exercise: Exercise, axis: str, size: int, case: Case) -> Case:
    """The case with this axis cut to this size, in all inputs at once."""
    axes = input_axes(exercise.answer, case)

    def cut(name: str, value: object) -> object:
        for i, own in enumerate(axes.get(name, ())):
            if own == axis:
                value = value.narrow(i, 0, min(size, value.shape[i]))
        return value

    return _changed(case, cut)


def _changed(case: Case, change: Callable[[str, object], object]) -> Case:
    return replace(
        case,
        inputs=tuple(change(name, value) for name, value in zip(case.names, case.inputs, strict=False)),
        keywords={name: change(name, value) for name, value in case.keywords.items()},
    )


def _rounded(factor: int, case: Case) -> Case:
    """The case with its numbers rounded away from zero, to whole ones or to one or two digits behind the point."""

    def round_up(name: str, value: object) -> object:
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            return torch.copysign((value * factor).abs().ceil(), value) / factor
        return value

    return _changed(case, round_up)


def _example(exercise: Exercise, answer: Callable, case: Case) -> Example | None:
    """The example that this case makes, or None where the answer agrees with the reference."""
    want = observe(exercise.answer, case)
    if want.fault is not None:
        return None
    got = gated(exercise.answer, exercise.returns, case, observe(answer, case, SECONDS), want)
    if got.fault is not None and got.fault.kind != "shape":
        return None
    for name, mine, theirs in zip(exercise.returns, got.outputs, want.outputs, strict=True):
        if not close(mine, theirs):
            return Example(case.named_inputs(), name, mine, theirs)
    return None
