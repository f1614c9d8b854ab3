"""What a capture found: a list of sites, a table to read, and records to draw."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from attnlab.capture import groups
from attnlab.capture.labels import fitting_grid, fitting_labels
from attnlab.capture.mode import Watching, fast_paths_open, nothing_compiled
from attnlab.capture.observer import Observer
from attnlab.capture.site import Site
from attnlab.viz.record import AttentionRecord, Grid

_ATTENTIVE = re.compile(r"attention|attn", re.IGNORECASE)


class Unread(NamedTuple):
    """A module that is called attention, ran, and showed none; and why."""

    where: str
    module: str
    why: str


class Trace:
    """A context manager: what runs of the model inside the block is captured. See `capture`.

    sites: every attention and gate, in the order of the calls. output: what the model returned last.
    """

    def __init__(self, model: Any, keep_vectors: bool = True):
        if not callable(model):
            raise TypeError(f"Expected a model to capture, a torch module or a function; got {type(model).__name__}.")
        self.model = model
        self._observer = Observer(model, keep_vectors)
        self._open: ExitStack | None = None
        self._returned: Any = None

    def __enter__(self) -> Trace:
        if self._open is not None:
            raise RuntimeError("This capture is already running. Make another one with capture(model).")
        with ExitStack() as stack:
            stack.callback(self._observer.places.stop)
            self._observer.places.start()
            stack.enter_context(nothing_compiled())
            stack.enter_context(fast_paths_open())
            stack.enter_context(Watching(self._observer.watch))
            self._open = stack.pop_all()
        return self

    def __exit__(self, *raised: Any) -> None:
        stack, self._open = self._open, None
        stack.__exit__(*raised)

    def run(self, inputs: tuple, named: dict) -> Trace:
        """Call the model once, inside the block."""
        with self:
            self._returned = self.model(*inputs, **named)
        return self

    # ------------------------------------------------------------------ what was found

    @property
    def sites(self) -> list[Site]:
        return self._observer.sites

    @property
    def output(self) -> Any:
        returned = self._observer.places.output
        return self._returned if returned is None else returned

    @property
    def unread(self) -> list[Unread]:
        found = {}
        for visit in self._observer.places.visits:
            kind = type(visit.module).__name__
            if _ATTENTIVE.search(kind) and not visit.sites and visit.path not in found:
                found[visit.path] = Unread(visit.path, kind, _why_unread(visit))
        return list(found.values())

    def record(
        self,
        where: str | None = None,
        kind: str | None = None,
        item: int = 0,
        labels: Any = None,
        query_labels: Any = None,
        key_labels: Any = None,
        grid: Grid | None = None,
        query_grid: Grid | None = None,
        key_grid: Grid | None = None,
        call: int | None = None,
    ) -> AttentionRecord:
        """One item of the batch as a record; sites of one shape and kind are its layers, in the order of the calls.

        where: a part of the module path, such as "decoder". kind: "self", "cross" or "gate". call: which run of the
            model, if it ran several times. Together they must leave one group of sites.
        labels, or query_labels and key_labels: a text for each; or a Hugging Face tokenizer, which is then asked for
            the words of the token ids that the model was given. For a gate, names of its channels.
        grid, or query_grid and key_grid: where the tokens lie in a picture. Without one the model's patch size and
            the size of its picture are used, if they explain every token.
        A gate has all items of the batch as its queries; `item` is for attention.

        Raises ValueError if nothing was found, if several groups match, and for an item that is not in the batch.
        """
        group = self._one_group(where, kind, call)
        labels = {"query": labels if query_labels is None else query_labels, "key": key_labels, "both": labels}
        grids = {"query": query_grid, "key": key_grid, "both": grid}
        return self._record(group, item, labels, grids)

    def records(self, item: int = 0) -> list[AttentionRecord]:
        """A record of every group of sites."""
        nothing = dict.fromkeys(("query", "key", "both"))
        return [self._record(group, item, nothing, nothing) for group in groups.of(self.sites)]

    def _record(self, group: groups.Group, item: int, labels: dict, grids: dict) -> AttentionRecord:
        if group.kind == "gate":
            items = labels["query"] if labels["both"] is None else None
            return group.gate(items=items, labels=labels["both"] if labels["key"] is None else labels["key"])
        arguments = self._observer.places.arguments
        inputs = arguments[group.call] if group.call < len(arguments) else ((), {})
        sides = {}
        for side, size in (("query", group.n_queries), ("key", group.n_keys)):
            names, grid = labels[side], grids[side]
            if group.kind == "cross" and side == "key" and names is None:
                names = labels["both"]
            if grid is None and grids["both"] is not None and (group.kind == "self" or grids["both"].size == size):
                grid = grids["both"]  # between two sequences one grid goes to the side that it fits
            names = fitting_labels(names, size, side, group, inputs, item)
            if grid is None and names is None:
                grid = fitting_grid(self.model, group, size, inputs)
            sides |= {f"{side}_labels": names, f"{side}_grid": grid}
        return group.attention(item, **sides)

    def _one_group(self, where: str | None, kind: str | None, call: int | None) -> groups.Group:
        everything = groups.of(self.sites)
        if not everything:
            raise ValueError(str(self))
        if kind not in (None, "self", "cross", "gate"):
            raise ValueError(f'Expected kind "self", "cross" or "gate", got {kind!r}.')
        matching = [
            site
            for site in self.sites
            if (where is None or where in site.where or where in groups.pattern(site.where))
            and kind in (None, site.kind)
            and call in (None, site.call)
        ]
        fitting = groups.of(matching)
        if len(fitting) == 1:
            return fitting[0]
        if not fitting:
            asked = _asked(where=where, kind=kind, call=call)
            raise ValueError(f"Nothing matches {asked}. Found were:\n{groups.listed(everything)}")
        raise ValueError(
            f"{len(fitting)} groups of sites match; a record holds one.\n{groups.listed(fitting)}\n"
            "Choose with where= (a part of the path), kind= or call=, or take all with trace.records()."
        )

    # ------------------------------------------------------------------ in words

    def __str__(self) -> str:
        return "\n".join([*self._found_lines(), *self._unread_lines()])

    __repr__ = __str__

    def _found_lines(self) -> list[str]:
        if not self.sites:
            return [self._nothing()]
        header = ("where", "kind", "heads", "queries x keys", "batch", "seen as", "hidden")
        rows = [_row(site) for site in self.sites]
        widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
        lines = [_aligned(row, widths) for row in [header, *rows]]
        calls = {site.call for site in self.sites}
        several = f", in {len(calls)} calls of the model" if len(calls) > 1 else ""
        number = f"{len(self.sites)} site{'s' if len(self.sites) > 1 else ''}"
        return [f"{number} of attention{several}:", *lines]

    def _unread_lines(self) -> list[str]:
        if not self.unread:
            return []
        lines = [f"  {one.where or 'the model itself'} ({one.module}): {one.why}" for one in self.unread]
        return ["", f"Called attention, but none was seen in {len(lines)}:", *lines]

    def _nothing(self) -> str:
        places = self._observer.places
        if not places.visits or (places.here and not places.here.ran):
            return (
                "No attention was captured: the model did not run inside the block. Call it there, as model(...); "
                "model.forward(...) and copies of the model pass unseen."
            )
        whys = list(dict.fromkeys(why for visit in places.visits for why in visit.why))
        ran = set().union(*(visit.ran for visit in places.visits)) if places.visits else set()
        lines = [f"No attention was captured, in {len(places.visits)} calls of modules and {len(ran)} functions."]
        lines += [f"Seen, and not taken for attention: {why}." for why in whys]
        lines.append(
            "Attention is known by a table whose rows sum to one and that is multiplied with values, or by torch's own "
            "attention functions. A scripted or exported model and kernels of other libraries (FlashAttention, "
            "xFormers) show neither: run the model as it was written, and choose the plain implementation "
            '(Hugging Face: attn_implementation="eager" or "sdpa").'
        )
        return "\n".join(lines)


def _asked(**filters: Any) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in filters.items() if value is not None)


def _aligned(cells: Sequence[str], widths: list[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _row(site: Site) -> Sequence[str]:
    where, batch = site.where or "(the model)", str(site.batch)
    if site.kind == "gate":
        return where, "gate", "", f"{site.over}: {' x '.join(map(str, site.weights.shape[1:]))}", batch, site.seen, ""
    hidden = "" if site.mask is None else f"{100 * (~site.mask).float().mean().item():.0f} %"
    return where, site.kind, str(site.heads), f"{site.n_queries} x {site.n_keys}", batch, site.seen, hidden


def _why_unread(visit: Any) -> str:
    if visit.why:
        return "; ".join(visit.why)
    if not visit.ran:
        return "no torch function was seen inside; it is scripted, exported or a kernel of its own"
    return "no table whose rows sum to one was multiplied with values; perhaps a kernel of its own did it"
