"""The kernels of `gate_kernels` as four differentiable functions, with their launches and the sizes of their tiles.

Below the four, features are (batch, channels, places), in any order in memory. What is small, (batch, channels) or
(batch, places), is held in float32 (float64 for float64) and is what the backward pass needs beside the features. The
gradients of the MLP are made by torch out of such small tensors, see `gate_mlp`: they are not the cost.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from attnlab.fast import gate_kernels as kernels
from attnlab.fast.gate_mlp import mlp_backward
from attnlab.fast.once import once_differentiable
from attnlab.fast.start import start

INTERPRETED = triton.knobs.runtime.interpret
THREADS = 128  # of a program, Triton's default
NUMBERS = 16 * THREADS  # of a tile
SPAN = 128  # channels that share one computation of the places' gates, which costs as much as some 100 of them


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
        summary, _ = _summary(features, kinds=1)
        hidden = _hidden(summary, down, down_bias)
        output, gates = _scale(features, hidden, up, up_bias)
        ctx.save_for_backward(features, down, up, summary, hidden, gates)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        features, down, up, summary, hidden, gates = ctx.saved_tensors
        d_gates = _channel_grad(features, grad, gates)
        d_summary, d_weights = mlp_backward(d_gates, gates, hidden, summary, down, up)
        d_features = _feature_grad(features, grad, _Channels(gates, summary, None, d_summary))
        wanted = zip(d_weights, ctx.needs_input_grad[1:], strict=True)
        return d_features, *(d if needed else None for d, needed in wanted)


class _ChannelAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features, reduce, expand):
        summary, peaks = _summary(features, kinds=2)
        hidden = _hidden(summary, reduce, None)
        gates = _gates(hidden, expand)
        ctx.save_for_backward(features, reduce, expand, summary, peaks, hidden, gates)
        return gates.to(features.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        features, reduce, expand, summary, peaks, hidden, gates = ctx.saved_tensors
        d_summary, d_weights = mlp_backward(grad.to(gates.dtype), gates, hidden, summary, reduce, expand)
        return _feature_grad(features, None, _Channels(gates, summary, peaks, d_summary)), *d_weights[:2]


class _SpatialAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features, kernel, size):
        maps, peaks = _maps(features, None)
        _, place_gates = _place_gates(features, None, maps, kernel, size)
        ctx.save_for_backward(features, kernel, maps, peaks, place_gates)
        ctx.size = size
        return place_gates.to(features.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        features, kernel, maps, peaks, place_gates = ctx.saved_tensors
        d_scores = (grad.to(place_gates.dtype) * place_gates * (1 - place_gates)).contiguous()
        d_maps, d_kernel = _convolution_grad(d_scores, maps, kernel, ctx.size)
        return _feature_grad(features, None, None, _Places(place_gates, maps, peaks, d_maps)), d_kernel, None


class _CBAM(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features, reduce, expand, kernel, size):
        summary, channel_peaks = _summary(features, kinds=2)
        hidden = _hidden(summary, reduce, None)
        gates = _gates(hidden, expand)
        maps, place_peaks = _maps(features, gates)
        output, place_gates = _place_gates(features, gates, maps, kernel, size)
        ctx.save_for_backward(
            features, reduce, expand, kernel, summary, channel_peaks, hidden, gates, maps, place_peaks, place_gates
        )
        ctx.size = size
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        features, reduce, expand, kernel, summary, channel_peaks, hidden, gates, maps, place_peaks, place_gates = (
            ctx.saved_tensors
        )
        d_scores = _place_grad(features, grad, gates, place_gates)
        d_maps, d_kernel = _convolution_grad(d_scores, maps, kernel, ctx.size)
        places = _Places(place_gates, maps, place_peaks, d_maps)
        d_gates = _channel_grad(features, grad, gates, places)
        d_summary, d_weights = mlp_backward(d_gates, gates, hidden, summary, reduce, expand)
        channels = _Channels(gates, summary, channel_peaks, d_summary)
        return _feature_grad(features, grad, channels, places), *d_weights[:2], d_kernel, None


# ---------------------------------------------------------------------- launches


class _Channels(NamedTuple):
    """What the backward pass knows of the channels: gates (batch, channels), all else (batch, kinds, channels)."""

    gates: Tensor
    summary: Tensor
    peaks: Tensor | None
    d_summary: Tensor


class _Places(NamedTuple):
    """What the backward pass knows of the places: gates (batch, places), all else (batch, 2, places)."""

    gates: Tensor
    maps: Tensor
    peaks: Tensor
    d_maps: Tensor


def _summary(features: Tensor, kinds: int) -> tuple[Tensor, Tensor]:
    """Mean (and, with two kinds, maximum) of each channel, and where and how often the maximum is."""
    batch, channels, places = features.shape
    summary, peaks = _small(features, batch, kinds, channels), _peaks(features, channels)
    block_c, block_p = _tile(features, walked="places")
    start(
        kernels.summary_kernel, (batch * triton.cdiv(channels, block_c),),
        *_strided(features), summary, peaks, channels, places,
        KINDS=kinds, BLOCK_C=block_c, BLOCK_P=block_p, ACC=_accumulator(features),
    )  # fmt: skip
    return summary, peaks


def _hidden(summary: Tensor, down: Tensor, bias: Tensor | None) -> Tensor:
    """The narrow layer, (batch, kinds, hidden)."""
    batch, kinds, channels = summary.shape
    hidden = _small(summary, batch, kinds, len(down))
    block_h, block_c = (2, 4) if INTERPRETED else (4, min(triton.next_power_of_2(channels), 256))
    start(
        kernels.hidden_kernel, (batch * kinds * triton.cdiv(len(down), block_h),),
        summary, down.contiguous(), down if bias is None else bias.contiguous(), hidden, channels, len(down),
        HAS_BIAS=bias is not None, BLOCK_H=block_h, BLOCK_C=block_c, ACC=_accumulator(summary),
    )  # fmt: skip
    return hidden


def _gates(hidden: Tensor, up: Tensor) -> Tensor:
    """The wide layer and the sigmoid, (batch, channels)."""
    batch, kinds, width = hidden.shape
    gates = _small(hidden, batch, len(up))
    block_c, block_h = (4, 2) if INTERPRETED else (64, _block_hidden(width))
    start(
        kernels.gates_kernel, (batch * triton.cdiv(len(up), block_c),),
        hidden, up.contiguous(), up, gates, len(up), width,
        KINDS=kinds, HAS_BIAS=False, BLOCK_C=block_c, BLOCK_H=block_h, ACC=_accumulator(hidden),
    )  # fmt: skip
    return gates


def _scale(features: Tensor, hidden: Tensor, up: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """The wide layer, the sigmoid and the product: features like those that came, and the gates."""
    batch, channels, places = features.shape
    output, gates = torch.empty_like(features), _small(features, batch, channels)
    block_c, block_p = _tile(features)
    start(
        kernels.scale_kernel, (batch * triton.cdiv(places, block_p), triton.cdiv(channels, block_c)),
        *_strided(features), hidden, up.contiguous(), up if bias is None else bias.contiguous(), gates,
        *_strided(output), channels, places, hidden.shape[-1],
        HAS_BIAS=bias is not None, BLOCK_C=block_c, BLOCK_P=block_p, BLOCK_H=_block_hidden(hidden.shape[-1]),
        ACC=_accumulator(features),
    )  # fmt: skip
    return output, gates


def _maps(features: Tensor, gates: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mean and maximum of each place over its gated channels, and where and how often the maximum is."""
    batch, channels, places = features.shape
    maps, peaks = _small(features, batch, 2, places), _peaks(features, places)
    block_c, block_p = _tile(features, walked="channels")
    start(
        kernels.maps_kernel, (batch * triton.cdiv(places, block_p),),
        *_strided(features), maps if gates is None else gates, maps, peaks, channels, places,
        GATED=gates is not None, BLOCK_C=block_c, BLOCK_P=block_p, ACC=_accumulator(features),
    )  # fmt: skip
    return maps, peaks


