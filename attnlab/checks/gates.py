"""The gates before any law: as many outputs as expected, of the right dtype, device and shape.

A wrong shape never surfaces as a raw traceback: the fault names the axes that were expected and that came.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from attnlab.checks.axes import input_axes, output_axes, shape_message
from attnlab.checks.exercise import Case
from attnlab.checks.observe import Fault, Observation

DTYPE = "A tensor made inside needs dtype=... of its inputs; a cast such as .float() should be left out."


def gated(answer: Callable, returns: tuple[str, ...], case: Case, got: Observation, want: Observation) -> Observation:
    """The observation, with a fault where its outputs cannot be compared with the reference's."""
    if got.fault is not None:
        return got
    fault = _count(returns, got) or _kind(returns, got, want) or _shape(answer, returns, case, got, want)
    return replace(got, fault=fault) if fault else got


def _count(returns: tuple[str, ...], got: Observation) -> Fault | None:
    if len(got.outputs) == len(returns):
        return None
    wanted = f"({', '.join(returns)})" if len(returns) > 1 else f"`{returns[0]}` alone"
    came = "one tensor" if len(got.outputs) == 1 else f"a tuple of {len(got.outputs)}"
    return Fault("count", f"Expected it to return {wanted}, got {came}.")


def _kind(returns: tuple[str, ...], got: Observation, want: Observation) -> Fault | None:
    for name, mine, theirs in zip(returns, got.outputs, want.outputs, strict=True):
        if mine.device != theirs.device:
            return Fault("device", f"Expected `{name}` on {theirs.device} like the inputs, got it on {mine.device}.")
        if mine.dtype != theirs.dtype:
            advice = DTYPE if theirs.is_floating_point() else ""
            return Fault("dtype", f"Expected `{name}` of {theirs.dtype}, got {mine.dtype}. {advice}".strip())
    return None


def _shape(answer: Callable, returns: tuple[str, ...], case: Case, got: Observation, want: Observation) -> Fault | None:
    if _exchanged(got, want):
        return Fault("shape", f"The outputs have changed places: return ({', '.join(returns)}), in this order.")
    for i, name in enumerate(returns):
        mine, theirs = got.outputs[i], want.outputs[i]
        if mine.shape != theirs.shape:
            axes = output_axes(answer, want.outputs)[i]
            return Fault("shape", shape_message(name, mine, theirs, axes, _sizes(answer, case)))
    return None


def _exchanged(got: Observation, want: Observation) -> bool:
    came, wanted = ([output.shape for output in seen.outputs] for seen in (got, want))
    return came != wanted and came == wanted[::-1]


def _sizes(answer: Callable, case: Case) -> dict[int, str]:
    """Which axis has which size among the inputs."""
    values = case.named_inputs()
    sizes: dict[int, str] = {}
    for name, axes in input_axes(answer, case).items():
        sizes |= dict(zip(values[name].shape, axes, strict=True))
    return sizes
