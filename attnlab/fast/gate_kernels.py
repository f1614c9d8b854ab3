"""Squeeze-and-excitation and CBAM in Triton, forward and backward, without the features ever being copied or doubled.

Gates are bound by memory: a few additions for every number read. So what counts is how often the features, or something
of their size, are read or written. Everything else is small: numbers by channel, by place, and the weights.

Passes over something of the features' size:

                               reading, and what for                             writing  both, in torch's operations
    squeeze-excite   forward   2  summary, scale                                 1        3
                     backward  3  grad and features for the gates, grad          1        10
    CBAM             forward   3  summary, maps, scale                           1        8
                     backward  5  grad and features, twice for gates, grad       1        about 30

Names in kernels: a tile has axes (channels, places); `places` are y and x as one axis. Strides come as tuples in the
order (batch, channel, place), so that channels that lie together in memory (channels_last) are read as they lie.
Nothing is added atomically: one program owns what it sums, and the same bits come out every time.

The maximum. Where several places (or channels) share it, torch's `amax` shares its gradient evenly among them, and so
do we: after a ReLU a channel may be zero everywhere, and then no place is more the maximum than any other. A kernel
that finds a maximum also notes where it stands first and how many share it. The last kernel of the backward pass
reads the features again only where there is more than one.
Sources: Hu et al. 2018, equations 2 to 4; Woo et al. 2018, section 3; the split into kernels is ours.
"""

import triton
import triton.language as tl


@triton.jit
def tile_of(tensor, strides, item, channels, places):
    """Addresses (channels, places) of one item. In 64 bits: a batch of large pictures has more than 2^31 numbers."""
    base = tensor + item.to(tl.int64) * strides[0]
    return base + (channels.to(tl.int64) * strides[1])[:, None] + (places.to(tl.int64) * strides[2])[None, :]


@triton.jit
def row_of(tensor, item, row, rows, length):
    """Where a row of a small tensor (batch, rows, length) begins."""
    return tensor + (item.to(tl.int64) * rows + row) * length


@triton.jit
def item_and_tile(length, BLOCK: tl.constexpr):
    """Items and tiles share the first axis of the grid: the others end at 65535. Returns item and first of the tile."""
    tiles = tl.cdiv(length, BLOCK)
    return tl.program_id(0) // tiles, tl.program_id(0) % tiles * BLOCK


# ---------------------------------------------------------------------- mean and maximum in one read


@triton.jit
def take_in(tile, inside, index, highest, first, ties):
    """The running maximum of every lane, its first index, and how often it came.

    NaN never compares as higher; where there is one, the mean carries it.
    """
    higher = inside & (tile > highest)
    same = inside & (tile == highest)
    first = tl.where(higher, index, first)
    ties = tl.where(higher, 1, ties + same.to(tl.int32))
    return tl.where(higher, tile, highest), first, ties


@triton.jit
def settle(highest, first, ties, AXIS: tl.constexpr):
    """From lanes to one maximum for each row or column. Once at the end: threads need not meet for every tile."""
    best = tl.max(highest, AXIS)
    at = highest == tl.expand_dims(best, AXIS)
    first = tl.min(tl.where(at, first, 2147483647), AXIS)
    return best, first, tl.sum(tl.where(at, ties, 0), AXIS)


