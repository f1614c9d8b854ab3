"""Where a model is at this moment: the path of the module that runs, and what was met inside it.

The hooks are torch's global ones. Hooks on single modules would be simpler, but torch's encoder layer leaves its
fast path when it carries any, and its numbers then change in the last digit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook


@dataclass
class Visit:
    """One run of one module.

    start: the serial number of the first tensor made inside; older ones came in from outside.
    sites: how many attention sites were found inside, in submodules too.
    outer: the module that called it.
    ran: names of the torch functions that ran inside. why: what was looked at and not taken for attention.
    """

    path: str
    module: Any
    start: int
    outer: Visit | None = None
    sites: int = 0
    ran: set[str] = field(default_factory=set)
    why: list[str] = field(default_factory=list)

    def outwards(self) -> Iterator[Visit]:
        """This module and all that called it, itself first."""
        visit = self
        while visit is not None:
            yield visit
            visit = visit.outer


class Places:
    """Follows a model through its modules. Calls on modules of other models pass unseen."""

    def __init__(self, model: Any, clock: Callable[[], int]):
        modules = model.named_modules() if isinstance(model, nn.Module) else ()
        self.model, self._clock = model, clock
        self._paths = {id(module): path for path, module in modules}
        self._thread = None
        self._handles: list[Any] = []
        self._outermost = Visit("", model, 0)
        self._stack: list[Visit] = []
        self.visits: list[Visit] = [] if isinstance(model, nn.Module) else [self._outermost]
        self.calls = 0
        self.arguments: list[tuple[tuple, dict]] = []
        self.output: Any = None

    def start(self) -> None:
        self._thread = threading.get_ident()
        before = register_module_forward_pre_hook(self._enter)
        after = register_module_forward_hook(self._leave, with_kwargs=True, always_call=True)
        self._handles = [before, after]

    def stop(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles, self._stack = [], []

    @property
    def here(self) -> Visit | None:
        """The innermost module that runs; None outside the model. A plain function is always inside itself."""
        if self._stack:
            return self._stack[-1]
        return None if isinstance(self.model, nn.Module) else self._outermost

    def _ours(self, module: nn.Module) -> bool:
        return id(module) in self._paths and threading.get_ident() == self._thread

    def _enter(self, module: nn.Module, inputs: tuple) -> None:
        if self._ours(module):
            visit = Visit(self._paths[id(module)], module, self._clock(), self._stack[-1] if self._stack else None)
            self._stack.append(visit)
            self.visits.append(visit)

    def _leave(self, module: nn.Module, inputs: tuple, *rest: Any) -> None:
        if not self._ours(module) or not any(visit.module is module for visit in self._stack):
            return
        while self._stack.pop().module is not module:  # a module that raised may have left no word
            pass
        if module is self.model and len(rest) == 2:  # after an error torch passes on the inputs only
            named, output = rest
            self.calls += 1
            self.arguments.append((inputs, named))
            self.output = output
