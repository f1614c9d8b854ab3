"""Marking runs no cell with a role, so what is marked may not need a name that only such a cell defines."""

import ast
import builtins
import symtable
from collections.abc import Iterator

from grader.pipeline.source import Cell, Source


def names_of_role_cells(source: Source) -> Iterator[str]:
    from_roles = {name: cell for cell in source.code if cell.role for name in defined(cell.text)}
    kept: set[str] = set(dir(builtins))
    for cell in source.code:
        if cell.role:
            continue
        kept |= defined(cell.text)
        for name in sorted(needed(cell.text) - kept):
            if name in from_roles:
                yield _message(cell, name, from_roles[name])


def _message(cell: Cell, name: str, origin: Cell) -> str:
    return (
        f"cell {cell.number}: uses `{name}`, which cell {origin.number} (role={origin.role!r}) defines; "
        "cells with a role are not run when marking: define it in a plain cell"
    )


def defined(code: str) -> set[str]:
    """The names that running a cell leaves behind."""
    top = symtable.symtable(code, "cell", "exec")
    names = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    names |= {symbol.get_name() for symbol in top.get_symbols() if symbol.is_namespace()}
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Global):
            names |= set(node.names)
    return names


def needed(code: str) -> set[str]:
    """The names that a cell, or a function in it, looks up outside itself."""
    names, waiting = set(), [symtable.symtable(code, "cell", "exec")]
    while waiting:
        table = waiting.pop()
        waiting += table.get_children()
        is_top = table.get_type() == "module"
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (is_top or symbol.is_global()):
                names.add(symbol.get_name())
    return names


RULES = (names_of_role_cells,)
