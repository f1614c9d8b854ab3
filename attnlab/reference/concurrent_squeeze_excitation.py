"""Concurrent squeeze-and-excitation: channels gated beside places gated, and the two added.

    output = cSE(U) + sSE(U)                                     Roy et al. 2018 ("scSE")

Both gates see the same U: neither sees what the other has done. (CBAM, lesson 03, puts one after the other.)
"""

from jaxtyping import Float
from torch import Tensor, nn

from attnlab.reference.spatial_squeeze_excitation import SpatialSqueezeExcitation
from attnlab.reference.squeeze_excitation import SqueezeExcitation


class ConcurrentSqueezeExcitation(nn.Module):
    """Keeps the shape of what it is given."""

    def __init__(self, channels: int, reduction: int = 16, bias: bool = True):
        super().__init__()
        self.channel = SqueezeExcitation(channels, reduction, bias)
        self.spatial = SpatialSqueezeExcitation(channels)

    def forward(self, features: Float[Tensor, "*b c y x"]) -> Float[Tensor, "*b c y x"]:
        return self.channel(features) + self.spatial(features)
