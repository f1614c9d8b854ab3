"""Additive attention: a small network looks at a query and a key together and gives a score.

    e_ij = v_a^T tanh(W_a s_{i-1} + U_a h_j)          Bahdanau et al. 2015, section 3.1 and appendix A.1.2

Our query is their decoder state s_{i-1}, our key their encoder state h_j; `to_query`, `to_key` and `vector` are
W_a, U_a and v_a. The term of the keys does not depend on i, so it can be computed once for a sentence.
Without the tanh the query's term is the same for all keys, and the softmax cancels it.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attnlab.reference.masked_softmax import masked_softmax
from attnlab.reference.weighted_average import weighted_average


def additive_scores(
    query: Float[Tensor, "*batch queries query_width"],
    key: Float[Tensor, "*batch keys key_width"],
    to_query: Float[Tensor, "hidden query_width"],
    to_key: Float[Tensor, "hidden key_width"],
    vector: Float[Tensor, "hidden"],
) -> Float[Tensor, "*batch queries keys"]:
    """The score of every query with every key."""
    pairs = (query @ to_query.mT).unsqueeze(-2) + (key @ to_key.mT).unsqueeze(-3)
    return torch.tanh(pairs) @ vector


class AdditiveAttention(nn.Module):
    """Additive scores, masked softmax, context: hidden * (query_width + key_width + 1) parameters.

    Begins as the paper's: W_a and U_a from N(0, 0.001^2), v_a zero (appendix B.1). So at step 0 every weight is exactly
    1 / length, and only v_a gets a gradient: that of W_a and U_a is a multiple of v_a.
    """

    def __init__(self, query_width: int, key_width: int, hidden: int):
        super().__init__()
        self.to_query = nn.Parameter(0.001 * torch.randn(hidden, query_width))
        self.to_key = nn.Parameter(0.001 * torch.randn(hidden, key_width))
        self.vector = nn.Parameter(torch.zeros(hidden))

    def forward(
        self,
        query: Float[Tensor, "*batch queries query_width"],
        memory: Float[Tensor, "*batch keys key_width"],
        lengths: Tensor,
    ) -> tuple[Float[Tensor, "*batch queries key_width"], Float[Tensor, "*batch queries keys"]]:
        """The contexts and the weights; the memory is key and value in one."""
        weights = masked_softmax(additive_scores(query, memory, self.to_query, self.to_key, self.vector), lengths)
        return weighted_average(weights, memory), weights
