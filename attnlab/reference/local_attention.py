"""Local attention: look only near a place, which is counted (local-m) or predicted (local-p).

    local-m   p_t = t;                                 weights = softmax of the scores in the window [p - D, p + D]
    local-p   p_t = S sigmoid(v_p^T tanh(W_p h_t));    the same, times exp(-(s - p)^2 / (2 sigma^2)), sigma = D / 2

Luong et al. 2015, section 3.2, equations 9 and 10. S is the length of the sentence, so p lies inside it, and need not
be whole. The product is not normalised again: rows of local-p sum to less than one. The Gaussian is what gives W_p
and v_p a gradient; the window's edge gives none.
Departs from the paper: places count from 0. The score is dot here, and the keys are the values.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from attnlab.reference.dot_product import dot_product_scores
from attnlab.reference.masked_softmax import length_mask
from attnlab.reference.softmax import softmax
from attnlab.reference.weighted_average import weighted_average


def window_weights(
    scores: Float[Tensor, "*batch queries keys"],
    position: Float[Tensor, "*batch queries"],
    lengths: Int[Tensor, "*batch"],
    half_width: int,
) -> Float[Tensor, "*batch queries keys"]:
    """Softmax over the real keys at most `half_width` from the position; zeros everywhere else."""
    places = torch.arange(scores.shape[-1], device=scores.device)
    near = (places - position.unsqueeze(-1)).abs() <= half_width
    seen = near & length_mask(lengths, scores.shape[-1]).unsqueeze(-2)
    weights = softmax(scores.masked_fill(~seen, -torch.inf))
    return weights.masked_fill(~seen, 0.0)


def local_attention(
    query: Float[Tensor, "*batch queries width"],
    key: Float[Tensor, "*batch keys width"],
    lengths: Int[Tensor, "*batch"],
    to_position: Float[Tensor, "hidden width"],
    vector: Float[Tensor, "hidden"],
    half_width: int,
) -> tuple[Float[Tensor, "*batch queries width"], Float[Tensor, "*batch queries keys"]]:
    """local-p with dot scores: the contexts, and the weights, whose rows sum to at most one."""
    share = torch.sigmoid(torch.tanh(query @ to_position.mT) @ vector)
    position = lengths.unsqueeze(-1) * share
    weights = window_weights(dot_product_scores(query, key), position, lengths, half_width)
    away = torch.arange(key.shape[-2], device=key.device) - position.unsqueeze(-1)
    weights = weights * torch.exp(-2 * (away / half_width).square())  # 1 / (2 sigma^2) = 2 / D^2
    return weighted_average(weights, key), weights


def monotonic_attention(
    query: Float[Tensor, "*batch queries width"],
    key: Float[Tensor, "*batch keys width"],
    lengths: Int[Tensor, "*batch"],
    half_width: int,
) -> tuple[Float[Tensor, "*batch queries width"], Float[Tensor, "*batch queries keys"]]:
    """local-m with dot scores: query number t looks around key number t."""
    position = torch.arange(query.shape[-2], dtype=query.dtype, device=query.device).expand(query.shape[:-1])
    weights = window_weights(dot_product_scores(query, key), position, lengths, half_width)
    return weighted_average(weights, key), weights