@triton.jit
def summary_kernel(
    features, f_strides, summary, peaks, n_channels, n_places,
    KINDS: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_P: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """The mean of each channel over its places and, with two KINDS, the maximum. Grid: (batch * tiles of channels).

    summary (batch, KINDS, channels); peaks (batch, 2, channels): the first place of the maximum, and how many share it.
    """
    item, start = item_and_tile(n_channels, BLOCK_C)
    channels = start + tl.arange(0, BLOCK_C)
    total = tl.zeros([BLOCK_C, BLOCK_P], ACC)
    highest = tl.full([BLOCK_C, BLOCK_P], float("-inf"), ACC)
    first, ties = tl.zeros([BLOCK_C, BLOCK_P], tl.int32), tl.zeros([BLOCK_C, BLOCK_P], tl.int32)
    for first_place in range(0, n_places, BLOCK_P):
        places = first_place + tl.arange(0, BLOCK_P)
        inside = (channels < n_channels)[:, None] & (places < n_places)[None, :]
        x = tl.load(tile_of(features, f_strides, item, channels, places), mask=inside, other=0.0).to(ACC)
        total += x
        if KINDS == 2:
            highest, first, ties = take_in(x, inside, places[None, :], highest, first, ties)
    own = channels < n_channels
    tl.store(row_of(summary, item, 0, KINDS, n_channels) + channels, tl.sum(total, 1) / n_places, mask=own)
    if KINDS == 2:
        best, where, shared = settle(highest, first, ties, 1)
        tl.store(row_of(summary, item, 1, KINDS, n_channels) + channels, best, mask=own)
        tl.store(row_of(peaks, item, 0, 2, n_channels) + channels, where, mask=own)
        tl.store(row_of(peaks, item, 1, 2, n_channels) + channels, shared, mask=own)


@triton.jit
def maps_kernel(
    features, f_strides, gates, maps, peaks, n_channels, n_places,
    GATED: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_P: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Mean and maximum of each place over its channels, after the channels' gates. Grid: (batch * tiles of places).

    maps (batch, 2, places); peaks (batch, 2, places): the first channel of the maximum, and how many share it. The
    gated features stay in registers: multiplying again later is cheaper than writing them down.
    """
    item, start = item_and_tile(n_places, BLOCK_P)
    places = start + tl.arange(0, BLOCK_P)
    total = tl.zeros([BLOCK_C, BLOCK_P], ACC)
    highest = tl.full([BLOCK_C, BLOCK_P], float("-inf"), ACC)
    first, ties = tl.zeros([BLOCK_C, BLOCK_P], tl.int32), tl.zeros([BLOCK_C, BLOCK_P], tl.int32)
    for first_channel in range(0, n_channels, BLOCK_C):
        channels = first_channel + tl.arange(0, BLOCK_C)
        inside = (channels < n_channels)[:, None] & (places < n_places)[None, :]
        x = tl.load(tile_of(features, f_strides, item, channels, places), mask=inside, other=0.0).to(ACC)
        if GATED:
            own = channels < n_channels
            x *= tl.load(row_of(gates, item, 0, 1, n_channels) + channels, mask=own, other=0.0)[:, None]
        total += x
        highest, first, ties = take_in(x, inside, channels[:, None], highest, first, ties)
    own = places < n_places
    best, where, shared = settle(highest, first, ties, 0)
    tl.store(row_of(maps, item, 0, 2, n_places) + places, tl.sum(total, 0) / n_channels, mask=own)
    tl.store(row_of(maps, item, 1, 2, n_places) + places, best, mask=own)
    tl.store(row_of(peaks, item, 0, 2, n_places) + places, where, mask=own)
    tl.store(row_of(peaks, item, 1, 2, n_places) + places, shared, mask=own)


# ---------------------------------------------------------------------- the tiny MLP


@triton.jit
def hidden_kernel(
    summary, down, bias, hidden, n_channels, n_hidden,
    HAS_BIAS: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_C: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """ReLU(down summary + bias), the narrow layer. Grid: (rows of the summary * tiles of hidden units).

    A kernel of its own: it needs every weight of `down`, and a program that scales a tile would read them all again for
    each tile. At 2048 channels and a hidden width of 128 that is half a megabyte for a tile of four kilobytes.
    """
    row, start = item_and_tile(n_hidden, BLOCK_H)
    units = start + tl.arange(0, BLOCK_H)
    own = units < n_hidden
    total = tl.zeros([BLOCK_H, BLOCK_C], ACC)
    for start in range(0, n_channels, BLOCK_C):
        channels = start + tl.arange(0, BLOCK_C)
        z = tl.load(summary + row.to(tl.int64) * n_channels + channels, mask=channels < n_channels, other=0.0)
        inside = own[:, None] & (channels < n_channels)[None, :]
        w = tl.load(down + units[:, None] * n_channels + channels[None, :], mask=inside, other=0.0).to(ACC)
        total += w * z[None, :]
    scores = tl.sum(total, 1)
    if HAS_BIAS:
        scores += tl.load(bias + units, mask=own, other=0.0).to(ACC)
    scores = tl.where(scores < 0.0, 0.0, scores)  # tl.maximum would turn what is not a number into zero
    tl.store(hidden + row.to(tl.int64) * n_hidden + units, scores, mask=own)


@triton.jit
def own_gates(
    hidden, up, bias, item, channels, n_channels, n_hidden,
    KINDS: tl.constexpr, HAS_BIAS: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_H: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """sigmoid(up hidden + bias) for these channels: the wide layer, of which a program needs its own rows only.

    Two KINDS of summary share the MLP, and up h + up h' is up (h + h'): one product less.
    """
    own = channels < n_channels
    total = tl.zeros([BLOCK_C, BLOCK_H], ACC)
    for start in range(0, n_hidden, BLOCK_H):
        units = start + tl.arange(0, BLOCK_H)
        h = tl.load(row_of(hidden, item, 0, KINDS, n_hidden) + units, mask=units < n_hidden, other=0.0)
        if KINDS == 2:
            h += tl.load(row_of(hidden, item, 1, KINDS, n_hidden) + units, mask=units < n_hidden, other=0.0)
        inside = own[:, None] & (units < n_hidden)[None, :]
        total += (
            tl.load(up + channels[:, None] * n_hidden + units[None, :], mask=inside, other=0.0).to(ACC) * h[None, :]
        )
    scores = tl.sum(total, 1)
    if HAS_BIAS:
        scores += tl.load(bias + channels, mask=own, other=0.0).to(ACC)
    return tl.sigmoid(scores)


@triton.jit
def gates_kernel(
    hidden, up, bias, gates, n_channels, n_hidden,
    KINDS: tl.constexpr, HAS_BIAS: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_H: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """The channels' gates alone, (batch, channels), for CBAM: there every program needs all. Grid: (batch * tiles)."""
    item, start = item_and_tile(n_channels, BLOCK_C)
    channels = start + tl.arange(0, BLOCK_C)
    gate = own_gates(hidden, up, bias, item, channels, n_channels, n_hidden, KINDS, HAS_BIAS, BLOCK_C, BLOCK_H, ACC)
    tl.store(row_of(gates, item, 0, 1, n_channels) + channels, gate, mask=channels < n_channels)


@triton.jit
def scale_kernel(
    features, f_strides, hidden, up, bias, gates, output, o_strides, n_channels, n_places, n_hidden,
    HAS_BIAS: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_H: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Squeeze-excite's last step: the gates of a tile of channels, in registers, and the features times them.

    Grid: (batch * tiles of places, tiles of channels). The gates are written once, for the backward pass.
    """
    item, start = item_and_tile(n_places, BLOCK_P)
    places = start + tl.arange(0, BLOCK_P)
    channels = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    inside = (channels < n_channels)[:, None] & (places < n_places)[None, :]
    x = tl.load(tile_of(features, f_strides, item, channels, places), mask=inside, other=0.0).to(ACC)
    gate = own_gates(hidden, up, bias, item, channels, n_channels, n_hidden, 1, HAS_BIAS, BLOCK_C, BLOCK_H, ACC)
    address = tile_of(output, o_strides, item, channels, places)
    tl.store(address, (x * gate[:, None]).to(output.dtype.element_ty), mask=inside)
    tl.store(row_of(gates, item, 0, 1, n_channels) + channels, gate, mask=(channels < n_channels) & (start == 0))


# ---------------------------------------------------------------------- the convolution over two maps


@triton.jit
def correlate(plane, weights, places, height, width, SIDE: tl.constexpr, FLIP: tl.constexpr, ACC: tl.constexpr):
    """A SIDE x SIDE kernel over a map (height, width) at these places, zeros around it. FLIP: its transpose."""
    y, x = places // width, places % width
    total = tl.zeros(places.shape, ACC)
    for tap in range(SIDE * SIDE):
        down, right = tap // SIDE - SIDE // 2, tap % SIDE - SIDE // 2
        if FLIP:
            down, right = -down, -right
        inside = (y + down >= 0) & (y + down < height) & (x + right >= 0) & (x + right < width)
        weight = tl.load(weights + tap).to(ACC)
        total += weight * tl.load(plane + places + down * width + right, mask=inside, other=0.0)
    return total


@triton.jit
def place_kernel(
    features, f_strides, gates, maps, kernel, place_gates, output, o_strides, n_channels, n_places, height, width, span,
    SCALED: tl.constexpr, SIDE: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_P: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """The places' gates, (batch, places), and with SCALED the features times both gates.

    Grid: (batch * tiles of places, groups of `span` channels). Every group makes its gates again, 2 * SIDE^2 products a
    place from the cache, so that small maps with many channels are more than one program's work. A tile should have as
    many places as there are threads: with fewer, several would make the same gate. n_places is height * width; of an
    argument the compiler knows by what it can be divided, and then reads several numbers at once.
    """
    item, start = item_and_tile(n_places, BLOCK_P)
    places = start + tl.arange(0, BLOCK_P)
    scores = correlate(row_of(maps, item, 0, 2, n_places), kernel, places, height, width, SIDE, False, ACC)
    largest = row_of(maps, item, 1, 2, n_places)
    scores += correlate(largest, kernel + SIDE * SIDE, places, height, width, SIDE, False, ACC)
    place_gate = tl.sigmoid(scores)
    own = (places < n_places) & (tl.program_id(1) == 0)
    tl.store(row_of(place_gates, item, 0, 1, n_places) + places, place_gate, mask=own)
    if SCALED:
        end = tl.minimum((tl.program_id(1) + 1) * span, n_channels)
        for first in range(tl.program_id(1) * span, end, BLOCK_C):
            channels = first + tl.arange(0, BLOCK_C)
            inside = (channels < end)[:, None] & (places < n_places)[None, :]
            gate = tl.load(row_of(gates, item, 0, 1, n_channels) + channels, mask=channels < end, other=0.0)
            x = tl.load(tile_of(features, f_strides, item, channels, places), mask=inside, other=0.0).to(ACC)
            address = tile_of(output, o_strides, item, channels, places)
            x = x * gate[:, None] * place_gate[None, :]
            tl.store(address, x.to(output.dtype.element_ty), mask=inside)


# ---------------------------------------------------------------------- backward


@triton.jit
def place_grad_kernel(
    features, f_strides, grad, g_strides, gates, place_gates, d_scores, n_channels, n_places,
    BLOCK_C: tl.constexpr, BLOCK_P: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """What the places' scores get, before the sigmoid: s (1 - s) sum over channels of grad * gate * features.

    d_scores (batch, places). Grid: (batch * tiles of places).
    """
    item, start = item_and_tile(n_places, BLOCK_P)
    places = start + tl.arange(0, BLOCK_P)
    own = places < n_places
    total = tl.zeros([BLOCK_C, BLOCK_P], ACC)
    for first_channel in range(0, n_channels, BLOCK_C):
        channels = first_channel + tl.arange(0, BLOCK_C)
        inside = (channels < n_channels)[:, None] & own[None, :]
        gate = tl.load(row_of(gates, item, 0, 1, n_channels) + channels, mask=channels < n_channels, other=0.0)
        x = tl.load(tile_of(features, f_strides, item, channels, places), mask=inside, other=0.0).to(ACC)
        g = tl.load(tile_of(grad, g_strides, item, channels, places), mask=inside, other=0.0).to(ACC)
        total += g * (x * gate[:, None])
    s = tl.load(row_of(place_gates, item, 0, 1, n_places) + places, mask=own, other=0.0)
    tl.store(row_of(d_scores, item, 0, 1, n_places) + places, tl.sum(total, 0) * s * (1.0 - s), mask=own)


@triton.jit
def maps_grad_kernel(
    d_scores, kernel, d_maps, height, width, SIDE: tl.constexpr, BLOCK_P: tl.constexpr, ACC: tl.constexpr
):
    """The convolution backward to its two maps, d_maps (batch, 2, places). Grid: (batch * tiles of places, 2)."""
    n_places = height * width
    item, start = item_and_tile(n_places, BLOCK_P)
    places, which = start + tl.arange(0, BLOCK_P), tl.program_id(1)
    weights = kernel + which * SIDE * SIDE
    total = correlate(row_of(d_scores, item, 0, 1, n_places), weights, places, height, width, SIDE, True, ACC)
    tl.store(row_of(d_maps, item, which, 2, n_places) + places, total, mask=places < n_places)


@triton.jit
def kernel_grad_kernel(
    d_scores, maps, partial, height, width, SIDE: tl.constexpr, BLOCK_P: tl.constexpr, ACC: tl.constexpr
):
    """The convolution backward to one weight, for one item. Grid: (batch, 2 * SIDE^2).

    partial (batch, 2 * SIDE^2); what is left is to add up the items, in their order.
    """
    item, weight = tl.program_id(0), tl.program_id(1)
    which, tap = weight // (SIDE * SIDE), weight % (SIDE * SIDE)
    down, right = tap // SIDE - SIDE // 2, tap % SIDE - SIDE // 2
    n_places = height * width
    total = tl.zeros([BLOCK_P], ACC)
    for start in range(0, n_places, BLOCK_P):
        places = start + tl.arange(0, BLOCK_P)
        y, x = places // width + down, places % width + right
        inside = (places < n_places) & (y >= 0) & (y < height) & (x >= 0) & (x < width)
        seen = tl.load(row_of(maps, item, which, 2, n_places) + y * width + x, mask=inside, other=0.0)
        total += seen * tl.load(row_of(d_scores, item, 0, 1, n_places) + places, mask=inside, other=0.0)
    tl.store(partial + item.to(tl.int64) * 2 * SIDE * SIDE + weight, tl.sum(total, 0))


@triton.jit
def channel_grad_kernel(
    features, f_strides, grad, g_strides, gates, place_gates, maps, peaks, d_maps, d_gates, n_channels, n_places,
    PLACES: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_P: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """What the channels' gates get, d_gates (batch, channels). Grid: (batch * tiles of channels).

    Squeeze-excite: the sum over places of grad * features. With PLACES, CBAM: grad comes through the places' gates, and
    the gated features get something from their mean and from their maximum too.
    """
    item, start = item_and_tile(n_channels, BLOCK_C)
    channels = start + tl.arange(0, BLOCK_C)
    gate = tl.load(row_of(gates, item, 0, 1, n_channels) + channels, mask=channels < n_channels, other=0.0)
    total = tl.zeros([BLOCK_C, BLOCK_P], ACC)
    for first_place in range(0, n_places, BLOCK_P):
        places = first_place + tl.arange(0, BLOCK_P)
        own = places < n_places
        inside = (channels < n_channels)[:, None] & own[None, :]
        x = tl.load(tile_of(features, f_strides, item, channels, places), mask=inside, other=0.0).to(ACC)
        g = tl.load(tile_of(grad, g_strides, item, channels, places), mask=inside, other=0.0).to(ACC)
        if PLACES:
            largest = tl.load(row_of(maps, item, 1, 2, n_places) + places, mask=own, other=0.0)
            ties = tl.load(row_of(peaks, item, 1, 2, n_places) + places, mask=own, other=1).to(ACC)
            d_mean = tl.load(row_of(d_maps, item, 0, 2, n_places) + places, mask=own, other=0.0) / n_channels
            d_largest = tl.load(row_of(d_maps, item, 1, 2, n_places) + places, mask=own, other=0.0) / ties
            g *= tl.load(row_of(place_gates, item, 0, 1, n_places) + places, mask=own, other=0.0)[None, :]
            g += d_mean[None, :] + tl.where(x * gate[:, None] == largest[None, :], d_largest[None, :], 0.0)
        total += g * x
    tl.store(row_of(d_gates, item, 0, 1, n_channels) + channels, tl.sum(total, 1), mask=channels < n_channels)


@triton.jit
def feature_grad_kernel(
    features, f_strides, grad, g_strides, output, o_strides, gates, summary, channel_peaks, d_summary,
    place_gates, maps, place_peaks, d_maps, n_channels, n_places,
    SCALED: tl.constexpr, KINDS: tl.constexpr, PLACES: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_P: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """The gradient of the features, one tile. Grid: (batch * tiles of places, tiles of channels).

    gated features   grad * place gate                                  SCALED: the output is features, not a gate
                     + d_mean / channels + share of d_largest           PLACES: there are maps
    features         that * gate
                     + d_mean / places + share of d_largest             KINDS of summary: 0, 1 (mean), 2 (and maximum)
    """
    item, start = item_and_tile(n_places, BLOCK_P)
    places = start + tl.arange(0, BLOCK_P)
    channels = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    own_c, own_p = channels < n_channels, places < n_places
    inside = own_c[:, None] & own_p[None, :]
    total = tl.zeros([BLOCK_C, BLOCK_P], ACC)
    gate = tl.full([BLOCK_C], 1.0, ACC)
    if KINDS > 0:
        gate = tl.load(row_of(gates, item, 0, 1, n_channels) + channels, mask=own_c, other=0.0)
    if SCALED:
        total += tl.load(tile_of(grad, g_strides, item, channels, places), mask=inside, other=0.0).to(ACC)
    ties_c, ties_p = tl.full([BLOCK_C], 1, tl.int32), tl.full([BLOCK_P], 1, tl.int32)
    if KINDS == 2:
        ties_c = tl.load(row_of(channel_peaks, item, 1, 2, n_channels) + channels, mask=own_c, other=1)
    if PLACES:
        ties_p = tl.load(row_of(place_peaks, item, 1, 2, n_places) + places, mask=own_p, other=1)
    x = tl.zeros([BLOCK_C, BLOCK_P], ACC)
    if KINDS == 2 or PLACES:  # no load at all where every maximum stands alone: a masked one costs no memory
        tied = inside & ((ties_c > 1)[:, None] | (ties_p > 1)[None, :])
        x = tl.load(tile_of(features, f_strides, item, channels, places), mask=tied, other=0.0).to(ACC)
    if PLACES:
        if SCALED:
            total *= tl.load(row_of(place_gates, item, 0, 1, n_places) + places, mask=own_p, other=0.0)[None, :]
        first = tl.load(row_of(place_peaks, item, 0, 2, n_places) + places, mask=own_p, other=0)
        largest = tl.load(row_of(maps, item, 1, 2, n_places) + places, mask=own_p, other=0.0)
        d_mean = tl.load(row_of(d_maps, item, 0, 2, n_places) + places, mask=own_p, other=0.0) / n_channels
        d_largest = tl.load(row_of(d_maps, item, 1, 2, n_places) + places, mask=own_p, other=0.0) / ties_p.to(ACC)
        at = x * gate[:, None] == largest[None, :]
        at = tl.where((ties_p > 1)[None, :], at, channels[:, None] == first[None, :])
        total += d_mean[None, :] + tl.where(at, d_largest[None, :], 0.0)
    if KINDS > 0:
        d_mean = tl.load(row_of(d_summary, item, 0, KINDS, n_channels) + channels, mask=own_c, other=0.0) / n_places
        total = total * gate[:, None] + d_mean[:, None]
    if KINDS == 2:
        first = tl.load(row_of(channel_peaks, item, 0, 2, n_channels) + channels, mask=own_c, other=0)
        largest = tl.load(row_of(summary, item, 1, 2, n_channels) + channels, mask=own_c, other=0.0)
        d_largest = tl.load(row_of(d_summary, item, 1, 2, n_channels) + channels, mask=own_c, other=0.0)
        at = tl.where((ties_c > 1)[:, None], x == largest[:, None], places[None, :] == first[:, None])
        total += tl.where(at, (d_largest / ties_c.to(ACC))[:, None], 0.0)
    address = tile_of(output, o_strides, item, channels, places)
    tl.store(address, total.to(output.dtype.element_ty), mask=inside)
