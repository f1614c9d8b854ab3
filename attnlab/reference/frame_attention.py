"""When to look, said by the skeleton: one unit of attention, shared out among the moments of a clip.

    beta = softmax_t(W_2 tanh(W_1 h + b_1) + b_2)       h: the pose's summary; beta: one number for each of t moments

Das et al. 2019 (Toyota Smarthome), the temporal branch of separable STA; read in a third party's code, where 512
numbers become 256 and then 8. beta counts moments of the feature map, of which there are fewer than frames of the
skeleton: the frames are only in h, and nothing is interpolated between the two.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attnlab.reference.softmax import softmax


def frame_attention(
    pose: Float[Tensor, "*batch width"],
    hidden_weight: Float[Tensor, "hidden width"],
    hidden_bias: Float[Tensor, " hidden"],
    frame_weight: Float[Tensor, "t hidden"],
    frame_bias: Float[Tensor, " t"],
) -> Float[Tensor, "*batch t"]:
    """The weights of the moments; they sum to one."""
    hidden = torch.tanh(pose @ hidden_weight.mT + hidden_bias)
    return softmax(hidden @ frame_weight.mT + frame_bias)


class FrameAttention(nn.Module):
    """hidden * (width + 1) + t * (hidden + 1) parameters; with the published sizes 133,384."""

    def __init__(self, width: int = 512, hidden: int = 256, t: int = 8):
        super().__init__()
        self.to_hidden = nn.Linear(width, hidden)
        self.to_frame = nn.Linear(hidden, t)

    def forward(self, pose: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch t"]:
        layers = (self.to_hidden, self.to_frame)
        return frame_attention(pose, *(p for layer in layers for p in (layer.weight, layer.bias)))
