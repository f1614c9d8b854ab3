"""Softmax with a temperature: turns any scores into weights that are positive and sum to one.

    weights_i = exp(scores_i / T) / sum_j exp(scores_j / T)

Boltzmann's distribution; Bridle 1990 gave it the name softmax. T -> 0 picks the largest score, T -> infinity
weighs everything alike.
"""

from jaxtyping import Float
from torch import Tensor


def softmax(scores: Float[Tensor, "*batch keys"], temperature: float = 1.0) -> Float[Tensor, "*batch keys"]:
    """Weights over the last axis.

    The largest score is subtracted first. It cancels in the quotient, and keeps exp() from overflowing.
    A score of -inf gets weight zero; a row of nothing but -inf has no answer and gives NaN.
    """
    scores = scores / temperature
    powers = (scores - scores.amax(dim=-1, keepdim=True)).exp()
    return powers / powers.sum(dim=-1, keepdim=True)
