"""A bias that is learnt, on a CPU: torch's fused kernel forward, and our tiled form backward.

The kernel gives a bias no gradient, the tiled form does; and all that it needs of the forward pass is the output and
the log-sum-exp.
"""

import torch
from torch import Tensor

from attnlab.fast import bands
from attnlab.fast.ladder.tiled_torch import Rule, Table, backward_of_tiles
from attnlab.fast.problem import Problem


def serves(given: Problem) -> bool:
    return given.learns_bias and bands.possible(given)


def attend(given: Problem, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """query, key, value: those of the problem, brought to one width, their last axis contiguous."""
    return _LearntBias.apply(query, key, value, given.bias, given.mask, given.causal, given.scale)[0]


class _LearntBias(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query, key, value, bias, mask, causal, scale):
        reach = bands.Reach(query.shape[2], key.shape[2], after=0 if causal else None)
        output, lse = bands.forward(query, key, value, reach, scale, mask, bias)
        ctx.save_for_backward(query, key, value, bias, output, lse, mask)
        ctx.causal, ctx.scale = causal, scale
        ctx.set_materialize_grads(False)
        return output, lse  # both, so that a second derivative finds its way through both

    @staticmethod
    def backward(ctx, grad, grad_lse):
        *tensors, mask = ctx.saved_tensors
        rule = Rule(mask, ctx.causal, Table())
        return *backward_of_tiles(*tensors, rule, ctx.scale, grad, grad_lse, ctx.needs_input_grad[3]), None, None, None
