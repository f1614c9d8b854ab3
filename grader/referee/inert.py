"""What a notebook finds under `attnlab.checks` while it is marked: an object that does nothing, politely.

The student process must not hold the answers, the bank of mistakes, or the laws. The lesson's own cells still say
`from attnlab.checks.self_attention import check` and `check.scale.carry_on(scale)`, so those have to work.
"""

from __future__ import annotations

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

INERT = "attnlab.checks"
WITHHELD = ("attnlab.reference", "attnlab.papers", "attnlab.fast")


class Inert:
    """Answers every call and every attribute with itself; `carry_on` hands the learner's own function back."""

    def __call__(self, *_: Any, **__: Any) -> Inert:
        return self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name.startswith("_repr") or name.startswith("_ipython"):
            raise AttributeError(name)
        return (lambda answer: answer) if name == "carry_on" else self

    def __iter__(self):
        return iter(())

    def __repr__(self) -> str:
        return "(not asked while marking)"


class _Finder(MetaPathFinder, Loader):
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name == INERT or name.startswith(INERT + "."):
            return ModuleSpec(name, self, is_package=True)
        if any(name == package or name.startswith(package + ".") for package in WITHHELD):
            raise ImportError(f"{name} is not there while marking: write it yourself.", name=name)
        return None

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        module.check = Inert()
        module.__getattr__ = lambda name: _missing(module.__name__, name)


def _missing(module: str, name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"{module}.{name}")
    return Inert()


def install() -> None:
    """Put the finder first. Raises RuntimeError where the real modules are loaded already."""
    loaded = [name for name in sys.modules if name.startswith((INERT, *WITHHELD))]
    if loaded:
        raise RuntimeError(f"Expected none of the answers in this process, found {', '.join(loaded)}.")
    sys.meta_path.insert(0, _Finder())
