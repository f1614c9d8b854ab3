"""The tiny MLP between a summary of the channels and their gates, forward and backward, out of small tensors.

    hidden = ReLU(summary down^T + down_bias),   gates = sigmoid(sum over kinds of hidden up^T + up_bias)

One kind of summary, the mean: squeeze-and-excitation (Hu et al. 2018, equation 3). Two, mean and maximum, through one
MLP: CBAM (Woo et al. 2018, section 3). Departs from it: hidden layers are added before `up`, not after, which is the
same sum with one product less. The gradients of the weights sum over the batch in one product of matrices each; beside
the features these tensors are nothing, so torch makes them on every device.
"""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


class WeightGrads(NamedTuple):
    down: Float[Tensor, "hidden c"]
    up: Float[Tensor, "c hidden"]
    down_bias: Float[Tensor, " hidden"]
    up_bias: Float[Tensor, " c"]


def mlp(
    summary: Float[Tensor, "b kinds c"],
    down: Float[Tensor, "hidden c"],
    up: Float[Tensor, "c hidden"],
    down_bias: Float[Tensor, " hidden"] | None = None,
    up_bias: Float[Tensor, " c"] | None = None,
) -> tuple[Float[Tensor, "b kinds hidden"], Float[Tensor, "b c"]]:
    """The hidden layer and the gates, in the summary's dtype."""
    down, up, down_bias, up_bias = (None if t is None else t.to(summary.dtype) for t in (down, up, down_bias, up_bias))
    hidden = F.linear(summary, down, down_bias).relu()
    return hidden, F.linear(hidden.sum(dim=1), up, up_bias).sigmoid()


def mlp_backward(
    d_gates: Float[Tensor, "b c"],
    gates: Float[Tensor, "b c"],
    hidden: Float[Tensor, "b kinds hidden"],
    summary: Float[Tensor, "b kinds c"],
    down: Float[Tensor, "hidden c"],
    up: Float[Tensor, "c hidden"],
) -> tuple[Float[Tensor, "b kinds c"], WeightGrads]:
    """The gradients of the summary and of the weights, in the summary's dtype: to be rounded after all is added up."""
    down, up = down.to(summary.dtype), up.to(summary.dtype)
    d_scores = d_gates * gates * (1 - gates)
    d_hidden = (d_scores @ up)[:, None].masked_fill(hidden <= 0, 0)  # what is not a number goes on, as in torch's ReLU
    d_weights = WeightGrads(
        d_hidden.flatten(0, 1).mT @ summary.flatten(0, 1),
        d_scores.mT @ hidden.sum(dim=1),
        d_hidden.sum(dim=(0, 1)),
        d_scores.sum(dim=0),
    )
    return d_hidden @ down, d_weights
