"""Nothing is timed before it is right: outputs and gradients against the naive form in float64, for whole heads.

The rule has two references. r is the naive form in float64 and n the naive form in the dtype at hand, both from the
same rounded inputs. A candidate c passes when max |c - r| <= 2 max |n - r| + 1e-5; for gradients 3 instead of 2, as
flash-attention's own tests have it. A wrong result is an error and never a figure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.fast.ladder.naive import naive

OUTPUT, GRADIENT, SLACK = 2, 3, 1e-5
ROWS = 1024  # of the table at a time: a check must not need the memory that it is about

Outputs = tuple[Tensor, ...]


class WrongResult(Exception):
    """An implementation is not what it is said to be."""


@dataclass(frozen=True)
class Answer:
    """What is right for a part of the outputs, which `part` takes out; the output first, then gradients.

    right: float64. naive: how far the naive form is from it, at the most, output by output.
    """

    part: Callable[[Outputs], Outputs]
    right: Outputs
    naive: tuple[float, ...]

    def check(self, outputs: Outputs) -> float:
        """The largest error of the output (not of the gradients). Raises WrongResult."""
        errors = [distance(got, right) for got, right in zip(self.part(outputs), self.right, strict=True)]
        for place, (error, of_naive) in enumerate(zip(errors, self.naive, strict=True)):
            limit = (GRADIENT if place else OUTPUT) * of_naive + SLACK
            if not error <= limit:  # NaN is not
                what = f"gradient {place}" if place else "output"
                raise WrongResult(
                    f"Expected the {what} within {limit:.1e} of the naive form in float64, got {error:.1e}."
                )
        return errors[0]


def distance(got: Tensor, right: Tensor) -> float:
    """The largest difference; infinite where shapes differ."""
    if got.shape != right.shape:
        return float("inf")
    return (got.double() - right).abs().max().item() if right.numel() else 0.0


def answer(part: Callable[[Outputs], Outputs], right: Outputs, naive_form: Outputs) -> Answer:
    return Answer(part, right, tuple(distance(n, r) for n, r in zip(naive_form, right, strict=True)))


def heads_of(batch: int, heads: int) -> list[tuple[int, int]]:
    """The heads that are checked, (item, head): the first and the last."""
    return sorted({(0, 0), (batch - 1, heads - 1)})


def attention_answer(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    grad: Tensor | None,
    causal: bool = False,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
) -> Answer:
    """For ways that return (batch, heads, tokens, width): the output, or the output and three gradients.

    Fewer heads of keys than of queries: the output and the query's gradient alone, since theirs are summed.
    """
    chosen = heads_of(*query.shape[:2])
    group = query.shape[1] // key.shape[1]
    kept = 4 if group == 1 else 2

    def of(item: int, head: int, dtype: torch.dtype) -> Outputs:
        q, k, v = query[item, head], key[item, head // group], value[item, head // group]
        tables = (t if t is None else t.detach().expand(*query.shape[:3], len(k))[item, head] for t in (mask, bias))
        return by_rows(q, k, v, None if grad is None else grad[item, head], causal, dtype, *tables)[:kept]

    def part(outputs: Outputs) -> Outputs:
        return tuple(torch.stack([output[place] for place in chosen]) for output in outputs[:kept])

    both = [stacked([of(*place, dtype) for place in chosen]) for dtype in (torch.float64, query.dtype)]
    return answer(part, *both)


def stacked(outputs: Sequence[Outputs]) -> Outputs:
    return tuple(torch.stack(column) for column in zip(*outputs, strict=True))


def by_rows(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    grad: Tensor | None,
    causal: bool,
    dtype: torch.dtype,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
) -> Outputs:
    """The naive form of one head, (tokens, width), some rows of the table after the other; with grad its gradients.

    Of the keys only those are taken that the mask shows to one of the rows: the others would get a weight of zero.
    """
    q, k, v = (tensor.detach().to(dtype) for tensor in (query, key, value))
    outputs, d_query = [], []
    d_key, d_value = (torch.zeros_like(t, dtype=torch.promote_types(dtype, torch.float32)) for t in (k, v))
    for start in range(0, len(q), ROWS):
        rows = slice(start, min(start + ROWS, len(q)))
        keys = _seen_by(rows, len(q), len(k), causal, mask)
        parts = [tensor.clone().requires_grad_(grad is not None) for tensor in (q[rows], k[keys], v[keys])]
        seen = None if mask is None else mask[rows, keys]
        added = None if bias is None else bias[rows, keys].to(dtype)
        output, _ = naive(*parts, seen, causal=causal, bias=added)
        outputs.append(output.detach())
        if grad is not None:
            more = torch.autograd.grad(output, parts, grad[rows].to(dtype))
            d_query.append(more[0])
            d_key[keys] += more[1]
            d_value[keys] += more[2]
    return (torch.cat(outputs), *((torch.cat(d_query), d_key, d_value) if grad is not None else ()))


def _seen_by(rows: slice, queries: int, keys: int, causal: bool, mask: Tensor | None) -> slice:
    """With causal the last of these rows sees the last of these keys, as the naive form takes for granted."""
    if causal:
        return slice(0, max(rows.stop + keys - queries, 0))
    seen = [] if mask is None else mask[rows].any(dim=0).nonzero().flatten().tolist()
    return slice(seen[0], seen[-1] + 1) if seen else slice(0, keys)
