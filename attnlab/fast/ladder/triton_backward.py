"""Rung 6: flash attention in Triton, backward, in two walks that add nothing atomically.

With P = exp(S - lse) made again tile by tile, and dO the gradient of the output (Dao et al. 2022, algorithm 4)

    dV = P^T dO        dP = dO V^T        dS = P * (dP - D)        dQ = scale dS K        dK = scale dS^T Q

D, `delta` in the code, is one number a query: rowsum(dP * P), what the softmax subtracts so that the rows of dS sum to
zero. It needs no table, because rowsum(dP * P) = dO . (P V) = rowsum(dO * O). If somebody also takes a gradient dL of
the log-sum-exp, it comes in as D - dL. Rung 3 has the same lines in torch.

dK and dV sum over queries, dQ sums over keys. A single walk would have to add to one of them from many programs at
once, in whatever order they come. So there are two kernels: one program owns a tile of keys and walks over the queries,
then one owns a tile of queries and walks over the keys. Both make S and dP again, 7 products instead of 5. In return
there is no scratch memory but delta, and sums are made in one order: the same tiles give the same bits. (On a device
tiles are chosen by timing, once in a process.) The gradient of a bias is dS, added up where the bias is broadcast.
"""

import triton
import triton.language as tl

from attnlab.fast.ladder.triton_tiles import (
    LOG2_E,
    base_of,
    load_numbers,
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
def delta_kernel(
    output, o_strides, grad, g_strides, grad_lse, delta, d_strides, query_starts, n_heads, n_queries,
    FEATURES: tl.constexpr, BLOCK_FEATURES: tl.constexpr, BLOCK_Q: tl.constexpr,
    PACKED: tl.constexpr, HAS_GRAD_LSE: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """D = rowsum(dO * O) - dL of one tile of queries. Grid as in the forward.

    In float32: were the products rounded to half precision, the rows of dS would no longer sum to zero.
    """
    tile, batch_head, _ = own_tile(n_queries, BLOCK_Q)
    item, head = batch_head // n_heads, batch_head % n_heads
    start, n_queries = stretch(query_starts, item, n_queries, PACKED)
    rows = tile * BLOCK_Q + tl.arange(0, BLOCK_Q)
    output = base_of(output, o_strides, item, head, start)
    grad = base_of(grad, g_strides, item, head, start)
    o = load_rows(output, o_strides[2], rows, n_queries, FEATURES, BLOCK_FEATURES)
    g = load_rows(grad, g_strides[2], rows, n_queries, FEATURES, BLOCK_FEATURES)
    total = tl.sum(o.to(ACC) * g.to(ACC), 1)
    if HAS_GRAD_LSE:
        total -= load_numbers(base_of(grad_lse, d_strides, item, head, start), rows, n_queries)
    tl.store(base_of(delta, d_strides, item, head, start) + rows, total, mask=rows < n_queries)


@triton.jit
def weights_and_grad(scores, lse, delta, dp):
    """P and dS of a tile, with lse and delta laid along its queries.

    A query that saw nothing has lse = -inf, and all its scores are -inf: exp2(-inf - 0) = 0.
    """
    base = tl.where(lse == float("-inf"), 0.0, lse) * LOG2_E
    p = tl.exp2(scores - base)
    return p, p * (dp - delta)


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
    """dK and dV of one tile of keys. Grid: tiles of keys * batch * heads of keys.

    The first keys are seen by most queries, so their long walks start first without being turned round. Tiles stand
    turned here, (keys, queries): P^T and dS^T come out of one product and go into the next from the registers where
    they are; turning P would send it through shared memory.

    Only the diagonal needs comparing. Past the last key, dK and dV are not stored, whatever they are. Past the last
    query, q, g, lse and delta are loaded as 0: dV gets P * 0, and dS is P * (0 - 0).
    """
    kv_heads = n_heads // group
    tile, batch_head, _ = own_tile(n_keys, BLOCK_K)
    item, kv_head = batch_head // kv_heads, batch_head % kv_heads
    q_start, n_queries = stretch(query_starts, item, n_queries, PACKED)
    k_start, n_keys = stretch(key_starts, item, n_keys, PACKED)
    first = tile * BLOCK_K
    if first >= n_keys:
        return
    columns = first + tl.arange(0, BLOCK_K)
    key = base_of(key, k_strides, item, kv_head, k_start)
    value = base_of(value, v_strides, item, kv_head, k_start)
    k = load_rows(key, k_strides[2], columns, n_keys, WIDTH, BLOCK_WIDTH)
    v = load_rows(value, v_strides[2], columns, n_keys, FEATURES, BLOCK_FEATURES)
    dk, dv = tl.zeros([BLOCK_K, BLOCK_WIDTH], ACC), tl.zeros([BLOCK_K, BLOCK_FEATURES], ACC)
    begin, whole = 0, 0
    if CAUSAL:
        shift = n_keys - n_queries
        last = tl.minimum(first + BLOCK_K, n_keys) - 1
        begin = tl.maximum(first - shift, 0) // BLOCK_Q * BLOCK_Q  # the first query that sees the first of these keys
        whole = tl.cdiv(tl.maximum(last - shift, 0), BLOCK_Q) * BLOCK_Q  # from here on all queries see all of them
        whole = tl.minimum(whole, n_queries)
    for member in range(group):  # the query heads that share these keys, one after the other: no race, no atomics
        head = kv_head * group + member
        own_query = base_of(query, q_strides, item, head, q_start)
        own_grad = base_of(grad, g_strides, item, head, q_start)
        queries = tiles_of(own_query, q_strides[2], n_queries, WIDTH, BLOCK_Q, BLOCK_WIDTH, DESCRIBED)
        grads = tiles_of(own_grad, g_strides[2], n_queries, FEATURES, BLOCK_Q, BLOCK_FEATURES, DESCRIBED)
        own_lse = base_of(lse, lse_strides, item, head, q_start)
        own_delta = base_of(delta, lse_strides, item, head, q_start)
        tables = tables_of((mask, mask_strides, bias, bias_strides), item, head)
        for part in tl.static_range(2):  # written out by the compiler: along the diagonal, then where all is seen
            start, stop = (whole, n_queries) if part else (begin, whole)
            for row in range(start, stop, BLOCK_Q):
                rows = row + tl.arange(0, BLOCK_Q)
                q = load_tile(queries, row, WIDTH, BLOCK_Q, BLOCK_WIDTH, DESCRIBED)
                g = load_tile(grads, row, FEATURES, BLOCK_Q, BLOCK_FEATURES, DESCRIBED)
                scores = tile_scores(
                    q, k, rows, columns, n_queries, n_keys, scale, tables,
                    CAUSAL, HAS_MASK, HAS_BIAS, EDGE=part == 0, TURNED=True, PRECISION=PRECISION, ACC=ACC,
                )  # fmt: skip
                dp = tl.dot(v, tl.trans(g), input_precision=PRECISION, out_dtype=ACC)
                l, d = load_numbers(own_lse, rows, n_queries), load_numbers(own_delta, rows, n_queries)  # noqa: E741
                p, ds = weights_and_grad(scores, l[None, :], d[None, :], dp)
                dv = tl.dot(p.to(g.dtype), g, dv, input_precision=PRECISION, out_dtype=ACC)
                dk = tl.dot(ds.to(q.dtype), q, dk, input_precision=PRECISION, out_dtype=ACC)
    dk *= scale / LOG2_E
    grad_key = base_of(grad_key, dk_strides, item, kv_head, k_start)
    grad_value = base_of(grad_value, dv_strides, item, kv_head, k_start)
    store_rows(grad_key, dk_strides[2], columns, n_keys, dk, WIDTH, BLOCK_WIDTH)
    store_rows(grad_value, dv_strides[2], columns, n_keys, dv, FEATURES, BLOCK_FEATURES)


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
    tile, batch_head, n_tiles = own_tile(n_queries, BLOCK_Q)
    item, head = batch_head // n_heads, batch_head % n_heads
    q_start, n_queries = stretch(query_starts, item, n_queries, PACKED)
    k_start, n_keys = stretch(key_starts, item, n_keys, PACKED)
    first = (n_tiles - 1 - tile) * BLOCK_Q
    if first >= n_queries:
        return
    rows = first + tl.arange(0, BLOCK_Q)
    query = base_of(query, q_strides, item, head, q_start)
    grad = base_of(grad, g_strides, item, head, q_start)
    q = load_rows(query, q_strides[2], rows, n_queries, WIDTH, BLOCK_WIDTH)
    g = load_rows(grad, g_strides[2], rows, n_queries, FEATURES, BLOCK_FEATURES)
    own_lse = load_numbers(base_of(lse, lse_strides, item, head, q_start), rows, n_queries)[:, None]
    own_delta = load_numbers(base_of(delta, lse_strides, item, head, q_start), rows, n_queries)[:, None]
    key = base_of(key, k_strides, item, head // group, k_start)
    value = base_of(value, v_strides, item, head // group, k_start)
    keys = tiles_of(key, k_strides[2], n_keys, WIDTH, BLOCK_K, BLOCK_WIDTH, DESCRIBED)
    values = tiles_of(value, v_strides[2], n_keys, FEATURES, BLOCK_K, BLOCK_FEATURES, DESCRIBED)
    tables = tables_of((mask, mask_strides, bias, bias_strides), item, head)

    dq = tl.zeros([BLOCK_Q, BLOCK_WIDTH], ACC)
    whole, end = parts_of_walk(first, n_queries, n_keys, BLOCK_Q, BLOCK_K, CAUSAL)
    for edge in tl.static_range(2):
        begin, stop = (whole, end) if edge else (0, whole)
        for start in range(begin, stop, BLOCK_K):
            columns = start + tl.arange(0, BLOCK_K)
            k = load_tile(keys, start, WIDTH, BLOCK_K, BLOCK_WIDTH, DESCRIBED)
            v = load_tile(values, start, FEATURES, BLOCK_K, BLOCK_FEATURES, DESCRIBED)
            scores = tile_scores(
                q, k, rows, columns, n_queries, n_keys, scale, tables,
                CAUSAL, HAS_MASK, HAS_BIAS, EDGE=edge == 1, TURNED=False, PRECISION=PRECISION, ACC=ACC,
            )  # fmt: skip
            dp = tl.dot(g, tl.trans(v), input_precision=PRECISION, out_dtype=ACC)
            p, ds = weights_and_grad(scores, own_lse, own_delta, dp)
            dq = tl.dot(ds.to(k.dtype), k, dq, input_precision=PRECISION, out_dtype=ACC)
    dq *= scale / LOG2_E
    grad_query = base_of(grad_query, dq_strides, item, head, q_start)
    store_rows(grad_query, dq_strides[2], rows, n_queries, dq, WIDTH, BLOCK_WIDTH)


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

    Grid: tiles of queries * tiles of keys * batch * heads of the bias. Tiles above the diagonal are not left out.
    """
    row_tile, other, row_tiles = own_tile(n_queries, BLOCK_Q)
    column_tiles = tl.cdiv(n_keys, BLOCK_K)
    column_tile, of_bias = other % column_tiles, other // column_tiles
    first_item, first_head = of_bias // bias_heads, of_bias % bias_heads
    rows = row_tile * BLOCK_Q + tl.arange(0, BLOCK_Q)
    columns = column_tile * BLOCK_K + tl.arange(0, BLOCK_K)
    total = tl.zeros([BLOCK_Q, BLOCK_K], ACC)
    for i in range(items):
        for j in range(heads):
            item, head = first_item + i, first_head + j
            own_query, own_grad = base_of(query, q_strides, item, head, 0), base_of(grad, g_strides, item, head, 0)
            own_key = base_of(key, k_strides, item, head // group, 0)
            own_value = base_of(value, v_strides, item, head // group, 0)
            q = load_rows(own_query, q_strides[2], rows, n_queries, WIDTH, BLOCK_WIDTH)
            k = load_rows(own_key, k_strides[2], columns, n_keys, WIDTH, BLOCK_WIDTH)
            v = load_rows(own_value, v_strides[2], columns, n_keys, FEATURES, BLOCK_FEATURES)
            g = load_rows(own_grad, g_strides[2], rows, n_queries, FEATURES, BLOCK_FEATURES)
            scores = tile_scores(
                q, k, rows, columns, n_queries, n_keys, scale,
                tables_of((mask, mask_strides, bias, bias_strides), item, head),
                CAUSAL, HAS_MASK, HAS_BIAS=True, EDGE=True, TURNED=False, PRECISION=PRECISION, ACC=ACC,
            )  # fmt: skip
            dp = tl.dot(g, tl.trans(v), input_precision=PRECISION, out_dtype=ACC)
            own_lse = load_numbers(base_of(lse, lse_strides, item, head, 0), rows, n_queries)
            own_delta = load_numbers(base_of(delta, lse_strides, item, head, 0), rows, n_queries)
            p, ds = weights_and_grad(scores, own_lse[:, None], own_delta[:, None], dp)
            total += ds
    inside = (rows < n_queries)[:, None] & (columns < n_keys)[None, :]
    grad_bias = base_of(grad_bias, db_strides, first_item, first_head, 0)
    address = grad_bias + rows[:, None].to(tl.int64) * db_strides[2] + columns[None, :]
    tl.store(address, total.to(grad_bias.dtype.element_ty), mask=inside)
