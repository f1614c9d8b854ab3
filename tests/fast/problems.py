"""Problems to put to every way of `attention`, and the naive form's answers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from attnlab.fast import attention
from attnlab.fast.ladder.naive import naive


def draw(
    queries=37, keys=41, *, batch=(2, 4), kv_heads=None, width=24, features=None, dtype=torch.float64, seed=0
) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value with gradients; `kv_heads` in place of the last of `batch`."""
    generator = torch.Generator().manual_seed(seed)
    kv_batch = batch if kv_heads is None else (*batch[:-1], kv_heads)
    shapes = (*batch, queries, width), (*kv_batch, keys, width), (*kv_batch, keys, features or width)
    return tuple(
        torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_() for shape in shapes
    )


def draw_mask(*shape: int, seed=0) -> Tensor:
    """A little more than half may be seen; the second query of all may see nothing."""
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) > 0.4
    mask[..., 1, :] = False
    return mask


def outputs_and_gradients(call, *leaves: Tensor) -> list[Tensor]:
    """What `call()` returns, and the gradient of an uneven sum over all of it for each leaf; in float64, -inf as 0."""
    outputs = call()
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    loss = 0
    for output in outputs:
        finite = output.double().masked_fill(output == -torch.inf, 0.0)
        loss = loss + (finite * torch.arange(output.numel(), dtype=torch.float64).cos().reshape(output.shape)).sum()
    gradients = torch.autograd.grad(loss, leaves)
    return [t.detach().double().masked_fill(t == -torch.inf, 0.0) for t in (*outputs, *gradients)]


def with_bias(leaves, options: dict[str, Any]) -> tuple[Tensor, ...]:
    return (*leaves, options["bias"]) if options.get("bias") is not None else tuple(leaves)


def assert_like_naive(using: str, leaves, tolerance: float, **options) -> None:
    """Output, log-sum-exp and every gradient, as the naive form has them in the same dtype."""
    own = with_bias(leaves, options)
    got, want = (
        outputs_and_gradients(lambda u=u: attention(*leaves, **options, return_lse=True, using=u), *own)
        for u in (using, "naive")
    )
    for name, mine, theirs in zip(("output", "lse", "dq", "dk", "dv", "dbias"), got, want, strict=False):
        assert torch.allclose(mine, theirs, rtol=tolerance, atol=tolerance), (name, (mine - theirs).abs().max())


def naive_output(*leaves, mask=None, bias_last=False, **options) -> Tensor:
    query, key, value = leaves[:3]
    group = query.shape[-3] // key.shape[-3]
    key, value = (t.repeat_interleave(group, dim=-3) for t in (key, value))
    return naive(query, key, value, mask, bias=leaves[3] if bias_last else None, **options)[0]
