"""One attention problem, checked and brought to four axes: what every implementation behind `attention` starts from."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

SMALLEST = torch.finfo(torch.float32).tiny  # a kernel takes its scale in float32, where anything below may be zero


class Problem(NamedTuple):
    """query (batch, heads, queries, width), key (batch, kv_heads, keys, width), value (.., .., keys, features).

    `kv_heads` divides `heads`. mask (bool) and bias have four axes too, each of its size or 1. `batch_shape` is what
    the caller's batch axes were: outputs are folded back to it. `scale` is positive: any other
    has gone into the query.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None
    bias: Tensor | None
    causal: bool
    scale: float
    batch_shape: tuple[int, ...]

    @property
    def group(self) -> int:
        """How many query heads share one head of keys and values."""
        return self.query.shape[1] // max(self.key.shape[1], 1)

    @property
    def learns_bias(self) -> bool:
        """Whether the bias is to get a gradient."""
        return self.bias is not None and self.bias.requires_grad and torch.is_grad_enabled()

    @property
    def pairs(self) -> tuple[int, int, int, int]:
        """The shape that the table of scores would have."""
        return (*self.query.shape[:3], self.key.shape[2])

    def unfolded(self, tensor: Tensor) -> Tensor:
        """An output with the caller's batch axes. Two are what it has: even a view would cost microseconds, twice."""
        return tensor if len(self.batch_shape) == 2 else tensor.reshape(*self.batch_shape, *tensor.shape[2:])


def problem(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    *,
    causal: bool = False,
    bias: Tensor | None = None,
    scale: float | None = None,
) -> Problem:
    """Check what was given, and fold the batch axes to two: all but the last, and the last (the heads).

    Raises ValueError or TypeError with what was expected, what came, and what to do.
    """
    _check_kinds(query, key, value, mask, bias)
    _check_shapes(query, key, value)
    *batch_shape, queries, width = query.shape
    query, scale = _positive(query, max(width, 1) ** -0.5 if scale is None else scale)
    pairs = (*batch_shape, queries, key.shape[-2])
    return Problem(
        _four_axes(query),
        _four_axes(key),
        _four_axes(value),
        _table("mask", mask, pairs),
        _table("bias", bias, pairs),
        causal and queries != 1,  # a single query is the last one, and sees every key
        scale,
        tuple(batch_shape),
    )


def _positive(query: Tensor, scale: float) -> tuple[Tensor, float]:
    """Fused kernels scale what they have masked, and -inf * -1 is inf, -inf * 0 no number: so the query takes it."""
    if not isinstance(scale, int | float):
        raise TypeError(
            f"Expected `scale` as a number, got {type(scale).__name__}. To learn one, multiply the query by it and "
            "give scale=1."
        )
    if -SMALLEST <= scale <= SMALLEST:
        return query * 0, 1.0
    return (-query, -scale) if scale < 0 else (query, scale)


def _check_kinds(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, bias: Tensor | None) -> None:
    for name, tensor in (("query", query), ("key", key), ("value", value)):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"Expected `{name}` as a tensor, got {type(tensor).__name__}.")
    for name, tensor in (("mask", mask), ("bias", bias)):
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"Expected `{name}` as a tensor or None, got {type(tensor).__name__}. `causal` is given by name."
            )
    for name, tensor in (("key", key), ("value", value), ("bias", bias)):
        if tensor is not None and (tensor.dtype != query.dtype or tensor.device != query.device):
            raise TypeError(
                f"Expected `{name}` like the query, {query.dtype} on {query.device}, got {tensor.dtype} on "
                f"{tensor.device}. Bring both to one dtype and device."
            )
    if not query.is_floating_point():
        raise TypeError(f"Expected numbers with a point, got {query.dtype}. Call .float() first.")
    if mask is not None and mask.dtype != torch.bool:
        raise TypeError(
            f"Expected a mask of torch.bool (True: may be seen), got {mask.dtype}. Numbers to be added are a `bias`."
        )
    if mask is not None and mask.device != query.device:
        raise TypeError(f"Expected the mask on {query.device}, got it on {mask.device}. Call .to() first.")


def _check_shapes(query: Tensor, key: Tensor, value: Tensor) -> None:
    def shapes() -> str:
        return f"got query {tuple(query.shape)}, key {tuple(key.shape)}, value {tuple(value.shape)}"

    if query.ndim >= 2 and query.shape == key.shape == value.shape:  # mostly; and small problems feel every microsecond
        return
    if min(query.ndim, key.ndim, value.ndim) < 2:
        raise ValueError(f"Expected at least two axes, (..., tokens, width); {shapes()}.")
    if query.shape[-1] != key.shape[-1]:
        raise ValueError(f"Expected query and key of one width, the last axis; {shapes()}.")
    if key.shape[:-1] != value.shape[:-1]:
        raise ValueError(f"Expected a value for each key: the same axes but for the last; {shapes()}.")
    q, k = query.shape[:-2], key.shape[:-2]
    if q == k:
        return
    shared = len(q) == len(k) > 0 and q[:-1] == k[:-1] and k[-1] > 0 and q[-1] % k[-1] == 0
    if not shared:
        raise ValueError(
            "Expected the same batch axes, or keys with fewer heads (the last before the tokens) dividing the query's; "
            f"{shapes()}. Use .expand() for keys that all of a batch share."
        )


def _four_axes(tensor: Tensor) -> Tensor:
    if tensor.ndim == 4:  # even a view costs a microsecond
        return tensor
    while tensor.ndim < 4:
        tensor = tensor[None]
    return tensor.flatten(0, -4)


def _table(name: str, table: Tensor | None, pairs: tuple[int, ...]) -> Tensor | None:
    """A mask or bias with four axes. Where two batch axes are folded and only one is shared, it has to be copied."""
    if table is None:
        return None
    own = table.shape
    fits = len(own) <= len(pairs) and all(a in (1, b) for a, b in zip(own, pairs[len(pairs) - len(own) :], strict=True))
    if not fits:
        raise ValueError(f"Expected a {name} that broadcasts to {pairs}, got {tuple(table.shape)}.")
    while table.ndim < max(len(pairs), 4):
        table = table[None]
    if table.ndim > 4 and any(size != 1 for size in table.shape[:-3]):
        table = table.expand(*pairs[:-3], *table.shape[-3:])
    return table.flatten(0, -4)
