"""The names of axes, read from the reference's own signature, for messages and for shrinking.

`Float[Tensor, "*batch queries width"]` with a tensor of shape (2, 5, 4) says: batch 2, queries 5, width 4.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, get_args

import torch

from attnlab.checks.exercise import Case


def named_axes(annotation: Any, ndim: int) -> tuple[str, ...] | None:
    """The axes' names for a tensor of this many dimensions; None where the annotation does not fit."""
    spelled = next((a.dim_str for a in (annotation, *get_args(annotation)) if hasattr(a, "dim_str")), None)
    if spelled is None:
        return None
    names = [name.lstrip("#") for name in spelled.split()]
    star = next((i for i, name in enumerate(names) if name.startswith("*")), None)
    if star is not None:
        free = ndim - (len(names) - 1)
        stem = names[star].lstrip("*#")
        names[star : star + 1] = [stem] if free == 1 else [f"{stem}-{i + 1}" for i in range(free)]
    return tuple(names) if len(names) == ndim else None


def input_axes(answer: Callable, case: Case) -> dict[str, tuple[str, ...]]:
    """The axes of each tensor input, by its name."""
    parameters = inspect.signature(getattr(answer, "forward", answer)).parameters
    axes = {
        name: named_axes(parameters[name].annotation, value.ndim)
        for name, value in case.named_inputs().items()
        if isinstance(value, torch.Tensor)
    }
    return {name: found for name, found in axes.items() if found}


def output_axes(answer: Callable, outputs: tuple[torch.Tensor, ...]) -> list[tuple[str, ...] | None]:
    """The axes of each output of the reference."""
    annotation = inspect.signature(getattr(answer, "forward", answer)).return_annotation
    parts = get_args(annotation) if not hasattr(annotation, "dim_str") else (annotation,)
    if len(parts) != len(outputs):
        return [None] * len(outputs)
    return [named_axes(part, out.ndim) for part, out in zip(parts, outputs, strict=True)]


def spelled(shape: tuple[int, ...], sizes: dict[int, str]) -> str:
    """`(batch 2, queries 5, 9)`: each size with the name of the axis that has it, where one has."""
    return "(" + ", ".join(f"{sizes[n]} {n}" if n in sizes and sizes[n] != "1" else str(n) for n in shape) + ")"


def shape_message(name: str, got: torch.Tensor, want: torch.Tensor, axes: tuple[str, ...] | None, known: dict) -> str:
    """What shape was expected and what came, with the axes' names, and what became of them."""
    own = dict(zip(want.shape, axes, strict=True)) if axes else {}
    sizes = known | own
    message = f"Expected `{name}` of shape {spelled(want.shape, sizes)}, got {spelled(got.shape, sizes)}."
    if axes is None:
        return message
    if sorted(got.shape) == sorted(want.shape):
        moved = [a for a, n, m in zip(axes, want.shape, got.shape, strict=True) if n != m]
        return f"{message} The axes {' and '.join(moved)} have changed places."
    if len(got.shape) == len(want.shape):
        return f"{message} {_lengths(want.shape, got.shape, axes, sizes)}"
    lost = [axis for axis, n in zip(axes, want.shape, strict=True) if n not in got.shape]
    extra = [sizes[n] for n in got.shape if n not in want.shape and n in sizes]
    if lost == ["1"]:
        return f"{message} An axis of length 1 is missing: [..., None] or keepdim=True."
    if lost and extra:
        return f"{message} The axis {lost[0]} is gone and {extra[0]} is there in its place."
    if lost:
        return f"{message} The axis {lost[0]} is gone: was it summed away, or indexed?"
    if extra:
        return f"{message} The axis {extra[0]} should not be there any more."
    return message


def _lengths(want: tuple[int, ...], got: tuple[int, ...], axes: tuple[str, ...], sizes: dict[int, str]) -> str:
    """As many axes as expected, but not as long: the first that differs, and what that may mean."""
    axis, wanted, came = next(found for found in zip(axes, want, got, strict=True) if found[1] != found[2])
    if came == 1:
        return f"The axis {axis} has shrunk to 1: was it summed away with keepdim=True, or indexed?"
    if came in sizes and came not in want:
        return f"Where the axis {axis} should be stands one of length {came}, like {sizes[came]}."
    return f"The axis {axis} has {came} places where {wanted} are expected."
