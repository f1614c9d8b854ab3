"""What an exercise is: one object, from which the check, the marks, the hints and the gate are derived.

An exercise never looks at a learner's code. It lists cases (inputs), and laws: yes/no questions about what the
learner's answer did with those cases, and about what the reference answer did. Tensors go in, tensors come out,
so the same laws judge an answer that runs in this process or in another one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch

from attnlab.checks.laws import Law


@dataclass(frozen=True)
class Case:
    """One call of the answer: its inputs by position and by keyword.

    An exercise whose answer is a module gives also `build` (the constructor's arguments) and `weights` (its
    state): the module is built, loaded, put into eval mode, and then called with the inputs.
    `gradients` asks for the gradient that each input and each weight gets. The exercise fills in `names`, what
    the reference calls the inputs.
    """

    name: str
    inputs: tuple[Any, ...]
    keywords: Mapping[str, Any] = field(default_factory=dict)
    build: tuple[Any, ...] | None = None
    weights: Mapping[str, torch.Tensor] | None = None
    gradients: bool = False
    names: tuple[str, ...] = ()

    def named_inputs(self) -> dict[str, Any]:
        """All inputs by the names that the reference has for them."""
        return dict(zip(self.names, self.inputs, strict=False)) | dict(self.keywords)


@dataclass(frozen=True)
class Mistake:
    """A wrong implementation that people really write, executable, with what to tell its author.

    `answer` built by `functools.partial` from one recipe with a switch for each mistake lets the diagnosis
    compose two mistakes: their switches are thrown together.
    """

    name: str
    belief: str
    why: str
    action: str
    answer: Callable

    def composed_with(self, other: Mistake) -> Callable | None:
        """The answer with both mistakes in it, or None where the two cannot be told apart or combined."""
        mine, theirs = self.answer, other.answer
        if not (isinstance(mine, partial) and isinstance(theirs, partial)) or mine.func is not theirs.func:
            return None
        if mine.keywords.keys() & theirs.keywords.keys():
            return None
        return partial(mine.func, **mine.keywords, **theirs.keywords)


@dataclass(eq=False)  # compared and hashed by identity
class Exercise:
    """One exercise, declared once.

    stars: difficulty, 1 to 5. importance: 1 (nice to know) to 5 (everything later needs it).
    answer: the reference implementation. returns: the names of what it returns.
    draw: makes the cases from a seeded generator; all sizes in them pairwise different.
    laws: what is asked of the answer; their points add up to the exercise's.
    hints: a question about the symptom, the law to look at, the line to look at, a worked twin.
    shortcuts: full names of callables that would defeat the exercise, see `attnlab.checks.shortcuts`. A method of
    tensors is written "torch.Tensor.softmax".
    """

    name: str
    title: str
    stars: int
    importance: int
    minutes: int
    answer: Callable
    draw: Callable[[torch.Generator], list[Case]]
    laws: tuple[Law, ...]
    mistakes: tuple[Mistake, ...]
    also_right: Mapping[str, Callable]
    hints: tuple[str, str, str, str]
    returns: tuple[str, ...] = ("output",)
    stretch: bool = False
    hunt: bool = False  # the answer is a law: it takes an implementation and says yes or no
    shortcuts: tuple[str, ...] = ()
    lesson: str = ""  # the lesson's module name, filled in by the lesson

    @property
    def full_name(self) -> str:
        return f"{self.lesson}.{self.name}"

    @property
    def points(self) -> int:
        return sum(law.points for law in self.laws)

    def cases(self, seed: int) -> list[Case]:
        """The cases of this seed: equal seeds give equal inputs."""
        function = getattr(self.answer, "forward", self.answer)  # a module's inputs are its forward's
        names = tuple(name for name in inspect.signature(function).parameters if name != "self")
        generator = torch.Generator().manual_seed(seed)
        cases = self.draw(generator)
        if self.hunt:  # in one order always, a law that only counts its calls would pass
            cases = [cases[i] for i in torch.randperm(len(cases), generator=generator)]
        return [replace(case, names=names) for case in cases]

    def __call__(self, answer: Any) -> Any:
        """Check an answer, in a notebook: see `attnlab.checks.notebook.check`."""
        from attnlab.checks.notebook import check

        return check(self, answer)

    def hint(self, level: int | None = None) -> Any:
        """The next hint, or the hint of a level from 1 (a question) to 4 (a worked twin)."""
        from attnlab.checks.notebook import hint

        return hint(self, level)

    def carry_on(self, answer: Any) -> Callable:
        """The learner's answer where it passes, the reference where it does not; prints which."""
        from attnlab.checks.notebook import carry_on

        return carry_on(self, answer)


def draw_sizes(generator: torch.Generator, *axes: str) -> dict[str, int]:
    """A size from 2 to 9 for each axis, all different, so that no two axes can be confused unnoticed."""
    sizes = torch.randperm(8, generator=generator)[: len(axes)] + 2
    return dict(zip(axes, sizes.tolist(), strict=True))


def uncontiguous(tensor: torch.Tensor) -> torch.Tensor:
    """The same values, laid out in memory the other way round (the last two axes swapped)."""
    return tensor.transpose(-2, -1).contiguous().transpose(-2, -1)
