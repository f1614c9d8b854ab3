"""FlexAttention for keys at a limited distance: compiled once for all windows, with blocks made without the N x N mask.

torch's `create_block_mask` asks the mask about every pair and holds all the answers, queries * keys of them. Of a band
it is known which blocks it touches and which it fills: where they begin and end in each row of blocks says it all.

Source: Dong et al. 2024 (FlexAttention, arXiv 2412.05496). Compiled it runs on a GPU and needs triton. Uncompiled it
runs anywhere and holds the whole table: so the tests look at our masks and scores.
"""

from __future__ import annotations

from functools import cache, lru_cache
from importlib.util import find_spec

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from attnlab.fast.problem import Problem

BLOCK = 128  # of queries and of keys, FlexAttention's own choice
NARROWEST, WIDEST = 16, 256  # of a head, in its kernels
FAR = 1 << 30  # no limit


def serves(given: Problem) -> bool:
    """Whether the compiled form can take this problem."""
    widths = given.query.shape[-1], given.value.shape[-1]
    fits = NARROWEST <= min(widths) and max(widths) <= WIDEST and given.query.dtype != torch.float64
    return given.query.is_cuda and fits and 0 not in given.pairs and find_spec("triton") is not None


@cache
def compiled():
    """`flex_attention`, compiled. With `fullgraph` a problem that does not compile is an error, not the whole table.

    Kinds of problem are more than torch's limit of 8: dtypes, with a gradient or without, and the biases.
    """
    return torch.compile(flex_attention, fullgraph=True, recompile_limit=64, isolate_recompiles=True)


def attend(given: Problem, left: int | None, right: int | None, score=None, *, function=None) -> Tensor:
    """Attention over the keys at a distance from -left to right (None: no limit). The last query is at the last key.

    score: a `score_mod` of FlexAttention. function: `compiled()` unless given.
    """
    shift = given.key.shape[2] - given.query.shape[2]
    blocks = band_blocks(given.query.shape[2], given.key.shape[2], left, right, shift, given.query.device)
    return (function or compiled())(
        given.query, given.key, given.value, score_mod=score, block_mask=blocks, scale=given.scale,
        enable_gqa=given.group > 1,
    )  # fmt: skip


@lru_cache(maxsize=32)
def band_blocks(
    queries: int, keys: int, left: int | None, right: int | None, shift: int, device: torch.device
) -> BlockMask:
    """The blocks that the band touches, and among them those that it fills, where nothing has to be compared."""
    left, right = (FAR if reach is None else reach for reach in (left, right))
    first = torch.arange(0, queries, BLOCK, device=device) + shift  # where the first query of each row of blocks stands
    last = first + BLOCK - 1
    start = torch.arange(0, keys, BLOCK, device=device)
    stop = start + BLOCK - 1
    touched = (stop >= first[:, None] - left) & (start <= last[:, None] + right)
    full = (start >= last[:, None] - left) & (stop <= first[:, None] + right)
    full &= (stop < keys) & (last - shift < queries)[:, None]  # a block that an end cuts off is never full
    return BlockMask.from_kv_blocks(
        *_ordered(touched & ~full), *_ordered(full), BLOCK, _band(left, right, shift, device), (queries, keys)
    )


def _band(left: int, right: int, shift: int, device: torch.device):
    """The mask within a block. Its limits are tensors: numbers would be compiled in, one kernel for each window."""
    low, high = torch.tensor([shift - left, shift + right], device=device).unbind()

    def seen(item, head, query, key):
        return (key - query >= low) & (key - query <= high)

    return seen


def _ordered(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """How many blocks of each row, (1, 1, rows), and which, those first, (1, 1, rows, columns)."""
    counts = blocks.sum(dim=-1, dtype=torch.int32)
    which = blocks.to(torch.int8).argsort(dim=-1, descending=True, stable=True).to(torch.int32)
    return counts[None, None], which[None, None]
