"""Efficient channel attention: a channel's gate is told by its neighbours in the channel axis, not by all of them.

    s = sigmoid(convolution of z along the channels, kernel k, no bias),   output = s U        Wang et al. 2020 ("ECA")
    k = |log2(C) / 2 + 1/2|, the odd number that follows where it is even

z is SE's squeeze. k parameters in place of 2 C^2 / r; but which channels are neighbours is an accident of their order.
"""

import math

from jaxtyping import Float
from torch import Tensor, nn

from attnlab.reference.squeeze_excitation import squeeze


def kernel_for(channels: int) -> int:
    """How many channels a gate is told by: more where there are more channels, and always odd."""
    size = int(math.log2(channels) / 2 + 0.5)
    return size + 1 - size % 2


class EfficientChannelAttention(nn.Module):
    """Keeps the shape of what it is given."""

    def __init__(self, channels: int):
        super().__init__()
        kernel = kernel_for(channels)
        self.mix = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)

    def gates(self, features: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c"]:
        return self.mix(squeeze(features)[:, None])[:, 0].sigmoid()

    def forward(self, features: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c y x"]:
        return features * self.gates(features)[..., None, None]
