"""Rung 3: the same loops in torch, for a batch with heads, forward and backward, with all that attention is asked for.

This is the walk of rung 2 on tensors. It runs wherever torch does, and it is what a CPU uses for problems that torch's
own kernel does not express.

Backward, the weights are made again tile by tile, P = exp(S - lse). With dO the gradient of the output

    dV = P^T dO        dP = dO V^T        dS = P * (dP - D)        dQ = scale dS K        dK = scale dS^T Q

D, `delta` in the code, is one number a query. The Jacobian of a softmax is diag(p) - p p^T, so dS = P * (dP - D) with
D = rowsum(P * dP); and that is dO . (P V) = rowsum(dO * O), which needs no table (Dao et al. 2022, algorithm 4). A
gradient of the log-sum-exp is subtracted from it. The kernels of the next rungs do the same, but in two walks: here
nothing runs side by side, so one walk can add to all three.

What a query may see, and what is added to its scores, comes as a `Rule`. A rule is asked tile by tile, so that nobody
needs a table of queries * keys: a bias by distance is computed where it is used.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from attnlab.fast.ladder.tiled_numpy import tiles
from attnlab.fast.tensors import accumulator

KEYS = 256  # of a tile
SCORES = 1 << 19  # of a tile, over all heads: 2 MB in float32, which the cache holds


@runtime_checkable  # for signatures that are checked as a test
class Bias(Protocol):
    """Something added to the scores, made from one tensor of parameters. `places` says where the tile stands."""

    def tile(self, parameters: Tensor, places: Places) -> Tensor:
        """What is added to the scores of this tile; broadcasts to (batch, heads, rows, columns)."""

    def add_gradient(self, into: Tensor, places: Places, grad: Tensor) -> None:
        """Add to the gradient of the parameters, `into`, what the gradient of these scores says."""


@dataclass(frozen=True)
class Places:
    """A tile of the table. Query `row` stands at the position of key `row + shift`: the last sees the last."""

    rows: slice
    columns: slice
    shift: int

    def distance(self, device: torch.device) -> Tensor:
        """(rows, columns): the key's position minus the query's."""
        rows = torch.arange(self.rows.start, self.rows.stop, device=device) + self.shift
        return torch.arange(self.columns.start, self.columns.stop, device=device) - rows[:, None]


@dataclass(frozen=True)
class Rule:
    """What may be seen: where `mask` (batch, heads, queries, keys, or 1) is True; causal: no later key."""

    mask: Tensor | None = None
    causal: bool = False
    bias: Bias | None = None

    def columns(self, rows: slice, keys: int, shift: int) -> slice:
        """The keys that a tile of queries has to visit."""
        return slice(0, max(min(rows.stop + shift, keys), 0) if self.causal else keys)

    def seen(self, places: Places, device: torch.device) -> Tensor | None:
        """Which scores count, or None for all."""
        seen = None if self.mask is None else part_of(self.mask, places.rows, places.columns)
        if self.causal and places.columns.stop - 1 > places.rows.start + places.shift:  # the diagonal crosses the tile
            before = places.distance(device) <= 0
            return before if seen is None else seen & before
        return seen


class Table:
    """A bias as a tensor (batch, heads, queries, keys), or 1 where it is shared."""

    def tile(self, parameters: Tensor, places: Places) -> Tensor:
        return part_of(parameters, places.rows, places.columns)

    def add_gradient(self, into: Tensor, places: Places, grad: Tensor) -> None:
        part = part_of(into, places.rows, places.columns)
        part += grad.sum_to_size(part.shape)


def tiled(
    query: Tensor, key: Tensor, value: Tensor, rule: Rule, scale: float, bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Output (batch, heads, queries, features) and log-sum-exp (batch, heads, queries).

    query (batch, heads, queries, width), key (batch, kv_heads, keys, width), value (batch, kv_heads, keys, features);
    half precision is computed in float32. bias: the parameters of `rule.bias`.
    """
    return _Tiled.apply(query, key, value, bias, rule, scale)


class _Tiled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query, key, value, bias, rule, scale):
        walk = _Walk(query, key, value, bias, rule, scale)
        output = query.new_zeros(*query.shape[:3], value.shape[-1])
        lse = torch.full(query.shape[:3], -torch.inf, dtype=walk.dtype, device=query.device)
        for rows in walk.rows():
            highest = torch.full_like(lse[:, :, rows], -torch.inf)
            total, acc = torch.zeros_like(highest), highest.new_zeros(*highest.shape, value.shape[-1])
            for places, scores in walk.scores(rows):
                higher = torch.maximum(highest, scores.amax(dim=-1))
                base = _no_infinity(higher)
                weights, shrink = scores.sub_(base[..., None]).exp_(), (highest - base).exp_()
                total = total * shrink + weights.sum(dim=-1)
                acc = acc * shrink[..., None] + walk.times_values(weights, places)
                highest = higher
            output[:, :, rows] = acc / total.masked_fill(total == 0, 1)[..., None]
            lse[:, :, rows] = highest + total.log()
        ctx.save_for_backward(query, key, value, bias, output, lse, rule.mask)
        ctx.rule, ctx.scale = replace(rule, mask=None), scale  # tensors are torch's to keep: it sees when they change
        ctx.set_materialize_grads(False)
        return output, lse

    @staticmethod
    def backward(ctx, grad, grad_lse):
        *tensors, mask = ctx.saved_tensors
        rule = replace(ctx.rule, mask=mask)
        return *backward_of_tiles(*tensors, rule, ctx.scale, grad, grad_lse, ctx.needs_input_grad[3]), None, None


