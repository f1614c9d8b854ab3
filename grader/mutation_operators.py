"""Changes that people make by mistake and cosmic-ray has no operator for, in cosmic-ray's own form.

An operator lists the positions in a parse tree where it applies, and changes one of them; cosmic-ray walks
the tree. The trees are parso's: a call is a `trailer`, its arguments are an `arglist`.
"""

from __future__ import annotations

from collections.abc import Iterator

import parso
from cosmic_ray.operators.operator import Example, Operator
from parso.python.tree import Name
from parso.tree import BaseNode, NodeOrLeaf

Positions = Iterator[tuple[tuple[int, int], tuple[int, int]]]

AXES = ("-1", "-2", "0", "1")

PAIRS = ("amax amin", "argmax argmin", "sum mean", "tril triu", "ones zeros", "any all")
OPPOSITE = dict(p.split() for p in PAIRS) | dict(p.split()[::-1] for p in PAIRS)

SYMMETRIC = ("transpose", "swapaxes", "allclose", "equal")  # their first two arguments may change places


class OtherAxis(Operator):
    """Another axis in `dim=` or `axis=`."""

    def mutation_positions(self, node: NodeOrLeaf) -> Positions:
        if _keyword(node) in ("dim", "axis", "dims"):
            value = node.children[2]
            for _ in self._others(value):
                yield value.start_pos, value.end_pos

    def mutate(self, node: BaseNode, index: int) -> BaseNode:
        node.children[2] = parso.parse(self._others(node.children[2])[index])
        return node

    @staticmethod
    def _others(value: NodeOrLeaf) -> list[str]:
        return [axis for axis in AXES if axis != value.get_code().strip()]

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("x.sum(dim=-1)", "x.sum(dim=-2)"),
            Example("x.sum(dim=-1)", "x.sum(dim=0)", occurrence=1),
        )


class DropStatement(Operator):
    """One statement less (a whole `if` at once); a docstring stays."""

    def mutation_positions(self, node: NodeOrLeaf) -> Positions:
        in_a_block = node.parent is not None and node.parent.type == "suite" and isinstance(node, BaseNode)
        if in_a_block and node.children[0].type not in ("string", "strings"):
            yield node.start_pos, node.end_pos

    def mutate(self, node: BaseNode, index: int) -> NodeOrLeaf:
        return parso.parse(f"{node.get_first_leaf().prefix}pass\n")

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example("def f():\n    x = 1\n    return x\n", "def f():\n    pass\n    return x\n"),)


class DropKeyword(Operator):
    """A call without one of its keyword arguments."""

    def mutation_positions(self, node: NodeOrLeaf) -> Positions:
        for _, argument in self._keywords(node):
            yield argument.start_pos, argument.end_pos

    def mutate(self, node: BaseNode, index: int) -> BaseNode:
        place, _ = self._keywords(node)[index]
        if node.type == "arglist":  # its comma goes with it
            del node.children[max(place - 1, 0) : place + 1 if place else 2]
        else:
            del node.children[place]
        return node

    @staticmethod
    def _keywords(node: NodeOrLeaf) -> list[tuple[int, NodeOrLeaf]]:
        if node.type not in ("arglist", "trailer"):
            return []
        return [(i, child) for i, child in enumerate(node.children) if _keyword(child)]

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("x.sum(dim=-1, keepdim=True)", "x.sum( keepdim=True)"),
            Example("x.sum(dim=-1, keepdim=True)", "x.sum(dim=-1)", occurrence=1),
            Example("x.sum(dim=-1)", "x.sum()"),
        )


class SwapArguments(Operator):
    """Two neighbouring arguments of a call, given by position, that are not alike, swapped."""

    def mutation_positions(self, node: NodeOrLeaf) -> Positions:
        for first, second in self._pairs(node):
            yield node.children[first].start_pos, node.children[second].end_pos

    def mutate(self, node: BaseNode, index: int) -> BaseNode:
        first, second = self._pairs(node)[index]
        node.children[first], node.children[second] = node.children[second], node.children[first]
        return node

    @staticmethod
    def _pairs(node: NodeOrLeaf) -> list[tuple[int, int]]:
        if node.type != "arglist" or node.parent.type != "trailer":
            return []
        called = node.parent.get_previous_sibling().get_last_leaf().value
        plain = [i for i, child in enumerate(node.children) if child.type not in ("operator", "argument")]
        pairs = zip(plain, plain[1:], strict=False)
        code = [child.get_code().strip() for child in node.children]
        return [(i, j) for i, j in pairs if code[i] != code[j] and called not in SYMMETRIC]

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example("f(a,b,c=1)", "f(b,a,c=1)"),)


class OppositeName(Operator):
    """amax for amin, sum for mean, tril for triu."""

    def mutation_positions(self, node: NodeOrLeaf) -> Positions:
        if isinstance(node, Name) and node.value in OPPOSITE:
            yield node.start_pos, node.end_pos

    def mutate(self, node: Name, index: int) -> Name:
        return Name(OPPOSITE[node.value], node.start_pos, prefix=node.prefix)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example("x.amax()", "x.amin()"), Example("x.mean()", "x.sum()"))


class MatrixProduct(Operator):
    """`a @ b` as `a * b`, and `a * b` as `a @ b`."""

    OTHER = {"@": "*", "*": "@"}

    def mutation_positions(self, node: NodeOrLeaf) -> Positions:
        if node.type == "operator" and node.value in self.OTHER and node.parent.type == "term":
            yield node.start_pos, node.end_pos

    def mutate(self, node: NodeOrLeaf, index: int) -> NodeOrLeaf:
        node.value = self.OTHER[node.value]
        return node

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example("a @ b", "a * b"), Example("a * b", "a @ b"))


def _keyword(node: NodeOrLeaf) -> str | None:
    """The name in `name=value` among the arguments of a call; None for anything else."""
    if node.type != "argument" or len(node.children) != 3 or node.children[1].get_code().strip() != "=":
        return None
    return node.children[0].value


OWN = (OtherAxis, DropStatement, DropKeyword, SwapArguments, OppositeName, MatrixProduct)
