"""Calls across the gap, the same from both ends: values go over by copy, gradients by a second call.

A function that lives on the other side is called with `Link.call`. What it returns is differentiable here where it was
there: the other side keeps the graph, and this side's backward pass asks it for the vector-Jacobian product.
"""

from __future__ import annotations

import itertools
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from grader.referee.errors import as_data, raised
from grader.referee.values import Reader, Writer
from grader.referee.wire import Channel, Gone, Malformed

GRAPHS_KEPT = 256  # the newest; a test that goes back further than that gets an error that says so


class Link:
    """One end. Subclasses say what a handle is on their side (`own`, `resolve`, `target`), and what they serve."""

    write_back = False  # does what the other side changed in place change here?
    seconds: float | None = None  # how long one answer may take
    passing: tuple[type[BaseException], ...] = ()  # what served code may raise to end this side's own work

    def __init__(self, channel: Channel):
        self.channel = channel
        self._graphs: OrderedDict[int, tuple[list[torch.Tensor], list[torch.Tensor]]] = OrderedDict()
        self._numbers = itertools.count(1)
        self._owed = self._serving = 0  # answers that are waited for; requests of the other side that are being served

    # What subclasses fill in.

    def own(self, value: Any) -> dict:
        """The handle under which the other side may name this value."""
        raise NotImplementedError

    def resolve(self, tree: dict) -> Any:
        """What stands here for a handle of the other side. Raises Malformed for one that is not known."""
        raise NotImplementedError

    def target(self, tree: dict) -> Callable:
        """What the other side may call under this name. Raises Malformed for what it may not."""
        raise NotImplementedError

    def extra_leaves(self, head: dict, target: Callable) -> list[torch.Tensor]:
        """Tensors besides the arguments that the caller wants gradients for: a module's parameters."""
        return []

    def serve(self, head: dict, blobs: list[bytearray]) -> tuple[dict, list]:
        """The answer to a request that is neither a call nor a backward pass."""
        raise Malformed(f"a request that is not known: {head.get('op')!r:.40}")

    def around_call(self, head: dict) -> AbstractContextManager:
        return nullcontext()

    def after_call(self, head: dict) -> dict:
        """What else the answer to a call says."""
        return {}

    def after_answer(self, answer: dict) -> None:
        """Look at what else the answer to a call said."""

    # Asking.

    def ask(self, head: dict, blobs: Sequence = ()) -> tuple[dict, list[bytearray]]:
        """Send a request and wait for its answer; serve what the other side asks meanwhile. Raises its error."""
        if self._owed > self._serving:
            raise Gone("interrupted")  # an answer is still under way that nobody waits for any more
        self._owed += 1
        try:
            answer, blobs = self._exchange(head, blobs)
        except (Gone, Malformed):
            self._owed -= 1
            raise
        self._owed -= 1
        if "error" in answer:
            raise raised(answer["error"])
        return answer, blobs

    def _exchange(self, head: dict, blobs: Sequence) -> tuple[dict, list[bytearray]]:
        deadline = None if self.seconds is None else time.monotonic() + self.seconds
        self.channel.send(head, blobs, deadline)
        while True:
            answer, blobs = self.channel.receive(deadline)
            if "r" in answer:
                return answer, blobs
            self.answer(answer, blobs)

    @property
    def broken(self) -> Exception | None:
        """Why nothing more can be asked; None while it can."""
        return self.channel.broken or (Gone("interrupted") if self._owed > self._serving else None)

    def read(self, answer: dict, blobs: list[bytearray]) -> Any:
        """The value of an answer."""
        return Reader(blobs, self.resolve).read(answer.get("v"))

    def call(self, target: dict, args: tuple, kwargs: dict, more: dict | None = None, leaves: Sequence = ()) -> Any:
        """Call `target` over there. `more` joins the head, `leaves` (a module's parameters) get gradients too."""
        writer = Writer(self.own)
        tree = {"args": writer.write(tuple(args)), "kw": writer.write(dict(kwargs))}
        grads = torch.is_grad_enabled()
        head = {"op": "call", "f": target, "n": next(self._numbers), "grads": grads, **tree, **(more or {})}
        answer, blobs = self.ask(head, writer.blobs)
        self.after_answer(answer)
        reader = Reader(blobs, self.resolve)
        result = _Pending(reader.read(answer.get("v")), reader.tensors, reader.flags)
        if self.write_back:
            _write_back(answer.get("changed", []), reader, writer.tensors)
        inputs = [tensor for tensor in writer.tensors if tensor.requires_grad] + list(leaves)
        if grads and inputs and any(result.flags):
            return result.with_tensors(_Call.apply(self, head["n"], result, *inputs))
        return result.value

    # Answering.

    def answer(self, head: dict, blobs: list[bytearray]) -> None:
        """Serve one request; whatever the served code raises becomes the answer."""
        self._serving += 1
        try:
            served = {"call": self._serve_call, "vjp": self._serve_vjp}.get(head.get("op"), self.serve)
            reply, out = served(head, blobs)
            self.channel.send({"r": 1, **reply}, out)
        except BaseException as error:
            if self.channel.broken is not None or isinstance(error, self.passing):
                raise
            self.channel.send({"r": 1, "error": as_data(error)})
        finally:
            self._serving -= 1

    def _serve_call(self, head: dict, blobs: list[bytearray]) -> tuple[dict, list]:
        reader = Reader(blobs, self.resolve, grads=True)
        args, kwargs = reader.read(head.get("args")), reader.read(head.get("kw"))
        function = self.target(head.get("f"))
        leaves = [t for t in reader.tensors if t.requires_grad] + self.extra_leaves(head, function)
        versions = [tensor._version for tensor in reader.tensors]
        with self.around_call(head), torch.set_grad_enabled(head.get("grads") is True):
            result = function(*args, **kwargs)
        writer = Writer(self.own)
        reply = {"v": writer.write(result)}
        outputs = list(writer.tensors)
        if leaves and any(output.requires_grad for output in outputs):
            self._keep(head["n"], outputs, leaves)
        touched = [i for i, tensor in enumerate(reader.tensors) if tensor._version != versions[i]]
        reply["changed"] = [[i, writer.write(reader.tensors[i].detach())] for i in touched]
        return reply | self.after_call(head), writer.blobs

    def _keep(self, number: int, outputs: list, leaves: list) -> None:
        self._graphs[number] = outputs, leaves
        while len(self._graphs) > GRAPHS_KEPT:
            self._graphs.popitem(last=False)

    def forget(self) -> None:
        """Let go of all graphs: the next exercise begins."""
        self._graphs.clear()

    def _serve_vjp(self, head: dict, blobs: list[bytearray]) -> tuple[dict, list]:
        if head.get("n") not in self._graphs:
            raise RuntimeError(f"Only the newest {GRAPHS_KEPT} calls can be differentiated. Call .backward() sooner.")
        outputs, leaves = self._graphs[head["n"]]
        grads = Reader(blobs, self.resolve).read(head.get("grads"))
        pairs = [
            (out, grad) for out, grad in zip(outputs, grads, strict=True) if grad is not None and out.requires_grad
        ]
        found: Sequence[torch.Tensor | None] = [None] * len(leaves)
        if pairs and leaves:
            found = torch.autograd.grad(_weighted_sum(pairs), leaves, retain_graph=True, allow_unused=True)
        writer = Writer(self.own)
        return {"v": writer.write([None if g is None else g.detach() for g in found])}, writer.blobs

    def backward(self, number: int, grads: Sequence[torch.Tensor | None], inputs: Sequence[torch.Size]) -> list:
        """The gradients of one call's inputs, from the other side. Raises Malformed for wrong shapes."""
        writer = Writer(self.own)
        tree = writer.write([None if grad is None else grad.detach() for grad in grads])
        answer, blobs = self.ask({"op": "vjp", "n": number, "grads": tree}, writer.blobs)
        found = self.read(answer, blobs)
        if not isinstance(found, list) or len(found) != len(inputs):
            raise Malformed("other gradients than were asked for")
        for grad, shape in zip(found, inputs, strict=True):
            if grad is not None and (not isinstance(grad, torch.Tensor) or grad.shape != shape):
                raise Malformed("a gradient of another shape than its input")
        return found


