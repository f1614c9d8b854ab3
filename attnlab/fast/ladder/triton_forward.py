"""Rung 4: flash attention in Triton, forward (Dao 2023, FlashAttention-2, algorithm 1, with its rescaling put right).

One program makes one tile of the output. It loads its queries once and walks over the keys, holding for each query what
rung 2 holds: `highest`, `total` and `acc`. All of it stays in registers. What goes to memory is the output and one
number a query, the log-sum-exp, from which the backward pass makes the weights again.

    read    Q once, K and V once for each tile of queries (mostly from the cache, where neighbours have put them)
    write   O and lse
    never   the scores

A tile of 128 queries does 2 * 128 * width multiplications for every key it reads from memory: that is why a large tile
pays, until the registers are full.

Causal attention visits the tiles on and below the diagonal only: half of them, for long sequences. The walk has two
parts, because most tiles need no comparison of positions: first those that every query of the tile sees whole, then
the few at the edge. The longest rows of tiles are started first, so that no long one is left over at the end.
"""

import triton
import triton.language as tl

from attnlab.fast.ladder.triton_tiles import (
    LN_2,
    base_of,
    load_rows,
    load_tile,
    own_tile,
    parts_of_walk,
    store_rows,
    stretch,
    tile_scores,
    tiles_of,
)


@triton.jit
def online_softmax_step(acc, highest, total, scores, scale, v, PRECISION: tl.constexpr):
    """Take in one tile of scores, which `scale` is still to be multiplied with, and its values."""
    higher = tl.maximum(highest, tl.max(scores, 1) * scale)
    base = tl.where(higher == float("-inf"), 0.0, higher)  # nothing seen yet: exp2(-inf - 0) is 0, -inf - -inf is NaN
    weights = tl.exp2(scores * scale - base[:, None])  # one multiply-add before the exponential
    shrink = tl.exp2(highest - base)  # at most 1: what is held was computed with the lower maximum
    total = total * shrink + tl.sum(weights, 1)
    # The tensor cores multiply in the values' dtype and add in float32. Weights are at most 1 here, so rounding them
    # costs what rounding the normalised ones would cost; dividing once at the end saves a division for every tile.
    acc = tl.dot(weights.to(v.dtype), v, acc * shrink[:, None], input_precision=PRECISION, out_dtype=acc.dtype)
    return acc, higher, total


