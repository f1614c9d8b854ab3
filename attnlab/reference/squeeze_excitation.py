"""Squeeze-and-excitation: every channel is turned up or down by what all channels show on the whole.

    squeeze  z_c = mean over y, x of U_c                         Hu et al. 2018, equation 2
    excite   s   = sigmoid(W_2 relu(W_1 z))                      equation 3
    scale    output_c = s_c U_c                                  equation 4

Our `down` is their W_1, (channels / reduction, channels); our `up` is their W_2.
Departs from the paper: the hidden width is never below 1. With biases, as the authors' released networks have them;
`bias=False` is what the paper's own ablations use.
"""

from jaxtyping import Float
from torch import Tensor, nn


def squeeze(features: Float[Tensor, "*b c y x"]) -> Float[Tensor, "*b c"]:
    """One number a channel: the mean of its map."""
    return features.mean(dim=(-2, -1))


def excite(
    summary: Float[Tensor, "*b c"], down: Float[Tensor, "hidden c"], up: Float[Tensor, "c hidden"]
) -> Float[Tensor, "*b c"]:
    """A gate between 0 and 1 for each channel, each by its own sigmoid: several may be fully open."""
    return ((summary @ down.mT).relu() @ up.mT).sigmoid()


def hidden_width(channels: int, reduction: int) -> int:
    """How many numbers all channels are told in, at least one."""
    return channels // reduction or 1


class SqueezeExcitation(nn.Module):
    """Keeps the shape of what it is given. `gates` says how far each channel is opened."""

    def __init__(self, channels: int, reduction: int = 16, bias: bool = True):
        super().__init__()
        hidden = hidden_width(channels, reduction)
        self.down = nn.Linear(channels, hidden, bias=bias)
        self.up = nn.Linear(hidden, channels, bias=bias)

    def gates(self, features: Float[Tensor, "*b c y x"]) -> Float[Tensor, "*b c"]:
        return self.up(self.down(squeeze(features)).relu()).sigmoid()

    def forward(self, features: Float[Tensor, "*b c y x"]) -> Float[Tensor, "*b c y x"]:
        return features * self.gates(features)[..., None, None]