def _weighted_sum(pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    """A number whose gradient is the vector-Jacobian product. Weights handed to autograd itself would make torch
    import sympy first, half a second in every nursery. Raises RuntimeError where a weight has another shape."""
    if any(out.shape != weight.shape for out, weight in pairs):
        raise RuntimeError("Expected a gradient of the shape of its output.")  # it would be broadcast, at any size
    with torch.enable_grad():  # it may be asked for in the middle of another gradient
        return sum(torch.real(out * w.conj()).sum() if out.is_complex() else (out * w).sum() for out, w in pairs)


class _Pending:
    """A result whose tensors are exchanged for the differentiable ones."""

    def __init__(self, value: Any, tensors: list[torch.Tensor], flags: list[bool]):
        self.value, self.tensors, self.flags = value, tensors, flags

    def with_tensors(self, tensors: Sequence[torch.Tensor]) -> Any:
        new = {id(old): tensor for old, tensor in zip(self.tensors, tensors, strict=True)}
        return _exchanged(self.value, new)


def _exchanged(value: Any, new: dict[int, torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        return new[id(value)]
    if type(value) in (list, tuple):
        return type(value)(_exchanged(item, new) for item in value)
    if type(value) is dict:
        return {key: _exchanged(item, new) for key, item in value.items()}
    return value


def _write_back(changed: Any, reader: Reader, sent: list[torch.Tensor]) -> None:
    if not isinstance(changed, list):
        raise Malformed("expected a list of changed inputs")
    for place, tree in changed:
        value = reader.read(tree)
        mine = sent[place]
        if not isinstance(value, torch.Tensor) or value.shape != mine.shape or value.dtype != mine.dtype:
            raise Malformed("a changed input that is none")
        mine.detach().copy_(value)


class _Call(torch.autograd.Function):
    """A call that has happened over there, as a node of this side's graph."""

    @staticmethod
    def forward(ctx, link: Link, number: int, pending: _Pending, *inputs: torch.Tensor):
        ctx.link, ctx.number, ctx.shapes = link, number, [tensor.shape for tensor in inputs]
        ctx.wanted = len(pending.tensors)
        ctx.set_materialize_grads(False)
        outputs = tuple(tensor.detach().view_as(tensor) for tensor in pending.tensors)
        still = [out for out, flag in zip(outputs, pending.flags, strict=True) if not flag]
        ctx.mark_non_differentiable(*still)
        return outputs

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, *grads: torch.Tensor | None):
        return None, None, None, *ctx.link.backward(ctx.number, grads, ctx.shapes)
