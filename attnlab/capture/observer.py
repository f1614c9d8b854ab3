"""Looks at each torch function that runs, and puts what is attention on the list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from attnlab.capture import attention_sites, mixing
from attnlab.capture.fused import FUSED
from attnlab.capture.gates import gate_of
from attnlab.capture.lineage import VIEWS, Lineage, Node, maker_of, shape, tensors
from attnlab.capture.mode import unseen
from attnlab.capture.site import Site
from attnlab.capture.where import Places


class Observer:
    """Fills `sites` while a model runs."""

    def __init__(self, model: Any, keep_vectors: bool):
        buffers = model.buffers() if isinstance(model, nn.Module) else ()
        self.lineage = Lineage(buffers, lambda: self.places.here)
        self.places = Places(model, lambda: self.lineage.serial)
        self.sites: list[Site] = []
        self._keep_vectors = keep_vectors
        self._mixed: set[Node] = set()
        self._before_dropout = WeakTensorKeyDictionary()
        self._weighted = WeakTensorKeyDictionary()

    def watch(self, name: str, function: Callable, args: tuple, named: dict) -> Any:
        """Run the function as it is, and note what it was."""
        if self.places.here is None:
            return function(*args, **named)
        self.places.here.ran.add(name)
        whole = self._saved_from_dropout(name, args, named)
        result = function(*args, **named)
        with unseen():
            self._carefully(self._look, name, args, named, result)
            self._carefully(self.lineage.note, name, args, named, result)
            self._carefully(self._follow_dropout, name, function, whole, args, named, result)
        return result

    def _carefully(self, note: Callable, name: str, *rest: Any) -> None:
        try:
            note(name, *rest)
        except Exception as error:  # whatever we cannot read, the model must run
            self._refuse(f"{name} could not be read: {error}")

    def _look(self, name: str, args: tuple, named: dict, result: Any) -> None:
        if name in FUSED:
            self._add(attention_sites.of_call(name, FUSED[name](args, named, result), self.lineage, self.places.here))
            return
        for candidate in mixing.candidates(name, args, named):
            if self._look_at_table(name, candidate):
                return
        self._look_at_sum(name, args, named, result)
        gate = gate_of(name, args, named, self.lineage)
        if isinstance(gate, str):
            self._refuse(gate)
        elif gate is not None:
            where = attention_sites.place_of(gate.node, self.places.here)
            values = gate.values.detach().clone()
            self._add(Site(where, "gate", "sigmoid that multiplies features", values, over=gate.over), gate.node)

    def _look_at_table(self, name: str, candidate: mixing.Candidate) -> bool:
        """Add the operand if it is a table of weights, as it was before dropout. Whether it was one."""
        node = self.lineage.node(candidate.operand)
        table = candidate.arrange(self._before_dropout.get(candidate.operand, candidate.operand))
        if not mixing.is_table(table):
            return False
        reason = mixing.why_not(candidate, node, self.lineage.node(candidate.other), table)
        if reason:
            self._refuse(reason)
        elif node not in self._mixed:
            self._mixed.add(node)
            self._add(attention_sites.of_table(name, table, node, self.places.here), node)
        return reason is None

    def _look_at_sum(self, name: str, args: tuple, named: dict, result: Any) -> None:
        """weights * values, and then its sum over the keys."""
        found = mixing.weighted(name, args)
        if found and self.lineage.node(found[0]).soft:
            self._weighted[result] = (found[0], shape(found[1]))
        inputs = list(tensors((args, named)))
        if name == "sum" and inputs and inputs[0] in self._weighted:
            candidate = mixing.summed(*self._weighted[inputs[0]], args, named)
            if candidate:
                self._look_at_table("sum", candidate)

    def _add(self, site: Site, node: Node | None = None) -> None:
        """Put it on the list, and tell the modules around, and those that made the weights, that they were read."""
        if not self._keep_vectors:
            site.queries = site.keys = None
        site.call = self.places.calls
        self.sites.append(site)
        maker = node and maker_of(node)
        visits = {id(visit): visit for visit in self.places.here.outwards()}
        if maker and maker.visit:
            visits |= {id(visit): visit for visit in maker.visit.outwards()}
        for visit in visits.values():
            visit.sites += 1

    def _refuse(self, why: str) -> None:
        for visit in self.places.here.outwards():
            if why not in visit.why:
                visit.why.append(why)

    # Dropout spoils the sum of the rows, so what it is given is remembered, and goes through the same views.

    def _saved_from_dropout(self, name: str, args: tuple, named: dict) -> Tensor | None:
        if name not in ("dropout", "dropout_"):
            return None
        whole = next(tensors((args, named)))
        in_place = name == "dropout_" or named.get("inplace", len(args) > 3 and args[3])
        return whole.detach().clone() if in_place else whole

    def _follow_dropout(
        self, name: str, function: Callable, whole: Tensor | None, args: tuple, named: dict, result: Any
    ) -> None:
        if whole is not None and result is not whole:
            self._before_dropout[result] = self._before_dropout.get(whole, whole).detach()
        elif name in VIEWS | {"masked_fill"} and isinstance(result, Tensor) and args and isinstance(args[0], Tensor):
            before = self._before_dropout.get(args[0])
            if before is not None:
                self._before_dropout[result] = function(before, *args[1:], **named)
