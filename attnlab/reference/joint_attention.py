"""Where to look, said by the skeleton: a weight for each place of a map, computed from how the body's joints move.

    alpha = sigmoid(W_2 tanh(W_1 h + b_1) + b_2)       h: the pose's summary; alpha: one number for each of y x x places

Das et al. 2019 (Toyota Smarthome), the spatial branch of separable STA; read in a third party's code, where 512 numbers
become 256 and then 7 * 7. The deck writes m x n for y x x. A sigmoid, not a softmax: each place is opened or closed
for itself, and several may be open.
Departs from it: W_2 has the places as two axes of its own, so that no reshape can turn them.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn


def joint_attention(
    pose: Float[Tensor, "*batch width"],
    hidden_weight: Float[Tensor, "hidden width"],
    hidden_bias: Float[Tensor, " hidden"],
    place_weight: Float[Tensor, "y x hidden"],
    place_bias: Float[Tensor, "y x"],
) -> Float[Tensor, "*batch y x"]:
    """The weights of the places, each between 0 and 1."""
    hidden = torch.tanh(pose @ hidden_weight.mT + hidden_bias)
    return torch.sigmoid(torch.einsum("...h,yxh->...yx", hidden, place_weight) + place_bias)


class JointAttention(nn.Module):
    """hidden * (width + 1) + y * x * (hidden + 1) parameters; with the published sizes 143,921."""

    def __init__(self, width: int = 512, hidden: int = 256, y: int = 7, x: int = 7):
        super().__init__()
        self.to_hidden = nn.Linear(width, hidden)
        self.place_weight = nn.Parameter(torch.randn(y, x, hidden) * hidden**-0.5)
        self.place_bias = nn.Parameter(torch.zeros(y, x))

    def forward(self, pose: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch y x"]:
        return joint_attention(pose, self.to_hidden.weight, self.to_hidden.bias, self.place_weight, self.place_bias)
