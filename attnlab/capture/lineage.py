"""Where tensors come from, as far as torch functions tell: a graph of small nodes that holds no tensor alive.

It answers what numbers alone cannot: whether queries and keys were made from one sequence, whether a softmax ran
over tokens or over the outputs of a Linear layer, whether a mask was at work, whether a number began as a sigmoid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

HIDDEN = -1e4  # a score that no longer counts: -inf, the smallest float, or a hand-written -1e9

VIEWS = {
    *("view", "reshape", "transpose", "permute", "unsqueeze", "squeeze", "expand", "expand_as", "contiguous"),
    *("flatten", "unflatten", "swapaxes", "swapdims", "movedim", "moveaxis", "t", "to", "type_as", "type", "float"),
    *("half", "bfloat16", "double", "__getitem__", "__get__", "view_as", "reshape_as", "clone", "detach", "chunk"),
    *("split", "unbind", "narrow", "select", "broadcast_to", "adjoint", "repeat_interleave", "cat", "alias"),
}
_LINEAR = {"linear", "addmm"}
_CONVOLUTIONS = {"conv1d", "conv2d", "conv3d"}
_PRODUCTS = {"matmul", "__matmul__", "__rmatmul__", "bmm", "mm", "mv", "einsum", "baddbmm", "tensordot", "cdist"}
_ENDS = {
    *("embedding", "scaled_dot_product_attention", "multi_head_attention_forward", "lstm", "gru", "rnn_tanh"),
    *("rnn_relu", "_transformer_encoder_layer_fwd", "_native_multi_head_attention"),
}
_CONSTANTS = {"zeros_like", "ones_like", "full_like", "rand_like", "randn_like", "empty_like"}
_SIGMOIDS = {"sigmoid", "sigmoid_", "hardsigmoid", "special_expit", "expit"}
_SOFTMAXES = {"softmax", "_softmax", "special_softmax", "log_softmax", "gumbel_softmax"}
_MASKINGS = {"masked_fill", "masked_fill_", "where"}


@dataclass(eq=False)
class Node:
    """One tensor's origin.

    op: "view", "step" (place by place), "project" (times weights), "product" (of two activations), "end", "leaf".
    live: depends on what the model was given, not on parameters and constants only.
    features: the last axis is the outputs of a Linear layer. over_features: a softmax went over such an axis.
    masked: a mask was at work. soft: a softmax or exp was. gate: a sigmoid, at most viewed otherwise since.
    visit: the run of a module that it was made in.
    out_features: for a projection, how many numbers it makes of one place.
    """

    serial: int
    op: str
    name: str
    parents: tuple[Node, ...]
    shape: tuple[int, ...]
    live: bool
    real: bool
    features: bool = False
    over_features: bool = False
    masked: bool = False
    soft: bool = False
    gate: bool = False
    out_features: int = 0
    in_features: int = 0
    visit: Any = None


class Lineage:
    """All nodes of one capture."""

    def __init__(self, constants: Iterator[Tensor] = (), here: Callable[[], Any] = lambda: None):
        self.serial = 0
        self._here = here
        self._nodes = WeakTensorKeyDictionary()
        self._constants = {id(tensor) for tensor in constants}

    def node(self, tensor: Tensor) -> Node:
        if tensor not in self._nodes:
            constant = isinstance(tensor, nn.Parameter) or id(tensor) in self._constants
            self._nodes[tensor] = self._new("leaf", "", (), tensor, live=not constant)
        return self._nodes[tensor]

    def note(self, name: str, args: tuple, named: dict, result: Any) -> None:
        """What a torch function made of what."""
        made = list(tensors(result))
        if not made:
            return
        parents = tuple(self.node(tensor) for tensor in tensors((args, named)))
        marks = _marks(name, parents, args, named)
        for tensor in made:
            node = self._new(_op(name, parents), name, parents, tensor, **marks)
            if name in VIEWS:
                node.features = node.features and _last_axis_stays(name, args, parents[0].shape, node.shape)
            elif node.op == "project" and (name in _LINEAR or name in _PRODUCTS):
                node.features = node.shape[-1:] > (1,)
            if node.op == "project":
                node.out_features, node.in_features = _widths(name, node, args, named)
            self._nodes[tensor] = node

    def _new(self, op: str, name: str, parents: tuple[Node, ...], tensor: Tensor, **marks: Any) -> Node:
        self.serial += 1
        real = tensor.is_floating_point()
        return Node(self.serial, op, name, parents, shape(tensor), real=real, visit=self._here(), **marks)


def shape(tensor: Tensor) -> tuple[int, ...]:
    return () if tensor.is_nested else tuple(tensor.shape)


def tensors(values: Any) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, dict):
        yield from tensors(tuple(values.values()))
    elif isinstance(values, tuple | list):
        for value in values:
            yield from tensors(value)


def _op(name: str, parents: tuple[Node, ...]) -> str:
    if name in _ENDS:
        return "end"
    if name in _LINEAR | _CONVOLUTIONS:
        return "project"
    if name in _PRODUCTS:
        return "product" if sum(parent.live for parent in parents) > 1 else "project"
    return "view" if name in VIEWS else "step"


def _marks(name: str, parents: tuple[Node, ...], args: tuple, named: dict) -> dict[str, bool]:
    """What the new tensors inherit from their parents."""
    live = any(parent.live for parent in parents) and name not in _CONSTANTS and not name.startswith("new_")
    marks = {"live": live, "gate": name in _SIGMOIDS or (name in VIEWS and parents[0].gate)}
    if _op(name, parents) not in ("view", "step"):
        return marks
    passed_on = [parent for parent in parents if parent.live and parent.real]
    marks |= {
        flag: any(getattr(parent, flag) for parent in passed_on)
        for flag in ("features", "over_features", "masked", "soft")
    }
    if name in _SOFTMAXES or name in ("exp", "exp_"):
        marks["soft"] = True
        scores = next(tensors((args, named)))
        marks["masked"] |= scores.numel() > 0 and scores.min().item() <= HIDDEN
    if name in _SOFTMAXES:
        dim = named.get("dim", args[1] if len(args) > 1 else None)
        marks["over_features"] |= marks["features"] and dim in (-1, len(parents[0].shape) - 1)
    marks["masked"] |= name in _MASKINGS
    return marks


def _last_axis_stays(name: str, args: tuple, old: tuple[int, ...], new: tuple[int, ...]) -> bool:
    """Whether the last axis after this view is (a part of) the last axis before it."""
    if not old or not new or name in ("__get__", "t", "adjoint"):
        return False
    if name in ("transpose", "swapaxes", "swapdims"):
        return len(old) - 1 not in {axis % len(old) for axis in args[1:] if isinstance(axis, int)}
    if name == "permute":
        axes = args[1] if isinstance(args[1], tuple | list) else args[1:]
        return axes[-1] % len(old) == len(old) - 1
    if name in ("movedim", "moveaxis", "select", "unbind"):
        return new[-1] == old[-1]
    return new[-1] > 1 and old[-1] % new[-1] == 0


def _widths(name: str, node: Node, args: tuple, named: dict) -> tuple[int, int]:
    """How many numbers a projection makes, out of how many."""
    if name in _CONVOLUTIONS:
        weight = named.get("weight", args[1] if len(args) > 1 else None)
        return weight.shape[0], weight.shape[1]
    inputs = [parent for parent in node.parents if parent.live and parent.shape]
    return (node.shape or (0,))[-1], inputs[0].shape[-1] if inputs else 0


# ---------------------------------------------------------------------- questions


def backwards(node: Node, through: tuple[str, ...], since: int = 0) -> Iterator[Node]:
    """The node and its live ancestors, nearest first, through these kinds of op and not further back than `since`."""
    waiting, known = [node], {node}
    for current in waiting:
        yield current
        if current.op in through and current.serial >= since:
            new = [parent for parent in current.parents if parent.live and parent not in known]
            known.update(new)
            waiting.extend(new)


def product_of(table: Node) -> tuple[Node, Node] | None:
    """The two activations whose product became this table: queries and keys, if a product it was."""
    for node in backwards(table, ("view", "step")):
        if node.op == "product":
            live = [parent for parent in node.parents if parent.live]
            return live[-2], live[-1]
    return None


def maker_of(node: Node) -> Node | None:
    """The softmax, exp or sigmoid that this came out of."""
    makers = _SOFTMAXES | _SIGMOIDS | {"exp", "exp_"}
    return next((found for found in backwards(node, ("view", "step")) if found.name in makers), None)


def projection_of(node: Node) -> Node | None:
    """The nearest projection that this was made by."""
    return next((found for found in backwards(node, ("view", "step")) if found.op == "project"), None)


def same_source(queries: Node, keys: Node, since: list[int], projected: bool = False) -> bool:
    """Whether one sequence was both queries and keys.

    since: where the modules around began, the innermost first. The first module in which one of the two was
    projected decides; `projected` says that these nodes are already what goes into the projections. There their
    sources must meet, at once or a few steps (sums, norms, views) further back.
    """
    if not queries.live and not keys.live:  # learned queries that look at each other
        return True
    for start in since:
        mine, other = _sources(queries, start), _sources(keys, start)
        found_one = projected or any(child for _, child in (mine, other))
        if mine[0] & other[0]:
            return True
        if found_one or start == since[-1]:
            before = [
                {found for source in side for found in backwards(source, ("view", "step"), start)}
                for side, _ in (mine, other)
            ]
            return bool(before[0] & before[1])
    return False


def _sources(node: Node, since: int) -> tuple[set[Node], bool]:
    """What the node was projected from, and True; without a projection in this module what it is a view of."""
    projected, others = set(), set()
    for found in backwards(node, ("view", "step"), since):
        if found.op == "project" and found.serial >= since:
            projected.update(parent for parent in found.parents if parent.live)
        elif found.op not in ("view", "step") or found.serial < since:
            others.add(found)
    return (projected, True) if projected else (others, False)


def roots(node: Node, since: int) -> set[Node]:
    """All activations from outside the module that this depends on."""
    through = ("view", "step", "project", "product")
    return {
        found
        for found in backwards(node, through, since)
        if found.real and (found.op in ("leaf", "end") or found.serial < since)
    }
