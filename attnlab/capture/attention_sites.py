"""From a call or a table to a site: which axes are items of the batch and heads, and what attends to what."""

from __future__ import annotations

from torch import Tensor

from attnlab.capture.fused import Weights
from attnlab.capture.lineage import Lineage, Node, backwards, maker_of, product_of, roots, same_source
from attnlab.capture.site import Site
from attnlab.capture.where import Visit


def of_call(name: str, found: Weights, lineage: Lineage, here: Visit) -> Site:
    """The site of a fused call."""
    query, key = (lineage.node(tensor) for tensor in found.of)
    projects = name != "scaled_dot_product_attention"  # the others are given what they project themselves
    since = [visit.start for visit in here.outwards()]
    lead = _lead(found.weights.shape, (query,), (query,))
    hides = found.hidden is not None and found.hidden.any()
    return Site(
        here.path,
        _kind(found.weights, same_source(query, key, since, projects)),
        name.lstrip("_"),
        _four(found.weights, lead),
        mask=_four(~found.hidden.expand_as(found.weights), lead) if hides else None,
        queries=_vectors(found.queries, found.weights, lead),
        keys=_vectors(found.keys, found.weights, lead),
        scale=found.scale,
    )


def of_table(name: str, table: Tensor, node: Node, here: Visit) -> Site:
    """The site of a table (..., queries, keys) that was multiplied with values."""
    since = [visit.start for visit in here.outwards()]
    product = product_of(node)
    if product is None:
        same = len(roots(node, since[0])) < 2
    else:
        same = same_source(*product, since)
    lead = _lead(table.shape, (node, *(product or ())), product or (node,))
    seen = table != 0
    if not node.masked:  # a zero may be a weight that is small; a row of zeros may see nothing
        seen = seen.any(dim=-1, keepdim=True).expand_as(table)
    mask = None if seen.all() else _four(seen, lead)
    return Site(place_of(node, here), _kind(table, same), _how(name, node), _four(table, lead).clone(), mask)


def place_of(node: Node, here: Visit) -> str:
    """The path of the module that made the weights; a module that only is a softmax or sigmoid is no place."""
    maker = maker_of(node)
    for visit in maker.visit.outwards() if maker and maker.visit else ():
        kind = type(visit.module)
        if not kind.__module__.startswith("torch.nn") and not kind.__name__.lower().endswith(("softmax", "sigmoid")):
            return visit.path
    return here.path


def _how(name: str, node: Node) -> str:
    """The softmax that made the table; for one made by hand the product it was used in."""
    maker = maker_of(node)
    if maker is not None and "softmax" in maker.name:
        return maker.name
    return f"rows that sum to 1, in {name.strip('_')}"


def _kind(weights: Tensor, same: bool) -> str:
    return "self" if same and weights.shape[-2] == weights.shape[-1] else "cross"


def _four(table: Tensor, lead: tuple[int, int]) -> Tensor:
    return table.detach().reshape(*lead, *table.shape[-2:])


def _vectors(vectors: Tensor | None, weights: Tensor, lead: tuple[int, int]) -> Tensor | None:
    if vectors is None:
        return None
    return _four(vectors.expand(*weights.shape[:-2], *vectors.shape[-2:]), lead).clone()


def _lead(shape: tuple[int, ...], nodes: tuple[Node, ...], vectors: tuple[Node, ...]) -> tuple[int, int]:
    """How many items and heads stand before (queries, keys).

    One axis may be either, or both in one. What tells: an earlier shape in which they were apart, else the sequence
    that the queries were projected from.
    """
    *lead, queries, _ = shape
    if not lead:
        return 1, 1
    if len(lead) > 1:
        return lead[0], _size(lead[1:])
    together = lead[0]
    for node in nodes:
        for earlier in backwards(node, ("view", "step")):
            apart = _apart(earlier.shape, together, queries)
            if apart:
                return apart
    for node in vectors:
        items = _items(node, queries)
        if items and together % items == 0:
            return items, together // items
    return together, 1


def _size(sizes: list[int]) -> int:
    total = 1
    for size in sizes:
        total *= size
    return total


def _apart(shape: tuple[int, ...], together: int, queries: int) -> tuple[int, int] | None:
    """(batch, heads, queries, width) or (batch, queries, heads, width), with batch x heads the axis in question."""
    if len(shape) != 4:
        return None
    for heads, places in ((1, 2), (2, 1)):
        if shape[0] * shape[heads] == together and shape[places] == queries:
            return shape[0], shape[heads]
    return None


def _items(node: Node, queries: int) -> int | None:
    """The batch of the sequence behind this: (queries, width), (batch, queries, width) or (queries, batch, width)."""
    for found in backwards(node, ("view", "step", "project")):
        if found.op in ("view", "step", "product") or not found.real:
            continue
        if len(found.shape) == 2 and found.shape[0] == queries:
            return 1
        if len(found.shape) == 3 and queries in found.shape[:2]:
            return found.shape[0] if found.shape[1] == queries else found.shape[1]
    return None
