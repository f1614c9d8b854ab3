"""Neighbourhoods: each place of a row, picture or film sees the odd window around it, and nothing is unfolded.

Places of the window that lie outside the map are not seen, so at an edge fewer share the weight. This departs from
NATTEN (Hassani et al. 2023, Neighborhood Attention Transformer), which moves the window inwards there: every place then
sees equally many, but not the same distances on both sides. It is the windowed form of Ramachandran et al. 2019
(stand-alone self-attention), without their relative term.

On a CPU the map is cut into tiles. The 8 x 8 places of a tile share one rectangle of keys, 14 x 14 for a window of
7 x 7: copying rectangles costs three times the keys, where the unfold costs 49 times. And it is done band by band, a
few rows of tiles at a time, each through torch's fused kernel, so no more than a band's rectangles exist at once. Only
the inputs are kept for the backward: it makes a band again and lets torch differentiate it. On CUDA a kernel of ours
walks over the window (`attnlab.fast.neighbourhood_kernels`).

With a dilation of d a place sees every d-th place only. Then the map falls into classes by the remainders of the axes,
and in each class, a smaller map, the neighbourhood is an ordinary one.
"""

from __future__ import annotations

import math
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from attnlab.fast.autocast import cast_once
from attnlab.fast.ladder.tiled_numpy import tiles
from attnlab.fast.once import once_differentiable
from attnlab.fast.tensors import accumulator, rows_together

EDGES = {1: 64, 2: 8, 3: 4}  # of a tile, for a row, a picture, a film: 64 places
BAND = 1 << 11  # places of a band, over all heads
WIDEST = 256  # of a head, in the kernels


@cast_once
def neighbourhood_attention(
    query: Float[Tensor, "*batch_heads_map width"],
    key: Float[Tensor, "*batch_heads_map width"],
    value: Float[Tensor, "*batch_heads_map features"],
    *,
    window: tuple[int, ...],
    dilation: int | tuple[int, ...] = 1,
    scale: float | None = None,
) -> Float[Tensor, "*batch_heads_map features"]:
    """softmax(scale * query key^T) value over the places of the window around the query's own that lie inside the map.

    The map's axes are the last one, two or three before the width, as many as `window` has: (..., x), (..., y, x) or
    (..., t, y, x). All axes before are batch axes. window: odd sizes, in the order of the axes. dilation: how far apart
    the places of the window are, for all axes or for each. scale: 1 / sqrt(width) unless given.
    Gradients flow once.
    """
    if not isinstance(window, tuple | list):
        raise TypeError(f"Expected a window of one to three odd sizes, such as (7, 7), got {window}.")
    numbers = (*window, *dilation) if isinstance(dilation, tuple | list) else (*window, dilation)
    if not all(isinstance(number, int) for number in numbers):
        raise TypeError(f"Expected window and dilation in whole numbers, got {window} and {dilation}.")
    dilation = (dilation,) * len(window) if isinstance(dilation, int) else tuple(dilation)
    _check(query, key, value, window, dilation)
    scale = max(query.shape[-1], 1) ** -0.5 if scale is None else scale
    first = query.ndim - 1 - len(window)
    batch, places = query.shape[:first], query.shape[first:-1]
    # A dilation that leads outside from everywhere is as good as the next.
    dilation = tuple(max(min(step, size), 1) for step, size in zip(dilation, places, strict=True))
    folded = (tensor.reshape(math.prod(batch), *tensor.shape[first:]) for tensor in (query, key, value))
    output = _function(query, value)(*folded, tuple(window), dilation, scale)
    return output.view(*query.shape[:-1], value.shape[-1])


def _function(query: Tensor, value: Tensor):
    """The kernels on CUDA where triton is installed and heads are not too wide, torch's kernel everywhere else."""
    if query.is_cuda and find_spec("triton") and max(query.shape[-1], value.shape[-1]) <= WIDEST:
        from attnlab.fast.neighbourhood_kernels import neighbourhood  # only here: the rest works without triton

        return neighbourhood
    return in_bands


