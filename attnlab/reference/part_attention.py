"""Attention over parts of the body: each crop has its own feature map, and the skeleton says how much it counts.

    w = softmax_p(W_2 tanh(W_1 h + b_1) + b_2),     out = sum_p w_p g_p

Das et al. 2019 (P-I3D, WACV), by reading of the released code: three parts (left hand, right hand, whole body), 128
hidden units, W_2 and b_2 zero at the beginning, so that all parts weigh 1 / 3. Departs from it: both layers learn
here. In the released builder they are created with trainable=False and only layers named "lstm" are loaded, so the
weights stay exactly 1 / 3 unless another script replaces them. `frozen=True` is that form.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attnlab.reference.softmax import softmax


def part_attention(
    features: Float[Tensor, "*batch parts t y x c"], weights: Float[Tensor, "*batch parts"]
) -> Float[Tensor, "*batch t y x c"]:
    """The parts' maps, each times its one weight, added up."""
    return torch.einsum("...p,...ptyxc->...tyxc", weights, features)


class PartWeights(nn.Module):
    """A weight for each part, from the pose's summary. Before training all are the same."""

    def __init__(self, width: int, parts: int = 3, hidden: int = 128, frozen: bool = False):
        super().__init__()
        self.to_hidden = nn.Linear(width, hidden)
        self.to_part = nn.Linear(hidden, parts)
        nn.init.zeros_(self.to_part.weight)
        nn.init.zeros_(self.to_part.bias)
        self.requires_grad_(not frozen)

    def forward(self, pose: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch parts"]:
        return softmax(self.to_part(torch.tanh(self.to_hidden(pose))))
