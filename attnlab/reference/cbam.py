"""CBAM, the convolutional block attention module: gate the channels, then the places.

    F' = M_c(F) * F,   F'' = M_s(F') * F'        Woo et al. 2018, section 3

The second gate looks at what the first has let through. Without biases and norms, as the equations have it:
2 c^2 / r + 2 k^2 parameters. What the authors' code adds to that is in `cbam_layouts`.
"""

from jaxtyping import Float
from torch import Tensor, nn

from attnlab.reference.channel_attention import channel_attention
from attnlab.reference.spatial_attention import spatial_attention


class CBAM(nn.Module):
    """Features in, features of the same shape out, each multiplied with two gates: at the start about 0.5 * 0.5."""

    def __init__(self, channels: int, reduction: int = 16, kernel: int = 7):
        super().__init__()
        self.reduce = nn.Linear(channels, channels // reduction, bias=False)
        self.expand = nn.Linear(channels // reduction, channels, bias=False)
        self.conv = nn.Conv2d(2, 1, kernel, bias=False)  # its weight is used, not its padding

    def forward(self, features: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c y x"]:
        features = channel_attention(features, self.reduce.weight, self.expand.weight) * features
        return spatial_attention(features, self.conv.weight) * features
