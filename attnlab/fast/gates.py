"""Gates, fast: squeeze-and-excitation and CBAM as in `attnlab.reference`, but reading the features less often.

Three ways: "triton", our kernels, on a CUDA device (`gate_kernels` says how); "tiled", torch on large features, a few
items at a time (`tiled_gates`); "plain", torch's operations one after the other (`plain_gates`). All take features that
lie channels-last as they are, and answer in the same layout. Where several numbers share a maximum, its gradient is
shared evenly among them, as the reference has it.

Departs from the reference, but for "plain": gradients flow once, not twice, and half precision is rounded at the end
only; sums, gates and gated features are held in float32.
"""

from __future__ import annotations

from importlib.util import find_spec
from types import ModuleType

import torch
from jaxtyping import Float
from torch import Tensor

from attnlab.fast import plain_gates, tiled_gates
from attnlab.fast.autocast import cast_once

# Numbers in the features. On a CPU, with fewer than SMALL, or without gradients fewer than LARGE, the steps of Python
# that tiles cost are more than they save. Measured on one core: from here on they gain, up to threefold with gradients.
SMALL, LARGE = 1 << 18, 1 << 22


@cast_once
def squeeze_excitation(
    features: Float[Tensor, "*b c y x"],
    down: Float[Tensor, "hidden c"],
    up: Float[Tensor, "c hidden"],
    down_bias: Float[Tensor, " hidden"] | None = None,
    up_bias: Float[Tensor, " c"] | None = None,
    *,
    using: str | None = None,
) -> Float[Tensor, "*b c y x"]:
    """features * sigmoid(up ReLU(down mean + down_bias) + up_bias), the mean over places: one gate for each channel.

    using: "triton", "tiled" or "plain" instead of the fastest; a request that cannot be met is an error.
    Source: Hu et al. 2018, equations 2 to 4. The reference's layer holds what is given here: `down.weight` and so on.
    """
    _check_features(features, "(..., channels, y, x)", features.ndim >= 3)
    channels, hidden = features.shape[-3], down.shape[0] if down.ndim else 0
    _check_weight(features, "down", down, (hidden, channels))
    _check_weight(features, "up", up, (channels, hidden))
    _check_weight(features, "down_bias", down_bias, (hidden,))
    _check_weight(features, "up_bias", up_bias, (channels,))
    way = _way(using, features, down, up, down_bias, up_bias)
    if features.ndim == 4:
        return way.squeeze_excitation(features, down, up, down_bias, up_bias)
    folded = features[None] if features.ndim == 3 else features.flatten(0, -4)
    return way.squeeze_excitation(folded, down, up, down_bias, up_bias).reshape(features.shape)


@cast_once
def channel_attention(
    features: Float[Tensor, "b c y x"],
    reduce: Float[Tensor, "hidden c"],
    expand: Float[Tensor, "c hidden"],
    *,
    using: str | None = None,
) -> Float[Tensor, "b c 1 1"]:
    """sigmoid(MLP(mean over places) + MLP(max over places)), MLP(z) = expand ReLU(reduce z): a gate for each channel.

    using: "triton", "tiled" or "plain" instead of the fastest. Source: Woo et al. 2018, section 3.
    """
    _check_features(features, "(batch, channels, y, x)", features.ndim == 4)
    _check_mlp(features, reduce, expand)
    return _way(using, features, reduce, expand).channel_attention(features, reduce, expand)


@cast_once
def spatial_attention(
    features: Float[Tensor, "b c y x"], kernel: Float[Tensor, "1 2 side side"], *, using: str | None = None
) -> Float[Tensor, "b 1 y x"]:
    """sigmoid(kernel * [mean over channels; max over channels]), zeros around the maps: a gate for each place.

    The side of the kernel is odd, so that the map keeps its size.
    using: "triton", "tiled" or "plain" instead of the fastest. Source: Woo et al. 2018, section 3.
    """
    _check_features(features, "(batch, channels, y, x)", features.ndim == 4)
    _check_kernel(features, kernel)
    return _way(using, features, kernel).spatial_attention(features, kernel)


