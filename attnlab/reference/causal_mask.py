"""The causal mask: a token may see itself and what came before it.

Vaswani et al. 2017, section 3.2.3. Boolean, and True means *may be seen* (the convention of torch's
scaled_dot_product_attention; nn.MultiheadAttention uses the opposite).
"""

import torch
from jaxtyping import Bool
from torch import Tensor


def causal_mask(length: int, device: torch.device | None = None) -> Bool[Tensor, "length length"]:
    """Lower triangle including the diagonal: row = the query's position, column = the key's."""
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()
