"""Spatial attention: one gate for each place, out of what its channels are on average and at their most.

    M_s(F) = sigmoid( f [mean over channels of F ; max over channels of F] ),   f: a 7 x 7 convolution, 2 maps to 1

Woo et al. 2018, *CBAM*, section 3, spatial attention. The map keeps its size: zeros are padded around it.
The authors' code puts the maximum first and a batch norm behind the convolution (`cbam_layouts`).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def spatial_attention(
    features: Float[Tensor, "b c y x"], kernel: Float[Tensor, "1 2 side side"]
) -> Float[Tensor, "b 1 y x"]:
    """The gate, between 0 and 1, ready to multiply the features. The side of the kernel is odd."""
    maps = torch.stack([features.mean(dim=1), features.amax(dim=1)], dim=1)
    return F.conv2d(maps, kernel, padding=kernel.shape[-1] // 2).sigmoid()
