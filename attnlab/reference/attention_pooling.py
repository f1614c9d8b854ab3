"""Attention pooling: one learnt query reads a whole sequence into one vector.

    u_t = tanh(W h_t + b),   a = softmax_t(u_t^T w),   r = sum_t a_t h_t

Yang et al. 2016, Hierarchical Attention Networks, and Raffel & Ellis 2015, feed-forward networks with attention.
With w = 0 it is the mean of the states; with all weight on the last one it is the last state.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from attnlab.reference.masked_softmax import masked_softmax
from attnlab.reference.weighted_average import weighted_average


def attention_pooling(
    states: Float[Tensor, "*batch time width"],
    lengths: Int[Tensor, "*batch"],
    weight: Float[Tensor, "hidden width"],
    bias: Float[Tensor, "hidden"],
    query: Float[Tensor, "hidden"],
) -> tuple[Float[Tensor, "*batch width"], Float[Tensor, "*batch time"]]:
    """One vector for each sequence, and the weight of each moment."""
    scores = torch.tanh(states @ weight.mT + bias) @ query
    weights = masked_softmax(scores.unsqueeze(-2), lengths)
    return weighted_average(weights, states).squeeze(-2), weights.squeeze(-2)
