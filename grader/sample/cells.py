"""Turns an answer of an exercise's bank into the text of a cell that stands alone.

The banks hold Python callables, mostly `partial(recipe, switch=...)`. A submission cannot import them: `attnlab.checks`
and `attnlab.reference` are not there while it is marked. So the recipe's source is copied, with every definition that
it needs from its own file or another of attnlab's, and a function under the exercise's name calls it.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from functools import lru_cache

from attnlab.checks.exercise import Exercise, Mistake
from grader.referee.reading import names_of

OURS = "attnlab"


def mistaken(exercise: Exercise, *mistakes: Mistake) -> str:
    """The cell of somebody who makes this mistake, or these together (which then share one recipe)."""
    first, *others = (_answer_of(exercise, mistake) for mistake in mistakes)
    for other in others:
        if not (_is_partial(first) and _is_partial(other) and ast.dump(first.args[0]) == ast.dump(other.args[0])):
            raise ValueError(f"Expected mistakes of one recipe, got {[m.name for m in mistakes]} of {exercise.name}.")
        first = ast.Call(first.func, first.args, first.keywords + other.keywords)
    return _cell(exercise, first)


def also_right(exercise: Exercise, way: str) -> str:
    """The cell of somebody who solves it in this other right way of the bank."""
    (table,) = [node.value for node in ast.walk(_tree(_home(exercise))) if _is_keyword(node, "also_right")]
    for key, value in zip(table.keys, table.values, strict=True):
        if ast.literal_eval(key) == way:
            return _cell(exercise, value)
    raise KeyError(f"{exercise.full_name} has no right way called {way!r}: {', '.join(exercise.also_right)}.")


def _home(exercise: Exercise) -> str:
    """The module in which an exercise is declared."""
    return exercise.draw.__module__


def _is_keyword(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.keyword) and node.arg == name


def _answer_of(exercise: Exercise, mistake: Mistake) -> ast.expr:
    """The expression that makes the mistake's answer, as its file has it."""
    place = list(inspect.signature(Mistake).parameters).index("answer")
    for node in ast.walk(_tree(_home(exercise))):
        if _calls(node, "Mistake") and ast.literal_eval(node.args[0]) == mistake.name:
            return node.args[place]
    raise KeyError(f"{exercise.full_name} has no mistake called {mistake.name!r}.")


def _calls(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def _is_partial(node: ast.AST) -> bool:
    return _calls(node, "partial") and len(node.args) == 1


def _cell(exercise: Exercise, answer: ast.expr) -> str:
    home = _home(exercise)
    last = ast.unparse(ast.fix_missing_locations(_definition(exercise.name, answer, home)))
    imports: dict[str, None] = {}
    definitions: dict[str, None] = {}
    _gather(home, _looks_up(last), imports, definitions)
    return "\n\n\n".join(["\n".join(imports), *definitions, last]).strip()


def _definition(name: str, answer: ast.expr, home: str) -> ast.stmt:
    """The answer as a function (or an alias) called `name`."""
    if isinstance(answer, ast.Lambda):
        return _function(name, answer.args, answer.body)
    if not _is_partial(answer):
        return ast.Assign([ast.Name(name, ast.Store())], answer)
    recipe = _binding(home)[ast.unparse(answer.args[0])]
    own = recipe.args
    taken = ast.arguments(own.posonlyargs, [ast.arg(a.arg) for a in own.args], None, [], [], None, own.defaults)
    given = [ast.Name(argument.arg, ast.Load()) for argument in own.args]
    return _function(name, taken, ast.Call(answer.args[0], given, answer.keywords))


def _function(name: str, arguments: ast.arguments, value: ast.expr) -> ast.FunctionDef:
    return ast.FunctionDef(name, arguments, [ast.Return(value)], [])


def _gather(module: str, wanted: set[str], imports: dict[str, None], definitions: dict[str, None]) -> None:
    """Add what binds the wanted names of a module, and all that this needs, in the module's order."""
    bound = _binding(module)
    closure, waiting = set(), set(wanted)
    while waiting:
        name = waiting.pop()
        if name in bound and name not in closure:
            closure.add(name)
            waiting |= _looks_up(ast.unparse(bound[name]))
    for name in [name for name in bound if name in closure]:
        statement = bound[name]
        if not isinstance(statement, ast.Import | ast.ImportFrom):
            definitions.setdefault(ast.unparse(statement))
            continue
        (alias,) = [a for a in statement.names if (a.asname or a.name.split(".")[0]) == name]
        if isinstance(statement, ast.ImportFrom) and statement.module.split(".")[0] == OURS:
            _copy(statement.module, alias, imports, definitions)
        else:
            origin = f"from {statement.module} " if isinstance(statement, ast.ImportFrom) else ""
            imports.setdefault(f"{origin}import {ast.unparse(alias)}")


def _copy(module: str, alias: ast.alias, imports: dict[str, None], definitions: dict[str, None]) -> None:
    """In the place of an import from attnlab: the definition itself."""
    if alias.name not in _binding(module):
        raise ValueError(f"Expected a definition of {alias.name} in {module}: a whole module cannot be copied.")
    _gather(module, {alias.name}, imports, definitions)
    if alias.asname:
        definitions.setdefault(f"{alias.asname} = {alias.name}")


def _looks_up(text: str) -> set[str]:
    names = names_of(text)
    return names.needs | names.late


@lru_cache
def _tree(module: str) -> ast.Module:
    """A module's source without annotations, which need imports of their own."""
    source = inspect.getsource(importlib.import_module(module))
    return ast.fix_missing_locations(_Plain().visit(ast.parse(source)))


@lru_cache
def _binding(module: str) -> dict[str, ast.stmt]:
    """Name -> the top-level statement that binds it, in the order of the file."""
    bound = {}
    for statement in _tree(module).body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            bound[statement.name] = statement
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            bound |= {a.asname or a.name.split(".")[0]: statement for a in statement.names}
        elif isinstance(statement, ast.Assign):
            bound |= {n.id: statement for target in statement.targets for n in ast.walk(target) if _is_name(n)}
    return bound


def _is_name(node: ast.AST) -> bool:
    return isinstance(node, ast.Name)


class _Plain(ast.NodeTransformer):
    def visit_arg(self, node: ast.arg) -> ast.arg:
        return ast.arg(node.arg)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        return ast.Assign([node.target], node.value) if isinstance(node.target, ast.Name) and node.value else node
