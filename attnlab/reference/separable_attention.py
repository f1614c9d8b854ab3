"""Separable spatio-temporal attention: the skeleton says where and when, the video says what.

    g_s = alpha * g  (over places)     g_t = beta * g  (over time)     out = pooled [g_s, g_t]

g is a video's feature map (t, y, x, c). The two are applied side by side, each to the map as it was, pooled, and
concatenated along the channels. t + y * x weights stand for t * y * x places, hence separable. No query, no key: the
weights come from another modality.

Das et al. 2019 (Toyota Smarthome), read in a third party's code (DAIGroup/separable_STA): pooling is a mean over all
places and two neighbouring moments, with stride 1; a linear map gives class scores at each of the t - 1 steps, and
their mean is the clip's. The loss adds lambda_1 ||alpha|| + lambda_2 sum_j (1 - beta_j)^2, both 1e-5. Departs from
it: the penalty is of one clip. There, the norm is one over the whole batch, and the sum runs over the batch.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attnlab.reference.frame_attention import FrameAttention
from attnlab.reference.joint_attention import JointAttention


def separable_attention(
    features: Float[Tensor, "*batch t y x c"],
    space: Float[Tensor, "*batch y x"],
    time: Float[Tensor, "*batch t"],
) -> Float[Tensor, "*batch steps both"]:
    """What is left of the map under each set of weights, for each pair of neighbouring moments: (t - 1, 2 * c)."""
    in_space = features * space[..., None, :, :, None]
    in_time = features * time[..., :, None, None, None]
    moments = torch.cat([in_space, in_time], dim=-1).mean(dim=(-3, -2))
    return (moments[..., :-1, :] + moments[..., 1:, :]) / 2


def separable_penalty(
    space: Float[Tensor, "*batch y x"],
    time: Float[Tensor, "*batch t"],
    space_rate: float = 1e-5,
    time_rate: float = 1e-5,
) -> Float[Tensor, "*batch"]:
    """What the loss adds for a clip. The second term is smallest where all moments weigh the same: at t = 8 it is
    6.125 there, and 7 for a single moment."""
    return space_rate * space.flatten(start_dim=-2).norm(dim=-1) + time_rate * (1 - time).square().sum(dim=-1)


class SeparableAttention(nn.Module):
    """From a pose's summary and a video's feature map to class scores. Published sizes are the defaults."""

    def __init__(
        self,
        width: int = 512,
        hidden: int = 256,
        t: int = 8,
        y: int = 7,
        x: int = 7,
        channels: int = 1024,
        classes: int = 35,
        dropout: float = 0.5,
    ):
        super().__init__()
        self.space = JointAttention(width, hidden, y, x)
        self.time = FrameAttention(width, hidden, t)
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(2 * channels, classes)

    def forward(
        self, features: Float[Tensor, "*batch t y x c"], pose: Float[Tensor, "*batch width"]
    ) -> tuple[Float[Tensor, "*batch classes"], Float[Tensor, "*batch y x"], Float[Tensor, "*batch t"]]:
        """Class scores, before the softmax, and both sets of weights."""
        space, time = self.space(pose), self.time(pose)
        steps = self.dropout(separable_attention(features, space, time))
        return self.classify(steps).mean(dim=-2), space, time
