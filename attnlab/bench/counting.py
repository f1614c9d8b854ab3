"""What counts as work: floating-point operations (FLOPs) and bytes, so that everybody's figures mean the same.

    forward                 4 B H Nq Nk d       two products of matrices, 2 FLOPs a multiply-add
    backward                2.5 x forward       five products against two
    forward and backward    3.5 x forward
    causal, Nq = Nk         half of it          though the tiles on the diagonal are computed whole

The softmax is not counted, nor what an implementation computes twice: a backward pass in two kernels really does 3.5 x
the forward's products, and is credited with 2.5. Bytes are those that no implementation can avoid: every input read
once, every output written once.
"""

from __future__ import annotations

from collections.abc import Sequence

BACKWARD = 2.5
FORWARD_TENSORS, BACKWARD_TENSORS = 4, 8  # q k v o;  q k v o do in, dq dk dv out


def attention_flops(
    batch: int, heads: int, queries: int, keys: int, width: int, causal: bool = False, backward: bool = False
) -> float:
    """FLOPs of attention; `backward`: of forward and backward together. `width` is that of keys and of values."""
    forward = 4.0 * batch * heads * queries * keys * width
    return forward * (0.5 if causal else 1) * (1 + BACKWARD if backward else 1)


def attention_bytes(batch: int, heads: int, tokens: int, width: int, size: int, backward: bool = False) -> float:
    """Bytes that attention has to move when no table of scores is stored; `size` is that of one number."""
    tensors = FORWARD_TENSORS + (BACKWARD_TENSORS if backward else 0)
    return float(tensors * batch * heads * tokens * width * size)


def naive_bytes(batch: int, heads: int, tokens: int, width: int, size: int) -> float:
    """Of a forward pass with the table: scores written and read, weights written and read, at the very least."""
    return attention_bytes(batch, heads, tokens, width, size) + 4.0 * batch * heads * tokens**2 * size


def packed_flops(lengths: Sequence[int], heads: int, width: int, causal: bool = False, backward: bool = False) -> float:
    """Attention of each sequence over itself. What a padded form does beyond that is not work, but waste."""
    return sum(attention_flops(1, heads, length, length, width, causal, backward) for length in lengths)


def layer_flops(lengths: Sequence[int], heads: int, width: int) -> float:
    """Forward of an encoder layer, heads * width its width E: 24 E^2 a token (q k v o, and a feed-forward of 4 E)."""
    whole = heads * width
    return 24.0 * whole**2 * sum(lengths) + packed_flops(lengths, heads, width)


def window_flops(batch: int, heads: int, seen: int, width: int, backward: bool = False) -> float:
    """`seen`: how many pairs of a query and a key there are in one head, edges taken off."""
    return 4.0 * batch * heads * seen * width * (1 + BACKWARD if backward else 1)
