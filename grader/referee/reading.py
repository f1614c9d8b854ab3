"""Reads a submitted notebook into plain cells. Runs in the student process, before any cell of the student's.

The file may be anything: huge, nested a million deep, no JSON at all. Here it can only hurt its own process. For each
code cell the names that it defines and needs are found, so that the checker can leave out what no mark rests on.
"""

from __future__ import annotations

import ast
import json
import symtable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

MAX_CELLS = 2000
MAX_TEXT = 200_000
MAX_NAMES = 1000  # of a cell


class Unreadable(Exception):
    """The file is no notebook; the message says what was expected and what came, in words for the student."""


def read_cells(data: bytes) -> list[dict]:
    """kind, text, grade_id, tags and `Names` of every cell, in order. Raises Unreadable."""
    try:
        notebook = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"Expected a notebook (JSON), got something else: {_first_line(error)}.") from error
    if not isinstance(notebook, dict):
        raise Unreadable("Expected a notebook: a JSON object with cells.")
    cells = notebook.get("cells")
    if cells is None and isinstance(notebook.get("worksheets"), list):
        raise Unreadable("Expected a notebook of format 4, got format 3. Open it in JupyterLab and save it.")
    if not isinstance(cells, list):
        raise Unreadable("Expected a list of cells in the notebook, got none.")
    if len(cells) > MAX_CELLS:
        raise Unreadable(f"Expected at most {MAX_CELLS} cells, got {len(cells)}.")
    return [_cell(cell) for cell in cells if isinstance(cell, dict)]


def _cell(cell: dict) -> dict:
    kind = cell.get("cell_type") if cell.get("cell_type") in ("code", "markdown", "raw") else "raw"
    text = _text(cell.get("source"))
    metadata = cell.get("metadata") if isinstance(cell.get("metadata"), dict) else {}
    stamp = metadata.get("nbgrader") if isinstance(metadata.get("nbgrader"), dict) else {}
    tags = metadata.get("tags") if isinstance(metadata.get("tags"), list) else []
    grade_id = stamp.get("grade_id")
    found = {
        "kind": kind,
        "text": text,
        "grade_id": grade_id[:200] if isinstance(grade_id, str) else "",
        "tags": [tag[:100] for tag in tags[:20] if isinstance(tag, str)],
    }
    names = names_of(text) if kind == "code" else Names()
    return found | {part: sorted(value)[:MAX_NAMES] for part, value in vars(names).items()}


def _text(source: Any) -> str:
    if isinstance(source, list):
        source = "".join(part for part in source if isinstance(part, str))
    text = source if isinstance(source, str) else ""
    return text[:MAX_TEXT].encode("utf-8", "replace").decode()  # lone surrogates would break what comes after


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


@dataclass
class Names:
    """Global names of one cell.

    defines: may be bound by it; certain: are bound whenever it runs to its end; needs: have to be there when it runs;
    late: are looked up by its functions when those are called, perhaps much later.
    """

    defines: set[str] = field(default_factory=set)
    certain: set[str] = field(default_factory=set)
    needs: set[str] = field(default_factory=set)
    late: set[str] = field(default_factory=set)


@lru_cache(maxsize=4096)  # the nursery reads the released lesson once, so most cells are known before they come
def names_of(text: str) -> Names:
    """The names of a cell; none for one that cannot be parsed, since running it fails anyway."""
    names = Names()
    try:
        text = without_magics(text)
        for statement in ast.parse(text).body:
            _read_statement(statement, names)
        _read_functions(symtable.symtable(text, "cell", "exec"), names)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Names()
    return names


def _read_statement(statement: ast.stmt, names: Names) -> None:
    """One top-level statement, in the order of execution: what it uses before it has been bound, it needs."""
    if isinstance(statement, ast.For):
        parts, certain = [statement.iter, statement.target, *statement.body, *statement.orelse], True
    else:
        parts, certain = [statement], not isinstance(statement, ast.If | ast.Try | ast.While | ast.Match)
    for part in parts:
        seen = _Seen()
        seen.visit(part)
        names.needs |= seen.loads - names.certain
        names.defines |= seen.stores
        if certain:
            names.certain |= seen.stores


class _Seen(ast.NodeVisitor):
    """The names that running a node reads and binds; bodies of functions are not run, so not entered."""

    def __init__(self) -> None:
        self.loads: set[str] = set()
        self.stores: set[str] = set()

    def visit_Name(self, node: ast.Name) -> None:
        (self.loads if isinstance(node.ctx, ast.Load) else self.stores).add(node.id)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.generic_visit(node)
        self.loads |= {n.id for n in ast.walk(node.target) if isinstance(n, ast.Name)}

    def visit_alias(self, node: ast.alias) -> None:
        self.stores.add(node.asname or node.name.split(".")[0])

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.stores.add(node.name)
        for part in (*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(part)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        for part in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(part)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        body = _Seen()
        for part in (*node.decorator_list, *node.bases, *node.keywords, *node.body):
            body.visit(part)
        self.loads |= body.loads
        self.stores.add(node.name)

    def visit_comprehension_like(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> None:
        inside = _Seen()
        for part in ast.iter_child_nodes(node):
            inside.generic_visit(part) if isinstance(part, ast.comprehension) else inside.visit(part)
        self.loads |= inside.loads - inside.stores

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_comprehension_like


def _read_functions(table: symtable.SymbolTable, names: Names) -> None:
    """What functions and classes of the cell look up globally, or bind with `global`."""
    for child in table.get_children():
        for symbol in child.get_symbols():
            if symbol.is_global() and symbol.is_referenced():
                names.late.add(symbol.get_name())
            if symbol.is_declared_global() and symbol.is_assigned():
                names.defines.add(symbol.get_name())
        _read_functions(child, names)


def without_magics(text: str) -> str:
    """The cell with IPython's own lines (%, !, ?) blanked, so that Python's parser reads the rest."""
    lines = ("pass" if line.lstrip()[:1] in ("%", "!", "?") else line for line in text.split("\n"))
    return "\n".join(lines)
