"""Rung 4: the loop of rung 2 as a Triton kernel, and nothing else: one head, and every query sees every key.

What is new is the machine. `kernel[grid](...)` starts a program for each place of the grid, many at once and in no
order, and `program_id` tells a program which one it is. Here each makes one tile of the output. A program reads as if
it were alone: its variables are whole tiles, in registers and shared memory, and the compiler divides them among its
threads. Memory is reached by addresses, one for each number of a tile, with a mask for those that do not exist. Sizes
that are `constexpr` are compiled in; a tile's are powers of two.

A row of tiles of rung 2 is a program here; the rest is rung 2 line by line. The next rung adds what attention is asked
for: batches with heads, any width, causal walks, masks, biases, shared heads, packed sequences; and what makes it fast.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from attnlab.fast.start import start


@triton.jit
def first_kernel(
    query, key, value, output, lse, n_queries, n_keys, scale,
    WIDTH: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """Grid: tiles of queries. Tensors are (length, WIDTH), their numbers one after the other."""
    rows = tl.program_id(0) * BLOCK_Q + tl.arange(0, BLOCK_Q)
    across = tl.arange(0, WIDTH)[None, :]
    inside = rows[:, None] < n_queries  # the last tile reaches past the last query
    q = tl.load(query + rows[:, None] * WIDTH + across, mask=inside, other=0.0)
    highest = tl.full([BLOCK_Q], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK_Q], tl.float32)
    acc = tl.zeros([BLOCK_Q, WIDTH], tl.float32)
    for begin in range(0, n_keys, BLOCK_K):
        columns = begin + tl.arange(0, BLOCK_K)
        there = columns[:, None] < n_keys
        k = tl.load(key + columns[:, None] * WIDTH + across, mask=there, other=0.0)
        v = tl.load(value + columns[:, None] * WIDTH + across, mask=there, other=0.0)
        scores = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
        scores = tl.where(columns[None, :] < n_keys, scores, float("-inf"))  # zeros would score 0, and weigh something
        higher = tl.maximum(highest, tl.max(scores, 1))
        weights, shrink = tl.exp(scores - higher[:, None]), tl.exp(highest - higher)
        total = total * shrink + tl.sum(weights, 1)
        acc = acc * shrink[:, None] + tl.dot(weights.to(v.dtype), v, input_precision="ieee")
        highest = higher
    tl.store(output + rows[:, None] * WIDTH + across, (acc / total[:, None]).to(output.dtype.element_ty), mask=inside)
    tl.store(lse + rows, highest + tl.log(total), mask=rows < n_queries)


def first(
    query: Float[Tensor, "queries width"],
    key: Float[Tensor, "keys width"],
    value: Float[Tensor, "keys width"],
    *,
    scale: float | None = None,
    tile: int = 32,
) -> tuple[Float[Tensor, "queries width"], Float[Tensor, " queries"]]:
    """Output and log-sum-exp, on a CUDA device or in Triton's interpreter; forward only.

    There is at least one key. The width is a power of two, 16 or more, and so is the tile.
    """
    query, key, value = (tensor.contiguous() for tensor in (query, key, value))
    output = torch.empty_like(query)
    lse = query.new_empty(len(query), dtype=torch.float32)
    start(
        first_kernel, (triton.cdiv(len(query), tile),),
        query, key, value, output, lse, len(query), len(key), query.shape[1] ** -0.5 if scale is None else scale,
        WIDTH=query.shape[1], BLOCK_Q=tile, BLOCK_K=tile,
    )  # fmt: skip
    return output, lse
