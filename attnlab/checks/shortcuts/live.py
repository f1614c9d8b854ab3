"""The names of a running module: objects, and the source that they came from."""

from __future__ import annotations

import ast
import functools
import linecache
import sysconfig
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attnlab.checks.shortcuts.reading import (
    FUNCTIONS,
    MOST,
    UNKNOWN,
    UNREADABLE,
    Made,
    Own,
    Scope,
    Values,
    is_class,
    parsed,
)

PACKAGE = Path(__file__).parents[2]
INSTALLED = [Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")]


class Live(Scope):
    """The global names of a running module, and those a closure holds, with the objects that they have now."""

    def __init__(self, names: Mapping[str, Any], lent: frozenset[int], lines: tuple[str, ...] = ()):
        super().__init__(lines=lines)
        self.objects, self.lent = names, lent

    def get(self, name: str) -> Values:
        return self.value_of(self.objects[name], name) if name in self.objects else UNKNOWN

    def value_of(self, thing: Any, name: str, depth: int = 0) -> Values:
        """Looks at types only: nothing of the object's own runs."""
        kind = type(thing)
        if id(thing) in self.lent:
            return UNKNOWN
        if issubclass(kind, types.ModuleType):
            return frozenset({str(vars(thing).get("__name__", "?"))})
        if kind is functools.partial and depth < 4:
            return self.value_of(thing.func, name, depth + 1)
        if kind is types.MethodType:
            return self.value_of(thing.__func__, name, depth + 1)
        if kind is types.FunctionType:
            return self.function(thing, name)
        if issubclass(kind, type):
            return self.class_(thing)
        if kind in (types.BuiltinFunctionType, types.MethodDescriptorType):
            return frozenset({f"{getattr(thing, '__module__', None) or 'torch.Tensor'}.{thing.__name__}"})
        if kind in (dict, list, tuple, set) and depth < 2:
            items = [*(thing.values() if kind is dict else thing)][:MOST]
            return UNKNOWN.union(*(self.value_of(item, name, depth + 1) for item in items))
        if kind.__module__ == "torch._ops":
            return frozenset({f"torch.ops.{thing}"})
        return frozenset(Made(v) if isinstance(v, Own) else f"{v}()" if is_class(v) else "?" for v in self.class_(kind))

    def function(self, thing: types.FunctionType, name: str) -> Values:
        for _ in range(MOST):  # what a decorator stands in front of
            wrapped = vars(thing).get("__wrapped__")
            thing = wrapped if type(wrapped) is types.FunctionType else thing
        code = thing.__code__
        if _is_librarys(code.co_filename):
            return frozenset({f"{thing.__module__}.{thing.__qualname__}"})
        lines, tree = _file(code.co_filename)
        node = tree and _node_of(code, tree)
        if node is None:
            return UNKNOWN
        cells = [(n, c) for n, c in zip(code.co_freevars, thing.__closure__ or (), strict=False) if _is_filled(c)]
        names = {**thing.__globals__, **{n: c.cell_contents for n, c in cells}}
        label = node.name if isinstance(node, FUNCTIONS) else name
        return frozenset({Own(node, Live(names, self.lent, lines), lines, label)})

    def class_(self, thing: type) -> Values:
        """A class; a class of the learner's is found by the code of one of its methods."""
        methods = [value for value in vars(thing).values() if type(value) is types.FunctionType]
        for code in (method.__code__ for method in methods if not _is_librarys(method.__code__.co_filename)):
            lines, tree = _file(code.co_filename)
            for node in ast.walk(tree) if tree else ():
                inside = isinstance(node, ast.ClassDef) and node.lineno <= code.co_firstlineno <= node.end_lineno
                if inside and node.name == thing.__name__:
                    scope = Live(methods[0].__globals__, self.lent, lines)
                    return frozenset({Own(node, scope, lines, node.name)})
        if thing.__module__ in ("builtins", "__main__"):
            return UNKNOWN
        return frozenset({f"{thing.__module__}.{thing.__qualname__}"})


def _is_filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _is_librarys(filename: str) -> bool:
    """Not the learner's: installed, Python's own, or attnlab's (a lesson's bank of answers excepted)."""
    path = Path(filename)
    ours = path.is_relative_to(PACKAGE) and path.parent.parent != PACKAGE / "checks"
    return ours or filename.startswith("<frozen") or any(path.is_relative_to(folder) for folder in INSTALLED)


@functools.lru_cache(maxsize=32)
def _tree(lines: tuple[str, ...]) -> ast.Module | None:
    try:
        return parsed("".join(lines))
    except UNREADABLE:
        return None


def _file(filename: str) -> tuple[tuple[str, ...], ast.Module | None]:
    """The lines and the tree of a file, or of a cell, that code came from."""
    lines = tuple(linecache.getlines(filename))
    return lines, _tree(lines) if lines else None


def _node_of(code: types.CodeType, tree: ast.Module) -> ast.AST | None:
    """The function's definition: by its first line; of several lambdas in a line, the one that its code lies in."""
    for node in ast.walk(tree):
        if isinstance(node, FUNCTIONS) and node.name == code.co_name:
            if code.co_firstlineno in (node.lineno, *(d.lineno for d in node.decorator_list)):
                return node
    spots = [(line, column) for line, _, column, end in code.co_positions() if line and column is not None and end]
    inner = (n for n in ast.walk(tree) if isinstance(n, ast.Lambda) and n.lineno == code.co_firstlineno)
    fitting = [n for n in inner if _holds(n.body, spots)] if code.co_name == "<lambda>" else []
    return min(fitting, key=lambda n: n.end_col_offset - n.col_offset, default=None)


def _holds(body: ast.expr, spots: list[tuple[int, int]]) -> bool:
    start, end = (body.lineno, body.col_offset), (body.end_lineno, body.end_col_offset)
    return any(start <= spot < end for spot in spots)
