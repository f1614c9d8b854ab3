"""What all our attention kernels do in the same way: find their sequence, load tiles, and score a tile.

Names in kernels: `rows` are queries, `columns` keys. Strides come as tuples in the order of the axes (batch, head,
row); the last axis always has stride one. A kernel works in base 2, because the hardware's exponential does: the scale
that comes in holds a factor log2(e) already, and so exp2(scores) is the exp of the paper.
"""

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)
LN_2 = tl.constexpr(0.6931471805599453)


@triton.jit
def own_tile(length, BLOCK: tl.constexpr):
    """(tile, which of batch * heads, number of tiles). Tiles of one head start together: its keys are in the cache.

    The grid has one axis: the others end at 65,535 programs, which a large batch with many heads is past.
    """
    tiles = tl.cdiv(length, BLOCK)
    return tl.program_id(0) % tiles, tl.program_id(0) // tiles, tiles


@triton.jit
def stretch(starts, item, length, PACKED: tl.constexpr):
    """Where a sequence begins, and how long it is. Packed ones stand one behind the other (`attnlab.fast.packing`)."""
    if PACKED:
        start = tl.load(starts + item)
        return start.to(tl.int64), tl.load(starts + item + 1) - start
    else:
        return 0, length


@triton.jit
def parts_of_walk(first, n_queries, n_keys, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, CAUSAL: tl.constexpr):
    """(whole, end) of a walk over the keys, for the queries from `first` on.

    In the tiles before `whole` every query sees every key; from there to `end` somebody does not; behind it nobody sees
    anything. Most tiles lie in the first part, and there nothing has to be compared.
    """
    end, whole = n_keys, n_keys // BLOCK_K * BLOCK_K
    if CAUSAL:
        shift = n_keys - n_queries
        end = tl.maximum(tl.minimum(n_keys, first + BLOCK_Q + shift), 0)  # behind the last key that the last row sees
        whole = tl.minimum(whole, tl.maximum(first + shift + 1, 0) // BLOCK_K * BLOCK_K)  # what the first row sees
    return whole, end


@triton.jit
def base_of(tensor, strides, item, head, start):
    """The address of row `start` of a head. In 64 bits: a batch of long sequences has more than 2^31 numbers."""
    return tensor + item.to(tl.int64) * strides[0] + head.to(tl.int64) * strides[1] + start * strides[2]


@triton.jit
def load_rows(base, stride, rows, length, WIDTH: tl.constexpr, BLOCK_WIDTH: tl.constexpr):
    """A tile (rows, BLOCK_WIDTH). Zeros stand where there is no row, and behind the width: tiles are powers of two."""
    across = tl.arange(0, BLOCK_WIDTH)
    inside = rows[:, None] < length
    if BLOCK_WIDTH != WIDTH:
        inside = inside & (across < WIDTH)[None, :]
    return tl.load(base + rows[:, None].to(tl.int64) * stride + across[None, :], mask=inside, other=0.0)


@triton.jit
def tiles_of(
    base, stride, length, WIDTH: tl.constexpr, BLOCK: tl.constexpr, BLOCK_WIDTH: tl.constexpr, DESCRIBED: tl.constexpr
):
    """What `load_tile` takes its tiles from: the rows of one head, up to their end.

    DESCRIBED: as a tensor descriptor. From one a Hopper GPU copies a tile into shared memory by a single instruction of
    a single thread, which works out the addresses and puts zeros beyond the edges by itself. Else every thread works
    out the addresses of its own share, again for every tile. Rows have to begin at multiples of 16 bytes for it.
    """
    if DESCRIBED:
        return tl.make_tensor_descriptor(base, [tl.maximum(length, 1), WIDTH], [stride, 1], [BLOCK, BLOCK_WIDTH])
    else:
        return base, stride, length


@triton.jit
def load_tile(
    source, start, WIDTH: tl.constexpr, BLOCK: tl.constexpr, BLOCK_WIDTH: tl.constexpr, DESCRIBED: tl.constexpr
):
    """The tile (BLOCK, BLOCK_WIDTH) that begins at row `start`, with zeros where there is no row or no width."""
    if DESCRIBED:
        return source.load([start, 0])
    else:
        base, stride, length = source
        return load_rows(base, stride, start + tl.arange(0, BLOCK), length, WIDTH, BLOCK_WIDTH)


@triton.jit
def store_rows(base, stride, rows, length, tile, WIDTH: tl.constexpr, BLOCK_WIDTH: tl.constexpr):
    """Write a tile, without what lies behind the end or the width."""
    across = tl.arange(0, BLOCK_WIDTH)
    inside = (rows[:, None] < length) & (across < WIDTH)[None, :]
    address = base + rows[:, None].to(tl.int64) * stride + across[None, :]
    tl.store(address, tile.to(base.dtype.element_ty), mask=inside)


@triton.jit
def load_pairs(base, strides, r, c, n_rows, n_columns):
    """A tile of a table in memory, such as a mask or a bias, for rows `r` and columns `c` that broadcast to the tile.

    An axis of stride 0 is broadcast.
    """
    address = base + r.to(tl.int64) * strides[2] + c.to(tl.int64) * strides[3]
    return tl.load(address, mask=(r < n_rows) & (c < n_columns), other=0)


@triton.jit
def tile_scores(
    q, k, rows, columns, n_queries, n_keys, scale,
    mask, mask_strides, bias, bias_strides,
    CAUSAL: tl.constexpr, HAS_MASK: tl.constexpr, HAS_BIAS: tl.constexpr, EDGE: tl.constexpr, TURNED: tl.constexpr,
    PRECISION: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Scores of a tile in base 2, with -inf where a query may not see a key. TURNED: (columns, rows).

    EDGE: the tile reaches beyond the last key, or the diagonal crosses it. All other tiles need not look. A key behind
    the end was loaded as zeros, and a score of zero is a score: it has to become -inf, whatever its value is.
    """
    if TURNED:
        r, c = rows[None, :], columns[:, None]
        scores = tl.dot(k, tl.trans(q), input_precision=PRECISION, out_dtype=ACC) * scale
    else:
        r, c = rows[:, None], columns[None, :]
        scores = tl.dot(q, tl.trans(k), input_precision=PRECISION, out_dtype=ACC) * scale
    if HAS_BIAS:
        scores += load_pairs(bias, bias_strides, r, c, n_queries, n_keys).to(scores.dtype) * LOG2_E
    if HAS_MASK:
        scores = tl.where(load_pairs(mask, mask_strides, r, c, n_queries, n_keys) != 0, scores, float("-inf"))
    if EDGE:
        seen = c < n_keys
        if CAUSAL:  # the last query sees the last key
            seen = seen & (r + (n_keys - n_queries) >= c)
        scores = tl.where(seen, scores, float("-inf"))
    return scores
