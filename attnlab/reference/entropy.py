"""Entropy of a row of weights: how many things a query really looks at.

    H(w) = - sum_j w_j log w_j        in nats; exp(H) is the effective number of keys (Shannon 1948)

Zero when one key has all the weight, log(keys) when all weights are alike.
"""

from jaxtyping import Float
from torch import Tensor, special


def entropy(weights: Float[Tensor, "*batch keys"]) -> Float[Tensor, "*batch"]:
    """Entropy in nats over the last axis. A weight of zero adds nothing (the limit of w log w)."""
    return special.entr(weights).sum(dim=-1)
