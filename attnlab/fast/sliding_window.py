"""Sliding windows: each query sees the keys at a distance from -left to right, and memory and time are linear in N.

On a CPU the queries are cut into chunks. A chunk of C neighbours sees one strip of left + C + right keys, and strips of
neighbouring chunks overlap: as a view with a step of C over the keys, nothing is copied. Every whole chunk has the same
band of what is seen inside its strip, so all of them go through torch's fused kernel as one batch.

    queries     [0 1 2 3] [4 5 6 7] [8 ...           C = 4, left 2, right 1
    strips      [- - 0 1 2 3 4]
                        [2 3 4 5 6 7 8]
                                [6 7 8 ...

Strips that stick out at either end are cut to what is there, and go one by one. On CUDA FlexAttention does it,
compiled, with the blocks of the band. With a dilation of d only every d-th key is seen: then tokens fall into d classes
by their remainder, and in each class the window is an ordinary one. A window of a few keys goes tap by tap on a CPU
(`attnlab.fast.window_taps`): a strip of 34 keys would be much for the three that count.

Source: Beltagy et al. 2020 (Longformer, arXiv 2004.05150), section 3.1, without its global tokens.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from attnlab.fast import bands, cpu_flash
from attnlab.fast.autocast import cast_once
from attnlab.fast.problem import Problem, problem
from attnlab.fast.tensors import rows_together
from attnlab.fast.window_taps import few_taps

# Keys up to which a window goes tap by tap. Times as fast as strips at 8192 tokens of width 64, forward / with the
# backward, on one core: 2.5 / 4.3 with 3 keys, 1.1 / 2.4 with 9, 0.9 / 1.8 with 13, 0.5 / 1.2 with 25; where heads
# share keys 1.1 / 1.2 with 9. Widths of 16 and 128 are like it, and a dilation moves it to about 15.
FEW = 9
SHORTEST, LONGEST = 32, 256  # of a chunk of queries
WIDE = 1024  # keys of a window from which bands of queries do as well as strips, and do not keep a table of each


@cast_once
def sliding_attention(
    query: Float[Tensor, "*batch tokens width"],
    key: Float[Tensor, "*kv_batch tokens width"],
    value: Float[Tensor, "*kv_batch tokens features"],
    *,
    left: int,
    right: int,
    dilation: int = 1,
    scale: float | None = None,
) -> Float[Tensor, "*batch tokens features"]:
    """softmax(scale * query key^T) value over the keys at distances d * (-left..right), as far as there are any.

    d: the dilation. left and right are counts of keys, 0 or more, so each query sees at least the key at its own place.
    `right=0` is causal. key, value: the query's batch axes, or fewer heads (the last batch axis), a divisor of the
    query's. scale: 1 / sqrt(width) unless given. Gradients flow once.
    """
    given = problem(query, key, value, scale=scale)
    _check(given, left, right, dilation)
    if 0 in given.query.shape[:3]:  # nobody who looks
        nothing = query.new_zeros(*given.query.shape[:3], value.shape[-1])
        return given.unfolded(nothing + 0 * (query.sum() + key.sum() + value.sum()))
    if not query.is_cuda:
        farthest = (given.query.shape[2] - 1) // dilation
        left, right = min(left, farthest), min(right, farthest)
        if left + 1 + right <= FEW:
            return given.unfolded(few_taps(given.query, given.key, given.value, left, right, dilation, given.scale))
    way = _flex if query.is_cuda and _flex_serves(given) else _strips
    if dilation == 1:
        return given.unfolded(way(given.query, given.key, given.value, left, right, given.scale))
    return given.unfolded(_by_classes(way, given, left, right, min(dilation, given.query.shape[2])))


def _check(given: Problem, left: int, right: int, dilation: int) -> None:
    if given.query.shape[2] != given.key.shape[2]:
        raise ValueError(
            f"Expected as many keys as queries, got {given.key.shape[2]} keys and {given.query.shape[2]} queries: "
            f"distances need one row of places. Pad the shorter one, or give attention() a mask."
        )
    if not all(isinstance(number, int) for number in (left, right, dilation)):
        raise TypeError(f"Expected left, right and dilation as whole numbers, got {left}, {right} and {dilation}.")
    if min(left, right) < 0:
        raise ValueError(
            f"Expected left and right of 0 or more, got {left} and {right}. With 0 the window ends at the query."
        )
    if dilation < 1:
        raise ValueError(f"Expected a dilation of 1 or more, got {dilation}. 1 takes neighbours as they are.")


def _by_classes(way, given: Problem, left: int, right: int, dilation: int) -> Tensor:
    """The tokens r, r + d, r + 2 d, ... for each remainder r, as items of a batch. The first may have a token more."""
    tokens = given.query.shape[2]
    rows, more = -(-tokens // dilation), tokens % dilation or dilation
    # (batch, heads, rows, dilation, n): in the last row only the first `more` are tokens
    folded = [
        F.pad(tensor, (0, 0, 0, rows * dilation - tokens)).unflatten(2, (rows, dilation))
        for tensor in (given.query, given.key, given.value)
    ]
    parts = []
    for remainders, length in ((slice(0, more), rows), (slice(more, dilation), rows - 1)):
        classes = [tensor[:, :, :length, remainders].permute(0, 3, 1, 2, 4) for tensor in folded]
        shape = classes[0].shape[:2]
        if 0 not in (*shape, length):
            output = way(*(tensor.flatten(0, 1) for tensor in classes), left, right, given.scale)
            parts.append(F.pad(output, (0, 0, 0, rows - length)).unflatten(0, shape))
    return torch.cat(parts, dim=1).permute(0, 2, 3, 1, 4).flatten(2, 3)[:, :, :tokens]


def _strips(query: Tensor, key: Tensor, value: Tensor, left: int, right: int, scale: float) -> Tensor:
    """query (batch, heads, tokens, width), key and value with their heads: (batch, heads, tokens, features)."""
    tokens, features = query.shape[2], value.shape[-1]
    query, key, value = rows_together(query, key, value)  # of any other layout torch builds the table of scores
    if features != query.shape[-1]:  # the fused kernel wants one width; zeros change no score and no output
        widest = max(features, query.shape[-1])
        query, key, value = (F.pad(t, (0, widest - t.shape[-1])) for t in (query, key, value))
    if left + right > WIDE and cpu_flash.there() and query.device.type == "cpu":
        return bands.in_bands(query, key, value, bands.Reach(tokens, tokens, left, right), scale)[..., :features]
    kv_heads, batch = key.shape[1], key.shape[0]
    # The query heads that share keys become an axis of their own: (batch * kv_heads, group, tokens, width).
    parts = query.unflatten(1, (kv_heads, -1)).flatten(0, 1), key.flatten(0, 1), value.flatten(0, 1)
    left, right = min(left, tokens - 1), min(right, tokens - 1)
    step = _chunk(left + right)
    begin = -(-left // step)  # the first chunk whose strip begins inside the sequence
    end = max((tokens - right) // step, begin)  # behind the last one whose strip ends inside
    outputs = [_cut_chunk(*parts, slice(i, i + step), left, right, scale) for i in range(0, begin * step, step)]
    if end > begin:
        outputs.append(_whole_chunks(*parts, begin, end, step, left, right, scale))
    outputs += [_cut_chunk(*parts, slice(i, i + step), left, right, scale) for i in range(end * step, tokens, step)]
    return torch.cat(outputs, dim=2).unflatten(0, (batch, kv_heads)).flatten(1, 2)[..., :features]


def _chunk(reach: int) -> int:
    """About half as long as the window: longer ones see more that does not count, shorter ones share less."""
    return min(max(SHORTEST, 1 << max(reach // 2 - 1, 0).bit_length()), LONGEST)


def _whole_chunks(query, key, value, begin: int, end: int, step: int, left: int, right: int, scale: float) -> Tensor:
    """The chunks begin..end as the heads of one batch; the rows of a group stand one behind the other."""
    group = query.shape[1]
    rows = query[:, :, begin * step : end * step].unflatten(2, (-1, step)).transpose(1, 2).flatten(2, 3)
    strips = (
        tensor[:, begin * step - left : end * step + right].unfold(1, left + step + right, step).mT
        for tensor in (key, value)
    )
    mask = _band(step, left + step + right, 0, left + right, query.device).repeat(group, 1)
    output = F.scaled_dot_product_attention(rows, *strips, mask, scale=scale)
    return output.unflatten(2, (group, step)).transpose(1, 2).flatten(2, 3)


def _cut_chunk(query, key, value, rows: slice, left: int, right: int, scale: float) -> Tensor:
    """A chunk whose strip is cut off by an end of the sequence."""
    rows = slice(rows.start, min(rows.stop, query.shape[2]))
    columns = slice(max(rows.start - left, 0), min(rows.stop + right, query.shape[2]))
    shift = rows.start - columns.start
    mask = _band(rows.stop - rows.start, columns.stop - columns.start, shift - left, shift + right, query.device)
    folded = query[:, :, rows].flatten(1, 2)[:, None]
    output = F.scaled_dot_product_attention(
        folded, key[:, None, columns], value[:, None, columns], mask.repeat(query.shape[1], 1), scale=scale
    )
    return output.view(*query.shape[:2], -1, value.shape[-1])


def _band(rows: int, columns: int, low: int, high: int, device: torch.device) -> Tensor:
    """(rows, columns): True on the diagonals from low to high, where 0 is the one that begins in the corner."""
    return torch.ones(rows, columns, dtype=torch.bool, device=device).triu(low).tril(high)


def _flex_serves(given: Problem) -> bool:
    from attnlab.fast import flex  # only here: it takes a second to load

    return flex.serves(given)


def _flex(query: Tensor, key: Tensor, value: Tensor, left: int, right: int, scale: float) -> Tensor:
    from attnlab.fast import flex

    return flex.attend(problem(query, key, value, scale=scale), left, right)
