"""What else torch's function expresses, `fast` beside it: masks, biases, fewer heads of keys, rectangles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from attnlab.bench.attention import inputs
from attnlab.bench.checking import attention_answer
from attnlab.bench.measuring import Case, Row, Setting, Way, calling, dtype_name, measured
from attnlab.fast import attention
from attnlab.fast.ladder.naive import visible

HEADS, WIDTH = 8, 64


@dataclass(frozen=True)
class Problem:
    """Departures from `tokens` queries on as many keys. learnt: the bias has a gradient."""

    name: str
    queries: int
    keys: int
    kv_heads: int = HEADS
    features: int = WIDTH
    causal: bool = False
    mask: Tensor | None = None
    bias: Tensor | None = None
    learnt: bool = False

    def ours(self) -> dict[str, Any]:
        return {"mask": self.mask, "causal": self.causal, "bias": self.bias}

    def theirs(self, device: torch.device) -> dict[str, Any]:
        """torch aligns `is_causal` at the first key; that the last query sees the last key, it has to be told."""
        table = visible(self.queries, self.keys, device) if self.causal else self.mask
        if self.causal and self.mask is not None:
            table = table & self.mask
        return {"attn_mask": self.bias if table is None else table, "enable_gqa": self.kv_heads < HEADS}


def problems(batch: int, tokens: int, dtype: torch.dtype, device: torch.device) -> Iterator[Problem]:
    square = Problem("", tokens, tokens)
    lengths = torch.linspace(0.2 * tokens, tokens, batch + 1, device=device)[1:]
    real = (torch.arange(tokens, device=device) < lengths[:, None] - 0.1 * tokens)[:, None, None]
    bias = torch.randn(1, HEADS, tokens, tokens, device=device).to(dtype)
    yield replace(square, name="padding mask", mask=real)
    yield replace(square, name="table as mask", mask=visible(tokens, tokens, device))
    yield replace(square, name="bias", bias=bias)
    yield replace(square, name="learnt bias", bias=bias.clone().requires_grad_(), learnt=True)
    yield replace(square, name="8 to 2 heads", kv_heads=2)
    yield replace(square, name="narrow values", features=WIDTH // 2)
    yield replace(square, name="causal, last half", queries=tokens // 2, causal=True)
    yield replace(square, name="causal, last quarter", queries=tokens // 4, causal=True)
    yield replace(square, name="causal, padding mask", causal=True, mask=real)
    yield replace(square, name="one query", queries=1, causal=True)


def rows(setting: Setting) -> Iterator[Row]:
    batch, tokens = (8, 2048) if setting.on_gpu else (2, 128 if setting.quick else 1024)
    dtype = torch.bfloat16 if setting.on_gpu else torch.float32
    for problem in problems(batch, tokens, dtype, setting.device):
        for backward in (False, True):
            yield from measured(case(problem, batch, dtype, backward, setting), setting)


def case(problem: Problem, batch: int, dtype: torch.dtype, backward: bool, setting: Setting) -> Case:
    query, key, value, grad = _tensors(problem, batch, dtype, setting.device, backward)
    bias = problem.bias if problem.learnt and backward else None
    theirs = problem.theirs(setting.device)

    def asked(forward: Any) -> Way:
        """The gradient of a learnt bias is made beside the others; the check looks at theirs."""
        if bias is None:
            return calling(forward, (query, key, value), grad)
        return calling(lambda *tensors: forward(*tensors[:3]), (query, key, value, bias), grad)

    what = {"problem": problem.name, "tokens": problem.keys, "batch": batch, "heads": HEADS, "width": WIDTH}
    ways: dict[str, Way | str] = {
        "fast": asked(partial(attention, **problem.ours())),
        "sdpa": asked(partial(F.scaled_dot_product_attention, **theirs)),
    }
    return Case(
        "others", what | {"pass": "fwd+bwd" if backward else "fwd", "dtype": dtype_name(dtype)}, ways,
        attention_answer(query, key, value, grad, problem.causal, problem.mask, problem.bias), yardstick="sdpa",
    )  # fmt: skip


def _tensors(problem: Problem, batch: int, dtype: torch.dtype, device: torch.device, backward: bool):
    full = inputs((batch, HEADS, problem.keys, WIDTH), dtype, device, backward)
    query, key, value, grad = (None if t is None else t.detach() for t in full)
    cut = [
        query[:, :, : problem.queries],
        key[:, : problem.kv_heads],
        value[:, : problem.kv_heads, :, : problem.features],
    ]
    cut = [tensor.contiguous().requires_grad_(backward) for tensor in cut]
    return *cut, None if grad is None else grad[:, :, : problem.queries, : problem.features].contiguous()
