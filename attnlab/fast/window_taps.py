"""A sliding window of a few keys, tap by tap: the key at one distance from each query is a shifted view of the keys.

    score[t, j] = scale * q[t] . k[t + o_j]          o_j = (j - left) * dilation, for the taps j = 0 .. left + right
    out[t]      = sum over j of softmax_j(score)[t, j] * v[t + o_j]

`left` and `right` are how many keys count before and after the query's own place. No key is looked at that does not
count, whatever the dilation, and none is copied, but for half precision, where a piece's keys are made float32. It goes
piece by piece, in pieces that the cache holds. For the backward only the inputs are kept: with few taps the weights are
soon made again. A tap beyond an end has the score -inf, and what would lie there is never touched.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from attnlab.fast.ladder.tiled_numpy import tiles
from attnlab.fast.once import once_differentiable
from attnlab.fast.tensors import accumulator

PIECE = 1 << 18  # numbers of a piece's queries: 1 MB in float32, and enough for eight threads


def few_taps(query: Tensor, key: Tensor, value: Tensor, left: int, right: int, dilation: int, scale: float) -> Tensor:
    """query (batch, heads, tokens, width), key and value with their heads: (batch, heads, tokens, features)."""
    offsets = [distance * dilation for distance in range(-left, right + 1)]
    return _FewTaps.apply(query, key, value, offsets, scale)


class _FewTaps(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query, key, value, offsets, scale):
        output = query.new_zeros(*query.shape[:3], value.shape[-1], dtype=accumulator(query))
        for own, shared, rows in _pieces(query, key):
            k, v = key[shared], value[shared]
            taps = [_tap(rows, offset, query.shape[2]) for offset in offsets]
            p = _products(_wide(query[own][:, :, rows]), k, taps, scale, -torch.inf).softmax(dim=0)
            mixed = output[own][:, :, rows]
            for weight, (places, keys) in zip(p[..., None], taps, strict=True):
                mixed[:, :, places].addcmul_(weight[:, :, places], _wide(v[:, :, keys]))
        ctx.save_for_backward(query, key, value)
        ctx.offsets, ctx.scale = offsets, scale
        return output.to(query.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        """With p the weights, g the output's gradient and k_j, v_j what stands at tap j,

        dp_j = g . v_j      ds_j = scale * p_j (dp_j - sum over i of p_i dp_i)
        dq = sum of ds_j k_j      dk_j += ds_j q      dv_j += p_j g
        """
        query, key, value = ctx.saved_tensors
        d_query, d_key, d_value = (torch.zeros_like(t, dtype=accumulator(query)) for t in (query, key, value))
        for own, shared, rows in _pieces(query, key):
            k, v, dk, dv = (tensor[shared] for tensor in (key, value, d_key, d_value))
            q, g = (_wide(tensor[own][:, :, rows]) for tensor in (query, grad))
            taps = [_tap(rows, offset, query.shape[2]) for offset in ctx.offsets]
            p = _products(q, k, taps, ctx.scale, -torch.inf).softmax(dim=0)
            ds = _products(g, v, taps, ctx.scale, 0.0)
            ds.sub_((p * ds).sum(dim=0)).mul_(p)
            dq = d_query[own][:, :, rows]
            for from_score, weight, (places, keys) in zip(ds[..., None], p[..., None], taps, strict=True):
                dq[:, :, places].addcmul_(from_score[:, :, places], _wide(k[:, :, keys]))
                dk[:, :, keys].addcmul_(from_score[:, :, places], q[:, :, places])
                dv[:, :, keys].addcmul_(weight[:, :, places], g[:, :, places])
        return *(d.to(query.dtype) for d in (d_query, d_key, d_value)), None, None


def _pieces(query: Tensor, key: Tensor) -> Iterator[tuple[tuple, tuple, slice]]:
    """(the query's batch and heads, those of its keys, rows), all as slices.

    Query heads that share a head of keys go into different pieces, so a piece has as many heads of each.
    """
    batch, heads, tokens, width = query.shape
    kv_heads, group = key.shape[1], heads // key.shape[1]
    most = max(PIECE // max(width, 1), 1)  # rows, over all heads of a piece
    per_head = min(most, tokens)
    per_item = per_head * kv_heads
    for items in tiles(batch, max(most // per_item, 1)):
        for shared in tiles(kv_heads, max(most // per_head, 1)):
            for rows in tiles(tokens, per_head):
                for place in range(group):
                    own = slice(shared.start * group + place, shared.stop * group, group)
                    yield (items, own), (items, shared), rows


def _tap(rows: slice, offset: int, tokens: int) -> tuple[slice, slice]:
    """Which of the rows, counted from the first of them, have a key at this offset, and those keys."""
    first = max(rows.start, -offset)
    last = max(min(rows.stop, tokens - offset), first)
    return slice(first - rows.start, last - rows.start), slice(first + offset, last + offset)


def _products(rows: Tensor, others: Tensor, taps: list[tuple[slice, slice]], scale: float, outside: float) -> Tensor:
    """(taps, batch, heads, rows): scale * each row with what stands at its taps, `outside` where that is nothing."""
    products = rows.new_full((len(taps), *rows.shape[:3]), outside)
    for product, (places, keys) in zip(products, taps, strict=True):
        product[:, :, places] = scale * (rows[:, :, places] * _wide(others[:, :, keys])).sum(dim=-1)
    return products


def _wide(tensor: Tensor) -> Tensor:
    return tensor.to(accumulator(tensor))
