"""What is intercepted: every torch function that runs inside the model is seen here, runs as it is, and is noted."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack, _pop_mode_temporarily

_COMPILING = {"torch._dynamo", "torch.nn.attention.flex_attention"}


class Watching(TorchFunctionMode):
    """Hands every call to `watch(name, function, args, named)`, which runs it."""

    def __init__(self, watch: Callable[[str, Callable, tuple, dict], Any]):
        super().__init__()
        self._watch = watch

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return self._watch(getattr(func, "__name__", ""), func, args, kwargs or {})


@contextmanager
def unseen() -> Iterator[None]:
    """For our own arithmetic: no gradients, no autocast, and no capture around this one sees it."""
    with ExitStack() as stack:
        stack.enter_context(torch._C.DisableTorchFunction())
        stack.enter_context(torch.no_grad())
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


@contextmanager
def fast_paths_open() -> Iterator[None]:
    """Lets torch's encoder and multi-head modules take their fast paths while only captures watch.

    They ask `torch.overrides.has_torch_function` first, and leave the fast path when any mode is on; the slow path
    rounds differently, and a capture must not change a single bit.
    """
    asked = torch.overrides.has_torch_function

    def apart_from_captures(arguments: Any) -> bool:
        modes = _get_current_function_mode_stack()
        if not modes or not all(isinstance(mode, Watching) for mode in modes):
            return asked(arguments)
        with ExitStack() as stack:
            for _ in modes:
                stack.enter_context(_pop_mode_temporarily())
            return asked(arguments)

    torch.overrides.has_torch_function = apart_from_captures
    try:
        yield
    finally:
        torch.overrides.has_torch_function = asked


@contextmanager
def nothing_compiled() -> Iterator[None]:
    """Runs compiled modules and functions as they were written; a compiler would try to compile the capture too."""
    if not _COMPILING & set(sys.modules):  # never imported, so nothing was compiled
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield
