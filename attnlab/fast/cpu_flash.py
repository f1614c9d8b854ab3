"""The operators behind torch's function on a CPU. The function keeps their log-sum-exp to itself.

With it results over different keys can be merged, and a backward pass needs nothing else that the forward held. Their
names begin with an underscore, so they may leave: whoever uses them asks `there` first, and has another way.
"""

import torch
from torch import Tensor

FORWARD = "_scaled_dot_product_flash_attention_for_cpu"
BACKWARD = FORWARD + "_backward"


def there() -> bool:
    return hasattr(torch.ops.aten, FORWARD) and hasattr(torch.ops.aten, BACKWARD)


def rows_together(*tensors: Tensor) -> list[Tensor]:
    """They step from number to number along the last axis; any other layout is taken as it is."""
    return [tensor if tensor.stride(-1) == 1 else tensor.contiguous() for tensor in tensors]


def forward(query: Tensor, key: Tensor, value: Tensor, *, causal: bool, scale: float, table: Tensor | None = None):
    """Output and log-sum-exp (batch, heads, queries). table: added to the scores, in the query's dtype.

    Four axes each, one width, and as many heads of keys as of queries or a divisor of that. causal: a square.
    """
    attend = getattr(torch.ops.aten, FORWARD)
    return attend(query, key, value, is_causal=causal, attn_mask=table, scale=scale)


def backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, output: Tensor, lse: Tensor,
    *, causal: bool, scale: float, table: Tensor | None = None,
):  # fmt: skip
    """The gradients of query, key and value. output, lse: those of the whole rows, though the keys may be a part."""
    differentiate = getattr(torch.ops.aten, BACKWARD)
    return differentiate(grad, query, key, value, output, lse, 0.0, causal, attn_mask=table, scale=scale)
