"""One place and moment at which attention, or a gate, was seen."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(eq=False)
class Site:
    """What one call computed.

    where: path of the module it ran in. kind: "self", "cross" or "gate". seen: the function that gave it away.
    weights: (batch, heads, queries, keys); for a gate (batch, *its own axes).
    mask: boolean, True = may be seen, like the weights; None where nothing is known to be hidden.
    queries, keys: (batch, heads, number, width), and scale, where a fused call was given them; else None.
    over: for a gate "channel", "space", "time" or "space-time".
    call: how many times the model had been called before, within this capture.
    """

    where: str
    kind: str
    seen: str
    weights: Tensor
    mask: Tensor | None = None
    queries: Tensor | None = None
    keys: Tensor | None = None
    scale: float | None = None
    over: str = ""
    call: int = 0

    @property
    def batch(self) -> int:
        return self.weights.shape[0]

    @property
    def heads(self) -> int:
        return 1 if self.kind == "gate" else self.weights.shape[1]

    @property
    def n_queries(self) -> int:
        return self.batch if self.kind == "gate" else self.weights.shape[2]

    @property
    def n_keys(self) -> int:
        return self.weights[0].numel() if self.kind == "gate" else self.weights.shape[3]

    def __repr__(self) -> str:
        sizes = f"over {self.over}" if self.kind == "gate" else f"{self.heads} heads"
        where = self.where or "the model itself"
        return f"Site({where}: {self.kind}, {sizes}, {self.n_queries} x {self.n_keys}, batch {self.batch})"
