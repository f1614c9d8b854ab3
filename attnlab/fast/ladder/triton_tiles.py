"""What the attention kernels share: find their sequence, load tiles, score a tile. Read it with rung 5 beside it.

Conventions of all kernels here:

    item, head      the place in the batch, and the head; `group` query heads share one head of keys and values
    rows, columns   the positions of a tile's queries and of its keys, in their own sequence
    tables          (mask, its strides, bias, its strides); nothing is read of what is not there
    strides         tuples in the order of the axes. Of query, key, value, output, lse, delta and all gradients: batch,
                    head, row, and the last axis is contiguous. Of mask and bias: all four axes, 0 where one is shared
    lse, delta      one float32 number a query, (batch, heads, queries); lse in natural units
    base 2          the hardware's exponential is 2^x. `scale` comes with a factor log2(e), so that exp2 of scaled
                    scores is the exp of the paper
    ACC             what sums are held in: float32, for float64 tensors float64

Widths are padded to a power of two with zeros, which change no product. Tensors are indexed in 64 bits: a batch of long
sequences has more than 2^31 numbers.
"""

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)
LN_2 = tl.constexpr(0.6931471805599453)


@triton.jit
def own_tile(length, BLOCK: tl.constexpr):
    """(tile, batch * heads + head, number of tiles), for this program.

    Tiles of one head start together, so that its keys are in the cache. The grid has one axis, because the others end
    at 65,535 programs, which a large batch with many heads is past.
    """
    n_tiles = tl.cdiv(length, BLOCK)
    return tl.program_id(0) % n_tiles, tl.program_id(0) // n_tiles, n_tiles


@triton.jit
def stretch(starts, item, length, PACKED: tl.constexpr):
    """Where a sequence begins, and how long it is. Packed ones stand back to back (`attnlab.fast.packing`)."""
    if PACKED:
        start = tl.load(starts + item)
        return start.to(tl.int64), tl.load(starts + item + 1) - start
    else:
        return 0, length


@triton.jit
def parts_of_walk(first, n_queries, n_keys, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, CAUSAL: tl.constexpr):
    """(whole, end): how the tile of queries that begins at `first` divides its walk over the keys.

    Up to `whole`, a multiple of BLOCK_K, every query sees every key. From there to `end` some query does not see some
    key. From `end` on no query sees any. Most tiles lie in the first part, where nothing has to be compared. 6 queries
    and 10 keys, causal, tiles of 4; for the second tile of queries whole = 8 and end = 10:

            keys  0 1 2 3   4 5 6 7   8 9
        query 0   x x x x   x . . .             whole = 4, end = 8
              1   x x x x   x x . .
              2   x x x x   x x x .
              3   x x x x   x x x x
              4   x x x x   x x x x   x .       whole = 8, end = 10
              5   x x x x   x x x x   x x
    """
    whole, end = n_keys // BLOCK_K * BLOCK_K, n_keys
    if CAUSAL:  # the last query sees the last key
        shift = n_keys - n_queries
        end = tl.maximum(tl.minimum(n_keys, first + BLOCK_Q + shift), 0)  # one past the last key of the last query
        whole = tl.minimum(whole, tl.maximum(first + shift + 1, 0) // BLOCK_K * BLOCK_K)  # what the first query sees
    return whole, end


@triton.jit
def base_of(tensor, strides, item, head, start):
    """The address of row `start` of a head."""
    return tensor + item.to(tl.int64) * strides[0] + head.to(tl.int64) * strides[1] + start * strides[2]


@triton.jit
def load_rows(base, stride, rows, length, WIDTH: tl.constexpr, BLOCK_WIDTH: tl.constexpr):
    """A tile (rows, BLOCK_WIDTH), with zeros past the last row and past the width."""
    across = tl.arange(0, BLOCK_WIDTH)
    inside = (rows < length)[:, None] & (across < WIDTH)[None, :]
    return tl.load(base + rows[:, None].to(tl.int64) * stride + across[None, :], mask=inside, other=0.0)


@triton.jit
def store_rows(base, stride, rows, length, tile, WIDTH: tl.constexpr, BLOCK_WIDTH: tl.constexpr):
    """Write a tile, without what lies past the last row and past the width."""
    across = tl.arange(0, BLOCK_WIDTH)
    inside = (rows < length)[:, None] & (across < WIDTH)[None, :]
    address = base + rows[:, None].to(tl.int64) * stride + across[None, :]
    tl.store(address, tile.to(base.dtype.element_ty), mask=inside)


@triton.jit
def load_numbers(base, rows, length):
    """One number for each row, such as its lse; 0 past the last one."""
    return tl.load(base + rows, mask=rows < length, other=0.0)


@triton.jit
def tiles_of(
    base, stride, length, WIDTH: tl.constexpr, BLOCK: tl.constexpr, BLOCK_WIDTH: tl.constexpr, DESCRIBED: tl.constexpr
):
    """What `load_tile` takes tiles of BLOCK rows from: the rows of one head, (length, WIDTH).

    DESCRIBED: through a tensor descriptor, which the Tensor Memory Accelerator of a Hopper GPU reads. One thread gives
    one instruction; the hardware works out the addresses, copies the tile into shared memory and fills zeros past the
    edges. Otherwise every thread works out the addresses of its share anew for each tile. A descriptor needs rows that
    begin at multiples of 16 bytes.
    """
    if DESCRIBED:
        return tl.make_tensor_descriptor(base, [tl.maximum(length, 1), WIDTH], [stride, 1], [BLOCK, BLOCK_WIDTH])
    else:
        return base, stride, length


@triton.jit
def load_tile(
    source, start, WIDTH: tl.constexpr, BLOCK: tl.constexpr, BLOCK_WIDTH: tl.constexpr, DESCRIBED: tl.constexpr
):
    """The tile (BLOCK, BLOCK_WIDTH) that begins at row `start`, with zeros past the last row and past the width."""
    if DESCRIBED:
        return source.load([start, 0])
    else:
        base, stride, length = source
        return load_rows(base, stride, start + tl.arange(0, BLOCK), length, WIDTH, BLOCK_WIDTH)


@triton.jit
def tables_of(tables, item, head):
    """The tables of one head."""
    mask, mask_strides, bias, bias_strides = tables
    return (
        base_of(mask, mask_strides, item, head, 0), mask_strides,
        base_of(bias, bias_strides, item, head, 0), bias_strides,
    )  # fmt: skip


@triton.jit
def load_pairs(base, strides, r, c, n_rows, n_columns):
    """A tile of a table, for rows `r` and columns `c` that broadcast to the tile."""
    address = base + r.to(tl.int64) * strides[2] + c.to(tl.int64) * strides[3]
    return tl.load(address, mask=(r < n_rows) & (c < n_columns), other=0)


@triton.jit
def tile_scores(
    q, k, rows, columns, n_queries, n_keys, scale, tables,
    CAUSAL: tl.constexpr, HAS_MASK: tl.constexpr, HAS_BIAS: tl.constexpr, EDGE: tl.constexpr, TURNED: tl.constexpr,
    PRECISION: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """The scores of a tile times `scale`, (rows, columns), -inf where a query may not see a key. TURNED: transposed.

    EDGE: some query of the tile does not see some key, because that lies past the last one or later than the query. A
    key past the last one was loaded as zeros and would score 0, which is a weight like any other.
    """
    mask, mask_strides, bias, bias_strides = tables
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
        if CAUSAL:
            seen = seen & (r + (n_keys - n_queries) >= c)
        scores = tl.where(seen, scores, float("-inf"))
    return scores
