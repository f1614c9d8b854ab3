"""W, the student process: runs the cells of one submission and answers the checker's calls. It ends with its socket.

Everything in here belongs to the student once the first cell has run: nothing that it says is believed.
"""

from __future__ import annotations

import contextlib
import io
import random
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import torch

from grader.referee.errors import as_data
from grader.referee.link import Link
from grader.referee.reading import read_cells
from grader.referee.values import Reader, Writer
from grader.referee.wire import Channel, Malformed

PRINTED_SENT = 500  # characters of what one call printed
PRINTED_KEPT = 64_000


class Printed(io.TextIOBase):
    """Stands for stdout and stderr: keeps a beginning, counts the rest."""

    def __init__(self) -> None:
        self.kept, self.total = "", 0

    def write(self, text: str) -> int:
        self.total += len(text)
        if len(self.kept) < PRINTED_KEPT:
            self.kept += str(text[: PRINTED_KEPT - len(self.kept)])
        return len(text)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        raise io.UnsupportedOperation("no descriptor")


class StudentLink(Link):
    """W's end. `shell` is the IPython shell whose name space the cells share."""

    def __init__(self, channel: Channel, shell: Any):
        super().__init__(channel)
        self.shell = shell
        self.printed = Printed()
        self._objects: list[Any] = []
        self._before = b""

    def own(self, value: Any) -> dict:
        if isinstance(value, RemoteFunction):
            return {"k": "yours", "id": value.number}
        if isinstance(value, ModuleType):
            return {"k": "import", "name": value.__name__}
        self._objects.append(value)
        handle = {"id": len(self._objects) - 1, "name": _name_of(value)}
        if isinstance(value, type):
            return {"k": "class", "torch": issubclass(value, torch.nn.Module), **handle}
        if isinstance(value, torch.nn.Module):
            return {"k": "module", "train": value.training, **handle}
        return {"k": "function" if callable(value) else "object", **handle}

    def resolve(self, tree: dict) -> Any:
        if tree.get("k") == "theirs":
            return RemoteFunction(self, tree["id"])
        return self.target(tree)

    def target(self, tree: dict) -> Any:
        return self._objects[tree["id"]]

    def extra_leaves(self, head: dict, target: Callable) -> list[torch.Tensor]:
        if not head.get("params"):
            return []
        own = dict(target.named_parameters())
        return [own[name] for name in head["params"]]

    @contextlib.contextmanager
    def around_call(self, head: dict) -> Iterator[None]:
        if "seed" in head:
            torch.manual_seed(head["seed"])
        self._before = torch.get_rng_state().numpy().tobytes()
        self.printed = sys.stdout = sys.stderr = Printed()
        yield

    def after_call(self, head: dict) -> dict:
        drew = torch.get_rng_state().numpy().tobytes() != self._before
        return {"printed": self.printed.kept[:PRINTED_SENT], "drew": drew}

    def serve(self, head: dict, blobs: list[bytearray]) -> tuple[dict, list]:
        served = getattr(self, f"_serve_{head['op']}", None)
        if served is None:
            raise Malformed(f"a request that is not known: {head['op']!r:.40}")
        return served(head, blobs)

    def _serve_read(self, head: dict, blobs: list[bytearray]) -> tuple[dict, list]:
        return {"cells": read_cells(bytes(blobs[0]))}, []

    def _serve_run(self, head: dict, blobs: list[bytearray]) -> tuple[dict, list]:
        """Run one cell. What it raises is the answer, not an error of this request."""
        self.printed = sys.stdout = sys.stderr = Printed()
        outcome = self.shell.run_cell(head["text"], store_history=False)
        error = outcome.error_before_exec or outcome.error_in_exec
        failed = {"raised": as_data(error)} if error is not None else {}
        return {"printed": self.printed.kept[:PRINTED_SENT], "total": self.printed.total, **failed}, []

    def _serve_fetch(self, head: dict, blobs: list[bytearray]) -> tuple[dict, list]:
        """The value of a name, if the cells have bound it."""
        if head["name"] not in self.shell.user_ns:
            return {"missing": True}, []
        return self._written(self.shell.user_ns[head["name"]])

    def _serve_attr(self, head: dict, blobs: list[bytearray]) -> tuple[dict, list]:
        return self._written(getattr(self._objects[head["id"]], head["name"]))

    def _serve_item(self, head: dict, blobs: list[bytearray]) -> tuple[dict, list]:
        key = Reader(blobs, self.resolve).read(head["key"])
        return self._written(self._objects[head["id"]][key])

    def _serve_len(self, head: dict, blobs: list[bytearray]) -> tuple[dict, list]:
        return self._written(len(self._objects[head["id"]]))

    def _serve_state(self, head: dict, blobs: list[bytearray]) -> tuple[dict, list]:
        """The parameters and buffers of a module, in the order of its state_dict."""
        module = self._objects[head["id"]]
        trained = dict(module.named_parameters(remove_duplicate=False))
        rows = [[name, value.detach(), name in trained] for name, value in module.state_dict().items()]
        fixed = [name for name, parameter in trained.items() if not parameter.requires_grad]
        return self._written([rows, fixed, module.training])

    def _serve_load(self, head: dict, blobs: list[bytearray]) -> tuple[dict, list]:
        """New values for some parameters and buffers, and the mode."""
        module = self._objects[head["id"]]
        state = module.state_dict(keep_vars=True)
        with torch.no_grad():
            for name, value in Reader(blobs, self.resolve).read(head["state"]):
                state[name].copy_(value)
        module.train(head["train"])
        return {}, []

    def _serve_modules(self, head: dict, blobs: list[bytearray]) -> tuple[dict, list]:
        return {"names": sorted(sys.modules)}, []

    def _written(self, value: Any) -> tuple[dict, list]:
        writer = Writer(self.own)
        return {"v": writer.write(value)}, writer.blobs


class RemoteFunction:
    """A function of the checker's, handed to the student's code as an argument (a bug hunt's implementation)."""

    __name__ = __qualname__ = "implementation"

    def __init__(self, link: StudentLink, number: int):
        self.link, self.number = link, number

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.link.call({"id": self.number}, args, kwargs)


def _name_of(value: Any) -> str:
    name = getattr(value, "__name__", None)
    return name[:100] if type(name) is str else type(value).__name__[:100]


def serve(channel: Channel, shell: Any) -> None:
    """Answer until the checker hangs up."""
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    link = StudentLink(channel, shell)
    while True:
        head, blobs = channel.receive()
        link.answer(head, blobs)
