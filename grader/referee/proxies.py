"""C's end of the link, and what stands in the checker for the student's functions, classes, modules and objects.

Calling a proxy runs the student's code over there. What comes back is rebuilt here from bytes; no method of the
student's (`__eq__`, `__array__`, a tensor subclass's) ever runs in this process.
"""

from __future__ import annotations

import importlib
import re
import sys
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch

from attnlab.checks.limits import TimeUp
from grader.referee.link import Link
from grader.referee.values import Writer
from grader.referee.wire import Channel, Malformed

MAX_CALLBACK_BYTES = 1 << 16  # what the student's code may send to a function of ours, which may square it
MAX_PARAMETERS = 5000
_DOTTED = re.compile(r"[A-Za-z_]\w{0,99}|\d{1,6}", re.ASCII)


class CheckerLink(Link):
    """The checker's end. It serves calls of the functions that it passed as arguments, while that call lasts."""

    passing = (KeyboardInterrupt, TimeUp)
    seconds = 20.0

    def __init__(self, channel: Channel):
        super().__init__(channel)
        self.exposed: list[Callable] = []
        self.secret_seed: int | None = None  # the seed of this process's random stream, not to be told
        self._stream = b""

    def own(self, value: Any) -> dict:
        if isinstance(value, Proxy | _ModuleClass):
            return {"k": "yours", "id": value._remote}
        if not callable(value):
            raise TypeError(f"A {type(value).__name__} cannot be handed to a submission: tensors, numbers, text can.")
        self.exposed.append(value)
        return {"k": "theirs", "id": len(self.exposed) - 1}

    def resolve(self, tree: dict) -> Any:
        kind, name = tree.get("k"), tree.get("name")
        if kind == "yours":
            return self.target(tree)
        if kind == "import":
            return _loaded_module(name)
        number = tree.get("id")
        if type(number) is not int or not isinstance(name, str):
            raise Malformed("a handle that is none")
        name = name if name.isidentifier() else "answer"
        if kind == "class":
            return _module_class(name)(self, number) if tree.get("torch") is True else ClassProxy(self, number, name)
        if kind == "module":
            return MirrorModule._of(self, number)
        if kind == "function":
            return FunctionProxy(self, number, name)
        if kind == "object":
            return _object_class(name)(self, number, name)
        raise Malformed(f"a value of a kind that is not known: {kind!r:.40}")

    def target(self, tree: dict) -> Callable:
        number = tree.get("id") if isinstance(tree, dict) else None
        if type(number) is not int or not 0 <= number < len(self.exposed):
            raise Malformed("a function that was not handed over, or whose call is over")
        return self.exposed[number]

    def answer(self, head: dict, blobs: list[bytearray]) -> None:
        if head.get("op") not in ("call", "vjp") or sum(map(len, blobs)) > MAX_CALLBACK_BYTES:
            head = {"op": "too much"}
        super().answer(head, blobs)

    def run(self, handle: int, args: tuple, kwargs: dict, more: dict | None = None, leaves: tuple = ()) -> Any:
        """Call what the handle names. Functions handed over live as long as the call."""
        exposed = len(self.exposed)
        try:
            return self.call({"id": handle}, args, kwargs, {**(more or {}), **self._seed()}, leaves)
        finally:
            del self.exposed[exposed:]

    def get(self, head: dict) -> Any:
        """A value by request."""
        return self.read(*self.ask(head))

    def _seed(self) -> dict:
        """Make the other side's random stream follow this one's, without telling a secret seed.

        A stream that was seeded and not drawn from yet is told by its seed, another by a hash of its state.
        """
        state = torch.get_rng_state().numpy().tobytes()
        if state == self._stream:
            return {}
        self._stream = state
        seed = torch.initial_seed()
        fresh = seed != self.secret_seed and state == _fresh_state(seed)
        return {"seed": seed if fresh else zlib.crc32(state)}

    def after_answer(self, answer: dict) -> None:
        if answer.get("drew") is True:  # the same function again must not see the same numbers again
            torch.rand(1)
            self._stream = torch.get_rng_state().numpy().tobytes()
        printed = answer.get("printed")
        if isinstance(printed, str) and printed:
            sys.stdout.write(printed)


@lru_cache(maxsize=8)
def _fresh_state(seed: int) -> bytes:
    return torch.Generator().manual_seed(seed).get_state().numpy().tobytes()


def _loaded_module(name: Any) -> Any:
    """A library's module that this process has loaded anyway."""
    if not isinstance(name, str) or name.split(".")[0] not in ("torch", "numpy", "math", "random", "itertools"):
        raise Malformed("a module that is not handed over")
    return importlib.import_module(name) if name in sys.modules else _not_here(name)


def _not_here(name: str) -> Any:
    raise Malformed(f"a module that is not loaded: {name!r:.60}")


class Proxy:
    """Something of the student's, by its number over there."""

    _link: CheckerLink
    _remote: int


