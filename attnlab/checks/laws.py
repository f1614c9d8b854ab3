"""Laws: named yes/no questions about what an answer did with the cases of an exercise.

A law is given what was seen of the learner's answer and of the reference, and returns None when it holds, or a
sentence that says where it does not. General laws live here; what only one exercise asks stands with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from attnlab.checks.exercise import Case
    from attnlab.checks.observe import Observation

Question = Callable[["Seen"], str | None]


@dataclass(frozen=True)
class Law:
    """A question with its points. `asks` is the question in words, answered by yes when the law holds."""

    name: str
    points: int
    asks: str
    holds: Question

    def broken_by(self, seen: Seen) -> str | None:
        try:
            return self.holds(seen)
        except NothingToJudge as fault:
            return str(fault)


class NothingToJudge(Exception):
    """The case that a law needs has no usable outputs; the message says why."""


@dataclass(frozen=True)
class Seen:
    """All observations of one answer, with the reference's on the same cases."""

    cases: Mapping[str, Case]
    got: Mapping[str, Observation]
    want: Mapping[str, Observation]
    returns: tuple[str, ...]

    def outputs(self, case: str) -> tuple[torch.Tensor, ...]:
        fault = self.got[case].fault
        if fault is not None:
            raise NothingToJudge(f"{fault.message} (case: {case})")
        return self.got[case].outputs

    def output(self, case: str, name: str) -> torch.Tensor:
        return self.outputs(case)[self.returns.index(name)]

    def expected(self, case: str, name: str) -> torch.Tensor:
        return self.want[case].outputs[self.returns.index(name)]


def broken_laws(laws: Iterable[Law], seen: Seen) -> dict[str, str]:
    """The laws that do not hold: name -> the sentence that says where."""
    return {law.name: sentence for law in laws if (sentence := law.broken_by(seen))}


def close(got: torch.Tensor, want: torch.Tensor) -> bool:
    """Equal up to what reordering the sums of float32 may change; exact for booleans."""
    if got.shape != want.shape or got.dtype != want.dtype:
        return False
    if not got.is_floating_point():
        return torch.equal(got, want)
    return torch.allclose(got, want, rtol=1e-4, atol=1e-5, equal_nan=True)


def first_difference(got: torch.Tensor, want: torch.Tensor) -> str:
    """Where two tensors of one shape differ most, with both numbers."""
    gap = (got.double() - want.double()).abs().nan_to_num(nan=torch.inf)
    place = [int(i) for i in torch.unravel_index(gap.argmax(), gap.shape)]
    mine, theirs = got[tuple(place)].item(), want[tuple(place)].item()
    return f"at {place} it is {mine:.4g}, expected {theirs:.4g}"


def shapes_right() -> Question:
    """Every case gives outputs of the right number, kind, dtype and shape."""

    def holds(seen: Seen) -> str | None:
        for case in seen.cases:
            seen.outputs(case)
        return None

    return holds


def equals_reference(*cases: str, of: str | None = None) -> Question:
    """The numbers are the reference's, in these cases (all outputs, or the one named)."""

    def holds(seen: Seen) -> str | None:
        for case in cases:
            for name in (of,) if of else seen.returns:
                got, want = seen.output(case, name), seen.expected(case, name)
                if not close(got, want):
                    return f"`{name}` has other numbers: {first_difference(got, want)} (case: {case})."
        return None

    return holds


def sums_to_one(*cases: str, of: str) -> Question:
    """Every row of weights is positive and sums to one."""

    def holds(seen: Seen) -> str | None:
        for case in cases:
            weights = seen.output(case, of)
            sums = weights.sum(dim=-1)
            if not close(sums, torch.ones_like(sums)):
                worst = sums.flatten()[(sums - 1).abs().nan_to_num(nan=torch.inf).argmax()].item()
                columns = weights.sum(dim=-2) if weights.ndim > 1 else sums
                turned = close(columns, torch.ones_like(columns)) and " The columns do." or ""
                return f"A row of `{of}` sums to {worst:.4g}, not to 1.{turned} (case: {case})"
            if (weights < 0).any():
                return f"`{of}` has a negative weight, {weights.min().item():.4g} (case: {case})."
        return None

    return holds