def _check(query: Tensor, key: Tensor, value: Tensor, window, dilation) -> None:
    shapes = f"query {tuple(query.shape)}, key {tuple(key.shape)}, value {tuple(value.shape)}"
    if not 1 <= len(window) <= 3 or any(size < 1 or size % 2 == 0 for size in window):
        raise ValueError(f"Expected a window of one to three odd sizes, such as (7, 7), got {window}.")
    if len(dilation) != len(window) or min(dilation) < 1:
        raise ValueError(f"Expected a dilation of 1 or more for each of {len(window)} axes, got {dilation}.")
    if query.ndim < len(window) + 1:
        raise ValueError(f"Expected an axis for each of the window's {len(window)} sizes and a width, got {shapes}.")
    if query.shape != key.shape or key.shape[:-1] != value.shape[:-1]:
        raise ValueError(
            f"Expected a key and a value at each place of one map: the same axes, the value's last one may differ, "
            f"got {shapes}."
        )
    kinds = {(tensor.dtype, tensor.device) for tensor in (query, key, value)}
    if len(kinds) > 1 or not query.is_floating_point():
        raise TypeError(
            "Expected query, key and value of one floating dtype on one device, got "
            + ", ".join(sorted(f"{dtype} on {device}" for dtype, device in kinds))
            + ". Bring them together with .to() first."
        )


