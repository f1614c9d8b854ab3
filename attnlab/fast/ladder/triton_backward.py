"""Rung 5: flash attention in Triton, backward, in two walks that add nothing atomically: the same bits every time.

With P = exp(S - lse) made again tile by tile, and D = rowsum(dO * O) (Dao et al. 2022, algorithm 4)

    dV = P^T dO        dP = dO V^T        dS = P * (dP - D)        dQ = scale dS K        dK = scale dS^T Q

D stands for rowsum(dP * P), which is the same number: it pulls the rows of dS to a sum of zero, as a softmax demands.
If somebody also takes a gradient dL of the log-sum-exp, it comes in as D - dL.

dK and dV sum over queries, dQ sums over keys. A single walk would have to add to one of them from many programs at
once, in whatever order they come. So there are two kernels: one program owns a tile of keys and walks over the queries,
then one owns a tile of queries and walks over the keys. Both make S and dP again, 7 products instead of 5; in return
nothing is scratch and nothing depends on the order. The gradient of a bias is dS, added up where it is broadcast.
"""

import triton
import triton.language as tl

from attnlab.fast.ladder.triton_tiles import (
    LOG2_E,
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
def load_numbers(base, rows, length):
    """One number for each row."""
    return tl.load(base + rows, mask=rows < length, other=0.0)


@triton.jit
def delta_kernel(
    output, o_strides, grad, g_strides, grad_lse, delta, d_strides, query_starts, n_heads, n_queries,
    FEATURES: tl.constexpr, BLOCK_FEATURES: tl.constexpr, BLOCK_Q: tl.constexpr,
    PACKED: tl.constexpr, HAS_GRAD_LSE: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """D = rowsum(dO * O) - dL, in float32: of rounded products the rows would not add up to zero. Grid as forward."""
    tile, other, _ = own_tile(n_queries, BLOCK_Q)
    item, head = other // n_heads, other % n_heads
    start, n_queries = stretch(query_starts, item, n_queries, PACKED)
    rows = tile * BLOCK_Q + tl.arange(0, BLOCK_Q)
    o = load_rows(
        base_of(output, o_strides, item, head, start), o_strides[2], rows, n_queries, FEATURES, BLOCK_FEATURES
    )
    g = load_rows(base_of(grad, g_strides, item, head, start), g_strides[2], rows, n_queries, FEATURES, BLOCK_FEATURES)
    total = tl.sum(o.to(ACC) * g.to(ACC), 1)
    offset = item.to(tl.int64) * d_strides[0] + head.to(tl.int64) * d_strides[1] + start
    if HAS_GRAD_LSE:
        total -= load_numbers(grad_lse + offset, rows, n_queries)
    tl.store(delta + offset + rows, total, mask=rows < n_queries)


@triton.jit
def weights_and_grad(scores, lse, delta, dp):
    """P and dS of a tile, with lse and delta laid along its rows.

    A row that saw nothing has lse = -inf, and all its scores are -inf: exp2(-inf - 0) = 0.
    """
    base = tl.where(lse == float("-inf"), 0.0, lse) * LOG2_E
    p = tl.exp2(scores - base)
    return p, p * (dp - delta)


@triton.jit
def key_value_walk(
    dk, dv, k, v, columns, n_queries, n_keys, scale, begin, end, queries, grads, lse, delta, tables,
    WIDTH: tl.constexpr, FEATURES: tl.constexpr, BLOCK_WIDTH: tl.constexpr, BLOCK_FEATURES: tl.constexpr,
    BLOCK_Q: tl.constexpr, CAUSAL: tl.constexpr, HAS_MASK: tl.constexpr, HAS_BIAS: tl.constexpr, EDGE: tl.constexpr,
    DESCRIBED: tl.constexpr, PRECISION: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """What the queries from one to another add to dK and dV. EDGE: the diagonal crosses some of these tiles.

    Tiles stand turned here, (keys, queries). Then P^T and dS^T are what comes out of one product, and go into the next
    from the registers where they are; turning P would send it through shared memory.
    """
    mask, mask_strides, bias, bias_strides = tables
    for start in range(begin, end, BLOCK_Q):
        rows = start + tl.arange(0, BLOCK_Q)
        q = load_tile(queries, start, WIDTH, BLOCK_Q, BLOCK_WIDTH, DESCRIBED)
        g = load_tile(grads, start, FEATURES, BLOCK_Q, BLOCK_FEATURES, DESCRIBED)
        scores = tile_scores(
            q, k, rows, columns, n_queries, n_keys, scale, mask, mask_strides, bias, bias_strides,
            CAUSAL, HAS_MASK, HAS_BIAS, EDGE, True, PRECISION, ACC,  # keys behind the end: their rows are not stored
        )  # fmt: skip
        dp = tl.dot(v, tl.trans(g), input_precision=PRECISION, out_dtype=ACC)
        own_lse, own_delta = load_numbers(lse, rows, n_queries), load_numbers(delta, rows, n_queries)
        p, ds = weights_and_grad(scores, own_lse[None, :], own_delta[None, :], dp)
        dv = tl.dot(p.to(g.dtype), g, dv, input_precision=PRECISION, out_dtype=ACC)
        dk = tl.dot(ds.to(q.dtype), q, dk, input_precision=PRECISION, out_dtype=ACC)
    return dk, dv


@triton.jit
def key_value_kernel(
    query, q_strides, key, k_strides, value, v_strides, grad, g_strides, lse, delta, lse_strides,
    grad_key, dk_strides, grad_value, dv_strides,
    mask, mask_strides, bias, bias_strides, query_starts, key_starts,
    n_heads, group, n_queries, n_keys, scale,
    WIDTH: tl.constexpr, FEATURES: tl.constexpr, BLOCK_WIDTH: tl.constexpr, BLOCK_FEATURES: tl.constexpr,
    BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, CAUSAL: tl.constexpr, HAS_MASK: tl.constexpr, HAS_BIAS: tl.constexpr,
    PACKED: tl.constexpr, DESCRIBED: tl.constexpr, PRECISION: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """dK and dV of one tile of keys. Grid: tiles of keys * batch * heads of keys; `scale` is in base 2."""
    kv_heads = n_heads // group
    tile, other, _ = own_tile(n_keys, BLOCK_K)
    item, kv_head = other // kv_heads, other % kv_heads
    q_start, n_queries = stretch(query_starts, item, n_queries, PACKED)
    k_start, n_keys = stretch(key_starts, item, n_keys, PACKED)
    first = tile * BLOCK_K
    if first >= n_keys:
        return
    columns = first + tl.arange(0, BLOCK_K)
    k = load_rows(base_of(key, k_strides, item, kv_head, k_start), k_strides[2], columns, n_keys, WIDTH, BLOCK_WIDTH)
    v = load_rows(
        base_of(value, v_strides, item, kv_head, k_start), v_strides[2], columns, n_keys, FEATURES, BLOCK_FEATURES
    )
    dk, dv = tl.zeros([BLOCK_K, BLOCK_WIDTH], ACC), tl.zeros([BLOCK_K, BLOCK_FEATURES], ACC)
    begin, whole = 0, 0
    if CAUSAL:
        shift = n_keys - n_queries
        begin = tl.maximum(first - shift, 0) // BLOCK_Q * BLOCK_Q  # the first query that sees the first of these keys
        last = tl.minimum(first + BLOCK_K, n_keys) - 1
        whole = tl.minimum(tl.cdiv(tl.maximum(last - shift, 0), BLOCK_Q) * BLOCK_Q, n_queries)  # all of them see all
    for member in range(group):  # the query heads that share these keys, one after the other: no race, no atomics
        head = kv_head * group + member
        queries = tiles_of(
            base_of(query, q_strides, item, head, q_start), q_strides[2], n_queries,
            WIDTH, BLOCK_Q, BLOCK_WIDTH, DESCRIBED,
        )  # fmt: skip
        grads = tiles_of(
            base_of(grad, g_strides, item, head, q_start), g_strides[2], n_queries,
            FEATURES, BLOCK_Q, BLOCK_FEATURES, DESCRIBED,
        )  # fmt: skip
        numbers = item.to(tl.int64) * lse_strides[0] + head.to(tl.int64) * lse_strides[1] + q_start
        own_mask = mask + item.to(tl.int64) * mask_strides[0] + head.to(tl.int64) * mask_strides[1]
        own_bias = bias + item.to(tl.int64) * bias_strides[0] + head.to(tl.int64) * bias_strides[1]
        tables = (own_mask, mask_strides, own_bias, bias_strides)
        if CAUSAL:
            dk, dv = key_value_walk(
                dk, dv, k, v, columns, n_queries, n_keys, scale, begin, whole,
                queries, grads, lse + numbers, delta + numbers, tables,
                WIDTH, FEATURES, BLOCK_WIDTH, BLOCK_FEATURES, BLOCK_Q, CAUSAL, HAS_MASK, HAS_BIAS, True,
                DESCRIBED, PRECISION, ACC,
            )  # fmt: skip
        dk, dv = key_value_walk(
            dk, dv, k, v, columns, n_queries, n_keys, scale, whole, n_queries,
            queries, grads, lse + numbers, delta + numbers, tables,
            WIDTH, FEATURES, BLOCK_WIDTH, BLOCK_FEATURES, BLOCK_Q, CAUSAL, HAS_MASK, HAS_BIAS, False,
            DESCRIBED, PRECISION, ACC,
        )  # fmt: skip
    dk *= scale / LOG2_E
    dk_base, dv_base = (
        base_of(grad_key, dk_strides, item, kv_head, k_start),
        base_of(grad_value, dv_strides, item, kv_head, k_start),
    )
    store_rows(dk_base, dk_strides[2], columns, n_keys, dk, WIDTH, BLOCK_WIDTH)
    store_rows(dv_base, dv_strides[2], columns, n_keys, dv, FEATURES, BLOCK_FEATURES)


@triton.jit
def query_walk(
    dq, q, g, own_lse, own_delta, rows, n_queries, n_keys, scale, begin, end, keys, values, tables,
    WIDTH: tl.constexpr, FEATURES: tl.constexpr, BLOCK_WIDTH: tl.constexpr, BLOCK_FEATURES: tl.constexpr,
    BLOCK_K: tl.constexpr, CAUSAL: tl.constexpr, HAS_MASK: tl.constexpr, HAS_BIAS: tl.constexpr, EDGE: tl.constexpr,
    DESCRIBED: tl.constexpr, PRECISION: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """What the keys from one to another add to dQ. EDGE: as in the forward."""
    mask, mask_strides, bias, bias_strides = tables
    for start in range(begin, end, BLOCK_K):
        columns = start + tl.arange(0, BLOCK_K)
        k = load_tile(keys, start, WIDTH, BLOCK_K, BLOCK_WIDTH, DESCRIBED)
        v = load_tile(values, start, FEATURES, BLOCK_K, BLOCK_FEATURES, DESCRIBED)
        scores = tile_scores(
            q, k, rows, columns, n_queries, n_keys, scale, mask, mask_strides, bias, bias_strides,
            CAUSAL, HAS_MASK, HAS_BIAS, EDGE, False, PRECISION, ACC,
        )  # fmt: skip
        dp = tl.dot(g, tl.trans(v), input_precision=PRECISION, out_dtype=ACC)
        _, ds = weights_and_grad(scores, own_lse[:, None], own_delta[:, None], dp)
        dq = tl.dot(ds.to(k.dtype), k, dq, input_precision=PRECISION, out_dtype=ACC)
    return dq


@triton.jit
def query_kernel(
    query, q_strides, key, k_strides, value, v_strides, grad, g_strides, lse, delta, lse_strides,
    grad_query, dq_strides, mask, mask_strides, bias, bias_strides, query_starts, key_starts,
    n_heads, group, n_queries, n_keys, scale,
    WIDTH: tl.constexpr, FEATURES: tl.constexpr, BLOCK_WIDTH: tl.constexpr, BLOCK_FEATURES: tl.constexpr,
    BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, CAUSAL: tl.constexpr, HAS_MASK: tl.constexpr, HAS_BIAS: tl.constexpr,
    PACKED: tl.constexpr, DESCRIBED: tl.constexpr, PRECISION: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """dQ of one tile of queries. Grid, order of the tiles and the two parts of the walk as in the forward."""
    tile, other, tiles = own_tile(n_queries, BLOCK_Q)
    item, head = other // n_heads, other % n_heads
    q_start, n_queries = stretch(query_starts, item, n_queries, PACKED)
    k_start, n_keys = stretch(key_starts, item, n_keys, PACKED)
    first = (tiles - 1 - tile) * BLOCK_Q
    if first >= n_queries:
        return
    rows = first + tl.arange(0, BLOCK_Q)
    key = base_of(key, k_strides, item, head // group, k_start)
    value = base_of(value, v_strides, item, head // group, k_start)
    keys = tiles_of(key, k_strides[2], n_keys, WIDTH, BLOCK_K, BLOCK_WIDTH, DESCRIBED)
    values = tiles_of(value, v_strides[2], n_keys, FEATURES, BLOCK_K, BLOCK_FEATURES, DESCRIBED)
    mask += item.to(tl.int64) * mask_strides[0] + head.to(tl.int64) * mask_strides[1]
    bias += item.to(tl.int64) * bias_strides[0] + head.to(tl.int64) * bias_strides[1]
    tables = (mask, mask_strides, bias, bias_strides)
    numbers = item.to(tl.int64) * lse_strides[0] + head.to(tl.int64) * lse_strides[1] + q_start

    q = load_rows(base_of(query, q_strides, item, head, q_start), q_strides[2], rows, n_queries, WIDTH, BLOCK_WIDTH)
    g = load_rows(
        base_of(grad, g_strides, item, head, q_start), g_strides[2], rows, n_queries, FEATURES, BLOCK_FEATURES
    )
    own_lse = load_numbers(lse + numbers, rows, n_queries)
    own_delta = load_numbers(delta + numbers, rows, n_queries)
    dq = tl.zeros([BLOCK_Q, BLOCK_WIDTH], ACC)
    whole, end = parts_of_walk(first, n_queries, n_keys, BLOCK_Q, BLOCK_K, CAUSAL)
    dq = query_walk(
        dq, q, g, own_lse, own_delta, rows, n_queries, n_keys, scale, 0, whole, keys, values, tables,
        WIDTH, FEATURES, BLOCK_WIDTH, BLOCK_FEATURES, BLOCK_K, CAUSAL, HAS_MASK, HAS_BIAS, False,
        DESCRIBED, PRECISION, ACC,
    )  # fmt: skip
    dq = query_walk(
        dq, q, g, own_lse, own_delta, rows, n_queries, n_keys, scale, whole, end, keys, values, tables,
        WIDTH, FEATURES, BLOCK_WIDTH, BLOCK_FEATURES, BLOCK_K, CAUSAL, HAS_MASK, HAS_BIAS, True,
        DESCRIBED, PRECISION, ACC,
    )  # fmt: skip
    dq *= scale / LOG2_E
    store_rows(
        base_of(grad_query, dq_strides, item, head, q_start), dq_strides[2], rows, n_queries, dq, WIDTH, BLOCK_WIDTH
    )


@triton.jit
def bias_kernel(
    query, q_strides, key, k_strides, value, v_strides, grad, g_strides, lse, delta, lse_strides,
    grad_bias, db_strides, mask, mask_strides, bias, bias_strides,
    bias_heads, items, heads, group, n_queries, n_keys, scale,
    WIDTH: tl.constexpr, FEATURES: tl.constexpr, BLOCK_WIDTH: tl.constexpr, BLOCK_FEATURES: tl.constexpr,
    BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, CAUSAL: tl.constexpr, HAS_MASK: tl.constexpr,
    PRECISION: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """The gradient of one tile of a bias: dS, summed over the `items` and `heads` that share this bias.

    Grid: tiles of queries * tiles of keys * batch * heads of the bias.
    """
    row_tile, other, _ = own_tile(n_queries, BLOCK_Q)
    column_tiles = tl.cdiv(n_keys, BLOCK_K)
    column_tile, of_bias = other % column_tiles, other // column_tiles
    first_item, first_head = of_bias // bias_heads, of_bias % bias_heads
    rows = row_tile * BLOCK_Q + tl.arange(0, BLOCK_Q)
    columns = column_tile * BLOCK_K + tl.arange(0, BLOCK_K)
    total = tl.zeros([BLOCK_Q, BLOCK_K], ACC)
    for i in range(items):
        for j in range(heads):
            item, head = first_item + i, first_head + j
            q = load_rows(base_of(query, q_strides, item, head, 0), q_strides[2], rows, n_queries, WIDTH, BLOCK_WIDTH)
            k = load_rows(
                base_of(key, k_strides, item, head // group, 0), k_strides[2], columns, n_keys, WIDTH, BLOCK_WIDTH
            )
            v = load_rows(
                base_of(value, v_strides, item, head // group, 0),
                v_strides[2], columns, n_keys, FEATURES, BLOCK_FEATURES,
            )  # fmt: skip
            g = load_rows(
                base_of(grad, g_strides, item, head, 0), g_strides[2], rows, n_queries, FEATURES, BLOCK_FEATURES
            )
            scores = tile_scores(
                q, k, rows, columns, n_queries, n_keys, scale,
                mask + item.to(tl.int64) * mask_strides[0] + head.to(tl.int64) * mask_strides[1], mask_strides,
                bias + item.to(tl.int64) * bias_strides[0] + head.to(tl.int64) * bias_strides[1], bias_strides,
                CAUSAL, HAS_MASK, True, True, False, PRECISION, ACC,
            )  # fmt: skip
            dp = tl.dot(g, tl.trans(v), input_precision=PRECISION, out_dtype=ACC)
            numbers = item.to(tl.int64) * lse_strides[0] + head.to(tl.int64) * lse_strides[1]
            own_lse, own_delta = (
                load_numbers(lse + numbers, rows, n_queries),
                load_numbers(delta + numbers, rows, n_queries),
            )
            _, ds = weights_and_grad(scores, own_lse[:, None], own_delta[:, None], dp)
            total += ds
    inside = (rows < n_queries)[:, None] & (columns < n_keys)[None, :]
    base = grad_bias + first_item.to(tl.int64) * db_strides[0] + first_head.to(tl.int64) * db_strides[1]
    address = base + rows[:, None].to(tl.int64) * db_strides[2] + columns[None, :]
    tl.store(address, total.to(grad_bias.dtype.element_ty), mask=inside)
