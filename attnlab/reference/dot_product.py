"""Dot-product scores, and the scale that keeps them of order one.

    S_qk = query_q . key_k            Vaswani et al. 2017, section 3.2.1
    S_qk / sqrt(width)                the same section, footnote 4

With entries that are independent, of mean zero and variance one, the dot product of two vectors of a width
has variance `width`; divided by sqrt(width) it has variance one at every width.
"""

import math

from jaxtyping import Float
from torch import Tensor


def dot_product_scores(
    query: Float[Tensor, "*batch queries width"], key: Float[Tensor, "*batch keys width"]
) -> Float[Tensor, "*batch queries keys"]:
    """The dot product of every query with every key."""
    return query @ key.transpose(-2, -1)


def scale(scores: Float[Tensor, "*batch queries keys"], width: int) -> Float[Tensor, "*batch queries keys"]:
    """Scores of variance one, whatever the width of the vectors they came from."""
    return scores / math.sqrt(width)