@triton.jit
def walk(
    acc, highest, total, q, rows, n_queries, n_keys, scale, begin, end,
    keys, values, tables,
    WIDTH: tl.constexpr, FEATURES: tl.constexpr, BLOCK_WIDTH: tl.constexpr, BLOCK_FEATURES: tl.constexpr,
    BLOCK_K: tl.constexpr, CAUSAL: tl.constexpr, HAS_MASK: tl.constexpr, HAS_BIAS: tl.constexpr, EDGE: tl.constexpr,
    DESCRIBED: tl.constexpr, PRECISION: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """From one key to another, tile by tile. EDGE: some pair of these tiles may not be seen."""
    mask, mask_strides, bias, bias_strides = tables
    # The scale waits for the exponential, where it costs nothing. A bias is added to scores that have theirs already.
    now, later = (scale, 1.0) if HAS_BIAS else (1.0, scale)
    for start in range(begin, end, BLOCK_K):
        columns = start + tl.arange(0, BLOCK_K)
        k = load_tile(keys, start, WIDTH, BLOCK_K, BLOCK_WIDTH, DESCRIBED)
        v = load_tile(values, start, FEATURES, BLOCK_K, BLOCK_FEATURES, DESCRIBED)
        scores = tile_scores(
            q, k, rows, columns, n_queries, n_keys, now, mask, mask_strides, bias, bias_strides,
            CAUSAL, HAS_MASK, HAS_BIAS, EDGE, False, PRECISION, ACC,
        )  # fmt: skip
        acc, highest, total = online_softmax_step(acc, highest, total, scores, later, v, PRECISION)
    return acc, highest, total


@triton.jit
def forward_kernel(
    query, q_strides, key, k_strides, value, v_strides, output, o_strides, lse, lse_strides,
    mask, mask_strides, bias, bias_strides, query_starts, key_starts,
    n_heads, group, n_queries, n_keys, scale,
    WIDTH: tl.constexpr, FEATURES: tl.constexpr, BLOCK_WIDTH: tl.constexpr, BLOCK_FEATURES: tl.constexpr,
    BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, CAUSAL: tl.constexpr, HAS_MASK: tl.constexpr, HAS_BIAS: tl.constexpr,
    PACKED: tl.constexpr, DESCRIBED: tl.constexpr, PRECISION: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Grid: tiles of queries * batch * heads. `group` query heads share one head of keys and values."""
    tile, other, tiles = own_tile(n_queries, BLOCK_Q)
    item, head = other // n_heads, other % n_heads
    q_start, n_queries = stretch(query_starts, item, n_queries, PACKED)
    k_start, n_keys = stretch(key_starts, item, n_keys, PACKED)
    first = (tiles - 1 - tile) * BLOCK_Q  # with a causal mask the last rows are the longest
    if first >= n_queries:  # packed sequences are not equally long, and the grid fits the longest
        return
    rows = first + tl.arange(0, BLOCK_Q)
    key = base_of(key, k_strides, item, head // group, k_start)
    value = base_of(value, v_strides, item, head // group, k_start)
    keys = tiles_of(key, k_strides[2], n_keys, WIDTH, BLOCK_K, BLOCK_WIDTH, DESCRIBED)
    values = tiles_of(value, v_strides[2], n_keys, FEATURES, BLOCK_K, BLOCK_FEATURES, DESCRIBED)
    mask += item.to(tl.int64) * mask_strides[0] + head.to(tl.int64) * mask_strides[1]
    bias += item.to(tl.int64) * bias_strides[0] + head.to(tl.int64) * bias_strides[1]

    q = load_rows(base_of(query, q_strides, item, head, q_start), q_strides[2], rows, n_queries, WIDTH, BLOCK_WIDTH)
    highest = tl.full([BLOCK_Q], float("-inf"), ACC)
    total = tl.zeros([BLOCK_Q], ACC)
    acc = tl.zeros([BLOCK_Q, BLOCK_FEATURES], ACC)

    whole, end = parts_of_walk(first, n_queries, n_keys, BLOCK_Q, BLOCK_K, CAUSAL)
    tables = (mask, mask_strides, bias, bias_strides)
    acc, highest, total = walk(
        acc, highest, total, q, rows, n_queries, n_keys, scale, 0, whole,
        keys, values, tables, WIDTH, FEATURES, BLOCK_WIDTH, BLOCK_FEATURES, BLOCK_K, CAUSAL, HAS_MASK, HAS_BIAS, False,
        DESCRIBED, PRECISION, ACC,
    )  # fmt: skip
    acc, highest, total = walk(
        acc, highest, total, q, rows, n_queries, n_keys, scale, whole, end,
        keys, values, tables, WIDTH, FEATURES, BLOCK_WIDTH, BLOCK_FEATURES, BLOCK_K, CAUSAL, HAS_MASK, HAS_BIAS, True,
        DESCRIBED, PRECISION, ACC,
    )  # fmt: skip

    # A row that saw nothing has total = 0 and acc = 0: its output is 0, and its lse = -inf + log2(0) is -inf. A row
    # with a NaN has total = NaN, which is not 0, and stays NaN.
    acc = acc / tl.where(total == 0.0, 1.0, total)[:, None]
    store_rows(
        base_of(output, o_strides, item, head, q_start), o_strides[2], rows, n_queries, acc, FEATURES, BLOCK_FEATURES
    )
    lse += item.to(tl.int64) * lse_strides[0] + head.to(tl.int64) * lse_strides[1] + q_start
    tl.store(lse + rows, (highest + tl.log2(total)) * LN_2, mask=rows < n_queries)  # natural units outside of kernels
