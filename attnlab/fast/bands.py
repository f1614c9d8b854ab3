"""Attention that wants a table of torch's fused kernel on a CPU: one band of queries after the other.

The kernel takes a causal square or a single table. So two of causal, mask and bias, or a wide window, want a table of
queries * keys, which costs twice: it is there whole, for every item, and what nobody may see is computed for nothing.
Here queries go in bands. Each looks at the keys that one of its queries may see; the table of a band exists while the
band is computed, and the backward pass makes it again.

    causal   queries 0 .. C        [ x x ]                          keys 0 .. C
                     C .. 2 C      [ x x x x ]                      keys 0 .. 2 C
                     2 C .. 3 C    [ x x x x x x ]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from attnlab.fast import cpu_flash
from attnlab.fast.ladder.tiled_numpy import tiles
from attnlab.fast.ladder.tiled_torch import part_of
from attnlab.fast.once import once_differentiable
from attnlab.fast.problem import Problem
from attnlab.fast.tensors import accumulator, rows_together

HEIGHT = 256  # queries of a band: with more, more is computed above the diagonal; with fewer, calls are too small


class Reach(NamedTuple):
    """How many keys before and after its own place a query may see; None: all. The last query is at the last key."""

    queries: int
    keys: int
    before: int | None = None
    after: int | None = None

    def bands(self) -> Iterator[tuple[slice, slice]]:
        """Queries, and the keys that one of them may see; not where there are none."""
        shift = self.keys - self.queries
        for rows in tiles(self.queries, HEIGHT):
            begin = 0 if self.before is None else max(rows.start + shift - self.before, 0)
            end = self.keys if self.after is None else min(rows.stop + shift + self.after, self.keys)
            if begin < end:
                yield rows, slice(begin, end)

    def seen(self, rows: slice, columns: slice) -> Tensor:
        """(1, 1, rows, columns): True within reach."""
        seen = torch.ones(1, 1, rows.stop - rows.start, columns.stop - columns.start, dtype=torch.bool)
        place = rows.start + self.keys - self.queries - columns.start  # of the first query, among these keys
        seen = seen if self.after is None else seen.tril(place + self.after)
        return seen if self.before is None else seen.triu(place - self.before)


def serves(given: Problem) -> bool:
    """Whether it is such a problem, and torch has the operators. They give a bias no gradient."""
    wants_a_table = given.causal + (given.mask is not None) + (given.bias is not None) >= 2
    rectangle = given.causal and given.query.shape[2] != given.key.shape[2]
    return (wants_a_table or rectangle) and not given.learns_bias and possible(given)


def possible(given: Problem) -> bool:
    """Whether torch's operators are there, and there is something to do for them."""
    on_cpu = given.query.device.type == "cpu" and cpu_flash.there()
    return on_cpu and 0 not in given.pairs and 0 not in given.query.shape


def in_bands(
    query: Tensor, key: Tensor, value: Tensor, reach: Reach, scale: float,
    mask: Tensor | None = None, bias: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """query (batch, heads, queries, width), key and value with as many or fewer heads, all of one width."""
    return _Bands.apply(*rows_together(query, key, value), mask, bias, reach, scale)


class _Bands(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query, key, value, mask, bias, reach, scale):
        output, lse = forward(query, key, value, reach, scale, mask, bias)
        ctx.save_for_backward(query, key, value, mask, bias, output, lse)
        ctx.reach, ctx.scale = reach, scale
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        query, key, value, mask, bias, output, lse = ctx.saved_tensors
        d_query = torch.zeros_like(query)
        d_key, d_value = (torch.zeros_like(tensor, dtype=lse.dtype) for tensor in (key, value))
        for rows, keys in ctx.reach.bands():
            d_query[:, :, rows], dk, dv = cpu_flash.backward(
                grad[:, :, rows].contiguous(), query[:, :, rows], key[:, :, keys], value[:, :, keys],
                output[:, :, rows], lse[:, :, rows],
                causal=False, scale=ctx.scale, table=_table(ctx.reach, rows, keys, mask, bias, query.dtype),
            )  # fmt: skip
            d_key[:, :, keys] += dk
            d_value[:, :, keys] += dv
        return d_query, d_key.to(key.dtype), d_value.to(value.dtype), None, None, None, None


def forward(
    query: Tensor, key: Tensor, value: Tensor, reach: Reach, scale: float, mask: Tensor | None, bias: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Output and log-sum-exp; of a query that sees nothing zeros and any number."""
    output = torch.zeros_like(query, memory_format=torch.contiguous_format)
    lse = query.new_zeros(query.shape[:3], dtype=accumulator(query))
    for rows, keys in reach.bands():
        output[:, :, rows], lse[:, :, rows] = cpu_flash.forward(
            query[:, :, rows], key[:, :, keys], value[:, :, keys],
            causal=False, scale=scale, table=_table(reach, rows, keys, mask, bias, query.dtype),
        )  # fmt: skip
    return output, lse


def _table(
    reach: Reach, rows: slice, columns: slice, mask: Tensor | None, bias: Tensor | None, dtype: torch.dtype
) -> Tensor:
    """What is added to the scores of a band: the bias, and -inf where a key may not be seen."""
    if mask is None and reach.before is None and reach.after is None:
        return part_of(bias, rows, columns)
    seen = reach.seen(rows, columns)
    if mask is not None:
        seen = seen & part_of(mask, rows, columns)
    added = torch.zeros((), dtype=dtype) if bias is None else part_of(bias, rows, columns)
    return torch.where(seen, added, -torch.inf).to(dtype)
