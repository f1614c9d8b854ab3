"""Attention under two of causal, mask and bias, on a CPU: one band of queries after the other.

torch's fused kernel takes a causal square or a single table. So two of the three want a table of queries * keys, which
costs twice: it is there whole, for every item, and under a causal mask the half above the diagonal is computed for
nothing. Here queries go in bands. Each looks at the keys up to its last query; the table of a band exists while the
band is computed, and the backward pass makes it again.

    queries 0 .. C        [ x x ]                          keys 0 .. C
            C .. 2 C      [ x x x x ]                      keys 0 .. 2 C
            2 C .. 3 C    [ x x x x x x ]
"""

import torch
from torch import Tensor

from attnlab.fast import cpu_flash
from attnlab.fast.ladder.tiled_numpy import tiles
from attnlab.fast.ladder.tiled_torch import part_of
from attnlab.fast.once import once_differentiable
from attnlab.fast.problem import Problem
from attnlab.fast.tensors import accumulator, rows_together

HEIGHT = 256  # queries of a band: with more, more is computed above the diagonal; with fewer, calls are too small


def serves(given: Problem) -> bool:
    """Whether it is such a problem, and torch has the operators. They give a bias no gradient."""
    return (
        given.causal + (given.mask is not None) + (given.bias is not None) >= 2
        and not (given.bias is not None and given.bias.requires_grad)
        and given.query.device.type == "cpu"
        and 0 not in given.pairs
        and 0 not in given.query.shape
        and cpu_flash.there()
    )


def in_bands(given: Problem, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """query, key, value: those of the problem, brought to one width."""
    return _Bands.apply(*rows_together(query, key, value), given)


class _Bands(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query, key, value, given):
        output = torch.zeros_like(query, memory_format=torch.contiguous_format)
        lse = query.new_zeros(query.shape[:3], dtype=accumulator(query))
        for rows, keys, table in _bands(given):
            output[:, :, rows], lse[:, :, rows] = cpu_flash.forward(
                query[:, :, rows], key[:, :, keys], value[:, :, keys], causal=False, scale=given.scale, table=table
            )
        ctx.save_for_backward(query, key, value, output, lse, given.mask, given.bias)  # changed since, they are noticed
        ctx.given = given
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        query, key, value, output, lse, _, _ = ctx.saved_tensors
        d_query = torch.zeros_like(query)
        d_key, d_value = (torch.zeros_like(tensor, dtype=lse.dtype) for tensor in (key, value))
        for rows, keys, table in _bands(ctx.given):
            d_query[:, :, rows], dk, dv = cpu_flash.backward(
                grad[:, :, rows].contiguous(), query[:, :, rows], key[:, :, keys], value[:, :, keys],
                output[:, :, rows], lse[:, :, rows], causal=False, scale=ctx.given.scale, table=table,
            )  # fmt: skip
            d_key[:, :, keys] += dk
            d_value[:, :, keys] += dv
        return d_query, d_key.to(key.dtype), d_value.to(value.dtype), None


def _bands(given: Problem):
    """Queries, the keys that one of them may see, and what is added to their scores; not where there are no such."""
    queries, keys = given.query.shape[2], given.key.shape[2]
    for rows in tiles(queries, HEIGHT):
        end = rows.stop + keys - queries if given.causal else keys  # the last query sees the last key
        if end > 0:
            yield rows, slice(0, end), _table(given, rows, slice(0, end))


def _table(given: Problem, rows: slice, columns: slice) -> Tensor:
    """What is added to the scores of a band: the bias, and -inf where a key may not be seen."""
    length, last = rows.stop - rows.start, columns.stop
    seen = torch.ones(1, 1, length, last, dtype=torch.bool)
    if given.causal:
        seen = seen.tril(last - length)
    if given.mask is not None:
        seen = seen & part_of(given.mask, rows, columns)
    bias = given.query.new_zeros(()) if given.bias is None else part_of(given.bias, rows, columns)
    return torch.where(seen, bias, -torch.inf).to(given.query.dtype)
