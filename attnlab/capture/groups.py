"""Sites that belong together: of one shape and kind, in places that differ by a number only. They become layers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch

from attnlab.capture.site import Site
from attnlab.viz.record import AttentionRecord


@dataclass
class Group:
    """Layers of one record, in the order of the calls."""

    where: str
    sites: list[Site]

    @property
    def kind(self) -> str:
        return self.sites[0].kind

    @property
    def call(self) -> int:
        return self.sites[0].call

    @property
    def n_queries(self) -> int:
        return self.sites[0].n_queries

    @property
    def n_keys(self) -> int:
        return self.sites[0].n_keys

    @property
    def source(self) -> list[str]:
        return [site.where or "the model" for site in self.sites]

    def attention(self, item: int, **sides: Any) -> AttentionRecord:
        batch = self.sites[0].batch
        if not 0 <= item < batch:
            raise ValueError(f"Expected item between 0 and {batch - 1}, got {item}: the batch has {batch}.")
        stacked = {
            name: _stack([getattr(site, name) for site in self.sites], item) for name in ("weights", "queries", "keys")
        }
        if any(site.mask is not None for site in self.sites):
            stacked["mask"] = _stack([_visible(site) for site in self.sites], item)
        scales = {site.scale for site in self.sites}
        scale = scales.pop() if len(scales) == 1 else None
        return AttentionRecord(kind=self.kind, source=self.source, scale=scale, **stacked, **sides)

    def gate(self, **names: Any) -> AttentionRecord:
        values = torch.stack([site.weights for site in self.sites])
        return AttentionRecord.gate(values, over=self.sites[0].over, source=self.source, **names)


def _visible(site: Site) -> torch.Tensor:
    return torch.ones_like(site.weights, dtype=torch.bool) if site.mask is None else site.mask


def _stack(tensors: list[Any], item: int) -> Any:
    if any(tensor is None for tensor in tensors) or len({tensor.shape[1:] for tensor in tensors}) > 1:
        return None
    return torch.stack([tensor[item] for tensor in tensors])


def of(sites: list[Site]) -> list[Group]:
    """All groups, ordered by their first site."""
    found: dict[tuple, list[Site]] = {}
    for site in sites:
        shape = tuple(site.weights.shape)
        found.setdefault((site.call, pattern(site.where), site.kind, site.over, shape), []).append(site)
    return [Group(key[1], _steps(members)) for key, members in found.items()]


def pattern(path: str) -> str:
    """ "encoder.layers.3.attn" -> "encoder.layers.*.attn" """
    return re.sub(r"(?<=\.)\d+(?=\.|$)|^\d+(?=\.|$)", "*", path)


def _steps(sites: list[Site]) -> list[Site]:
    """A decoder that asks with one query at a time, in one module: its steps are the queries of one layer."""
    first = sites[0]
    if len(sites) < 2 or first.kind == "gate" or first.n_queries > 1 or len({site.where for site in sites}) > 1:
        return sites
    mask = None
    if any(site.mask is not None for site in sites):
        mask = torch.cat([_visible(site) for site in sites], dim=2)
    weights = torch.cat([site.weights for site in sites], dim=2)
    return [Site(first.where, "cross", first.seen, weights, mask, call=first.call)]


def listed(groups: list[Group]) -> str:
    """One line for each group: what to write in where=, kind= and call=."""
    calls = len({group.call for group in groups}) > 1
    return "\n".join(
        f'  kind="{group.kind}", where="{group.where}"'
        + (f" ({len(group.sites)} layers)" if len(group.sites) > 1 else "")
        + (f", call={group.call}" if calls else "")
        + (f", over {group.sites[0].over}" if group.kind == "gate" else f": {group.n_queries} x {group.n_keys}")
        for group in groups
    )
