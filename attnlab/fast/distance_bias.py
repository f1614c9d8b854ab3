"""Biases by distance, ALiBi and a table of relative ones, added where the scores are made: never an N x N tensor.

    ALiBi       score[i, j] - slope[head] * |i - j|                     a far key has to be that much better
    relative    score[i, j] + table[head, clip(j - i, -r, r) + r]       a learnt number for each distance up to r

On a CPU this goes tile by tile (`attnlab.fast.ladder.tiled_torch`), and a bias is two small methods: what it adds to a
tile, and what the tile's gradient says about its parameters. On a diagonal all distances are equal, so both have one
number for each diagonal of the tile to do with. On CUDA a bias is a `score_mod` of FlexAttention, compiled; there the
gradient of its parameters is added up atomically, in an order that changes from call to call.

Press et al. 2022 (ALiBi), section 3. They are causal, where |i - j| is i - j; without `causal` the bias is the same on
both sides. Shaw et al. 2018 clip distances at r, but add vectors to keys and values; Raffel et al. 2020 (T5) add one
number for each head and distance, but gather far distances in buckets of growing width. Here: numbers as in T5, clipped
as in Shaw.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from attnlab.fast.autocast import cast_once
from attnlab.fast.ladder.tiled_torch import Places, Rule, tiled
from attnlab.fast.problem import Problem, problem


def alibi_slopes(heads: int) -> Float[Tensor, " heads"]:
    """2^(-8/n), 2^(-16/n), ... 2^-8 for n heads, if n is a power of two.

    For other numbers, as in their code: those of the next smaller power of two, and then every other one of its double.
    """
    if heads < 1:
        raise ValueError(f"Expected one head or more, got {heads}.")
    power = 1 << (heads.bit_length() - 1)
    slopes = [2 ** (-8 * (i + 1) / power) for i in range(power)]
    between = [2 ** (-4 * (i + 1) / power) for i in range(0, 2 * (heads - power), 2)]
    return torch.tensor(slopes + between)


@cast_once
def alibi_attention(
    query: Float[Tensor, "*batch queries width"],
    key: Float[Tensor, "*kv_batch keys width"],
    value: Float[Tensor, "*kv_batch keys features"],
    slopes: Float[Tensor, " heads"],
    *,
    causal: bool = True,
    scale: float | None = None,
) -> Float[Tensor, "*batch queries features"]:
    """softmax(scale * query key^T - slope * distance) value. The heads are the last batch axis, or there is one.

    The last query stands at the last key, as in `attention`, also for distances. The slopes, of any floating dtype, get
    their gradient. Gradients flow once.
    """
    given = problem(query, key, value, causal=causal, scale=scale)
    _check("slopes", slopes, given, 1)
    return _attention(given, Alibi(), slopes)


@cast_once
def relative_attention(
    query: Float[Tensor, "*batch queries width"],
    key: Float[Tensor, "*kv_batch keys width"],
    value: Float[Tensor, "*kv_batch keys features"],
    table: Float[Tensor, "heads distances"],
    *,
    causal: bool = False,
    scale: float | None = None,
) -> Float[Tensor, "*batch queries features"]:
    """softmax(scale * query key^T + table at the distance) value. The heads are the last batch axis, or there is one.

    table: 2 r + 1 numbers for each head, for the distances -r (a key before its query) to r; farther ones count as r.
    The last query stands at the last key. The table, of any floating dtype, gets its gradient. Gradients flow once.
    """
    given = problem(query, key, value, causal=causal, scale=scale)
    _check("table", table, given, 2)
    if table.shape[1] % 2 == 0:
        raise ValueError(f"Expected an odd number of distances, -r to r, got {table.shape[1]}.")
    return _attention(given, Relative(), table)


def _check(name: str, parameters: Tensor, given: Problem, axes: int) -> None:
    heads, device = given.query.shape[1], given.query.device
    if parameters.ndim != axes or parameters.shape[0] != heads:
        want = f"({heads},)" if axes == 1 else f"({heads}, distances)"
        raise ValueError(f"Expected `{name}` of shape {want}, a row for each head, got {tuple(parameters.shape)}.")
    if not parameters.is_floating_point() or parameters.device != device:
        raise TypeError(
            f"Expected `{name}` as numbers with a point on {device}, got {parameters.dtype} on {parameters.device}. "
            f"Call .float() or .to() first."
        )


def _attention(given: Problem, bias: Alibi | Relative, parameters: Tensor) -> Tensor:
    if given.query.is_cuda:
        from attnlab.fast import flex  # only here: it takes a second to load

        if flex.serves(given):
            score = bias.score(parameters, given.key.shape[2] - given.query.shape[2])
            return given.unfolded(flex.attend(given, None, 0 if given.causal else None, score))
    rule = Rule(causal=given.causal, bias=bias)
    output, _ = tiled(given.query, given.key, given.value, rule, given.scale, parameters)
    return given.unfolded(output)


class Alibi:
    """parameters: the slopes, (heads,)."""

    def tile(self, parameters: Tensor, places: Places) -> Tensor:
        return along_diagonals(-_precise(parameters)[:, None] * diagonals_of(places, parameters).abs(), places)

    def add_gradient(self, into: Tensor, places: Places, grad: Tensor) -> None:
        into -= diagonal_sums(grad, places) @ diagonals_of(places, into).abs().to(grad.dtype)

    def score(self, parameters: Tensor, shift: int):
        """The same for FlexAttention, pair by pair. What it holds is tensors: numbers would be compiled in."""
        slopes, shift = _precise(parameters), torch.full((), shift, device=parameters.device)

        def score(score, item, head, query, key):
            return score - slopes[head] * (key - query - shift).abs()

        return score


class Relative:
    """parameters: the table, (heads, 2 r + 1)."""

    def tile(self, parameters: Tensor, places: Places) -> Tensor:
        return along_diagonals(parameters[:, self._entry(parameters, places)], places)

    def add_gradient(self, into: Tensor, places: Places, grad: Tensor) -> None:
        into.index_add_(1, self._entry(into, places), diagonal_sums(grad, places))

    def score(self, parameters: Tensor, shift: int):
        """The same for FlexAttention, pair by pair. What it holds is tensors: numbers would be compiled in."""
        reach = torch.full((), parameters.shape[1] // 2, device=parameters.device)
        shift = torch.full((), shift, device=parameters.device)

        def score(score, item, head, query, key):
            distance = torch.minimum(torch.maximum(key - query - shift, -reach), reach)
            return score + parameters[head, distance + reach]

        return score

    def _entry(self, parameters: Tensor, places: Places) -> Tensor:
        """Where in the table each diagonal's number stands."""
        reach = parameters.shape[1] // 2
        return diagonals_of(places, parameters).clamp(-reach, reach) + reach


