"""Answers with errors that no exercise lists: the reference, with its outputs tampered with."""

import inspect
from collections.abc import Callable

import torch

from attnlab.checks.exercise import Exercise


def ripples(output: torch.Tensor) -> torch.Tensor:
    return output + 0.05 * torch.arange(output.numel(), dtype=output.dtype).cos().reshape(output.shape)


def too_much(output: torch.Tensor) -> torch.Tensor:
    return output * 1.3


def last_number_off(output: torch.Tensor) -> torch.Tensor:
    """The last number raised, out of place so that gradients pass."""
    bump = torch.zeros(output.numel(), dtype=output.dtype)
    bump[-1] = 0.2
    return output + bump.reshape(output.shape)


def turned_over(output: torch.Tensor) -> torch.Tensor:
    """For tables of booleans: rows in the reverse order."""
    return output.flip(0)


WAYS = (ripples, too_much, last_number_off)


def spoiled(exercise: Exercise, way: Callable, where: Callable = lambda inputs: True) -> Callable:
    """The reference with its outputs changed, for inputs where `where` says so."""
    answer = exercise.answer

    def change(result, inputs):
        if not where(inputs):
            return result
        if isinstance(result, tuple):
            return tuple(change(part, inputs) for part in result)
        return way(result) if result.is_floating_point() else turned_over(result)

    if inspect.isclass(answer):

        class Spoiled(answer):
            def forward(self, *inputs, **keywords):
                return change(super().forward(*inputs, **keywords), inputs)

        return Spoiled
    return lambda *inputs, **keywords: change(answer(*inputs, **keywords), inputs)


def spoiled_without_batch(exercise: Exercise) -> Callable:
    """Wrong only for inputs of the fewest axes, those without a batch axis: few laws notice."""
    fewest = min(_axes(case.inputs) for case in exercise.cases(0))
    return spoiled(exercise, ripples, lambda inputs: _axes(inputs) == fewest)


def _axes(inputs: tuple) -> int:
    return inputs[0].ndim if isinstance(inputs[0], torch.Tensor) else 0
