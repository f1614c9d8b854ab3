"""CBAM as it is found in the wild: each departure from the paper's equations is an option with a name.

    bias        the MLP has biases                                   the authors' code
    norm        a batch norm behind the 7 x 7 convolution            the authors' code and timm
    max_first   the two maps enter as (max, mean), not (mean, max)   the authors' code; weights do not carry over
    order       which gates, and which first                         the paper's ablation

Authors' code: Jongchan/attention-module, commit 459efad. There the batch norm's weight starts at 0, so that every place
gets 0.5 and the convolution no gradient in the first step: `start_as_the_authors`.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

ORDERS = ("channel, space", "space, channel", "parallel", "channel", "space")


class ChannelAttention(nn.Module):
    """The gate over channels as a layer, with or without biases."""

    def __init__(self, channels: int, reduction: int = 16, bias: bool = False):
        super().__init__()
        self.reduce = nn.Linear(channels, max(channels // reduction, 1), bias=bias)
        self.expand = nn.Linear(max(channels // reduction, 1), channels, bias=bias)

    def forward(self, features: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c 1 1"]:
        summaries = features.mean(dim=(-2, -1)), features.amax(dim=(-2, -1))
        scores = sum(self.expand(self.reduce(summary).relu()) for summary in summaries)
        return scores.sigmoid()[:, :, None, None]


class SpatialAttention(nn.Module):
    """The gate over places as a layer, with or without a batch norm, and with its two maps in either order."""

    def __init__(self, kernel: int = 7, norm: bool = False, max_first: bool = False):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(1, momentum=0.01) if norm else nn.Identity()
        self.max_first = max_first

    def forward(self, features: Float[Tensor, "b c y x"]) -> Float[Tensor, "b 1 y x"]:
        maps = [features.mean(dim=1), features.amax(dim=1)]
        return self.norm(self.conv(torch.stack(maps[::-1] if self.max_first else maps, dim=1))).sigmoid()


class CBAMLayout(nn.Module):
    """Gates in one of the ORDERS; with the defaults, the paper's CBAM.

    "parallel" computes both gates on the features that come in.
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        kernel: int = 7,
        bias: bool = False,
        norm: bool = False,
        max_first: bool = False,
        order: str = "channel, space",
    ):
        super().__init__()
        if order not in ORDERS:
            raise ValueError(f"Expected an order, one of {'; '.join(ORDERS)}; got {order!r}.")
        self.order = order
        if order != "space":
            self.channel = ChannelAttention(channels, reduction, bias)
        if order != "channel":
            self.space = SpatialAttention(kernel, norm, max_first)

    def forward(self, features: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c y x"]:
        if self.order == "parallel":
            channel, space = self.channel(features), self.space(features)
            return space * (channel * features)
        for name in self.order.split(", "):
            features = getattr(self, name)(features) * features
        return features


def official_cbam(channels: int, reduction: int = 16) -> CBAMLayout:
    """The layout of the authors' code: biases, a batch norm, the maximum first."""
    return CBAMLayout(channels, reduction, bias=True, norm=True, max_first=True)


def timm_cbam(channels: int, reduction: int = 16) -> CBAMLayout:
    """The layout of timm: a batch norm, no biases, the mean first."""
    return CBAMLayout(channels, reduction, norm=True)


def start_as_the_authors(network: nn.Module) -> None:
    """Weights as the authors' code sets them: convolutions normal by fan-out, biases 0, the spatial gates' norm 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
        if isinstance(module, ChannelAttention):
            for layer in (module.reduce, module.expand):
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        if isinstance(module, SpatialAttention) and isinstance(module.norm, nn.BatchNorm2d):
            nn.init.zeros_(module.norm.weight)
