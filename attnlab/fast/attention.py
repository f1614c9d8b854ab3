"""Attention, fast: the function of `attnlab.reference.attention`, without its table of weights.

On a CUDA device our Triton kernels compute it; on a CPU torch's fused kernel, or our tiled form where that kernel does
not express the problem. Memory is linear in the number of tokens, forward and backward, but for what the caller brings
(a mask or bias with a number for each pair), for `using="naive"`, and on CUDA for float64. `explain` says which way a
call goes.
"""

from importlib.util import find_spec
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from attnlab.fast import bands, learnt_bias, two_parts
from attnlab.fast.autocast import cast_once
from attnlab.fast.ladder.naive import naive, visible
from attnlab.fast.ladder.tiled_torch import Rule, Table, tiled
from attnlab.fast.problem import Problem, problem
from attnlab.fast.tensors import accumulator, rows_together

WIDEST = 256  # of a head, in our kernels: wider tiles do not fit into the registers


class Plan(NamedTuple):
    """`using`: triton, sdpa, tiled or naive. `why`: what decided it."""

    using: str
    why: str

    def __str__(self) -> str:
        return f"{self.using}: {self.why}"


@cast_once
def attention(
    query: Float[Tensor, "*batch queries width"],
    key: Float[Tensor, "*kv_batch keys width"],
    value: Float[Tensor, "*kv_batch keys features"],
    mask: Bool[Tensor, "*#batch queries keys"] | None = None,
    *,
    causal: bool = False,
    bias: Float[Tensor, "*#batch queries keys"] | None = None,
    scale: float | None = None,
    return_lse: bool = False,
    using: str | None = None,
) -> Float[Tensor, "*batch queries features"] | tuple[Tensor, Tensor]:
    """softmax(scale * query key^T + bias) value, over the keys that may be seen (mask: True).

    Departs from the reference: the weights are not returned, they never exist as a whole. With `return_lse` the second
    output is the log-sum-exp of each row of scores, (*batch, queries), natural units, float32: exp(score - lse) is a
    weight.

    key, value: the query's batch axes, or fewer heads (the last batch axis), a divisor of the query's: grouped-query
    attention, where neighbouring query heads share keys. causal: aligned so that the last query sees the last key.
    Keys that may not be seen should be finite all the same: torch's kernel adds -inf to their scores, and NaN stays.
    bias: gets its gradient. scale: 1 / sqrt(width) unless given. A query that may see nothing gets zeros, its gradients
    are zero, its lse is -inf.

    using: "triton", "sdpa", "tiled" or "naive" instead of what `explain` would name; a request that cannot be met is an
    error and never another way. Gradients flow through every output, twice through "naive" and "tiled".
    Source: Vaswani et al. 2017, equation 1; Dao 2023 (FlashAttention-2).
    """
    given = problem(query, key, value, mask, causal=causal, bias=bias, scale=scale)
    using = _plan(given, return_lse).using if using is None else using
    if using not in WAYS:
        raise ValueError(f"Expected `using` to be one of {', '.join(WAYS)}, got {using!r}.")
    if using == "sdpa" and return_lse:
        raise ValueError('Expected no return_lse with using="sdpa": torch does not return it. Use "tiled".')
    if using == "sdpa" and given.key.shape[2] == 0:
        raise ValueError('Expected at least one key with using="sdpa": torch divides by nothing. Use "tiled".')
    output, lse = WAYS[using](given)
    return (given.unfolded(output), given.unfolded(lse)) if return_lse else given.unfolded(output)


def explain(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    *,
    causal: bool = False,
    bias: Tensor | None = None,
    scale: float | None = None,
    return_lse: bool = False,
) -> Plan:
    """Which way `attention` would go with these arguments, and why. Computes nothing."""
    return _plan(problem(query, key, value, mask, causal=causal, bias=bias, scale=scale), return_lse)


