"""Rung 0: attention as the equation says it, with the whole table of scores in memory.

    scores = scale * Q K^T,   output = softmax(scores) V        Vaswani et al. 2017, equation 1

The table has queries * keys numbers for every head. At 16,384 tokens and 16 heads in bfloat16 that is 8.6 GB, written
and read again several times over: the memory, not the arithmetic, is what this form spends its time on.

Every rung of this ladder returns the output and the log-sum-exp of each row of scores (in natural units, -inf for a
row that may see nothing). With that one number per row the weights can be made again at any time, exp(score - lse), and
two results over different keys can be merged.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def visible(queries: int, keys: int, device: torch.device | None = None) -> Bool[Tensor, "queries keys"]:
    """The causal mask of a rectangle, aligned at its lower right corner: the last query sees all keys.

    So it is in flash-attention since version 2.1: new queries at the end of a longer past see that past. torch's
    `is_causal` aligns at the upper left corner. The two agree where there are as many queries as keys.
    """
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)


def naive(
    query: Float[Tensor, "*batch queries width"],
    key: Float[Tensor, "*batch keys width"],
    value: Float[Tensor, "*batch keys features"],
    mask: Bool[Tensor, "*#batch queries keys"] | None = None,
    *,
    causal: bool = False,
    bias: Float[Tensor, "*#batch queries keys"] | None = None,
    scale: float | None = None,
) -> tuple[Float[Tensor, "*batch queries features"], Float[Tensor, "*batch queries"]]:
    """Output and log-sum-exp, everything in the dtype that comes in. `scale` is 1 / sqrt(width) unless given."""
    scores = query @ key.mT * (query.shape[-1] ** -0.5 if scale is None else scale)
    if bias is not None:
        scores = scores + bias
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    if causal:
        scores = scores.masked_fill(~visible(*scores.shape[-2:], scores.device), -torch.inf)
    # Of a row that may see nothing all scores are -inf, and -inf - -inf is no number: such a row is set aside.
    nothing = (scores == -torch.inf).all(dim=-1, keepdim=True)
    scores = scores.masked_fill(nothing, 0.0)
    lse = scores.logsumexp(dim=-1)
    weights = (scores - lse[..., None]).exp().masked_fill(nothing, 0.0)
    return weights @ value, lse.masked_fill(nothing[..., 0], -torch.inf)
