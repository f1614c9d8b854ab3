"""Scores for a map where the truth is known: does its largest weight lie where it should, and how much of it does?

    pointing game:  1 if argmax_{y,x} w lies in the truth, else 0      (Zhang et al. 2016, from memory)
    mass inside:    sum of w over the truth / sum of w
    IoU:            |{w > level} and truth| / |{w > level} or truth|

Departs from the game as it is played: where several places share the largest weight, the score is the share of them
that lie in the truth. So a map without any opinion scores what guessing scores, and not 1 or 0 by where its first
place lies.
"""

from jaxtyping import Bool, Float
from torch import Tensor


def pointing_game(weights: Float[Tensor, "*batch y x"], inside: Bool[Tensor, "*batch y x"]) -> Float[Tensor, "*batch"]:
    """For each map, the share of its largest places that lie inside the truth: 1 or 0, unless there are ties."""
    largest = weights == weights.amax(dim=(-2, -1), keepdim=True)
    hits = (largest & inside).sum(dim=(-2, -1))
    return hits.to(weights.dtype) / largest.sum(dim=(-2, -1))


def mass_inside(weights: Float[Tensor, "*batch y x"], inside: Bool[Tensor, "*batch y x"]) -> Float[Tensor, "*batch"]:
    """The share of all weight that lies inside the truth."""
    return (weights * inside).sum(dim=(-2, -1)) / weights.sum(dim=(-2, -1))


def intersection_over_union(
    weights: Float[Tensor, "*batch y x"], inside: Bool[Tensor, "*batch y x"], level: float = 0.5
) -> Float[Tensor, "*batch"]:
    """How well the places above a level, a share of the largest weight, cover the truth and nothing else."""
    chosen = weights > level * weights.amax(dim=(-2, -1), keepdim=True)
    both, either = (chosen & inside).sum(dim=(-2, -1)), (chosen | inside).sum(dim=(-2, -1))
    return both.to(weights.dtype) / either
