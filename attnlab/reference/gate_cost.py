"""What squeeze-and-excitation adds to a network: parameters and multiply-accumulates, block by block.

    parameters   2 C H (+ H + C with biases),   H = C / r        the sum over all blocks: Hu et al. 2018, section 4
    multiply-accumulates of the two layers   2 C H               once an image, however large the map

The paper's formula (2/r) sum of N_s C_s^2 leaves the biases out. Pooling and scaling cost one operation a value of the
map; like norms and activations they are not multiply-accumulates of a layer and are not counted.
"""

from jaxtyping import Int
from torch import Tensor


def se_parameters(channels: Int[Tensor, "stages"], reduction: int, bias: bool = True) -> Int[Tensor, "stages"]:
    """Parameters of one block for each number of channels; the hidden width is at least 1."""
    hidden = (channels // reduction).clamp(min=1)
    weights = 2 * channels * hidden
    return weights + hidden + channels if bias else weights


def se_overhead(
    channels: Int[Tensor, "stages"], blocks: Int[Tensor, "stages"], reduction: int
) -> tuple[Int[Tensor, "stages"], Int[Tensor, "stages"]]:
    """What a network pays in each stage of so many blocks: parameters (with biases), and multiply-accumulates."""
    products = 2 * channels * (channels // reduction).clamp(min=1)
    return blocks * se_parameters(channels, reduction), blocks * products