def in_bands(query: Tensor, key: Tensor, value: Tensor, window, dilation, scale: float) -> Tensor:
    """The torch form, for (items, *map, width)."""
    places = query.shape[1:-1]
    if query[..., 0].numel() == 0:
        return query.new_zeros(*query.shape[:-1], value.shape[-1]) + 0 * (query.sum() + key.sum() + value.sum())
    inside = torch.ones(1, *places, 1, dtype=torch.bool, device=query.device)
    query, key, value, inside = (_classes(tensor, dilation) for tensor in (query, key, value, inside))
    reach = [min(size // 2, length - 1) for size, length in zip(window, query.shape[2:-1], strict=True)]
    output = _Bands.apply(query, key, value, inside[0, ..., 0], reach, scale)
    return _places(output, places, dilation)


def _classes(tensor: Tensor, dilation: tuple[int, ...]) -> Tensor:
    """(items, *map, n) -> (items, classes, *smaller map, n): in a class each axis has one remainder."""
    axes = len(dilation)
    missing = [-size % step for size, step in zip(tensor.shape[1:-1], dilation, strict=True)]
    tensor = _pad(tensor, [(0, more) for more in missing])
    for axis in range(axes, 0, -1):
        tensor = tensor.unflatten(axis, (-1, dilation[axis - 1]))
    tensor = tensor.permute(0, *range(2, 2 * axes + 1, 2), *range(1, 2 * axes, 2), -1)
    return tensor.flatten(1, axes)


def _places(tensor: Tensor, places: tuple[int, ...], dilation: tuple[int, ...]) -> Tensor:
    """The way back from `_classes`, without what was padded."""
    axes = len(dilation)
    tensor = tensor.unflatten(1, dilation)
    tensor = tensor.permute(0, *(axis for i in range(axes) for axis in (axes + 1 + i, 1 + i)), -1)
    for axis in range(axes):
        tensor = tensor.flatten(axis + 1, axis + 2)
    return tensor[(slice(None), *(slice(size) for size in places))]


class _Bands(torch.autograd.Function):
    """query, key, value (items, classes, *map, n), inside (classes, *map): which of these places exist."""

    @staticmethod
    def forward(ctx, query, key, value, inside, reach, scale):
        output = query.new_empty(*query.shape[:-1], value.shape[-1])
        for own, seen in _bands(query, reach):
            output[own] = _band(query[own], key[seen], value[seen], inside, own[2], seen[2], reach, scale)
        ctx.save_for_backward(query, key, value, inside)
        ctx.reach, ctx.scale = reach, scale
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        query, key, value, inside = ctx.saved_tensors
        d_query = torch.empty_like(query)
        d_key, d_value = (torch.zeros_like(tensor, dtype=accumulator(query)) for tensor in (key, value))
        for own, seen in _bands(query, ctx.reach):
            parts = [tensor.detach().requires_grad_() for tensor in (query[own], key[seen], value[seen])]
            with torch.enable_grad():
                output = _band(*parts, inside, own[2], seen[2], ctx.reach, ctx.scale)
            d_query[own], dk, dv = torch.autograd.grad(output, parts, grad[own])
            d_key[seen] += dk  # neighbouring bands share keys
            d_value[seen] += dv
        return d_query, d_key.to(key.dtype), d_value.to(value.dtype), None, None, None


def _bands(query: Tensor, reach: list[int]):
    """Of a few items some rows, as slices of query and output, and with the rows around them, of keys and values."""
    rows, row = query.shape[2], math.prod(query.shape[1:2] + query.shape[3:-1])
    edge = _edges(query.shape[2:-1])[0]
    height = edge * max(BAND // (row * edge), 1)
    for items in tiles(query.shape[0], max(BAND // (row * min(height, rows)), 1)):
        for own in tiles(rows, height):
            seen = slice(max(own.start - reach[0], 0), min(own.stop + reach[0], rows))
            yield (items, slice(None), own), (items, slice(None), seen)


def _edges(places: tuple[int, ...]) -> list[int]:
    return [min(EDGES[len(places)], size) for size in places]


def _band(query, key, value, inside, own: slice, seen: slice, reach: list[int], scale: float) -> Tensor:
    """The rows `own` of queries over the rows `seen` of keys, tile by tile as the heads of one batch."""
    edges = _edges((inside.shape[1], *query.shape[3:-1]))
    missing = [-size % edge for size, edge in zip(query.shape[2:-1], edges, strict=True)]
    around = [(more, more + extra) for more, extra in zip(reach, missing, strict=True)]
    around[0] = (reach[0] - own.start + seen.start, own.stop + reach[0] + missing[0] - seen.stop)
    boxes = [edge + 2 * more for edge, more in zip(edges, reach, strict=True)]
    rows = _cut(_pad(query, [(0, 0)] + [(0, extra) for extra in missing]), edges, edges)
    columns = [_cut(_pad(tensor, [(0, 0), *around]), boxes, edges) for tensor in (key, value)]
    there = _cut(_pad(inside[:, seen][None, ..., None], [(0, 0), *around]), boxes, edges)[..., 0]
    mask = there[:, :, None] & _near(edges, boxes, reach, query.device)
    output = _fused(rows, *columns, mask, scale)
    return _join(output, query.shape, edges)


def _pad(tensor: Tensor, sides: list[tuple[int, int]]) -> Tensor:
    """Zeros (or False) before and behind each axis but the first and the last."""
    if all(side == (0, 0) for side in sides):
        return tensor
    return F.pad(tensor, (0, 0, *(number for side in reversed(sides) for number in side)))


def _cut(tensor: Tensor, boxes: list[int], steps: list[int]) -> Tensor:
    """(items, classes, *map, n) -> (items, classes * boxes, places of a box, n): a copy where boxes overlap."""
    axes = len(boxes)
    for axis, (size, step) in enumerate(zip(boxes, steps, strict=True)):
        tensor = tensor.unfold(axis + 2, size, step)
    return tensor.movedim(axes + 2, -1).flatten(axes + 2, -2).flatten(1, axes + 1)


def _join(output: Tensor, shape: torch.Size, edges: list[int]) -> Tensor:
    """The way back from `_cut` for boxes that do not overlap, without what was padded."""
    axes = len(edges)
    counts = [-(-size // edge) for size, edge in zip(shape[2:-1], edges, strict=True)]
    output = output.unflatten(2, edges).unflatten(1, (shape[1], *counts))
    output = output.permute(0, 1, *(axis for i in range(axes) for axis in (2 + i, 2 + axes + i)), -1)
    for axis in range(axes):
        output = output.flatten(axis + 2, axis + 3)
    return output[(slice(None), slice(None), *(slice(size) for size in shape[2:-1]))]


def _near(edges: list[int], boxes: list[int], reach: list[int], device: torch.device) -> Tensor:
    """(places of a tile, places of its box): True in the window. A box begins `reach` before its tile on each axis."""
    near = torch.ones(1, 1, dtype=torch.bool, device=device)
    for edge, box, more in zip(edges, boxes, reach, strict=True):
        axis = torch.ones(edge, box, dtype=torch.bool, device=device).triu().tril(2 * more)
        near = (near[:, None, :, None] & axis[None, :, None, :]).flatten(2, 3).flatten(0, 1)
    return near


def _fused(rows: Tensor, keys: Tensor, values: Tensor, mask: Tensor, scale: float) -> Tensor:
    features = values.shape[-1]
    rows, keys, values = rows_together(rows, keys, values)  # of any other layout torch builds the table of scores
    if features != rows.shape[-1]:  # the fused kernel wants one width; zeros change no score and no output
        widest = max(features, rows.shape[-1])
        rows, keys, values = (F.pad(tensor, (0, widest - tensor.shape[-1])) for tensor in (rows, keys, values))
    return F.scaled_dot_product_attention(rows, keys, values, mask, scale=scale)[..., :features]
