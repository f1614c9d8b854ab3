"""Channel attention: one gate for each channel, out of what the channel is on average and at its most.

    M_c(F) = sigmoid( MLP(mean over places of F) + MLP(max over places of F) ),   MLP(z) = W_1 ReLU(W_0 z)

Woo et al. 2018, *CBAM*, section 3, channel attention. One MLP serves both summaries, and there is one sigmoid, after
the sum. The equation shows no biases, and neither do we; the authors' code has them (`cbam_layouts`).
"""

from jaxtyping import Float
from torch import Tensor


def channel_attention(
    features: Float[Tensor, "b c y x"], reduce: Float[Tensor, "hidden c"], expand: Float[Tensor, "c hidden"]
) -> Float[Tensor, "b c 1 1"]:
    """The gate, between 0 and 1, ready to multiply the features. `reduce` is W_0, `expand` is W_1."""
    average, largest = features.mean(dim=(2, 3)), features.amax(dim=(2, 3))
    scores = shared_mlp(average, reduce, expand) + shared_mlp(largest, reduce, expand)
    return scores.sigmoid()[:, :, None, None]


def shared_mlp(
    summary: Float[Tensor, "b c"], reduce: Float[Tensor, "hidden c"], expand: Float[Tensor, "c hidden"]
) -> Float[Tensor, "b c"]:
    """Down to a few numbers, ReLU, and up again."""
    return (summary @ reduce.mT).relu() @ expand.mT