def _plan(given: Problem, return_lse: bool) -> Plan:
    query = given.query
    if query.is_cuda:
        widest = max(query.shape[-1], given.value.shape[-1])
        if not find_spec("triton"):
            reason = "triton is not installed (pip install 'attnlab[gpu]'), "
        elif widest > WIDEST:
            reason = f"a head of width {widest} is wider than our kernels' {WIDEST}, "
        elif query.dtype == torch.float64:
            reason = "float64 is for checking, "
        else:
            return Plan("triton", f"{query.dtype} on {query.device}, heads up to {WIDEST} wide")
    else:
        reason = ""
    if return_lse:
        return Plan("tiled", reason + "the log-sum-exp is asked for, which torch's function does not return")
    if given.key.shape[2] == 0:
        return Plan("tiled", reason + "there is no key, and torch would divide by nothing")
    if two_parts.serves(given):
        return Plan("sdpa", reason + "torch's kernel, once for the past and once for the queries' own keys")
    if learnt_bias.serves(given):
        return Plan("sdpa", reason + "torch's kernel forward; backward our tiles, which give the bias its gradient")
    if bands.serves(given):
        return Plan("sdpa", reason + "torch's kernel, a band of queries at a time over the keys that they may see")
    if given.causal and query.shape[2] != given.key.shape[2]:
        return Plan(
            "tiled", reason + "torch aligns causal attention at the first key, not the last, unless given a table"
        )
    if given.learns_bias:
        return Plan("tiled", reason + "torch's fused kernels give a bias no gradient")
    return Plan("sdpa", reason + "torch's function expresses it")


def _sdpa(given: Problem) -> tuple[Tensor, Tensor | None]:
    query, key, value = given.query, given.key, given.value
    features = value.shape[-1]
    if features != query.shape[-1]:  # the fused kernels want one width; zeros change no score and no output
        widest = max(features, query.shape[-1])
        query, key, value = (F.pad(t, (0, widest - t.shape[-1])) for t in (query, key, value))
    query, key, value = rows_together(query, key, value)  # of any other layout torch builds the table of scores
    if two_parts.serves(given):
        output = two_parts.in_two_parts(query, key, value, given.scale)
    elif learnt_bias.serves(given):
        output = learnt_bias.attend(given, query, key, value)
    elif bands.serves(given):
        reach = bands.Reach(query.shape[2], key.shape[2], after=0 if given.causal else None)
        output = bands.in_bands(query, key, value, reach, given.scale, given.mask, given.bias)
    else:
        table, causal = _table(given)
        output = F.scaled_dot_product_attention(
            query, key, value, table, is_causal=causal, scale=given.scale, enable_gqa=given.group > 1
        )
    return output if output.shape[-1] == features else output[..., :features], None


def _table(given: Problem) -> tuple[Tensor | None, bool]:
    """What torch's function takes for a mask, and whether it has to be causal besides: it takes not both."""
    queries, keys = given.query.shape[2], given.key.shape[2]
    table, causal = given.mask, given.causal
    if causal and (table is not None or given.bias is not None or queries != keys):
        seen = visible(queries, keys, given.query.device)
        table, causal = seen if table is None else table & seen, False
    if given.bias is not None:
        table = given.bias if table is None else given.bias.masked_fill(~table, -torch.inf)
    return (table if table is None else rows_together(table)[0]), causal


def _tiled(given: Problem) -> tuple[Tensor, Tensor]:
    rule = Rule(given.mask, given.causal, None if given.bias is None else Table())
    return tiled(given.query, given.key, given.value, rule, given.scale, given.bias)


def _naive(given: Problem) -> tuple[Tensor, Tensor]:
    key, value = (t.repeat_interleave(given.group, dim=1) for t in (given.key, given.value))
    output, lse = naive(given.query, key, value, given.mask, causal=given.causal, bias=given.bias, scale=given.scale)
    return output, lse.to(accumulator(lse))


def _triton(given: Problem) -> tuple[Tensor, Tensor]:
    from attnlab.fast import triton_attention  # only here: the rest works without triton

    if not (given.query.is_cuda or triton_attention.INTERPRETED):
        raise ValueError(
            f'Expected tensors on a CUDA device for using="triton", got them on {given.query.device}. Leave out '
            "`using`, or set TRITON_INTERPRET=1 before triton is imported."
        )
    if triton_attention.INTERPRETED and given.query.dtype == torch.bfloat16:
        raise TypeError(
            "Expected float16 or float32 in Triton's interpreter, got bfloat16, whose products are wrong there."
        )
    return triton_attention.triton_attention(given)


WAYS = {"triton": _triton, "sdpa": _sdpa, "tiled": _tiled, "naive": _naive}
