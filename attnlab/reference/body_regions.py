"""Weights of joints, added up to weights of regions of the body.

    W_r = sum over the joints k of region r of w_k

A region of many joints then weighs what its joints weigh together, and if the joints' weights sum to one, so do the
regions'.
"""

from jaxtyping import Float, Int
from torch import Tensor


def body_regions(
    weights: Float[Tensor, "*batch joints"], region_of: Int[Tensor, " joints"], regions: int
) -> Float[Tensor, "*batch regions"]:
    """region_of: the number of each joint's region. A region without joints weighs nothing."""
    empty = weights.new_zeros(*weights.shape[:-1], regions)
    return empty.index_add(-1, region_of, weights)
