"""The gates as torch's operations, one after the other, with the gradients that autograd makes: the reference's way.

For features that the cache holds anyway it is the fastest on a CPU, since every operation of Python's costs some
microseconds, and it can be differentiated twice. Half precision is rounded at every step.
Features are (batch, channels, places); so are they in `tiled_gates` and `triton_gates`, which have the same functions.
Only `squeeze_excitation` takes them here as they are: on small maps every change of shape shows.
"""

from __future__ import annotations

from math import gcd

import torch
import torch.nn.functional as F
from torch import Tensor

from attnlab.fast.gate_mlp import mlp


def squeeze_excitation(
    features: Tensor, down: Tensor, up: Tensor, down_bias: Tensor | None, up_bias: Tensor | None
) -> Tensor:
    """Features (..., channels, y, x) times their channels' gates."""
    hidden = F.linear(features.mean(dim=(-2, -1)), down, down_bias).relu_()
    return features * F.linear(hidden, up, up_bias).sigmoid_()[..., None, None]


def channel_attention(features: Tensor, reduce: Tensor, expand: Tensor) -> Tensor:
    """The channels' gates (batch, channels)."""
    return mlp(mean_and_largest(features, dim=2), reduce, expand)[1]


def spatial_attention(features: Tensor, kernel: Tensor, size: tuple[int, int]) -> Tensor:
    """The places' gates (batch, places); size: places are y and x."""
    return gates_of_maps(mean_and_largest(features, dim=1), kernel, size)


def cbam(features: Tensor, reduce: Tensor, expand: Tensor, kernel: Tensor, size: tuple[int, int]) -> Tensor:
    """Features (batch, channels, places) times both gates."""
    gated = features * channel_attention(features, reduce, expand)[:, :, None]
    return gated * spatial_attention(gated, kernel, size)[:, None]


def mean_and_largest(x: Tensor, dim: int) -> Tensor:
    """(items, 2, the axis that is left)."""
    return torch.stack([x.mean(dim), _largest(x, dim)], dim=1)


def _largest(x: Tensor, dim: int) -> Tensor:
    """`x.amax(dim)`, over channels in two steps: on a CPU one takes up to 8 times as long where places are few.

    One step where channels lie side by side, which is quick, and where a gradient will be taken: it is shared evenly
    among all that are the largest, and two steps would share it twice.
    """
    apart = gcd(x.shape[1], 16)
    if dim == 1 and apart > 1 and x.stride(1) > 1 and not x.requires_grad:
        return x.unflatten(1, (apart, -1)).amax(dim=1).amax(dim=1)
    return x.amax(dim)


def gates_of_maps(maps: Tensor, kernel: Tensor, size: tuple[int, int]) -> Tensor:
    """The convolution over two maps (items, 2, places) and the sigmoid: (items, places)."""
    kernel = kernel.to(maps.dtype)
    return F.conv2d(maps.unflatten(2, size), kernel, padding=kernel.shape[-1] // 2).flatten(1).sigmoid()
