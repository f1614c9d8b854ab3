"""Tensors on the device, and how near to the truth an answer has to be there."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.gpu.conftest import DEVICE


def draw(*shapes: tuple[int, ...], dtype=torch.float32, seed=0) -> list[Tensor]:
    """One tensor for each shape, with a gradient to come."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(s, generator=generator).to(DEVICE, dtype).requires_grad_() for s in shapes]


def with_gradients(call, leaves: list[Tensor]) -> list[Tensor]:
    """The output of `call(*leaves)` and the gradients of an uneven sum over it, all detached."""
    output = call(*leaves)
    weights = torch.arange(output.numel(), device=output.device).cos().reshape(output.shape).to(output.dtype)
    return [output.detach(), *torch.autograd.grad(output, leaves, weights)]


def assert_right(call, naive, leaves: list[Tensor]) -> None:
    """At most twice the error of the naive form in the same precision, from the same rounded inputs, and 1e-5.

    Both count relative to the largest number of the right answer, which for gradients of long sums is far from one.
    """
    exact = with_gradients(naive, [leaf.detach().double().requires_grad_() for leaf in leaves])
    low = with_gradients(naive, leaves)
    for place, (mine, theirs, right) in enumerate(zip(with_gradients(call, leaves), low, exact, strict=True)):
        size = max(right.abs().max().item(), 1.0)
        error, budget = ((result.double() - right).abs().max().item() / size for result in (mine, theirs))
        assert error <= 2 * budget + 1e-5, (place, error, budget)
