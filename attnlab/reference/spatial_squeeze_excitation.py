"""Spatial squeeze-and-excitation: the other way round, the channels are squeezed and places are gated.

    q(y, x) = sigmoid(w . U(y, x)),   output = q U               Roy et al. 2018 ("sSE")

One weight a channel: a 1x1 convolution to a single map. No bias, so `channels` parameters.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn


def spatial_squeeze_excite(
    features: Float[Tensor, "*b c y x"], weight: Float[Tensor, "c"]
) -> tuple[Float[Tensor, "*b c y x"], Float[Tensor, "*b y x"]]:
    """The gated features, and how far each place is opened."""
    gates = torch.einsum("...cyx,c->...yx", features, weight).sigmoid()
    return features * gates[..., None, :, :], gates


class SpatialSqueezeExcitation(nn.Module):
    """Keeps the shape of what it is given."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels) / channels**0.5)

    def forward(self, features: Float[Tensor, "*b c y x"]) -> Float[Tensor, "*b c y x"]:
        return spatial_squeeze_excite(features, self.weight)[0]
