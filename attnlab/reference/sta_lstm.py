"""What STA-LSTM adds to its loss, so that attention over joints and frames does not go astray.

    lambda_1 sum_k (1 - 1/T sum_t alpha_tk)^2  +  lambda_2 / T sum_t |beta_t|  +  lambda_3 sum |W|

alpha: a softmax over the K joints at each frame. beta: a gate for each frame, ReLU, not normalised. The first term
keeps every joint in view some of the time, the second keeps the gates from growing, the third is the usual one on the
weights. Song et al. 2017 (AAAI). The formula is from memory and was held against no copy of the paper: do not cite it
from here.
"""

from collections.abc import Iterable

from jaxtyping import Float
from torch import Tensor


def sta_penalty(
    joints: Float[Tensor, "*batch t joints"],
    frames: Float[Tensor, "*batch t"],
    joint_rate: float,
    frame_rate: float,
) -> Float[Tensor, "*batch"]:
    """The first two terms, for each clip."""
    neglect = (1 - joints.mean(dim=-2)).square().sum(dim=-1)
    return joint_rate * neglect + frame_rate * frames.abs().mean(dim=-1)


def size_penalty(parameters: Iterable[Tensor], rate: float) -> Float[Tensor, ""]:
    """The third term, of the whole network."""
    return rate * sum(parameter.abs().sum() for parameter in parameters)
