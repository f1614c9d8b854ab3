"""PDAN's dilated attention in Triton: one program a stretch of places of one channel, forward and backward.

Nothing is unfolded: a tap is a load at a distance, and what one program loads its neighbours have left in the cache.
The backward needs two kernels. The gradient of a query sums over its own taps; those of a key and a value over the
places that they are a tap of, which stand at the opposite distances. Each program gathers what is its own and writes it
once: no atomics, the same bits every time. The relative term's gradient is a sum over places: one number for each
program and tap, added up by torch.

See `attnlab.fast.dilated_attention` for the formulas and the names.
"""

import torch
import triton
import triton.language as tl

from attnlab.fast.start import start
from attnlab.fast.tensors import accumulator

INTERPRETED = triton.knobs.runtime.interpret


@triton.jit
def at(tensor, row, places, tokens, ACC: tl.constexpr):
    """A stretch of a channel; zeros beyond its ends, as the layer's padding has them."""
    inside = (places >= 0) & (places < tokens)
    return tl.load(tensor + row * tokens + places, mask=inside, other=0.0).to(ACC)


@triton.jit
def forward_kernel(
    query, key, value, relative, output, lse, channels, tokens, dilation,
    TAPS: tl.constexpr, BLOCK: tl.constexpr, KEEP: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Grid: (batch * channels, stretches). KEEP: the backward will ask for the log-sum-exp."""
    row = tl.program_id(0).to(tl.int64)
    places = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    q = at(query, row, places, tokens, ACC)
    m = tl.full([BLOCK], float("-inf"), ACC)
    l = tl.zeros([BLOCK], ACC)  # noqa: E741 (the paper's letters)
    acc = tl.zeros([BLOCK], ACC)
    for tap in tl.static_range(TAPS):
        taken = places + (tap - TAPS // 2) * dilation
        score = q * at(key, row, taken, tokens, ACC)
        seen = at(value, row, taken, tokens, ACC) + tl.load(relative + row % channels * TAPS + tap).to(ACC)
        higher = tl.maximum(m, score)
        weight, shrink = tl.exp(score - higher), tl.exp(m - higher)
        l = l * shrink + weight  # noqa: E741
        acc = acc * shrink + weight * seen
        m = higher
    address = row * tokens + places
    tl.store(output + address, (acc / l).to(output.dtype.element_ty), mask=places < tokens)
    if KEEP:
        tl.store(lse + address, m + tl.log(l), mask=places < tokens)


@triton.jit
def query_kernel(
    query, key, value, relative, grad, lse, delta, grad_query, grad_relative, channels, tokens, dilation,
    TAPS: tl.constexpr, BLOCK: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """dq, and for the other kernel delta = sum of p_j dp_j. Of grad_relative one part for each program."""
    row = tl.program_id(0).to(tl.int64)
    places = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    q, g = at(query, row, places, tokens, ACC), at(grad, row, places, tokens, ACC)
    own_lse = at(lse, row, places, tokens, ACC)
    own_delta, with_dp, with_delta = tl.zeros([BLOCK], ACC), tl.zeros([BLOCK], ACC), tl.zeros([BLOCK], ACC)
    for tap in tl.static_range(TAPS):
        taken = places + (tap - TAPS // 2) * dilation
        k = at(key, row, taken, tokens, ACC)
        seen = at(value, row, taken, tokens, ACC) + tl.load(relative + row % channels * TAPS + tap).to(ACC)
        p = tl.exp(q * k - own_lse)
        own_delta += p * g * seen
        with_dp += p * g * seen * k  # dq = sum of p_j (dp_j - delta) k_j, and delta is known behind the last tap only
        with_delta += p * k
        part = grad_relative + (row * tl.num_programs(1) + tl.program_id(1)) * TAPS + tap
        tl.store(part, tl.sum(p * g, 0))
    address = row * tokens + places
    dq = with_dp - own_delta * with_delta
    tl.store(delta + address, own_delta, mask=places < tokens)
    tl.store(grad_query + address, dq.to(grad_query.dtype.element_ty), mask=places < tokens)


@triton.jit
def key_value_kernel(
    query, key, value, relative, grad, lse, delta, grad_key, grad_value, channels, tokens, dilation,
    TAPS: tl.constexpr, BLOCK: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """dk and dv of a stretch of keys. As the tap j it is seen from the place at the distance -o_j."""
    row = tl.program_id(0).to(tl.int64)
    keys = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    k, v = at(key, row, keys, tokens, ACC), at(value, row, keys, tokens, ACC)
    dk, dv = tl.zeros([BLOCK], ACC), tl.zeros([BLOCK], ACC)
    for tap in tl.static_range(TAPS):
        seeing = keys - (tap - TAPS // 2) * dilation
        q, g = at(query, row, seeing, tokens, ACC), at(grad, row, seeing, tokens, ACC)
        p = tl.exp(q * k - at(lse, row, seeing, tokens, ACC))
        seen = v + tl.load(relative + row % channels * TAPS + tap).to(ACC)
        dv += p * g  # where nobody sees it, g and q are 0
        dk += p * (g * seen - at(delta, row, seeing, tokens, ACC)) * q
    address = row * tokens + keys
    tl.store(grad_key + address, dk.to(grad_key.dtype.element_ty), mask=keys < tokens)
    tl.store(grad_value + address, dv.to(grad_value.dtype.element_ty), mask=keys < tokens)


def forward(query, key, value, relative, dilation, keep) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Output, and if it is to be kept the log-sum-exp: (batch, channels, tokens). Any layout is made contiguous."""
    query, key, value, relative = (tensor.contiguous() for tensor in (query, key, value, relative))
    output = torch.empty_like(query)
    lse = torch.empty_like(query, dtype=accumulator(query)) if keep else None
    start(
        forward_kernel, _grid(query), query, key, value, relative, output, lse if keep else output,
        *query.shape[1:], dilation, **_constants(query, relative), KEEP=keep,
    )  # fmt: skip
    return output, lse


def backward(query, key, value, relative, lse, grad, dilation) -> tuple[torch.Tensor, ...]:
    """The gradients of query, key, value and relative."""
    query, key, value, relative, grad = (tensor.contiguous() for tensor in (query, key, value, relative, grad))
    grads = [torch.empty_like(tensor) for tensor in (query, key, value)]
    rows, stretches = _grid(query)
    delta = torch.empty_like(lse)
    parts = lse.new_empty(rows, stretches, relative.shape[1])
    common = (query, key, value, relative, grad, lse, delta)
    sizes, constants = (*query.shape[1:], dilation), _constants(query, relative)
    start(query_kernel, (rows, stretches), *common, grads[0], parts, *sizes, **constants)
    start(key_value_kernel, (rows, stretches), *common, *grads[1:], *sizes, **constants)
    d_relative = parts.view(*query.shape[:2], stretches, -1).sum(dim=(0, 2))
    return *grads, d_relative.to(relative.dtype)


def _grid(query) -> tuple[int, int]:
    return query.shape[0] * query.shape[1], triton.cdiv(query.shape[2], _block(query))


def _block(query) -> int:
    """In the interpreter small ones, so that a test of a few dozen places has edges to get wrong."""
    return 16 if INTERPRETED else min(max(triton.next_power_of_2(query.shape[2]), 32), 1024)


def _constants(query, relative) -> dict:
    double = query.dtype == torch.float64
    return {"TAPS": relative.shape[1], "BLOCK": _block(query), "ACC": tl.float64 if double else tl.float32}
