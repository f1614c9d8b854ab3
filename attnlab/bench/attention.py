"""Attention itself: `fast` beside every back end of torch's function, FlexAttention, and the form of the textbook.

On a GPU the sizes are those of the FlashAttention papers: 16,384 tokens in all, heads * width = 2048. A CPU gets fewer
heads, and fewer of them the longer the sequence is, so that a call takes seconds at the most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from attnlab.bench.checking import attention_answer
from attnlab.bench.counting import attention_bytes, attention_flops
from attnlab.bench.machine import fits
from attnlab.bench.measuring import Case, Row, Setting, Way, calling, dtype_name, measured
from attnlab.fast import attention
from attnlab.fast.ladder.naive import visible

BACK_ENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
}
LENGTHS = (512, 1024, 2048, 4096, 8192, 16384)
WIDTHS = (64, 128, 256)
TABLES = 6  # of scores that a form with tables holds at once, backward included
LONGEST_TABLES = {"naive": 8192, "math": 2048}  # tokens, on a CPU: beyond, a call takes many seconds
# FlexAttention is compiled anew for every size, for 10 to 60 s: once a kind of problem is enough.
FLEX_TOKENS = {"cuda": 16384, "cpu": 2048}

Forward = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Size:
    batch: int
    heads: int
    tokens: int
    width: int
    causal: bool
    backward: bool
    dtype: torch.dtype

    def what(self) -> dict[str, Any]:
        return {
            "tokens": self.tokens,
            "batch": self.batch,
            "heads": self.heads,
            "width": self.width,
            "mask": "causal" if self.causal else "full",
            "pass": "fwd+bwd" if self.backward else "fwd",
            "dtype": dtype_name(self.dtype),
        }


def rows(setting: Setting) -> Iterator[Row]:
    for size in sizes(setting):
        yield from measured(case(size, setting), setting)


def sizes(setting: Setting) -> Iterator[Size]:
    """What this device does within minutes, or all that was asked for by --tokens, --widths or --dtypes."""
    for dtype in setting.dtypes:
        for tokens in setting.tokens:
            for width in setting.widths:
                for causal in (False, True):
                    for backward in (False, True):
                        size = Size(1, 1, tokens, width, causal, backward, dtype)
                        if setting.on_gpu:
                            yield replace(size, batch=max(16384 // tokens, 1), heads=max(2048 // width, 1))
                        elif setting.chosen or _for_cpu(size):
                            yield replace(size, heads=max(min(2**19 // tokens, 512) // width, 1))


def _for_cpu(size: Size) -> bool:
    """Everything where it is cheap; beyond, less and less of it: widths, precisions, and at last backward."""
    if size.dtype != torch.float32:
        return size.tokens <= 2048 and size.width == 64
    if size.width == 64:
        return size.tokens <= 8192 or not size.backward
    return size.tokens <= 512 or (size.tokens <= 2048 and not size.backward)


def inputs(
    shape: tuple[int, int, int, int], dtype: torch.dtype, device: torch.device, backward: bool, seed: int = 0
) -> list[Tensor | None]:
    """query, key, value, and with `backward` what comes back to the output: random, since zeros run faster."""
    made = torch.Generator(device).manual_seed(seed)
    tensors = [torch.randn(shape, generator=made, device=device).to(dtype) for _ in range(3 + backward)]
    for tensor in tensors[:3]:
        tensor.requires_grad_(backward)
    return tensors if backward else [*tensors, None]


def textbook(query: Tensor, key: Tensor, value: Tensor, causal: bool = False) -> Tensor:
    """Three lines, as everybody writes them first."""
    scores = query @ key.mT * query.shape[-1] ** -0.5
    if causal:
        scores = scores.masked_fill(~visible(*scores.shape[-2:], scores.device), -torch.inf)
    return scores.softmax(dim=-1) @ value


def only(back_end: SDPBackend, *tensors: Tensor, **how: Any) -> Tensor:
    """This back end of torch's function or none: where it does not apply, torch raises."""
    with sdpa_kernel(back_end):
        return F.scaled_dot_product_attention(*tensors, **how)


def forwards(causal: bool) -> dict[str, Forward]:
    """Everything that needs no preparation."""
    back_ends = {name: partial(only, back_end, is_causal=causal) for name, back_end in BACK_ENDS.items()}
    return {
        "fast": partial(attention, causal=causal),
        "sdpa": partial(F.scaled_dot_product_attention, is_causal=causal),
        **back_ends,
        "naive": partial(textbook, causal=causal),
    }


def case(size: Size, setting: Setting) -> Case:
    shape = (size.batch, size.heads, size.tokens, size.width)
    query, key, value, grad = inputs(shape, size.dtype, setting.device, size.backward)
    ways: dict[str, Way | str] = {}
    for name, forward in forwards(size.causal).items():
        ways[name] = _why_not(name, size, setting) or calling(forward, (query, key, value), grad)
    ways["flex"] = _flex_why_not(size, setting) or calling(flex(size, setting), (query, key, value), grad)
    return Case(
        "attention", size.what(), ways,
        attention_answer(query, key, value, grad, size.causal), yardstick="sdpa",
        flops=attention_flops(size.batch, size.heads, size.tokens, size.tokens, size.width, size.causal, size.backward),
        moved=attention_bytes(*shape, size.dtype.itemsize, size.backward), ceiling=dtype_name(size.dtype),
    )  # fmt: skip


def _why_not(name: str, size: Size, setting: Setting) -> str | None:
    if name in ("cudnn", "efficient") and not setting.on_gpu:
        return "on a GPU only"
    if name not in ("math", "naive"):
        return None
    if not setting.on_gpu and size.tokens > LONGEST_TABLES[name]:
        return f"left out beyond {LONGEST_TABLES[name]} tokens, for its time"
    if not fits(TABLES * size.batch * size.heads * size.tokens**2 * max(size.dtype.itemsize, 4), setting.device):
        return "does not fit"
    return None


def _flex_why_not(size: Size, setting: Setting) -> str | None:
    if setting.quick:
        return "not with --quick, for the time it takes to compile"
    if size.tokens != FLEX_TOKENS[setting.device.type] or size.width > 128:
        return "compiled for one length and widths up to 128 only, for the time that takes"
    if not setting.on_gpu and size.backward:
        return "has no backward on a CPU"
    if not setting.on_gpu and (size.dtype != torch.float32 or size.width != 64):
        return "compiled for one width and dtype only, for the time that takes"
    return None


def flex(size: Size, setting: Setting) -> Forward:
    """Compiled for this size alone. Without a reset torch soon falls back to a form that is not fused."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    torch._dynamo.reset()
    compiled = torch.compile(flex_attention, dynamic=False)
    if not size.causal:
        return compiled
    tokens = size.tokens
    blocks = create_block_mask(lambda b, h, q, k: q >= k, None, None, tokens, tokens, device=setting.device)
    return partial(compiled, block_mask=blocks)
