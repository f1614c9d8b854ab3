"""The private operators behind torch's `scaled_dot_product_attention` on a CPU.

The public function does not return their log-sum-exp. With it results over different keys can be merged, and their
backward can be called. Private operators may be gone with the next torch: whoever uses them asks `there` first, and has
another way.
"""

import torch
from torch import Tensor

FORWARD = "_scaled_dot_product_flash_attention_for_cpu"
BACKWARD = FORWARD + "_backward"


def there() -> bool:
    return hasattr(torch.ops.aten, FORWARD) and hasattr(torch.ops.aten, BACKWARD)


def forward(query: Tensor, key: Tensor, value: Tensor, *, causal: bool, scale: float, table: Tensor | None = None):
    """Output and log-sum-exp (batch, heads, queries). table: added to the scores, in the query's dtype.

    Four axes each, the last contiguous, and one width; as many heads of keys as of queries, or a divisor of that.
    causal: a square.
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
