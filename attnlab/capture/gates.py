"""Gates: what came out of a sigmoid, is one along some axes, and multiplies a feature map.

Told by how it is used, not by the name of the module, so a sigmoid inside a recurrent cell (every number of its own),
a class probability (multiplied with nothing) and a SiLU are none.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from attnlab.capture.lineage import Lineage, Node, projection_of, tensors
from attnlab.capture.mixing import letters

MULTIPLICATIONS = {"mul", "mul_", "__mul__", "__rmul__", "__imul__", "multiply", "multiply_"}


class Gate(NamedTuple):
    """values: (batch, channels), (batch, y, x), (batch, t) or (batch, t, y, x). node: where they came from."""

    values: Tensor
    over: str
    node: Node


def gate_of(name: str, args: tuple, named: dict, lineage: Lineage) -> Gate | str | None:
    """The gate in this multiplication; a text when there is one that cannot be read; None when there is none."""
    operands = list(tensors((args, named)))
    if name not in MULTIPLICATIONS | {"einsum"} or len(operands) != 2:
        return None
    are = [lineage.node(operand).gate for operand in operands]
    if are.count(True) != 1:  # two sigmoids: a probability times a probability
        return None
    gate, features = operands if are[0] else operands[::-1]
    if name == "einsum":
        aligned = _aligned(args[0], operands, gate, features)
    else:
        aligned = gate if gate.dim() == features.dim() else None
    if aligned is None or not features.is_floating_point() or not 3 <= features.dim() <= 5:
        return None
    own = [1 if stride == 0 else size for size, stride in zip(aligned.shape, aligned.stride(), strict=True)]
    opens = tuple(i for i in range(1, len(own)) if own[i] == features.shape[i] > 1)
    broadcast = any(own[i] == 1 < features.shape[i] for i in range(1, len(own)))
    if own[0] != features.shape[0] or not opens or not broadcast:
        return None
    over = _over(opens, features, lineage.node(gate))
    if over is None:
        return f"a sigmoid of shape {tuple(own)} multiplied features {tuple(features.shape)}: channels or moments?"
    for axis in reversed([i for i in range(1, len(own)) if i not in opens]):
        aligned = aligned.select(axis, 0)
    return Gate(aligned, over, lineage.node(gate))


def _aligned(equation: str, operands: list[Tensor], gate: Tensor, features: Tensor) -> Tensor | None:
    """The gate with an axis of one wherever einsum broadcasts it; None if this is more than a broadcast product."""
    *inputs, output = letters(equation, operands)
    own, wide = inputs if operands[0] is gate else inputs[::-1]
    if wide != output or not set(own) < set(wide):
        return None
    ordered = gate.permute([own.index(letter) for letter in wide if letter in own])
    return ordered.reshape([size if letter in own else 1 for letter, size in zip(wide, features.shape, strict=True)])


def _over(axes: tuple[int, ...], features: Tensor, gate: Node) -> str | None:
    if features.dim() == 4:
        return {(1,): "channel", (2, 3): "space"}.get(axes)
    if features.dim() == 5:
        return {(1,): "channel", (2,): "time", (3, 4): "space", (2, 3, 4): "space-time"}.get(axes)
    return _one_axis(features.shape[axes[0]], projection_of(gate)) if len(axes) == 1 else None


def _one_axis(size: int, made_by: Node | None) -> str | None:
    """(batch, n, 1) may gate channels or moments; what made it tells: a Linear to n numbers made channels."""
    if made_by is None:
        return None
    if made_by.out_features == size:
        return "channel"
    if made_by.out_features == 1 and made_by.in_features > 1:
        return "time"
    return "channel" if made_by.name == "conv1d" and made_by.in_features == 1 else None
