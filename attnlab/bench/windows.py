"""Windows: each query sees a few keys around it. `fast` beside the unfold that published code uses, and masked forms.

An unfold lays out the keys that each query sees, as many copies of them as the window has places. Time and the most
memory beyond the inputs are both compared, since either can be what stops somebody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from attnlab.bench.attention import inputs
from attnlab.bench.checking import answer, attention_answer
from attnlab.bench.counting import attention_bytes, window_flops
from attnlab.bench.machine import fits
from attnlab.bench.measuring import Case, Row, Setting, Way, calling, dtype_name, measured
from attnlab.bench.memory import peak
from attnlab.fast import dilated_attention, neighbourhood_attention, sliding_attention


def rows(setting: Setting) -> Iterator[Row]:
    for case in cases(setting):
        found = list(measured(case, setting))
        for row in found:
            if "ms" in row and (most := peak(case.ways[row["way"]], setting.device)) is not None:
                row["mb"] = most / 1e6
        by_way = {row["way"]: row for row in found}
        reference = by_way.get(case.yardstick, {}).get("mb")
        for row in found:
            if reference and row.get("mb", 0) > 0:
                row["less_memory"] = reference / row["mb"]
            yield row


def cases(setting: Setting) -> Iterator[Case]:
    tokens = 512 if setting.quick else 8192
    for backward in (False, True):
        for dilation in (1, 16):
            yield dilated_case(16 if setting.quick else 512, tokens, dilation, backward, setting)
        for left, right, dilation in ((1, 1, 16), (64, 64, 1), (256, 0, 1), (64, 64, 4)):
            yield sliding_case(4 if setting.on_gpu else 2, tokens, left, right, dilation, backward, setting)
        side = 14 if setting.quick else 56
        yield neighbourhood_case(4, side, 7, backward, setting)


def _dtype(setting: Setting) -> torch.dtype:
    return torch.bfloat16 if setting.on_gpu else torch.float32


# ---------------------------------------------------------------------- PDAN's layer: taps, channel by channel


def unfolded_taps(query: Tensor, key: Tensor, value: Tensor, relative: Tensor, dilation: int) -> Tensor:
    """PDAN's layer behind its projections, as published: all places of the span unfolded, the taps taken out of them.

    (batch, channels, tokens) each, relative (channels, taps). Beyond the ends there are zeros, which count as keys.
    """
    taps = relative.shape[-1]
    around = dilation * (taps // 2)
    keys, values = (
        F.pad(tensor, (around, around)).unfold(2, 2 * around + 1, 1)[..., ::dilation].contiguous()
        for tensor in (key, value)
    )
    weights = (query[..., None] * keys).softmax(dim=-1)
    return (weights * (values + relative[:, None])).sum(dim=-1)


def dilated_case(channels: int, tokens: int, dilation: int, backward: bool, setting: Setting) -> Case:
    dtype, device, taps = torch.float32, setting.device, 3
    made = torch.Generator(device).manual_seed(0)
    shapes = [(1, channels, tokens)] * 3 + [(channels, taps)]
    tensors = [torch.randn(shape, generator=made, device=device).requires_grad_(backward) for shape in shapes]
    grad = torch.randn(shapes[0], generator=made, device=device) if backward else None
    few = [0, channels - 1]

    def part(outputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(output[few] if output.ndim == 2 else output[:, few] for output in outputs)

    def right(dtype: torch.dtype) -> tuple[Tensor, ...]:
        own = [tensor.detach().to(dtype).requires_grad_(backward) for tensor in part(tuple(tensors))]
        came = None if grad is None else grad[:, few].to(dtype)
        return calling(partial(unfolded_taps, dilation=dilation), own, came)()

    ways: dict[str, Way | str] = {
        "fast": calling(partial(dilated_attention, dilation=dilation), tensors, grad),
        "unfold": calling(partial(unfolded_taps, dilation=dilation), tensors, grad),
    }
    what = {"what": "dilated, by channel", "tokens": tokens, "channels": channels, "taps": taps, "dilation": dilation}
    return Case(
        "windows", what | {"pass": "fwd+bwd" if backward else "fwd", "dtype": dtype_name(dtype)}, ways,
        answer(part, right(torch.float64), right(dtype)), yardstick="unfold",
        moved=float((12 if backward else 4) * channels * tokens * dtype.itemsize),
    )  # fmt: skip


# ---------------------------------------------------------------------- a row of tokens


def band(tokens: int, left: int, right: int, dilation: int, device: torch.device) -> Tensor:
    """(tokens, tokens), True where a query sees a key: the table that `fast` does without."""
    places = torch.arange(tokens, device=device)
    distance = places - places[:, None]
    near = (distance >= -left * dilation) & (distance <= right * dilation)
    return near & (distance % dilation == 0)


def unfolded_window(query: Tensor, key: Tensor, value: Tensor, left: int, right: int, dilation: int) -> Tensor:
    """(batch, heads, tokens, width): the keys of each query copied beside it, and a mask beyond the ends."""
    tokens = query.shape[2]
    before, behind = left * dilation, right * dilation

    def beside(tensor: Tensor) -> Tensor:
        return F.pad(tensor, (0, 0, before, behind)).unfold(2, before + behind + 1, 1)[..., ::dilation]

    inside = torch.ones(1, 1, tokens, 1, dtype=torch.bool, device=query.device)
    scores = torch.einsum("bhtd,bhtdk->bhtk", query, beside(key)) * query.shape[-1] ** -0.5
    scores = scores.masked_fill(~beside(inside)[..., 0, :], -torch.inf)
    return torch.einsum("bhtk,bhtdk->bhtd", scores.softmax(dim=-1), beside(value))


def sliding_case(
    heads: int, tokens: int, left: int, right: int, dilation: int, backward: bool, setting: Setting
) -> Case:
    dtype, device, width = _dtype(setting), setting.device, 64
    query, key, value, grad = inputs((1, heads, tokens, width), dtype, device, backward)
    seen = band(tokens, left, right, dilation, device)
    where = {"left": left, "right": right, "dilation": dilation}
    copies = 6 * heads * tokens * width * (left + right + 1) * dtype.itemsize
    unfold = calling(partial(unfolded_window, **where), (query, key, value), grad)
    masked = calling(partial(F.scaled_dot_product_attention, attn_mask=seen), (query, key, value), grad)
    ways: dict[str, Way | str] = {
        "fast": calling(partial(sliding_attention, **where), (query, key, value), grad),
        "unfold": unfold if fits(copies, device) else "does not fit",
        "sdpa, masked": masked,
    }
    few = left + right < 8  # an unfold of many keys is so slow that the mask is the better yardstick
    if not few and not setting.on_gpu:
        ways["unfold"] = "left out where a window has many keys, for its time"
    what = {"what": "sliding", "tokens": tokens, "heads": heads, "width": width, **where}
    return Case(
        "windows", what | {"pass": "fwd+bwd" if backward else "fwd", "dtype": dtype_name(dtype)}, ways,
        attention_answer(query, key, value, grad, mask=seen), yardstick="unfold" if few else "sdpa, masked",
        flops=window_flops(1, heads, int(seen.sum()), width, backward), ceiling=dtype_name(dtype),
        moved=attention_bytes(1, heads, tokens, width, dtype.itemsize, backward),
    )  # fmt: skip


# ---------------------------------------------------------------------- a map


def unfolded_map(query: Tensor, key: Tensor, value: Tensor, size: int) -> Tensor:
    """(items, y, x, width): `size` by `size` neighbours of each place copied beside it, a mask beyond the edges."""
    items, height, length, width = query.shape

    def beside(tensor: Tensor) -> Tensor:
        columns = F.unfold(tensor.movedim(-1, 1), size, padding=size // 2)  # (items, width * size^2, places)
        return columns.unflatten(1, (tensor.shape[-1], size * size)).permute(0, 3, 1, 2)

    rows = query.flatten(1, 2)
    scores = torch.einsum("itd,itdk->itk", rows, beside(key)) * width**-0.5
    inside = beside(torch.ones(1, height, length, 1, device=query.device, dtype=query.dtype))[:, :, 0] > 0
    scores = scores.masked_fill(~inside, -torch.inf)
    return torch.einsum("itk,itdk->itd", scores.softmax(dim=-1), beside(value)).view_as(query)


def neighbours(side: int, size: int, device: torch.device) -> Tensor:
    """(side^2, side^2), True where a place lies in the window around another."""
    axis = band(side, size // 2, size // 2, 1, device)
    return (axis[:, None, :, None] & axis[None, :, None, :]).flatten(2, 3).flatten(0, 1)


def neighbourhood_case(items: int, side: int, size: int, backward: bool, setting: Setting) -> Case:
    """A picture's map of side x side places, a window of size x size around each."""
    dtype, device, width = _dtype(setting), setting.device, 64
    query, key, value, grad = inputs((1, items, side * side, width), dtype, device, backward)
    seen = neighbours(side, size, device)

    def on_map(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda *rows: forward(*(t[0].unflatten(1, (side, side)) for t in rows)).flatten(1, 2)[None]

    masked = partial(F.scaled_dot_product_attention, attn_mask=seen)
    ways: dict[str, Way | str] = {
        "fast": calling(on_map(partial(neighbourhood_attention, window=(size, size))), (query, key, value), grad),
        "unfold": calling(on_map(partial(unfolded_map, size=size)), (query, key, value), grad),
        "sdpa, masked": calling(masked, (query, key, value), grad),
    }
    what = {"what": "neighbourhood", "tokens": side * side, "heads": items, "width": width, "window": f"{size}x{size}"}
    return Case(
        "windows", what | {"pass": "fwd+bwd" if backward else "fwd", "dtype": dtype_name(dtype)}, ways,
        attention_answer(query, key, value, grad, mask=seen), yardstick="unfold",
        flops=window_flops(1, items, int(seen.sum()), width, backward), ceiling=dtype_name(dtype),
        moved=attention_bytes(1, items, side * side, width, dtype.itemsize, backward),
    )  # fmt: skip
