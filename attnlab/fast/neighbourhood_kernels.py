"""Neighbourhood attention in Triton: one program a stretch of places, a walk over the window, an online softmax.

Row, picture and film are one case, a film with one frame or one row. Places are counted through, so a stretch may
break over to the next row; where a neighbour stands is worked out for each place. The tensor cores have nothing to do:
each place has keys of its own, and what bounds the kernel is how fast these come out of the cache, where the places
beside it have put them.

Who sees a place are the very places that it sees, for the window is as wide on both sides. So the backward of keys and
values walks over the same window as that of queries, from the key to the queries: two kernels, nothing added
atomically, the same bits every time. Formulas: `attnlab.fast.ladder.triton_backward`.
"""

import math

import torch
import triton
import triton.language as tl

from attnlab.fast.ladder.triton_tiles import load_numbers, load_rows, store_rows
from attnlab.fast.once import once_differentiable
from attnlab.fast.start import start
from attnlab.fast.tensors import accumulator

INTERPRETED = triton.knobs.runtime.interpret


@triton.jit
def neighbour(places, tap, size, step, WINDOW: tl.constexpr, total):
    """The places that one tap of the window meets, counted through; `total`, which is no place, outside of the map."""
    y, x = places // size[2] % size[1], places % size[2]
    t = places // (size[2] * size[1]) + (tap // (WINDOW[1] * WINDOW[2]) - WINDOW[0] // 2) * step[0]
    y += (tap // WINDOW[2] % WINDOW[1] - WINDOW[1] // 2) * step[1]
    x += (tap % WINDOW[2] - WINDOW[2] // 2) * step[2]
    inside = (t >= 0) & (t < size[0]) & (y >= 0) & (y < size[1]) & (x >= 0) & (x < size[2]) & (places < total)
    return tl.where(inside, (t * size[1] + y) * size[2] + x, total)


@triton.jit
def forward_kernel(
    query, key, value, output, lse, size, step, total, scale,
    WINDOW: tl.constexpr, WIDTH: tl.constexpr, FEATURES: tl.constexpr, BLOCK_WIDTH: tl.constexpr,
    BLOCK_FEATURES: tl.constexpr, BLOCK: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Grid: (items, stretches of places), in all three kernels."""
    item = tl.program_id(0).to(tl.int64)
    places = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    q = load_rows(query + item * total * WIDTH, WIDTH, places, total, WIDTH, BLOCK_WIDTH).to(ACC) * scale
    m = tl.full([BLOCK], float("-inf"), ACC)
    l = tl.zeros([BLOCK], ACC)  # noqa: E741 (the paper's letters)
    acc = tl.zeros([BLOCK, BLOCK_FEATURES], ACC)
    for tap in range(WINDOW[0] * WINDOW[1] * WINDOW[2]):
        met = neighbour(places, tap, size, step, WINDOW, total)
        k = load_rows(key + item * total * WIDTH, WIDTH, met, total, WIDTH, BLOCK_WIDTH).to(ACC)
        v = load_rows(value + item * total * FEATURES, FEATURES, met, total, FEATURES, BLOCK_FEATURES).to(ACC)
        score = tl.where(met < total, tl.sum(q * k, 1), float("-inf"))
        higher = tl.maximum(m, score)
        base = tl.where(higher == float("-inf"), 0.0, higher)  # nothing seen so far: exp(-inf - 0) is 0, not NaN
        weight, shrink = tl.exp(score - base), tl.exp(m - base)
        l = l * shrink + weight  # noqa: E741
        acc = acc * shrink[:, None] + weight[:, None] * v
        m = higher
    l = tl.where(l == 0.0, 1.0, l)  # noqa: E741 (behind the last place nothing is seen)
    store_rows(output + item * total * FEATURES, FEATURES, places, total, acc / l[:, None], FEATURES, BLOCK_FEATURES)
    tl.store(lse + item * total + places, m + tl.log(l), mask=places < total)


@triton.jit
def query_kernel(
    query, key, value, grad, lse, output, delta, grad_query, size, step, total, scale,
    WINDOW: tl.constexpr, WIDTH: tl.constexpr, FEATURES: tl.constexpr, BLOCK_WIDTH: tl.constexpr,
    BLOCK_FEATURES: tl.constexpr, BLOCK: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """dQ, and D = rowsum(dO * O) for the other kernel."""
    item = tl.program_id(0).to(tl.int64)
    places = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    q = load_rows(query + item * total * WIDTH, WIDTH, places, total, WIDTH, BLOCK_WIDTH).to(ACC) * scale
    g = load_rows(grad + item * total * FEATURES, FEATURES, places, total, FEATURES, BLOCK_FEATURES).to(ACC)
    o = load_rows(output + item * total * FEATURES, FEATURES, places, total, FEATURES, BLOCK_FEATURES).to(ACC)
    own_delta = tl.sum(g * o, 1)
    own_lse = load_numbers(lse + item * total, places, total)
    dq = tl.zeros([BLOCK, BLOCK_WIDTH], ACC)
    for tap in range(WINDOW[0] * WINDOW[1] * WINDOW[2]):
        met = neighbour(places, tap, size, step, WINDOW, total)
        k = load_rows(key + item * total * WIDTH, WIDTH, met, total, WIDTH, BLOCK_WIDTH).to(ACC)
        v = load_rows(value + item * total * FEATURES, FEATURES, met, total, FEATURES, BLOCK_FEATURES).to(ACC)
        p = tl.where(met < total, tl.exp(tl.sum(q * k, 1) - own_lse), 0.0)
        ds = p * (tl.sum(g * v, 1) - own_delta)
        dq += ds[:, None] * k
    store_rows(grad_query + item * total * WIDTH, WIDTH, places, total, dq * scale, WIDTH, BLOCK_WIDTH)
    tl.store(delta + item * total + places, own_delta, mask=places < total)


@triton.jit
def key_value_kernel(
    query, key, value, grad, lse, delta, grad_key, grad_value, size, step, total, scale,
    WINDOW: tl.constexpr, WIDTH: tl.constexpr, FEATURES: tl.constexpr, BLOCK_WIDTH: tl.constexpr,
    BLOCK_FEATURES: tl.constexpr, BLOCK: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """dK and dV of a stretch of places: `met` are the places that see them."""
    item = tl.program_id(0).to(tl.int64)
    places = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    k = load_rows(key + item * total * WIDTH, WIDTH, places, total, WIDTH, BLOCK_WIDTH).to(ACC) * scale
    v = load_rows(value + item * total * FEATURES, FEATURES, places, total, FEATURES, BLOCK_FEATURES).to(ACC)
    dk, dv = tl.zeros([BLOCK, BLOCK_WIDTH], ACC), tl.zeros([BLOCK, BLOCK_FEATURES], ACC)
    for tap in range(WINDOW[0] * WINDOW[1] * WINDOW[2]):
        met = neighbour(places, tap, size, step, WINDOW, total)
        q = load_rows(query + item * total * WIDTH, WIDTH, met, total, WIDTH, BLOCK_WIDTH).to(ACC)
        g = load_rows(grad + item * total * FEATURES, FEATURES, met, total, FEATURES, BLOCK_FEATURES).to(ACC)
        p = tl.exp(tl.sum(q * k, 1) - load_numbers(lse + item * total, met, total))
        dv += p[:, None] * g  # outside of the map q, g, lse and delta are 0, and nothing is added
        ds = p * (tl.sum(g * v, 1) - load_numbers(delta + item * total, met, total))
        dk += ds[:, None] * q
    store_rows(grad_key + item * total * WIDTH, WIDTH, places, total, dk * scale, WIDTH, BLOCK_WIDTH)
    store_rows(grad_value + item * total * FEATURES, FEATURES, places, total, dv, FEATURES, BLOCK_FEATURES)


def neighbourhood(query, key, value, window, dilation, scale) -> torch.Tensor:
    """query, key (items, *map, width), value (items, *map, features): output like value. One to three axes of map."""
    return _Neighbourhood.apply(query, key, value, window, dilation, scale)


class _Neighbourhood(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query, key, value, window, dilation, scale):
        query, key, value = (tensor.contiguous() for tensor in (query, key, value))
        output, lse = torch.empty_like(value), query.new_empty(query.shape[:-1], dtype=accumulator(query))
        launch = _Launch(query, value, window, dilation, scale)
        launch.run(forward_kernel, query, key, value, output, lse)
        ctx.save_for_backward(query, key, value, output, lse)
        ctx.launch = launch
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        query, key, value, output, lse = ctx.saved_tensors
        delta, grad = torch.empty_like(lse), grad.contiguous()
        grads = [torch.empty_like(tensor) for tensor in (query, key, value)]
        ctx.launch.run(query_kernel, query, key, value, grad, lse, output, delta, grads[0])
        ctx.launch.run(key_value_kernel, query, key, value, grad, lse, delta, *grads[1:])
        return *grads, None, None, None


class _Launch:
    """Sizes and constants that the kernels of one problem share. A map of fewer axes is a film with axes of 1."""

    def __init__(self, query, value, window, dilation, scale):
        places, ones = tuple(query.shape[1:-1]), (1,) * (3 - len(window))
        self.items, total = query.shape[0], math.prod(places)
        self.sizes = (ones + places, ones + dilation, total, scale)
        widths = query.shape[-1], value.shape[-1]
        blocks = [max(triton.next_power_of_2(width), 16) for width in widths]
        # In the interpreter small stretches, so that a test of a few dozen places has edges to get wrong.
        block = 16 if INTERPRETED else max(1024 // max(blocks), 4)  # more spill registers
        self.grid = (self.items, triton.cdiv(total, block))
        self.constants = {
            "WINDOW": ones + window,
            "WIDTH": widths[0],
            "FEATURES": widths[1],
            "BLOCK_WIDTH": blocks[0],
            "BLOCK_FEATURES": blocks[1],
            "BLOCK": block,
            "ACC": tl.float64 if query.dtype == torch.float64 else tl.float32,
        }

    def run(self, kernel, *tensors) -> None:
        start(kernel, self.grid, *tensors, *self.sizes, **self.constants)
