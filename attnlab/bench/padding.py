"""Padding-free against padded: a batch of uneven lengths, in attention alone and in a whole encoder layer.

Lengths are uniform on [0.2 S, S], as in ByteTransformer's measurements, spread evenly instead of drawn, so that every
run has the same. What leaving out the padding can give at most is 1 / 0.6 = 1.67 for what treats tokens one by one and
1 / 0.413 = 2.42 for attention. All forms start from and end with the padded batch, unless they are called packed: these
keep packed rows throughout, as a network does that packs once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attnlab.bench.attention import inputs
from attnlab.bench.checking import Answer, Outputs, answer, by_rows, stacked
from attnlab.bench.counting import layer_flops, packed_flops
from attnlab.bench.measuring import Case, Row, Setting, Way, calling, dtype_name, measured
from attnlab.fast import attention
from attnlab.fast.packing import Layout, layout, pack, packed_attention, unpack

SHORTEST = 0.2
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


def lengths_of(batch: int, tokens: int, seed: int = 0) -> list[int]:
    """Uniform on [0.2, 1] of `tokens`, in a random order: the middles of as many equal parts as there are items."""
    share = SHORTEST + (1 - SHORTEST) * (torch.arange(batch) + 0.5) / batch
    order = torch.randperm(batch, generator=torch.Generator().manual_seed(seed))
    return [round(float(part) * tokens) for part in share[order]]


def rows(setting: Setting) -> Iterator[Row]:
    if setting.quick:
        attention_sizes, layer_sizes = [(4, 64, 2, 32)], [(4, 64, 2, 32)]
    elif setting.on_gpu:
        attention_sizes = [(16, tokens, 16, 64) for tokens in (512, 1024, 4096)]
        layer_sizes = [(16, tokens, 12, 64) for tokens in (128, 512, 1024, 4096)]
    else:
        attention_sizes, layer_sizes = [(16, 256, 4, 64), (8, 1024, 4, 64)], [(16, 256, 4, 64), (8, 512, 12, 64)]
    for size in attention_sizes:
        for causal in (False, True):
            for backward in (False, True):
                yield from measured(attention_case(*size, causal, backward, setting), setting)
    for size in layer_sizes:
        yield from measured(layer_case(*size, setting), setting)


def _dtype(setting: Setting) -> torch.dtype:
    return torch.bfloat16 if setting.on_gpu else torch.float32


# ---------------------------------------------------------------------- attention alone


def attention_case(
    batch: int, tokens: int, heads: int, width: int, causal: bool, backward: bool, setting: Setting
) -> Case:
    dtype, device = _dtype(setting), setting.device
    where = layout(lengths_of(batch, tokens), tokens, device)
    real = (torch.arange(tokens, device=device) < where.starts.diff()[:, None])[:, None, None]
    query, key, value, grad = inputs((batch, heads, tokens, width), dtype, device, backward)
    if grad is not None:
        grad = grad.masked_fill(~real.mT, 0)  # nothing comes back to the padding
    whole = (query, key, value)
    rows_in = [_rows(tensor, where).requires_grad_(backward) for tensor in whole]
    rows_grad = None if grad is None else _rows(grad, where)
    seen = real & torch.ones(tokens, tokens, dtype=torch.bool, device=device).tril() if causal else real
    packed = partial(packed_attention, queries=where, causal=causal)
    ways: dict[str, Way | str] = {
        "packed": calling(packed, rows_in, rows_grad),
        "fast": calling(_packing(packed, where), whole, grad),
        "fast, padded": calling(partial(attention, mask=real, causal=causal), whole, grad),
        "sdpa, padded": calling(partial(F.scaled_dot_product_attention, attn_mask=seen), whole, grad),
        "nested": calling(_nested(where, causal), rows_in, rows_grad),
        "varlen": calling(_varlen(where, causal), rows_in, rows_grad) if setting.on_gpu else "on a GPU only",
    }
    what = {"what": "attention", "tokens": tokens, "batch": batch, "heads": heads, "width": width}
    what |= {
        "mask": "causal" if causal else "full",
        "pass": "fwd+bwd" if backward else "fwd",
        "dtype": dtype_name(dtype),
    }
    return Case(
        "padding", what, ways, _answer(query, key, value, grad, where, causal), yardstick="sdpa, padded",
        ours=("packed", "fast", "fast, padded"), ceiling=dtype_name(dtype),
        flops=packed_flops(where.lengths, heads, width, causal, backward),
    )  # fmt: skip


def _rows(padded: Tensor, where: Layout) -> Tensor:
    """(batch, heads, tokens, width) -> (total, heads, width)."""
    return pack(padded.detach().transpose(1, 2), where)


def _packing(packed: Callable[..., Tensor], where: Layout) -> Attend:
    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        output = packed(*(pack(tensor.transpose(1, 2), where) for tensor in (query, key, value)))
        return unpack(output, where).transpose(1, 2)

    return attend


def _nested(where: Layout, causal: bool) -> Attend:
    """torch's own container for uneven lengths (a prototype), around its own function."""
    logging.getLogger("torch.nested._internal.sdpa").setLevel(logging.ERROR)  # what it refuses is in the table
    offsets = where.starts.long()

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        jagged = (
            torch.nested.nested_tensor_from_jagged(t, offsets, min_seqlen=min(where.lengths), max_seqlen=where.longest)
            for t in (query, key, value)
        )
        output = F.scaled_dot_product_attention(*(t.transpose(1, 2) for t in jagged), is_causal=causal)
        return output.transpose(1, 2).values()

    return attend


