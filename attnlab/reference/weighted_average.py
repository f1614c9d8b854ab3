"""The weighted average: what attention does once its weights are known.

    output_q = sum_k weights_qk values_k

With weights that are positive and sum to one the output lies between the values: in their convex hull.
"""

from jaxtyping import Float
from torch import Tensor


def weighted_average(
    weights: Float[Tensor, "*batch queries keys"], values: Float[Tensor, "*batch keys features"]
) -> Float[Tensor, "*batch queries features"]:
    """One average of the values for each row of weights."""
    return weights @ values
