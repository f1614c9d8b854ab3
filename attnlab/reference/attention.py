"""Scaled dot-product attention: every query takes a weighted average of the values.

    attention(Q, K, V) = softmax(Q K^T / sqrt(width)) V        Vaswani et al. 2017, equation 1

Our `width` is their d_k, our `features` their d_v.
Departs from the paper: a query that may see no key returns zeros (and weights of zero) instead of NaN.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from attnlab.reference.dot_product import dot_product_scores, scale
from attnlab.reference.softmax import softmax
from attnlab.reference.weighted_average import weighted_average


def attention(
    query: Float[Tensor, "*batch queries width"],
    key: Float[Tensor, "*batch keys width"],
    value: Float[Tensor, "*batch keys features"],
    mask: Bool[Tensor, "*#batch queries keys"] | None = None,
) -> tuple[Float[Tensor, "*batch queries features"], Float[Tensor, "*batch queries keys"]]:
    """What each query takes, and the weights it took it with. In the mask True means *may be seen*."""
    scores = scale(dot_product_scores(query, key), width=query.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    weights = softmax(scores)
    if mask is not None:  # a row that may see nothing came out as NaN; nothing seen is weight zero
        weights = weights.masked_fill(~mask, 0.0)
    return weighted_average(weights, value), weights
