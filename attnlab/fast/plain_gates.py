"""The gates as torch's operations, one after the other, with the gradients that autograd makes: the reference's way.

For features that the cache holds anyway it is the fastest on a CPU, since every operation of Python's costs some
microseconds, and it can be differentiated twice. Half precision is rounded at every step.
Features are (batch, channels, y, x); so are they in `tiled_gates` and `triton_gates`, which have the same functions.
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
    """Features times their channels' gates."""
    hidden = F.linear(features.mean(dim=(2, 3)), down, down_bias).relu_()
    return features * F.linear(hidden, up, up_bias).sigmoid_()[:, :, None, None]


def channel_attention(features: Tensor, reduce: Tensor, expand: Tensor) -> Tensor:
    """The channels' gates (batch, channels, 1, 1)."""
    return mlp(mean_and_largest(features, dim=(2, 3)), reduce, expand)[1][:, :, None, None]


def spatial_attention(features: Tensor, kernel: Tensor) -> Tensor:
    """The places' gates (batch, 1, y, x)."""
    return F.conv2d(mean_and_largest(features, dim=1), kernel, padding=kernel.shape[-1] // 2).sigmoid()


def cbam(features: Tensor, reduce: Tensor, expand: Tensor, kernel: Tensor) -> Tensor:
    """Features times both gates."""
    gated = features * channel_attention(features, reduce, expand)
    return gated * spatial_attention(gated, kernel)


def mean_and_largest(x: Tensor, dim: int | tuple[int, int]) -> Tensor:
    """(items, 2, the axes that are left)."""
    return torch.stack([x.mean(dim), _largest(x, dim)], dim=1)


def _largest(x: Tensor, dim: int | tuple[int, int]) -> Tensor:
    """`x.amax(dim)`, over channels in two steps: on a CPU one takes up to 8 times as long where places are few.

    One step where channels lie side by side, which is quick, and where a gradient will be taken: it is shared evenly
    among all that are the largest, and two steps would share it twice.
    """
    apart = gcd(x.shape[1], 16)
    if dim == 1 and apart > 1 and x.stride(1) > 1 and not x.requires_grad:
        return x.unflatten(1, (apart, -1)).amax(dim=1).amax(dim=1)
    return x.amax(dim)
