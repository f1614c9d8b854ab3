"""The contrast to separable attention: one softmax over all moments and places together.

    w = softmax_{t,y,x}(s),    out = sum_{t,y,x} w g

t * y * x weights (8 * 7 * 7 = 392) in place of t + y * x (57): any pattern can be said, and all of them compete for
one unit.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from attnlab.reference.softmax import softmax


def space_time_attention(
    features: Float[Tensor, "*batch t y x c"], scores: Float[Tensor, "*batch t y x"]
) -> tuple[Float[Tensor, "*batch c"], Float[Tensor, "*batch t y x"]]:
    """The weighted average of the whole map, and the weights; all of a clip's sum to one."""
    weights = softmax(scores.flatten(start_dim=-3)).reshape(scores.shape)
    return torch.einsum("...tyx,...tyxc->...c", weights, features), weights
