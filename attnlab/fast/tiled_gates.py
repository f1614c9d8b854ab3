"""The gates in torch for large features on a CPU: a few items at a time, so that each comes from memory once.

What torch's operations do one after the other, they do here for as many items as the cache holds. The second operation
then finds in the cache what the first has read, and what was multiplied to be summed goes to a buffer that stays there.
The gradients are written out, for the same reason: autograd would store a tensor of the features' size at every step.

Below the four functions features are (batch, channels, places), in any order in memory; nothing is copied to change it.
Half precision is computed in float32. Where a maximum is shared, its gradient is shared evenly, as torch's `amax` does.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_weight

from attnlab.fast.gate_mlp import mlp, mlp_backward
from attnlab.fast.once import once_differentiable
from attnlab.fast.plain_gates import mean_and_largest

CACHED = 1 << 23  # bytes of features taken at once: a common cache of 32 MB holds them, their gradient and a buffer


def squeeze_excitation(
    features: Tensor, down: Tensor, up: Tensor, down_bias: Tensor | None, up_bias: Tensor | None
) -> Tensor:
    """Features (batch, channels, y, x) times their channels' gates."""
    output = _SqueezeExcitation.apply(features.flatten(2), down, up, down_bias, up_bias)
    return output.unflatten(2, features.shape[2:])


def channel_attention(features: Tensor, reduce: Tensor, expand: Tensor) -> Tensor:
    """The channels' gates (batch, channels, 1, 1)."""
    return _ChannelAttention.apply(features.flatten(2), reduce, expand)[:, :, None, None]


def spatial_attention(features: Tensor, kernel: Tensor) -> Tensor:
    """The places' gates (batch, 1, y, x)."""
    size = tuple(features.shape[2:])
    return _SpatialAttention.apply(features.flatten(2), kernel, size).unflatten(1, (1, *size))


def cbam(features: Tensor, reduce: Tensor, expand: Tensor, kernel: Tensor) -> Tensor:
    """Features (batch, channels, y, x) times both gates."""
    size = tuple(features.shape[2:])
    return _CBAM.apply(features.flatten(2), reduce, expand, kernel, size).unflatten(2, size)


class _SqueezeExcitation(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features, down, up, down_bias, up_bias):
        output, kept = torch.empty_like(features), []
        for items, x in _chunks(features):
            summary = x.mean(dim=2)[:, None]
            hidden, gates = mlp(summary, down, up, down_bias, up_bias)
            torch.mul(x, gates[:, :, None], out=output[items])
            kept.append((summary, hidden, gates))
        ctx.save_for_backward(features, down, up, *_joined(kept))
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        features, down, up, *kept = ctx.saved_tensors
        d_features, d_weights = torch.empty_like(features), []
        for (items, x), (_, g) in zip(_chunks(features), _chunks(grad), strict=True):
            summary, hidden, gates = (t[items] for t in kept)
            d_summary, d_weight = mlp_backward((g * x).sum(dim=2), gates, hidden, summary, down, up)
            d_weights.append(d_weight)
            torch.mul(g, gates[:, :, None], out=d_features[items]).add_(d_summary[:, 0, :, None] / x.shape[2])
        wanted = zip(_summed(d_weights), ctx.needs_input_grad[1:], strict=True)
        return d_features, *(d if needed else None for d, needed in wanted)