@cast_once
def cbam(
    features: Float[Tensor, "b c y x"],
    reduce: Float[Tensor, "hidden c"],
    expand: Float[Tensor, "c hidden"],
    kernel: Float[Tensor, "1 2 side side"],
    *,
    using: str | None = None,
) -> Float[Tensor, "b c y x"]:
    """F' = channel_attention(F) * F, then spatial_attention(F') * F': the second gate sees what the first let through.

    using: "triton", "tiled" or "plain" instead of the fastest. Source: Woo et al. 2018, section 3. Without
    biases and norms, as the reference's `CBAM`, whose weights are `reduce.weight`, `expand.weight`, `conv.weight`.
    """
    _check_features(features, "(batch, channels, y, x)", features.ndim == 4)
    _check_mlp(features, reduce, expand)
    _check_kernel(features, kernel)
    way = _way(using, features, reduce, expand, kernel, forward_pays=True)
    return way.cbam(features, reduce, expand, kernel)


def _way(using: str | None, features: Tensor, *weights: Tensor | None, forward_pays: bool = False) -> ModuleType:
    """The module whose functions compute it. forward_pays: whether tiles make the forward pass alone faster."""
    using = _fastest(features, weights, forward_pays) if using is None else using
    if using not in ("triton", "tiled", "plain"):
        raise ValueError(f"Expected `using` to be triton, tiled or plain, got {using!r}.")
    if using != "triton":
        return tiled_gates if using == "tiled" else plain_gates
    from attnlab.fast import triton_gates  # only here: the rest works without triton

    if not (features.is_cuda or triton_gates.INTERPRETED):
        raise ValueError(
            f'Expected features on a CUDA device for using="triton", got them on {features.device}. Leave out `using`, '
            "or set TRITON_INTERPRET=1 before triton is imported."
        )
    return triton_gates


def _fastest(features: Tensor, weights: tuple[Tensor | None, ...], forward_pays: bool) -> str:
    if features.is_cuda:
        return "triton" if find_spec("triton") else "plain"
    wanted = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (features, *weights))
    tiled = features.numel() > SMALL if wanted else forward_pays and features.numel() > LARGE
    return "tiled" if tiled else "plain"


def _check_features(features: Tensor, axes: str, fits: bool) -> None:
    if not fits:
        raise ValueError(f"Expected features {axes}, got {tuple(features.shape)}.")
    if not features.is_floating_point():
        raise TypeError(f"Expected numbers with a point, got {features.dtype}. Call .float() first.")
    if 0 in features.shape[-3:]:
        raise ValueError(
            f"Expected at least one channel and one place, got {tuple(features.shape)}: no mean of nothing."
        )


def _check_mlp(features: Tensor, reduce: Tensor, expand: Tensor) -> None:
    channels, hidden = features.shape[1], reduce.shape[0] if reduce.ndim else 0
    _check_weight(features, "reduce", reduce, (hidden, channels))
    _check_weight(features, "expand", expand, (channels, hidden))


def _check_kernel(features: Tensor, kernel: Tensor) -> None:
    side = kernel.shape[-1] if kernel.ndim else 0
    _check_weight(features, "kernel", kernel, (1, 2, side, side))
    if side % 2 == 0:
        raise ValueError(
            f"Expected a kernel with an odd side, got {side}: an even one has no centre, and shifts the map."
        )


def _check_weight(features: Tensor, name: str, weight: Tensor | None, shape: tuple[int, ...]) -> None:
    """Whether it is like the features, and has the shape that it has to have for them."""
    if weight is None:
        return
    if weight.dtype != features.dtype or weight.device != features.device:
        raise TypeError(
            f"Expected `{name}` like the features, {features.dtype} on {features.device}, got {weight.dtype} on "
            f"{weight.device}. Bring both to one dtype and device."
        )
    if weight.shape != shape:
        raise ValueError(f"Expected `{name}` {shape} for features {tuple(features.shape)}, got {tuple(weight.shape)}.")
