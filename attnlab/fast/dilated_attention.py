"""PDAN's dilated attention without its unfold: each channel of each place chooses among a few taps, d places apart.

    score[c, t, j] = q[c, t] * k[c, t + o_j]                     o_j = (j - taps // 2) * dilation
    out[c, t]      = sum over j of softmax_j(score)[c, t, j] * (v[c, t + o_j] + relative[c, j])

An ordinary product per channel, not a dot product, and no 1 / sqrt(width): nothing is summed. Beyond the ends stand
zeros, as published: a key with score 0 and value relative[c, j], which takes about a third of the weight there.

Dai et al. 2021 (PDAN), the core of its dilated attention layer; the projections and the block around it are the
caller's. Their code unfolds keys and values to `taps` copies each and keeps all that is computed from them. Here a tap
is a shifted view, and what is kept for the backward are the inputs. On a CPU it goes a few channels at a time, which
the cache holds, and makes the weights again: no more work than from a log-sum-exp. The kernels keep that one, a number
for each channel and place.
"""

from __future__ import annotations

from importlib.util import find_spec

import torch
from jaxtyping import Float
from torch import Tensor

from attnlab.fast.autocast import cast_once
from attnlab.fast.ladder.tiled_numpy import tiles
from attnlab.fast.once import once_differentiable
from attnlab.fast.tensors import accumulator

PIECE = 1 << 16  # places of a piece, over all its channels: 256 KB in float32 for each tap


@cast_once
def dilated_attention(
    query: Float[Tensor, "batch channels tokens"],
    key: Float[Tensor, "batch channels tokens"],
    value: Float[Tensor, "batch channels tokens"],
    relative: Float[Tensor, "channels taps"],
    dilation: int,
) -> Float[Tensor, "batch channels tokens"]:
    """What each channel of each place takes from its taps. Gradients flow to all four tensors, once.

    The number of taps is odd: the middle one is the place itself. key and value are as long as the query; the layer's
    padding is done here. Half precision is computed in float32.
    """
    _check(query, key, value, relative, dilation)
    keep = torch.is_grad_enabled() and any(t.requires_grad for t in (query, key, value, relative))
    return _Dilated.apply(query, key, value, relative, dilation, keep)


def _check(query: Tensor, key: Tensor, value: Tensor, relative: Tensor, dilation: int) -> None:
    shapes = f"query {tuple(query.shape)}, key {tuple(key.shape)}, value {tuple(value.shape)}"
    if not query.ndim == 3 or not query.shape == key.shape == value.shape:
        raise ValueError(f"Expected query, key and value all of one shape (batch, channels, tokens), got {shapes}.")
    if relative.ndim != 2 or relative.shape[0] != query.shape[1] or relative.shape[1] % 2 == 0:
        raise ValueError(
            f"Expected `relative` of shape ({query.shape[1]}, taps), a row for each channel and an odd number of taps, "
            f"got {tuple(relative.shape)}."
        )
    if dilation < 1:
        raise ValueError(f"Expected a dilation of 1 or more, got {dilation}. 1 takes neighbours as they are.")
    kinds = {(tensor.dtype, tensor.device) for tensor in (query, key, value, relative)}
    if len(kinds) > 1 or not query.is_floating_point():
        raise TypeError(
            "Expected query, key, value and relative of one floating dtype on one device, got "
            + ", ".join(sorted(f"{dtype} on {device}" for dtype, device in kinds))
            + ". Bring them together with .to() first."
        )


class _Dilated(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query, key, value, relative, dilation, keep):
        output, lse = _functions(query)[0](query, key, value, relative, dilation, keep)
        ctx.save_for_backward(query, key, value, relative, lse)
        ctx.dilation = dilation
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        query, key, value, relative, lse = ctx.saved_tensors
        return *_functions(query)[1](query, key, value, relative, lse, grad, ctx.dilation), None, None


def _functions(query: Tensor):
    """Forward and backward: the kernels' on CUDA where triton is installed, torch's everywhere else."""
    if query.is_cuda and find_spec("triton"):
        from attnlab.fast import dilated_kernels  # only here: the rest works without triton

        return dilated_kernels.forward, dilated_kernels.backward
    return in_pieces, backward_in_pieces


