"""Drawn inputs, an output with its gradients, and how near to the truth both have to be."""

from __future__ import annotations

import torch
from torch import Tensor


def draw(*shapes: tuple[int, ...], dtype=torch.float64, seed=0) -> list[Tensor]:
    """One tensor for each shape, with a gradient to come."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(s, generator=generator, dtype=torch.float64).to(dtype).requires_grad_() for s in shapes]


def with_gradients(call, leaves: list[Tensor]) -> list[Tensor]:
    """The output of `call(*leaves)`, and the gradients of an uneven sum over it, all detached."""
    output = call(*leaves)
    weights = torch.arange(output.numel(), dtype=torch.float64).cos().reshape(output.shape).to(output.dtype)
    return [output.detach(), *torch.autograd.grad(output, leaves, weights)]


def assert_same(got: list[Tensor], want: list[Tensor], tolerance: float) -> None:
    for place, (mine, theirs) in enumerate(zip(got, want, strict=True)):
        assert mine.shape == theirs.shape, (place, mine.shape, theirs.shape)
        assert mine.dtype == theirs.dtype, (place, mine.dtype, theirs.dtype)
        assert torch.allclose(mine, theirs, rtol=tolerance, atol=tolerance), (place, (mine - theirs).abs().max())


def assert_within_the_budget(call, naive, leaves: list[Tensor]) -> None:
    """At most twice the error of the naive form in the same low precision, from the same rounded inputs, and 1e-5."""
    exact = with_gradients(naive, [leaf.detach().double().requires_grad_() for leaf in leaves])
    for place, (mine, low, true) in enumerate(
        zip(with_gradients(call, leaves), with_gradients(naive, leaves), exact, strict=True)
    ):
        error, budget = ((result.double() - true).abs().max().item() for result in (mine, low))
        assert error <= 2 * budget + 1e-5, (place, error, budget)


def assert_same_bits_twice(call, leaves: list[Tensor]) -> None:
    for first, second in zip(with_gradients(call, leaves), with_gradients(call, leaves), strict=True):
        assert torch.equal(first, second)


def inside_poison(tensor: Tensor) -> Tensor:
    """The same numbers in a memory that is full of NaN in front, behind and between."""
    poisoned = torch.full([size + 8 for size in tensor.shape], torch.nan, dtype=tensor.dtype)
    inner = poisoned[tuple(slice(3, 3 + size) for size in tensor.shape)]
    return inner.copy_(tensor.detach()).requires_grad_()