def diagonals_of(places: Places, like: Tensor) -> Tensor:
    """The distances in a tile, one for each of its rows + columns - 1 diagonals, from the corner at the lower left."""
    rows, columns = _sizes(places)
    lowest = places.columns.start - (places.rows.stop - 1 + places.shift)
    return torch.arange(lowest, lowest + rows + columns - 1, device=like.device)


def along_diagonals(numbers: Tensor, places: Places) -> Tensor:
    """(heads, rows + columns - 1) -> (heads, rows, columns): a row is a view one place further than the one below."""
    return numbers.unfold(1, _sizes(places)[1], 1).flip(1)


def diagonal_sums(grad: Tensor, places: Places) -> Tensor:
    """(batch, heads, rows, columns) -> (heads, rows + columns - 1): what `along_diagonals` has for its gradient."""
    rows, columns = _sizes(places)
    # With `rows` zeros behind each row, the same numbers read as rows one shorter have their diagonals upright.
    padded = F.pad(grad.sum(dim=0).flip(1), (0, rows)).flatten(1)
    return padded[:, : rows * (rows + columns - 1)].unflatten(1, (rows, rows + columns - 1)).sum(dim=1)


def _precise(slopes: Tensor) -> Tensor:
    """At least float32: half precision has no room for a slope times a far distance."""
    return slopes.to(torch.promote_types(slopes.dtype, torch.float32))


def _sizes(places: Places) -> tuple[int, int]:
    return places.rows.stop - places.rows.start, places.columns.stop - places.columns.start