def in_pieces(query, key, value, relative, dilation: int, keep: bool) -> tuple[Tensor, None]:
    """The output (batch, channels, tokens), and nothing for the backward."""
    output = torch.empty_like(query)
    for piece in _pieces(query):
        q, k, v, rel = _parts(piece, query, key, value, relative)
        taps = taps_of(rel.shape[-1], dilation, q.shape[-1])
        output[piece] = _mix(_scores(q, k, taps).softmax(dim=0), _values(v, rel, taps))
    return output, None


def backward_in_pieces(query, key, value, relative, lse, grad, dilation: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """With p the weights, o the output and g its gradient at each place, and k, v those of its tap j,

    ds_j = p_j g (v + relative_j - o)
    dq = sum of ds_j k      dk += ds_j q      dv += p_j g      drelative_j = sum over places of p_j g
    """
    grads = [torch.empty_like(tensor) for tensor in (query, key, value)]
    d_relative = torch.zeros_like(relative, dtype=accumulator(query))
    for piece in _pieces(query):
        q, k, v, rel = _parts(piece, query, key, value, relative)
        g = grad[piece].to(q.dtype).contiguous()
        taps = taps_of(rel.shape[-1], dilation, q.shape[-1])
        p, ds = _scores(q, k, taps).softmax(dim=0), _values(v, rel, taps)
        ds.sub_(_mix(p, ds))
        ds.mul_(p.mul_(g))
        d_relative[piece[1]] += p.sum(dim=-1).T
        dq, dk, dv = (torch.zeros_like(q) for _ in range(3))
        for from_score, from_value, (places, keys) in zip(ds, p, taps, strict=True):
            dq[:, places].addcmul_(from_score[:, places], k[:, keys])
            dk[:, keys].addcmul_(from_score[:, places], q[:, places])
            dv[:, keys] += from_value[:, places]
        for whole, part in zip(grads, (dq, dk, dv), strict=True):
            whole[piece] = part
    return *grads, d_relative.to(relative.dtype)


def taps_of(taps: int, dilation: int, tokens: int) -> list[tuple[slice, slice]]:
    """For each tap the places whose key lies inside, and those keys: two slices of one length."""
    found = []
    for tap in range(taps):
        offset = (tap - taps // 2) * dilation
        first, last = max(0, -offset), max(min(tokens, tokens - offset), 0)
        found.append((slice(first, max(first, last)), slice(first + offset, max(first, last) + offset)))
    return found


def _scores(q: Tensor, k: Tensor, taps: list[tuple[slice, slice]]) -> Tensor:
    """(taps, channels, tokens); 0 where the key would lie beyond an end."""
    scores = q.new_zeros(len(taps), *q.shape)
    for score, (places, keys) in zip(scores, taps, strict=True):
        torch.mul(q[:, places], k[:, keys], out=score[:, places])
    return scores


def _values(v: Tensor, rel: Tensor, taps: list[tuple[slice, slice]]) -> Tensor:
    """(taps, channels, tokens): the values with their relative term, which stands alone beyond an end."""
    values = rel.T[:, :, None].repeat(1, 1, v.shape[-1])
    for value, (places, keys) in zip(values, taps, strict=True):
        value[:, places] += v[:, keys]
    return values


def _mix(weights: Tensor, values: Tensor) -> Tensor:
    """The sum over the taps of their products, (channels, tokens), without all products at once."""
    mixed = weights[0] * values[0]
    for weight, value in zip(weights[1:], values[1:], strict=True):
        mixed.addcmul_(weight, value)
    return mixed


def _pieces(query: Tensor) -> list[tuple[int, slice]]:
    batch, channels, tokens = query.shape
    return [(item, part) for item in range(batch) for part in tiles(channels, max(PIECE // max(tokens, 1), 1))]


def _parts(piece: tuple[int, slice], query, key, value, relative) -> list[Tensor]:
    dtype = accumulator(query)
    return [tensor[piece].to(dtype).contiguous() for tensor in (query, key, value)] + [relative[piece[1]].to(dtype)]
