"""One-dimensional self-attention: queries, keys and values are three views of one sequence.

    Q = X W_q,  K = X W_k,  V = X W_v,  output = attention(Q, K, V)

Vaswani et al. 2017, section 3.2, with one head and no output projection (heads come in lesson 08).
Without a mask it commutes with every reordering of the tokens.
"""

from jaxtyping import Bool, Float
from torch import Tensor, nn

from attnlab.reference.attention import attention


class SelfAttention1d(nn.Module):
    """`width` features a token come in, `head_width` go out. Three projections, without bias:
    3 * width * head_width parameters."""

    def __init__(self, width: int, head_width: int):
        super().__init__()
        self.to_query = nn.Linear(width, head_width, bias=False)
        self.to_key = nn.Linear(width, head_width, bias=False)
        self.to_value = nn.Linear(width, head_width, bias=False)

    def forward(
        self,
        tokens: Float[Tensor, "*batch tokens width"],
        mask: Bool[Tensor, "*#batch tokens tokens"] | None = None,
    ) -> tuple[Float[Tensor, "*batch tokens head_width"], Float[Tensor, "*batch tokens tokens"]]:
        """What each token takes from the sequence, and the weights."""
        return attention(self.to_query(tokens), self.to_key(tokens), self.to_value(tokens), mask)
