"""Rung 5: flash attention in Triton, forward (Dao 2023, FlashAttention-2, algorithm 1, with its rescaling put right).

One program makes one tile of the output. It loads its queries once and walks over the keys, holding for each query what
rung 2 holds: `highest`, `total` and `acc`. All of it stays in registers. What goes to memory is the output and one
number a query, the log-sum-exp, from which the backward pass makes the weights again.

    read    Q once, K and V once for each tile of queries (mostly from the cache, where neighbours have put them)
    write   O and lse
    never   the scores

A tile of 128 queries does 2 * 128 * width multiplications for every key it reads from memory: that is why a large tile
pays, until the registers are full. With 128 x 128 tiles of width 128 in half precision, acc (128 x 128) and the scores
of a tile (128 x 128), both in float32, take 128 KB of the 256 KB of registers that a multiprocessor has; Q and two
stages of K and V take 160 KB of its 227 KB of shared memory. Two stages: the next tile is copied while this one is
multiplied, which is what `num_stages` asks the compiler for. `num_warps` is among how many groups of 32 threads a tile
is divided.

Causal attention visits the tiles on and below the diagonal only: half of them, for long sequences. Of those, most need
no comparison of positions (`parts_of_walk` draws it). The tiles with the longest walks are started first, so that no
long one is left over at the end.
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
    tables_of,
    tile_scores,
    tiles_of,
)


@triton.jit
def online_softmax_step(acc, highest, total, scores, scale, v, PRECISION: tl.constexpr):
    """Take in one tile of scores, which are still to be multiplied with `scale`, and its values.

    `scale` is positive (`attnlab.fast.problem` sees to it), so the maximum may be taken first.
    """
    higher = tl.maximum(highest, tl.max(scores, 1) * scale)
    base = tl.where(higher == float("-inf"), 0.0, higher)  # nothing seen yet: exp2(-inf - 0) is 0, -inf - -inf is NaN
    weights = tl.exp2(scores * scale - base[:, None])  # a single multiply-add before the exponential
    shrink = tl.exp2(highest - base)  # at most 1: what is held was computed with the lower maximum
    total = total * shrink + tl.sum(weights, 1)
    # The tensor cores multiply in the values' dtype and add in float32. Weights are at most 1 here, so rounding them
    # costs what rounding the normalised ones would cost; dividing once at the end saves a division for every tile.
    acc = tl.dot(weights.to(v.dtype), v, acc * shrink[:, None], input_precision=PRECISION, out_dtype=acc.dtype)
    return acc, higher, total


@triton.jit
def forward_kernel(
    query, q_strides, key, k_strides, value, v_strides, output, o_strides, lse, lse_strides,
    mask, mask_strides, bias, bias_strides, query_starts, key_starts,
    n_heads, group, n_queries, n_keys, scale,
    WIDTH: tl.constexpr, FEATURES: tl.constexpr, BLOCK_WIDTH: tl.constexpr, BLOCK_FEATURES: tl.constexpr,
    BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, CAUSAL: tl.constexpr, HAS_MASK: tl.constexpr, HAS_BIAS: tl.constexpr,
    PACKED: tl.constexpr, DESCRIBED: tl.constexpr, PRECISION: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Output and lse of one tile of queries. Grid: tiles of queries * batch * heads."""
    tile, batch_head, n_tiles = own_tile(n_queries, BLOCK_Q)
    item, head = batch_head // n_heads, batch_head % n_heads
    q_start, n_queries = stretch(query_starts, item, n_queries, PACKED)
    k_start, n_keys = stretch(key_starts, item, n_keys, PACKED)
    first = (n_tiles - 1 - tile) * BLOCK_Q  # with a causal mask the last queries have the longest walks
    if first >= n_queries:  # packed sequences are not equally long, and the grid fits the longest
        return
    rows = first + tl.arange(0, BLOCK_Q)
    q = load_rows(base_of(query, q_strides, item, head, q_start), q_strides[2], rows, n_queries, WIDTH, BLOCK_WIDTH)
    key = base_of(key, k_strides, item, head // group, k_start)
    value = base_of(value, v_strides, item, head // group, k_start)
    keys = tiles_of(key, k_strides[2], n_keys, WIDTH, BLOCK_K, BLOCK_WIDTH, DESCRIBED)
    values = tiles_of(value, v_strides[2], n_keys, FEATURES, BLOCK_K, BLOCK_FEATURES, DESCRIBED)
    tables = tables_of((mask, mask_strides, bias, bias_strides), item, head)
    # The scale waits for the exponential, where it costs nothing, unless a bias is added to scores that have theirs.
    scale_of_product, scale_of_exponent = (scale, 1.0) if HAS_BIAS else (1.0, scale)

    highest = tl.full([BLOCK_Q], float("-inf"), ACC)
    total = tl.zeros([BLOCK_Q], ACC)
    acc = tl.zeros([BLOCK_Q, BLOCK_FEATURES], ACC)
    whole, end = parts_of_walk(first, n_queries, n_keys, BLOCK_Q, BLOCK_K, CAUSAL)
    for edge in tl.static_range(2):  # written out by the compiler: a loop that compares nothing, then one that does
        begin, stop = (whole, end) if edge else (0, whole)
        for start in range(begin, stop, BLOCK_K):
            columns = start + tl.arange(0, BLOCK_K)
            k = load_tile(keys, start, WIDTH, BLOCK_K, BLOCK_WIDTH, DESCRIBED)
            v = load_tile(values, start, FEATURES, BLOCK_K, BLOCK_FEATURES, DESCRIBED)
            scores = tile_scores(
                q, k, rows, columns, n_queries, n_keys, scale_of_product, tables,
                CAUSAL, HAS_MASK, HAS_BIAS, EDGE=edge == 1, TURNED=False, PRECISION=PRECISION, ACC=ACC,
            )  # fmt: skip
            acc, highest, total = online_softmax_step(acc, highest, total, scores, scale_of_exponent, v, PRECISION)

    # A query that saw nothing has total = 0 and acc = 0: its output is 0, and its lse = -inf + log2(0) is -inf. One
    # with a NaN has total = NaN, which is not 0, and stays NaN.
    acc = acc / tl.where(total == 0.0, 1.0, total)[:, None]
    output = base_of(output, o_strides, item, head, q_start)
    store_rows(output, o_strides[2], rows, n_queries, acc, FEATURES, BLOCK_FEATURES)
    lse = base_of(lse, lse_strides, item, head, q_start)
    tl.store(lse + rows, (highest + tl.log2(total)) * LN_2, mask=rows < n_queries)  # natural units outside of kernels
