"""For gradients that are written by hand and flow once: a second derivative is an error, not a wrong number.

torch's own `once_differentiable` refuses `backward()`, but lets `torch.autograd.grad` pass: from its node no way leads
to the inputs, so the share of the second derivative that would take it is left out without a word.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """A Function's backward (below `staticmethod`), whose result refuses to be differentiated."""

    @wraps(backward)
    def wrapped(ctx, *grads):
        with torch.no_grad():
            results = backward(ctx, *grads)
        if not torch.is_grad_enabled():  # nobody asked for a graph of the backward
            return results
        alone = isinstance(results, Tensor)
        results = (results,) if alone else results
        sources = [t for t in (*grads, *ctx.saved_tensors) if isinstance(t, Tensor) and t.requires_grad]
        found = iter(
            _Refuse.apply(sum(t is not None for t in results), *(t for t in results if t is not None), *sources)
        )
        results = tuple(None if t is None else next(found) for t in results)
        return results[0] if alone else results

    return wrapped


class _Refuse(torch.autograd.Function):
    """The first `count` tensors as they are, with a way back to all of them that ends here."""

    @staticmethod
    def forward(ctx, count, *tensors):
        return tuple(tensor.clone() for tensor in tensors[:count])

    @staticmethod
    def backward(ctx, *grads):
        raise RuntimeError(
            "Expected one derivative of this function of attnlab.fast, got asked for a second. Use its twin in "
            'attnlab.reference, or attention(..., using="naive"), which can be differentiated as often as you like.'
        )