def _place_gates(
    features: Tensor, gates: Tensor | None, maps: Tensor, kernel: Tensor, size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """The features times both gates, if there are channels' gates; and the places' gates."""
    batch, channels, places = features.shape
    place_gates = _small(features, batch, places)
    output = place_gates if gates is None else torch.empty_like(features)
    block_c, block_p = (4, 32) if INTERPRETED else (32, min(triton.next_power_of_2(places), THREADS))
    span = 2 * block_c if INTERPRETED else SPAN
    groups = 1 if gates is None else triton.cdiv(channels, span)
    start(
        kernels.place_kernel, (batch * triton.cdiv(places, block_p), groups),
        *_strided(features), place_gates if gates is None else gates, maps, kernel.contiguous(), place_gates,
        output, (features if gates is None else output).stride(), channels, places, *size, span,
        SCALED=gates is not None, SIDE=kernel.shape[-1], BLOCK_C=block_c, BLOCK_P=block_p, ACC=_accumulator(features),
    )  # fmt: skip
    return output, place_gates


def _place_grad(features: Tensor, grad: Tensor, gates: Tensor, place_gates: Tensor) -> Tensor:
    """The gradient of the places' scores, (batch, places)."""
    batch, channels, places = features.shape
    d_scores = torch.empty_like(place_gates)
    block_c, block_p = _tile(features, walked="channels")
    start(
        kernels.place_grad_kernel, (batch * triton.cdiv(places, block_p),),
        *_strided(features), *_strided(grad), gates, place_gates, d_scores, channels, places,
        BLOCK_C=block_c, BLOCK_P=block_p, ACC=_accumulator(features),
    )  # fmt: skip
    return d_scores


def _convolution_grad(d_scores: Tensor, maps: Tensor, kernel: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The gradients of the maps and of the kernel. Each item's share of the kernel's is added up in order, by torch."""
    batch, side, places = len(maps), kernel.shape[-1], maps.shape[-1]
    d_maps, partial = torch.empty_like(maps), _small(maps, batch, *kernel.shape)
    block, walked = (32, 32) if INTERPRETED else (THREADS, 8 * THREADS)
    start(
        kernels.maps_grad_kernel, (batch * triton.cdiv(places, block), 2),
        d_scores, kernel.contiguous(), d_maps, *size, SIDE=side, BLOCK_P=block, ACC=_accumulator(maps),
    )  # fmt: skip
    start(
        kernels.kernel_grad_kernel, (batch, 2 * side**2),
        d_scores, maps, partial, *size, SIDE=side, BLOCK_P=walked, ACC=_accumulator(maps),
    )  # fmt: skip
    return d_maps, partial.sum(dim=0).to(kernel.dtype)


def _channel_grad(features: Tensor, grad: Tensor, gates: Tensor, at: _Places | None = None) -> Tensor:
    """The gradient of the channels' gates, (batch, channels)."""
    batch, channels, places = features.shape
    d_gates = torch.empty_like(gates)
    at_places = (gates,) * 4 if at is None else at
    block_c, block_p = _tile(features, walked="places")
    start(
        kernels.channel_grad_kernel, (batch * triton.cdiv(channels, block_c),),
        *_strided(features), *_strided(grad), gates, *at_places, d_gates, channels, places,
        PLACES=at is not None, BLOCK_C=block_c, BLOCK_P=block_p, ACC=_accumulator(features),
    )  # fmt: skip
    return d_gates


def _feature_grad(
    features: Tensor, grad: Tensor | None, of_channels: _Channels | None, at_places: _Places | None = None
) -> Tensor:
    """The gradient of the features, through all that is given. No grad: the output was a gate."""
    batch, channels, places = features.shape
    output = torch.empty_like(features)
    unused = (output,) * 4
    kinds = 0 if of_channels is None else of_channels.summary.shape[1]
    block_c, block_p = _tile(features)
    start(
        kernels.feature_grad_kernel, (batch * triton.cdiv(places, block_p), triton.cdiv(channels, block_c)),
        *_strided(features), *_strided(features if grad is None else grad), *_strided(output),
        *(unused if of_channels is None else [output if t is None else t for t in of_channels]),
        *(unused if at_places is None else at_places), channels, places,
        SCALED=grad is not None, KINDS=kinds, PLACES=at_places is not None,
        BLOCK_C=block_c, BLOCK_P=block_p, ACC=_accumulator(features),
    )  # fmt: skip
    return output


def _tile(features: Tensor, walked: str | None = None) -> tuple[int, int]:
    """Channels and places of a tile. `walked`: the axis along which one program goes to the end.

    Long along the axis whose numbers lie together in memory. Where a program walks across it, 32 wide: 64 bytes in half
    precision, what memory gives at once, and no wider, because narrow tiles make more programs. Where it does not walk,
    at most 64 channels: each costs a row of the MLP's weights.
    """
    if INTERPRETED:  # small, so that a test of a few dozen numbers has edges to get wrong
        return 4, 16
    _, channels, places = features.shape
    together = "channels" if features.stride(1) == 1 and channels > 1 else "places"
    lengths = {"channels": triton.next_power_of_2(channels), "places": triton.next_power_of_2(places)}
    other = "places" if together == "channels" else "channels"
    longest = 32 if walked == other else 64 if walked is None and together == "channels" else 1024
    first = min(lengths[together], longest)
    tile = {together: first, other: min(lengths[other], NUMBERS // first)}
    return tile["channels"], tile["places"]


def _block_hidden(width: int) -> int:
    return 2 if INTERPRETED else min(max(triton.next_power_of_2(width), 1), 16)


def _small(like: Tensor, *shape: int) -> Tensor:
    """A small result in the dtype that sums are held in."""
    return torch.empty(shape, dtype=torch.float64 if like.dtype == torch.float64 else torch.float32, device=like.device)


def _peaks(features: Tensor, length: int) -> Tensor:
    return torch.empty(len(features), 2, length, dtype=torch.int32, device=features.device)


def _accumulator(tensor: Tensor):
    return tl.float64 if tensor.dtype == torch.float64 else tl.float32


def _strided(tensor: Tensor) -> tuple:
    """A tensor and its strides (batch, channel, place)."""
    return tensor, tensor.stride()
