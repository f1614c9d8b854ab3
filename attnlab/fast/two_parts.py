"""Causal attention of new queries over a longer past, on a CPU, in two calls of torch's fused kernel.

The last query sees the last key. So every query sees the past whole, and over its own keys the mask is a square, which
is the one causal mask that the kernel has (and of which it skips the half that is not seen):

               past         own
    query 0    x x x x      x
          1    x x x x      x x
          2    x x x x      x x x

Each call gives an output and the log-sum-exp of each row of scores, and results over different keys merge exactly:

    lse = ln(exp(lse_1) + exp(lse_2))        output = exp(lse_1 - lse) output_1 + exp(lse_2 - lse) output_2

Backward each part is given the merged output and lse: exp(score - lse) is the weight in the whole row then, and
rowsum(dO * O) the whole row's, too. So no table of queries * keys, which torch's function wants for such a mask.
"""

import torch
from torch import Tensor

from attnlab.fast import cpu_flash
from attnlab.fast.once import once_differentiable
from attnlab.fast.problem import Problem
from attnlab.fast.tensors import rows_together

SHORTEST = 16  # keys of a part: with fewer, torch's kernel makes zeros of a query with a NaN


def serves(given: Problem) -> bool:
    """Whether it is such a problem, and torch has the operators."""
    return (
        given.causal
        and SHORTEST <= given.query.shape[2] <= given.key.shape[2] - SHORTEST
        and given.mask is None
        and given.bias is None
        and given.query.device.type == "cpu"
        and 0 not in given.query.shape
        and cpu_flash.there()
    )


def in_two_parts(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """query (batch, heads, queries, width), key and value with as many or fewer heads, more tokens, the same width."""
    return _TwoParts.apply(*rows_together(query, key, value), scale)


class _TwoParts(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query, key, value, scale):
        (first, lse_1), (second, lse_2) = (
            cpu_flash.forward(query, key[:, :, part], value[:, :, part], causal=causal, scale=scale)
            for part, causal in _parts(query, key)
        )
        lse = torch.logaddexp(lse_1, lse_2)
        of_first, of_second = ((part - lse).exp()[..., None] for part in (lse_1, lse_2))
        output = (first * of_first).addcmul_(second, of_second).to(query.dtype)
        ctx.save_for_backward(query, key, value, output, lse)
        ctx.scale = scale
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        query, key, value, output, lse = ctx.saved_tensors
        grad = grad.contiguous()
        (d_query, *first), (more, *second) = (
            cpu_flash.backward(
                grad, query, key[:, :, part], value[:, :, part], output, lse, causal=causal, scale=ctx.scale
            )
            for part, causal in _parts(query, key)
        )
        d_key, d_value = (torch.cat(both, dim=2) for both in zip(first, second, strict=True))
        return d_query + more, d_key, d_value, None


def _parts(query: Tensor, key: Tensor) -> tuple[tuple[slice, bool], tuple[slice, bool]]:
    """(keys, causal or not): the past, and the square."""
    past = key.shape[2] - query.shape[2]
    return (slice(past), False), (slice(past, None), True)
