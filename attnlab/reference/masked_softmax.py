"""Softmax over the real keys of a padded batch.

    weights_bqk = exp(scores_bqk) / sum over k' < length_b of exp(scores_bqk')     for k < length_b, else 0

In a padded batch the last keys of a short item are filler. They get no weight at all, and the real ones share all of
it. An item of length zero has nothing to look at and gets zeros.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from attnlab.reference.softmax import softmax


def length_mask(lengths: Int[Tensor, "*batch"], keys: int) -> Bool[Tensor, "*batch keys"]:
    """True for the first `lengths` of `keys` places: what may be seen."""
    return torch.arange(keys, device=lengths.device) < lengths.unsqueeze(-1)


def masked_softmax(
    scores: Float[Tensor, "*batch queries keys"], lengths: Int[Tensor, "*batch"]
) -> Float[Tensor, "*batch queries keys"]:
    """Weights over the last axis, zero beyond each item's length."""
    mask = length_mask(lengths, scores.shape[-1]).unsqueeze(-2)
    weights = softmax(scores.masked_fill(~mask, -torch.inf))
    return weights.masked_fill(~mask, 0.0)  # a row with no key came out as NaN
