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
from attnlab.checks.laws import Seen, close
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
    for pair in combinations(exercise.mistakes, 2):
        both = pair[0].composed_with(pair[1])
        if both is not None and known.behaves_like(both, seen):
            return Diagnosis("two mistakes", pair)
    # One broken law says too little: many errors break only the law on the numbers.
    if len(broken) > 1 and any(observation.fault is None for observation in seen.got.values()):
        alike = [m for m, laws in known.patterns() if laws == broken]
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

    def patterns(self) -> Iterator[tuple[Mistake, frozenset[str]]]:
        for mistake in self.exercise.mistakes:
            got = {name: self._look(mistake.answer, name) for name in self.cases}
            seen = Seen(self.cases, got, self.want, self.exercise.returns)
            yield mistake, frozenset(law.name for law in self.exercise.laws if law.broken_by(seen))


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
    if mine is None or theirs is None:
        return mine is theirs
    return close(mine, theirs)