def _varlen(where: Layout, causal: bool) -> Attend:
    """torch's function for packed rows, since 2.10; the window says causal since 2.11."""
    from torch.nn.attention.varlen import varlen_attn

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        window = (-1, 0) if causal else (-1, -1)
        ends = (where.starts, where.starts, where.longest, where.longest)
        return varlen_attn(query, key, value, *ends, window_size=window)

    return attend


def checked_items(lengths: tuple[int, ...]) -> list[int]:
    """The shortest and the longest sequence, and the last."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    return sorted({order[0], order[-1], len(lengths) - 1})


def _answer(query: Tensor, key: Tensor, value: Tensor, grad: Tensor | None, where: Layout, causal: bool) -> Answer:
    """One head of some sequences, one behind the other. Padded and packed outputs are told apart by their axes."""
    head = query.shape[1] - 1
    items = checked_items(where.lengths)

    def of(dtype: torch.dtype) -> Outputs:
        parts = []
        for item in items:
            own = (item, head, slice(where.lengths[item]))
            parts.append(by_rows(query[own], key[own], value[own], None if grad is None else grad[own], causal, dtype))
        return tuple(torch.cat(column) for column in zip(*parts, strict=True))

    def part(outputs: Outputs) -> Outputs:
        return tuple(torch.cat([_tokens(output, item, where)[:, head] for item in items]) for output in outputs)

    return answer(part, of(torch.float64), of(query.dtype))


def _tokens(output: Tensor, item: int, where: Layout) -> Tensor:
    """(tokens of this item, heads, width), out of a packed or a padded output."""
    if output.ndim == 3:
        return output[where.starts[item] : where.starts[item + 1]]
    return output[item, :, : where.lengths[item]].transpose(0, 1)


# ---------------------------------------------------------------------- a whole layer


class Layer(nn.Module):
    """An encoder's layer as in BERT: attention, then a feed-forward part four times as wide, a norm behind each.

    Tokens are (..., width), and `attend` gets query, key and value as (..., heads, width of a head).
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.into, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, tokens: Tensor, attend: Attend) -> Tensor:
        query, key, value = self.into(tokens).unflatten(-1, (3, self.heads, -1)).unbind(-3)
        tokens = self.first(tokens + self.out(attend(query, key, value).flatten(-2)))
        return self.second(tokens + self.down(F.gelu(self.up(tokens))))


def heads_first(function: Attend) -> Attend:
    """For a function of (batch, heads, tokens, width), what a layer calls with (batch, tokens, heads, width)."""

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return function(*(tensor.transpose(-3, -2) for tensor in (query, key, value))).transpose(-3, -2)

    return attend


def layer_case(batch: int, tokens: int, heads: int, width: int, setting: Setting) -> Case:
    """Forward of one layer. `fast` packs before it and unpacks behind it."""
    dtype, device = _dtype(setting), setting.device
    where = layout(lengths_of(batch, tokens), tokens, device)
    real = (torch.arange(tokens, device=device) < where.starts.diff()[:, None])[:, None, None]
    torch.manual_seed(0)
    layer = Layer(heads * width, heads).to(device, dtype).requires_grad_(False)
    padded = torch.randn(batch, tokens, heads * width, device=device).to(dtype)
    packed, attend = pack(padded, where), partial(packed_attention, queries=where)
    masked = heads_first(partial(F.scaled_dot_product_attention, attn_mask=real))
    ways: dict[str, Any] = {
        "packed": lambda: (layer(packed, attend),),
        "fast": lambda: (unpack(layer(pack(padded, where), attend), where),),
        "fast, padded": lambda: (layer(padded, heads_first(partial(attention, mask=real))),),
        "sdpa, padded": lambda: (layer(padded, masked),),
    }
    what = {"what": "layer", "tokens": tokens, "batch": batch, "heads": heads, "width": width, "pass": "fwd"}
    return Case(
        "padding", what | {"dtype": dtype_name(dtype)}, ways, layer_answer(layer, padded, where),
        yardstick="sdpa, padded", ours=("packed", "fast", "fast, padded"), ceiling=dtype_name(dtype),
        flops=layer_flops(where.lengths, heads, width),
    )  # fmt: skip


def layer_answer(layer: Layer, padded: Tensor, where: Layout) -> Answer:
    """Some sequences, each alone through the layer with the naive form, in float64 and in the dtype at hand."""
    items = checked_items(where.lengths)
    kind = padded.dtype

    def of(dtype: torch.dtype) -> Outputs:
        own = layer.to(dtype)
        parts = [own(padded[item, : where.lengths[item]].to(dtype), naive_heads) for item in items]
        layer.to(kind)
        return (torch.cat(parts),)

    def part(outputs: Outputs) -> Outputs:
        (output,) = outputs
        if output.ndim == 2:
            return (torch.cat([output[where.starts[item] : where.starts[item + 1]] for item in items]),)
        return (torch.cat([output[item, : where.lengths[item]] for item in items]),)

    return answer(part, of(torch.float64), of(kind))


def naive_heads(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """(tokens, heads, width), head by head through the naive form."""
    parts = [by_rows(query[:, h], key[:, h], value[:, h], None, False, query.dtype) for h in range(query.shape[1])]
    return stacked(parts)[0].transpose(0, 1)