def backward_of_tiles(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, output: Tensor, lse: Tensor,
    rule: Rule, scale: float, grad: Tensor | None, grad_lse: Tensor | None, of_bias: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:  # fmt: skip
    """The gradients of query, key, value and, if wanted, of the bias. grad, grad_lse: of output and lse, None for 0."""
    walk = _Walk(query, key, value, bias, rule, scale)
    grad = torch.zeros_like(output) if grad is None else grad
    delta = (grad.to(walk.dtype) * output.to(walk.dtype)).sum(dim=-1)
    delta = delta if grad_lse is None else delta - grad_lse
    d_query, d_key, d_value = (torch.zeros_like(t, dtype=walk.dtype) for t in (query, key, value))
    d_bias = torch.zeros_like(bias, dtype=walk.dtype) if of_bias else None
    for rows in walk.rows():
        g, base = walk.folded(grad[:, :, rows].to(walk.dtype)), _no_infinity(lse[:, :, rows])
        for places, scores in walk.scores(rows):
            columns = places.columns
            p = scores.sub_(base[..., None]).exp_()
            d_value[:, :, columns] += walk.folded(p).mT @ g
            dp = (g @ walk.value[:, :, columns].mT).view_as(p)
            ds = dp.sub_(delta[:, :, rows, None]).mul_(p)
            if d_bias is not None:
                rule.bias.add_gradient(d_bias, places, ds)
            ds = walk.folded(ds)
            d_query[:, :, rows] += (ds @ walk.key[:, :, columns]).view_as(d_query[:, :, rows])
            d_key[:, :, columns] += ds.mT @ walk.folded(query[:, :, rows].to(walk.dtype))
    d_query, d_key = d_query.mul_(scale), d_key.mul_(scale)
    grads = (t.to(query.dtype) for t in (d_query, d_key, d_value))
    return *grads, None if d_bias is None else d_bias.to(bias.dtype)


class _Walk:
    """The tiles of one problem. Query heads that share keys are folded into the rows, so no key is copied."""

    def __init__(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, rule: Rule, scale: float):
        self.dtype = accumulator(query)
        self.query, self.bias, self.rule, self.scale = query, bias, rule, scale
        self.key, self.value = key.to(self.dtype), value.to(self.dtype)
        self.shift = key.shape[2] - query.shape[2]

    def rows(self) -> list[slice]:
        batch, heads, queries = self.query.shape[:3]
        return tiles(queries, min(max(SCORES // max(batch * heads * KEYS, 1), 16), 256))

    def scores(self, rows: slice):
        """Every tile that these queries visit: where it stands, and its scores (batch, heads, rows, columns)."""
        queries = self.folded(self.query[:, :, rows].to(self.dtype) * self.scale)
        span = self.rule.columns(rows, self.key.shape[2], self.shift)
        for start in range(span.start, span.stop, KEYS):
            places = Places(rows, slice(start, min(start + KEYS, span.stop)), self.shift)
            scores = queries @ self.key[:, :, places.columns].mT
            scores = scores.view(*self.query.shape[:2], rows.stop - rows.start, scores.shape[-1])
            if self.rule.bias is not None:
                scores += self.rule.bias.tile(self.bias, places).to(self.dtype)
            seen = self.rule.seen(places, scores.device)
            yield places, (scores if seen is None else scores.masked_fill_(~seen, -torch.inf))

    def times_values(self, weights: Tensor, places: Places) -> Tensor:
        product = self.folded(weights) @ self.value[:, :, places.columns]
        return product.view(*weights.shape[:3], product.shape[-1])

    def folded(self, tensor: Tensor) -> Tensor:
        """(batch, heads, rows, n) as (batch, kv_heads, group * rows, n)."""
        group = self.query.shape[1] // max(self.key.shape[1], 1)
        return tensor.reshape(tensor.shape[0], self.key.shape[1], group * tensor.shape[2], tensor.shape[-1])


def part_of(table: Tensor, rows: slice, columns: slice) -> Tensor:
    """A tile of a table, whose last two axes may have size 1."""
    rows = rows if table.shape[-2] > 1 else slice(None)
    return table[..., rows, columns if table.shape[-1] > 1 else slice(None)]


def _no_infinity(highest: Tensor) -> Tensor:
    """-inf - -inf is NaN; where nothing is seen, any other base gives exp(-inf) = 0."""
    return highest.masked_fill(highest == -torch.inf, 0)
