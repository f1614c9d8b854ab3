"""Which mistake was made: the same outputs as a known mistake, two mistakes at once, the same laws broken, or unknown.

The order goes from what is certain to what is likely, and ends with an honest "unknown".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import torch

from attnlab.checks.exercise import Case, Exercise, Mistake
from attnlab.checks.gates import gated
from attnlab.checks.laws import Seen, broken_laws, close
from attnlab.checks.observe import Fault, Observation, observe


@dataclass(frozen=True)
class Diagnosis:
    """certainty: "same outputs", "two mistakes", "same laws" or "unknown"."""

    certainty: str
    mistakes: tuple[Mistake, ...] = ()

    @property
    def name(self) -> str | None:
        return " + ".join(mistake.name for mistake in self.mistakes) or None


def diagnose(exercise: Exercise, seen: Seen, seed: int, broken: frozenset[str]) -> Diagnosis:
    """Name the mistake behind what was seen; `broken` are the names of the laws that do not hold."""
    known = _Bank(exercise, seed)
    for mistake in exercise.mistakes:
        if known.behaves_like(mistake.answer, seen):
            return Diagnosis("same outputs", (mistake,))
    # A bug hunt shows only yes and no: that is too little to tell two mistakes at once from another one.
    for pair in [] if exercise.hunt else combinations(exercise.mistakes, 2):
        both = pair[0].composed_with(pair[1])
        if both is not None and known.behaves_like(both, seen):
            return Diagnosis("two mistakes", pair)
    # One broken law says too little: many errors break only the law on the numbers.
    if len(broken) > 1 and not any(o.fault and o.fault.kind == "raised" for o in seen.got.values()):
        alike = [
            mistake
            for mistake, theirs in known.runs()
            if frozenset(broken_laws(exercise.laws, theirs)) == broken and _nearer_to(theirs, seen)
        ]
        if len(alike) == 1:
            return Diagnosis("same laws", (alike[0],))
    return Diagnosis("unknown")


class _Bank:
    """The mistakes of an exercise, run on the cases of one seed, one case at a time and only when needed."""

    def __init__(self, exercise: Exercise, seed: int):
        self.exercise, self.seed = exercise, seed
        self.cases, self.want = reference_run(exercise, seed)

    def behaves_like(self, answer: Callable, seen: Seen) -> bool:
        return all(same(seen.got[name], self._look(answer, name)) for name in self.cases)

    def _look(self, answer: Callable, name: str) -> Observation:
        case = self.cases[name]
        return gated(self.exercise.answer, self.exercise.returns, case, observe(answer, case), self.want[name])

    def runs(self) -> Iterator[tuple[Mistake, Seen]]:
        """Every mistake with all that is seen of it."""
        for mistake in self.exercise.mistakes:
            got = {name: self._look(mistake.answer, name) for name in self.cases}
            yield mistake, Seen(self.cases, got, self.want, self.exercise.returns)


def _nearer_to(theirs: Seen, mine: Seen) -> bool:
    """Are my numbers nearer to the mistake's than half their distance from the right ones?

    The same laws alone would give every small error the name of some mistake.
    """
    from_mistake = from_right = 0.0
    for case, seen in mine.got.items():
        outputs = zip(seen.outputs, theirs.got[case].outputs, mine.want[case].outputs, strict=False)
        for own, wrong, right in outputs:
            if own.shape == wrong.shape == right.shape:
                from_mistake += _distance(own, wrong)
                from_right += _distance(own, right)
    return from_mistake < from_right / 2


def _distance(a: torch.Tensor, b: torch.Tensor) -> float:
    """The mean difference; where only one of the two is no number, a difference of one."""
    return (a.double() - b.double()).abs().nan_to_num(nan=1.0, posinf=1.0).mean().item()


@lru_cache(maxsize=64)
def reference_run(exercise: Exercise, seed: int) -> tuple[dict[str, Case], dict[str, Observation]]:
    """The cases of a seed, and what the reference does with them; remembered."""
    cases = {case.name: case for case in exercise.cases(seed)}
    return cases, {name: observe(exercise.answer, case) for name, case in cases.items()}


def same(mine: Observation, theirs: Observation) -> bool:
    """Were two answers seen to do the same with one case?"""
    if _essence(mine.fault) != _essence(theirs.fault):
        return False
    if len(mine.outputs) != len(theirs.outputs) or mine.changed != theirs.changed:
        return False
    if not all(close(a, b) for a, b in zip(mine.outputs, theirs.outputs, strict=True)):
        return False
    return all(_same_gradient(mine.gradients.get(name), theirs.gradients.get(name)) for name in theirs.gradients)


def _essence(fault: Fault | None) -> tuple[str, ...]:
    """What two equal faults have in common: the kind, and where parameters do not fit, which ones."""
    if fault is None:
        return ()
    return (fault.kind, fault.message) if fault.kind == "parameters" else (fault.kind,)


def _same_gradient(mine: torch.Tensor | None, theirs: torch.Tensor | None) -> bool:
    """Whoever leaves a weight out gets no gradient there, and who multiplies it with zero gets zeros."""
    if mine is None or theirs is None:
        return all(gradient is None or not gradient.any() for gradient in (mine, theirs))
    return close(mine, theirs)