class FunctionProxy(Proxy):
    def __init__(self, link: CheckerLink, remote: int, name: str):
        self._link, self._remote = link, remote
        self.__name__ = self.__qualname__ = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._link.run(self._remote, args, kwargs)


class ObjectProxy(Proxy):
    """An instance of a class of the student's. Comparing two looks at nothing of theirs: it is identity."""

    def __init__(self, link: CheckerLink, remote: int, name: str):
        self._link, self._remote = link, remote

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._link.get({"op": "attr", "id": self._remote, "name": name})

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._link.run(self._remote, args, kwargs)

    def __getitem__(self, key: Any) -> Any:
        writer = Writer(self._link.own)
        head = {"op": "item", "id": self._remote, "key": writer.write(key)}
        return self._link.read(*self._link.ask(head, writer.blobs))

    def __len__(self) -> int:
        return self._link.get({"op": "len", "id": self._remote})


@lru_cache(maxsize=256)
def _object_class(name: str) -> type[ObjectProxy]:
    """A class of that name, so that messages name the student's."""
    return type(name, (ObjectProxy,), {"__module__": "__main__"})


class ClassProxy(FunctionProxy):
    """A class that is no torch module; calling it makes an object over there."""


class _Part(torch.nn.Module):
    """A module inside a module: a place for its parameters, by name or, as in a Sequential, by number."""

    def __getitem__(self, place: int) -> torch.nn.Module:
        return list(self._modules.values())[place]

    def __len__(self) -> int:
        return len(self._modules)


class MirrorModule(torch.nn.Module, Proxy):
    """A torch module of the student's: its parameters are here, under its names, its forward is over there."""

    def __init__(self, link: CheckerLink, number: int):
        super().__init__()
        self.__dict__.update(_link=link, _remote=number, _sent={}, _whole=False)
        self._adopt()
        self.__dict__["_whole"] = True  # from now on what is not here is looked for over there

    @classmethod
    def _of(cls, link: CheckerLink, number: int) -> MirrorModule:
        return cls(link, number)

    def _adopt(self) -> None:
        """Make the tree of parameters and buffers that the module has over there."""
        rows, fixed, training = self._link.get({"op": "state", "id": self._remote})
        if len(rows) > MAX_PARAMETERS:
            raise Malformed("more parameters than a submission may have")
        for name, value, trained in rows:
            path = name.split(".")
            if not isinstance(value, torch.Tensor) or not all(_DOTTED.fullmatch(part) for part in path):
                raise Malformed("a parameter that is none")
            place = self
            for part in path[:-1]:
                if part not in place._modules:
                    place.add_module(part, _Part())
                place = place._modules[part]
            if trained:
                wants = value.is_floating_point() and name not in fixed
                place.register_parameter(path[-1], torch.nn.Parameter(value.clone(), requires_grad=wants))
            else:
                place.register_buffer(path[-1], value.clone())
        self.train(training is True)
        self._note_sent()

    def _note_sent(self) -> None:
        state = self.state_dict(keep_vars=True)
        self.__dict__["_sent"] = {name: value._version for name, value in state.items()} | {"": self.training}

    def _send_changes(self) -> None:
        """What was loaded or trained here since the last call goes over."""
        state = self.state_dict(keep_vars=True)
        changed = [[name, v.detach()] for name, v in state.items() if self._sent.get(name) != v._version]
        if changed or self._sent[""] != self.training:
            writer = Writer(self._link.own)
            head = {"op": "load", "id": self._remote, "state": writer.write(changed), "train": self.training}
            self._link.ask(head, writer.blobs)
            self._note_sent()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        self._send_changes()
        trained = {name: p for name, p in self.named_parameters() if p.requires_grad}
        result = self._link.run(self._remote, args, kwargs, {"params": list(trained)}, tuple(trained.values()))
        if self.training:
            self._fetch_buffers()
        return result

    def _fetch_buffers(self) -> None:
        """Running statistics, which a call in training mode moves over there."""
        buffers = dict(self.named_buffers())
        if not buffers:
            return
        for name, value, _ in self._link.get({"op": "state", "id": self._remote})[0]:
            if name in buffers and value.shape == buffers[name].shape:
                buffers[name].copy_(value)
        self._note_sent()

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name.startswith("_") or not self._whole:
                raise
            self._send_changes()  # what is looked at, or called, over there rests on them
            return self._link.get({"op": "attr", "id": self._remote, "name": name})


class _ModuleClass(type(MirrorModule)):
    """The type of a student's module class: calling it builds over there and mirrors here."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        built = cls._link.run(cls._remote, args, kwargs)
        if isinstance(built, MirrorModule):
            object.__setattr__(built, "__class__", cls)
        return built


@lru_cache(maxsize=256)
def _module_class(name: str) -> Callable[[CheckerLink, int], type]:
    def make(link: CheckerLink, number: int) -> type:
        return _ModuleClass(name, (MirrorModule,), {"__module__": "__main__", "_link": link, "_remote": number})

    return make