def stays_finite(case: str) -> Question:
    """Large numbers come out finite."""

    def holds(seen: Seen) -> str | None:
        for name in seen.returns:
            if not seen.output(case, name).isfinite().all():
                return f"`{name}` holds NaN or infinity when the numbers are large (case: {case})."
        return None

    return holds


def inputs_unchanged() -> Question:
    """What was passed in is afterwards what it was before."""

    def holds(seen: Seen) -> str | None:
        for case, observation in seen.got.items():
            seen.outputs(case)
            if observation.changed:
                return f"{observation.changed[0]} was changed in place (case: {case}); the caller still needs it."
        return None

    return holds


def gradients_reach(case: str) -> Question:
    """A gradient reaches every input and every parameter; the right one, where the outputs are right."""

    def holds(seen: Seen) -> str | None:
        outputs_right = all(close(seen.output(case, name), seen.expected(case, name)) for name in seen.returns)
        for name, want in seen.want[case].gradients.items():
            got = seen.got[case].gradients.get(name)
            if want is None:
                continue
            if got is None or not got.any():
                return f"No gradient reaches {name}: something cuts the graph (.detach(), .data, .item(), no_grad)."
            if outputs_right and not close(got, want):
                return f"The gradient of {name} is not right: {first_difference(got, want)}."
        return None

    return holds


def keeps_dtype(case: str) -> Question:
    """float64 in, float64 out; with float64's accuracy, where the numbers are right at all."""

    def holds(seen: Seen) -> str | None:
        for name in seen.returns:
            got, want = seen.output(case, name), seen.expected(case, name)
            exact = torch.allclose(got, want, rtol=1e-10, atol=1e-11, equal_nan=True)
            if close(got, want) and not exact:
                gap = (got - want).abs().max().item()
                return (
                    f"`{name}` is off by {gap:.1g}, too much for float64: a step in float32, or a small number added?"
                )
        return None

    return holds


def item_alone(whole: str, alone: str) -> Question:
    """The first item of a batch gives what it gives without the others (a batch of one)."""

    def holds(seen: Seen) -> str | None:
        for name in seen.returns:
            together, single = seen.output(whole, name)[:1], seen.output(alone, name)
            if not close(single, together):
                return (
                    f"`{name}` of one item changes with the others in its batch: {first_difference(single, together)}."
                )
        return None

    return holds


def mixes_the_values(case: str, value: str) -> Question:
    """The output is the learner's own weights times the values (the input of this name)."""

    def holds(seen: Seen) -> str | None:
        values = seen.cases[case].named_inputs()[value]
        if close(seen.output(case, "output"), seen.output(case, "weights") @ values):
            return None
        return "`output` is not your own `weights` times the values."

    return holds


def says(truth: bool, *cases: str, of: str = "implementation", fair: str | None = None) -> Question:
    """In a bug hunt: the learner's law answers `truth` for these implementations.

    fair: a right one; whoever says no to that one too has exposed nothing by saying no.
    """

    def holds(seen: Seen) -> str | None:
        if fair is not None and not bool(seen.output(fair, "holds")):
            return f"Your law says no to a right {of} too, so its no exposes nothing."
        for case in cases:
            if bool(seen.output(case, "holds")) is not truth:
                return f"Your law {'rejects' if truth else 'accepts'} this {of}: {case}."
        return None

    return holds


# What nearly every exercise asks, of cases with the usual names, for a point each.
RIGHT_SHAPES = Law("right shapes", 1, "Has every output the expected shape?", shapes_right())
ITEMS_APART = Law(
    "items stay apart", 1, "Does an item not depend on its batch?", item_alone("plain", "first item alone")
)
GRADIENT = Law("gradient reaches every input", 1, "Can it be trained through?", gradients_reach("gradients"))
INPUTS_KEPT = Law("inputs stay as they were", 1, "Does it leave its inputs alone?", inputs_unchanged())
FLOAT64 = Law("float64 stays float64", 1, "Does it compute in the dtype it is given?", keeps_dtype("float64"))
