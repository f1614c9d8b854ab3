"""Causal attention that has a mask or a bias besides, on a CPU: a band of queries after the other.

torch's fused kernel takes a causal square or a table, not both. The table of queries * keys has its price twice: it is
there whole, in float32 for each item, and of the half above the diagonal every score is computed. So the queries go in
bands. Each sees the keys up to its last query, the table of a band exists while the band is computed, and the backward
pass makes it again.

    queries 0 .. C        [ x x ]                          keys 0 .. C
            C .. 2 C      [ x x x x ]                      keys 0 .. 2 C
            2 C .. 3 C    [ x x x x x x ]
"""

import torch
from torch import Tensor

from attnlab.fast import cpu_flash
from attnlab.fast.ladder.tiled_numpy import tiles
from attnlab.fast.once import once_differentiable
from attnlab.fast.problem import Problem

HEIGHT = 256  # queries of a band: with more, more is computed above the diagonal; with fewer, calls are too small


def serves(given: Problem) -> bool:
    """Whether it is such a problem, and torch has the operators. They give a bias no gradient."""
    return (
        given.causal
        and (given.mask is not None or given.bias is not None)
        and not (given.bias is not None and given.bias.requires_grad)
        and given.query.device.type == "cpu"
        and 0 not in given.pairs
        and 0 not in given.query.shape
        and cpu_flash.there()
    )


def in_bands(given: Problem, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """query, key, value: those of the problem, brought to one width."""
    return _Bands.apply(*cpu_flash.rows_together(query, key, value), given)


class _Bands(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query, key, value, given):
        output = torch.zeros_like(query, memory_format=torch.contiguous_format)
        lse = query.new_zeros(query.shape[:3], dtype=torch.promote_types(query.dtype, torch.float32))
        for rows, keys, table in _bands(given):
            seen = query[:, :, rows], key[:, :, keys], value[:, :, keys]
            output[:, :, rows], lse[:, :, rows] = cpu_flash.forward(*seen, causal=False, scale=given.scale, table=table)
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
        columns = slice(0, rows.stop + keys - queries)  # the last query sees the last key
        if columns.stop > 0:
            yield rows, columns, _table(given, rows, columns)


def _table(given: Problem, rows: slice, columns: slice) -> Tensor:
    length, last = rows.stop - rows.start, columns.stop
    seen = torch.ones(length, last, dtype=torch.bool).tril(last - length)
    if given.mask is not None:
        seen = seen & _part(given.mask, rows, columns)
    bias = given.query.new_zeros(()) if given.bias is None else _part(given.bias, rows, columns)
    return torch.where(seen, bias, -torch.inf).to(given.query.dtype).expand(-1, -1, length, last)


def _part(table: Tensor, rows: slice, columns: slice) -> Tensor:
    """An axis of size 1 is shared by all."""
    table = table if table.shape[2] == 1 else table[:, :, rows]
    return table if table.shape[3] == 1 else table[..., columns]
