"""Gates: squeeze-and-excitation and CBAM on feature maps of a ResNet-50's four stages, `fast` beside the reference.

Almost no arithmetic: what counts is how often the map goes to memory. A gate has to read it and write it, so GB/s here
are bytes of one reading and one writing (and forward with backward, two of each and a reading of what comes back).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from attnlab import fast
from attnlab.bench.checking import answer
from attnlab.bench.measuring import Case, Row, Setting, Way, calling, dtype_name, measured
from attnlab.reference.channel_attention import channel_attention
from attnlab.reference.spatial_attention import spatial_attention
from attnlab.reference.squeeze_excitation import excite, squeeze

STAGES = ((256, 56), (512, 28), (1024, 14), (2048, 7))  # channels, side
REDUCTION, SIDE = 16, 7


def squeeze_excitation(features: Tensor, down: Tensor, up: Tensor) -> Tensor:
    """As the reference has it."""
    return features * excite(squeeze(features), down, up)[..., None, None]


def cbam(features: Tensor, reduce: Tensor, expand: Tensor, kernel: Tensor) -> Tensor:
    """As the reference has it."""
    features = channel_attention(features, reduce, expand) * features
    return spatial_attention(features, kernel) * features


FAST: dict[str, Callable[..., Tensor]] = {"squeeze_excitation": fast.squeeze_excitation, "cbam": fast.cbam}
REFERENCE: dict[str, Callable[..., Tensor]] = {"squeeze_excitation": squeeze_excitation, "cbam": cbam}


def rows(setting: Setting) -> Iterator[Row]:
    stages = STAGES[2:] if setting.quick else STAGES
    batch = 2 if setting.quick else 256 if setting.on_gpu else 8
    for name in REFERENCE:
        for channels, side in stages:
            for backward in (False, True):
                yield from measured(case(name, batch, channels, side, backward, setting), setting)


def case(name: str, batch: int, channels: int, side: int, backward: bool, setting: Setting) -> Case:
    dtype = torch.float16 if setting.on_gpu else torch.float32
    tensors = _tensors(name, batch, channels, side, dtype, setting.device, backward)
    grad = torch.randn_like(tensors[0]) if backward else None
    reference = REFERENCE[name]
    ways: dict[str, Way | str] = {
        "fast": calling(FAST[name], tensors, grad),
        "reference": calling(reference, tensors, grad),
        "compiled": calling(torch.compile(reference), tensors, grad) if setting.on_gpu else "on a GPU only",
    }
    what = {"gate": name, "batch": batch, "channels": channels, "side": side}
    passes = 5 if backward else 2
    return Case(
        "gates", what | {"pass": "fwd+bwd" if backward else "fwd", "dtype": dtype_name(dtype)}, ways,
        _answer(reference, tensors, grad), yardstick="reference",
        moved=float(passes * tensors[0].numel() * dtype.itemsize),
    )  # fmt: skip


def _tensors(
    name: str, batch: int, channels: int, side: int, dtype: torch.dtype, device: torch.device, backward: bool
) -> list[Tensor]:
    """Features, then the gate's weights, of the size that keeps what goes through it."""
    made = torch.Generator(device).manual_seed(0)
    hidden = channels // REDUCTION
    shapes: list[tuple[int, ...]] = [(batch, channels, side, side), (hidden, channels), (channels, hidden)]
    shapes += [(1, 2, SIDE, SIDE)] if name == "cbam" else []
    tensors = [torch.randn(shape, generator=made, device=device) for shape in shapes]
    tensors[1:] = [tensor / tensor[0].numel() ** 0.5 for tensor in tensors[1:]]
    return [tensor.to(dtype).requires_grad_(backward) for tensor in tensors]


def _answer(reference: Callable[..., Tensor], tensors: list[Tensor], grad: Tensor | None) -> Any:
    """All of the output, the gradients of the features and of the weights, these summed over the whole batch."""

    def of(dtype: torch.dtype) -> tuple[Tensor, ...]:
        own = [tensor.detach().to(dtype).requires_grad_(grad is not None) for tensor in tensors]
        return calling(reference, own, None if grad is None else grad.to(dtype))()

    return answer(lambda outputs: outputs, of(torch.float64), of(tensors[0].dtype))
