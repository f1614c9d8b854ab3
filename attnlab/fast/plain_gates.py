"""The gates as torch's operations, one after the other, with the gradients that autograd makes: the reference's way.

For features that the cache holds anyway it is the fastest on a CPU, since every operation of Python's costs some
microseconds, and it can be differentiated twice. Half precision is rounded at every step.
Features are (batch, channels, places); so are they in `tiled_gates` and `triton_gates`, which have the same functions.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from attnlab.fast.gate_mlp import mlp


def squeeze_excitation(
    features: Tensor, down: Tensor, up: Tensor, down_bias: Tensor | None, up_bias: Tensor | None
) -> Tensor:
    """Features (batch, channels, places) times their channels' gates."""
    _, gates = mlp(features.mean(dim=2)[:, None], down, up, down_bias, up_bias)
    return features * gates[:, :, None]


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
    return torch.stack([x.mean(dim), x.amax(dim)], dim=1)


def gates_of_maps(maps: Tensor, kernel: Tensor, size: tuple[int, int]) -> Tensor:
    """The convolution over two maps (items, 2, places) and the sigmoid: (items, places)."""
    kernel = kernel.to(maps.dtype)
    return F.conv2d(maps.unflatten(2, size), kernel, padding=kernel.shape[-1] // 2).flatten(1).sigmoid()