class _ChannelAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features, reduce, expand):
        kept = []
        for _, x in _chunks(features):
            summary = mean_and_largest(x, dim=2)
            kept.append((summary, *mlp(summary, reduce, expand)))
        kept = _joined(kept)
        ctx.save_for_backward(features, reduce, expand, *kept)
        return kept[-1].to(features.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        features, reduce, expand, summary, hidden, gates = ctx.saved_tensors
        d_summary, d_weights = mlp_backward(grad.to(gates.dtype), gates, hidden, summary, reduce, expand)
        d_features = torch.empty_like(features)
        for items, x in _chunks(features):
            d_features[items] = _summarised_backward(x, summary[items], d_summary[items], dim=2)
        return d_features, *d_weights[:2]


class _SpatialAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features, kernel, size):
        maps = torch.cat([mean_and_largest(x, dim=1) for _, x in _chunks(features)])
        place_gates = _place_gates(maps, kernel, size)
        ctx.save_for_backward(features, kernel, maps, place_gates)
        ctx.size = size
        return place_gates.to(features.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        features, kernel, maps, place_gates = ctx.saved_tensors
        d_maps, d_kernel = _place_gates_backward(grad.to(maps.dtype), place_gates, maps, kernel, ctx.size)
        d_features = torch.empty_like(features)
        for items, x in _chunks(features):
            d_features[items] = _summarised_backward(x, maps[items], d_maps[items], dim=1)
        return d_features, d_kernel, None


class _CBAM(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features, reduce, expand, kernel, size):
        output, kept = torch.empty_like(features), []
        for items, x in _chunks(features):
            summary = mean_and_largest(x, dim=2)
            hidden, gates = mlp(summary, reduce, expand)
            gated = x * gates[:, :, None]
            maps = mean_and_largest(gated, dim=1)
            place_gates = _place_gates(maps, kernel, size)
            torch.mul(gated, place_gates[:, None], out=output[items])
            kept.append((summary, hidden, gates, maps, place_gates))
        ctx.save_for_backward(features, reduce, expand, kernel, *_joined(kept))
        ctx.size = size
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        features, reduce, expand, kernel, *kept = ctx.saved_tensors
        d_features, d_weights = torch.empty_like(features), []
        for (items, x), (_, g) in zip(_chunks(features), _chunks(grad), strict=True):
            summary, hidden, gates, maps, place_gates = (t[items] for t in kept)
            gated = x * gates[:, :, None]
            d_places = (g * gated).sum(dim=1)
            d_maps, d_kernel = _place_gates_backward(d_places, place_gates, maps, kernel, ctx.size)
            d_gated = _summarised_backward(gated, maps, d_maps, dim=1).add_(g * place_gates[:, None])
            d_gates = (d_gated * x).sum(dim=2)
            d_summary, d_weight = mlp_backward(d_gates, gates, hidden, summary, reduce, expand)
            d = _summarised_backward(x, summary, d_summary, dim=2)
            torch.add(d, d_gated.mul_(gates[:, :, None]), out=d_features[items])
            d_weights.append((*d_weight[:2], d_kernel))
        return d_features, *_summed(d_weights), None


# ---------------------------------------------------------------------- what they share


def _chunks(features: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Some items at a time, in the dtype that is summed in: at least one, at most what the cache holds."""
    dtype = torch.float64 if features.dtype == torch.float64 else torch.float32
    batch, channels, places = features.shape
    step = max(CACHED // (channels * places * dtype.itemsize), 1)
    for start in range(0, max(batch, 1), step):  # a batch of nothing is one chunk of nothing
        items = slice(start, start + step)
        yield items, features[items].to(dtype)


def _joined(kept: list[tuple[Tensor, ...]]) -> list[Tensor]:
    """What the chunks have kept, each kind as one tensor."""
    return [parts[0] if len(parts) == 1 else torch.cat(parts) for parts in zip(*kept, strict=True)]


def _summed(grads: list[tuple[Tensor, ...]]) -> list[Tensor]:
    """The gradients of weights, summed over the chunks in their order. Autograd rounds them to the weights' dtype."""
    return [sum(parts[1:], start=parts[0]) for parts in zip(*grads, strict=True)]


def _summarised_backward(x: Tensor, summary: Tensor, d_summary: Tensor, dim: int) -> Tensor:
    """The gradient of `x` through its mean and its maximum along `dim`."""
    at = torch.eq(x, summary[:, 1].unsqueeze(dim), out=torch.empty_like(x))  # as numbers: torch adds up bools slowly
    d_mean, d_largest = d_summary[:, 0] / x.shape[dim], d_summary[:, 1] / at.sum(dim)
    return at.mul_(d_largest.unsqueeze(dim)).add_(d_mean.unsqueeze(dim))  # `addcmul` is slow where it has to stretch


def _place_gates(maps: Tensor, kernel: Tensor, size: tuple[int, int]) -> Tensor:
    """The convolution over two maps (items, 2, places) and the sigmoid: (items, places)."""
    kernel = kernel.to(maps.dtype)
    return F.conv2d(maps.unflatten(2, size), kernel, padding=kernel.shape[-1] // 2).flatten(1).sigmoid()


def _place_gates_backward(
    d_gates: Tensor, gates: Tensor, maps: Tensor, kernel: Tensor, size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """The gradients of the maps and of the kernel."""
    d_scores = (d_gates * gates * (1 - gates)).unflatten(1, (1, *size))
    padding, turned = kernel.shape[-1] // 2, kernel.to(maps.dtype).flip(2, 3).transpose(0, 1)
    d_maps = F.conv2d(d_scores, turned, padding=padding)  # 20 times faster than the transpose that autograd calls
    d_kernel = conv2d_weight(maps.unflatten(2, size), kernel.shape, d_scores, padding=padding)
    return d_maps.flatten(2), d_kernel
