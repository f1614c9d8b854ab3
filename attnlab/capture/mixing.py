"""The mark of attention, however it is written: a table whose rows sum to one is multiplied with values.

Softmax, exp divided by its sum, sparsemax, a mask after the softmax: what counts is the table that really mixes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from attnlab.capture.lineage import Node, tensors

HALF = (torch.float16, torch.bfloat16)


class Candidate(NamedTuple):
    """An operand that may be a table of weights.

    arrange: brings it (and anything of its shape) to (..., queries, keys). keys_last: its own last axis is the keys.
    """

    operand: Tensor
    other: Tensor
    arrange: Callable[[Tensor], Tensor]
    keys_last: bool


def candidates(name: str, args: tuple, named: dict) -> Iterator[Candidate]:
    """The operands of a multiplication that could be attention weights, the left one first."""
    operands = [value for value in tensors((args, named)) if value.is_floating_point()]
    if name == "einsum":
        yield from _of_einsum(args, operands)
        return
    if name not in ("matmul", "__matmul__", "__rmatmul__", "bmm", "mm", "mv", "baddbmm", "addmm"):
        return
    left, right = operands[-2:] if len(operands) > 1 else (None, None)
    if left is None or left.is_nested or right.is_nested:
        return
    if name == "__rmatmul__":
        left, right = right, left
    if left.dim() > 1:
        yield Candidate(left, right, lambda table: table, True)
    else:
        yield Candidate(left, right, lambda table: table.unsqueeze(-2), True)
    if right.dim() > 1 and left.dim() > 1:
        yield Candidate(right, left, lambda table: table.transpose(-2, -1), False)


def _of_einsum(args: tuple, operands: list[Tensor]) -> Iterator[Candidate]:
    if len(operands) != 2 or not isinstance(args[0], str):
        return
    *inputs, output = letters(args[0], operands)
    for i in (0, 1):
        own, others = inputs[i], inputs[1 - i]
        keys = [letter for letter in own if letter in others and letter not in output]
        shared = [letter for letter in own if letter in others and letter in output]
        queries = [letter for letter in own if letter not in others and letter in output]
        if keys and len(set(own)) == len(own) == len(keys) + len(shared) + len(queries):
            order = [own.index(letter) for letter in shared + queries + keys]
            split = len(shared), len(shared) + len(queries)
            arrange = _arranger(order, *split)
            yield Candidate(operands[i], operands[1 - i], arrange, own[-1] in keys)


def _arranger(order: list[int], first_query: int, first_key: int) -> Callable[[Tensor], Tensor]:
    def arrange(table: Tensor) -> Tensor:
        sizes = [table.shape[axis] for axis in order]
        count = torch.Size(sizes[first_query:first_key]).numel(), torch.Size(sizes[first_key:]).numel()
        return table.permute(order).reshape(*sizes[:first_query], *count)

    return arrange


def letters(equation: str, operands: list[Tensor]) -> list[str]:
    """The axes of each operand and of the result, with every "..." spelled out."""
    left, _, output = equation.replace(" ", "").partition("->")
    inputs = left.split(",")
    if "->" not in equation:  # the letters that occur once, in alphabetical order
        joined = "".join(inputs).replace(".", "")
        output = "..." * ("..." in left) + "".join(sorted(c for c in set(joined) if joined.count(c) == 1))
    spare = [letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if letter not in equation]
    ranks = [operand.dim() - len(part.replace("...", "")) for operand, part in zip(operands, inputs, strict=True)]
    hidden = "".join(spare[: max(ranks)])
    spelled = [part.replace("...", hidden[len(hidden) - rank :]) for part, rank in zip(inputs, ranks, strict=True)]
    return [*spelled, output.replace("...", hidden)]


def is_table(table: Tensor) -> bool:
    """Whether rows are non-negative and sum to one, or to zero, or are NaN throughout (everything hidden)."""
    if table.numel() == 0 or not table.is_floating_point():
        return False
    if table.min() < 0:
        return False
    sums = table.sum(dim=-1, dtype=torch.promote_types(table.dtype, torch.float32))
    tolerance = 2e-2 if table.dtype in HALF else 1e-4
    one, nothing = (sums - 1).abs() <= tolerance, (sums == 0) | table.isnan().all(dim=-1)
    return bool((one | nothing).all() and one.any())


def why_not(candidate: Candidate, node: Node, other: Node, table: Tensor) -> str | None:
    """Why a table whose rows sum to one is no attention all the same; None if it is."""
    if node.op == "leaf":
        return "a table whose rows sum to one was given, not computed while the model ran"
    if node.over_features or (node.features and candidate.keys_last):
        return "a softmax ran over the outputs of a Linear layer (classes, experts), not over the places of a sequence"
    if not node.soft and bool(((table == 0) | (table == 1)).all()):
        return "a table of zeros and ones picks places, it does not weigh them"
    if not node.soft and not other.live:
        return "a table whose rows sum to one was multiplied with parameters"
    return None


def weighted(name: str, args: tuple) -> tuple[Tensor, Tensor] | None:
    """In weights * values: the operand with a last axis of one, which may be weights of places, and the other."""
    operands = [value for value in args if isinstance(value, Tensor)]
    if name not in ("mul", "mul_", "__mul__", "__rmul__", "multiply") or len(operands) != 2:
        return None
    for weights, values in (operands, operands[::-1]):
        if weights.dim() == values.dim() in (3, 4) and weights.shape[-1] == 1 < values.shape[-1]:
            return weights, values
    return None


def summed(weights: Tensor, values_shape: tuple[int, ...], args: tuple, named: dict) -> Candidate | None:
    """(weights * values).sum(dim): the same mix without a matrix product.

    weights (batch, keys, 1), or with one more axis: the queries where values have one there, else the heads.
    """
    dim = named.get("dim", args[1] if len(args) > 1 else None)
    dim = dim[0] if isinstance(dim, tuple | list) and len(dim) == 1 else dim
    if not isinstance(dim, int) or dim % weights.dim() in (0, weights.dim() - 1):
        return None
    axis = dim % weights.dim()

    def arrange(table: Tensor) -> Tensor:
        table = table.squeeze(-1).movedim(axis, -1)
        is_queries = table.dim() == 3 and values_shape[3 - axis] == 1
        return table if is_queries else table.unsqueeze(-2)

    return Candidate(weights, weights, arrange, False)
