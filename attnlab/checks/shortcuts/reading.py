"""Reads code as a tree: what each name may stand for, and what a function uses, directly or through helpers."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from attnlab.checks.shortcuts.names import ALWAYS, matched

STEPS = 200_000  # of one reading, about two seconds; a lesson with all its cells takes about 1,500
UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)


@dataclass(frozen=True)
class Shortcut:
    """One call. name: the callable's full name. line: in its cell, from 1 (0: the answer itself is that callable)."""

    name: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.name} (line {self.line})" if self.line else self.name


@lru_cache(maxsize=512)  # most cells of a class are the lesson's own; nobody changes a tree
def parsed(text: str) -> ast.Module:
    """The tree of a cell, with IPython's own lines passed over where they are in the way. Raises one of UNREADABLE."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the learner's "\d" is not to be announced by the check
        try:
            return ast.parse(text)
        except SyntaxError:
            return ast.parse(
                re.sub(r"(?m)^([ \t]*)(?:[\w, ]+=[ \t]*)?[%!].*$|^([ \t]*)\S+\?+[ \t]*$", r"\1\2pass", text)
            )


@lru_cache(maxsize=512)
def words_of(text: str) -> str:
    """Every name and every string of a cell as Python reads it, one a line; nothing of one that cannot be read.

    Whatever a `Reader` finds is put together from these, and taking them out is quick.
    """
    try:
        tree = parsed(text)
    except UNREADABLE:
        return ""
    parts = (value for node in ast.walk(tree) for _, value in ast.iter_fields(node))
    return "\n".join(part for part in parts if isinstance(part, str))


# --- What a name may stand for. A string is the full name of something imported; "?" is not known; "?.x" is the
# --- attribute x of something not known; "lib.Thing()" is an instance. The rest is the learner's own.


@dataclass(frozen=True, eq=False, repr=False)
class Own:
    """A function, class or lambda of the learner's; `of` is the class that a method belongs to."""

    node: ast.AST
    scope: Scope
    lines: tuple[str, ...]
    name: str
    of: Own | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Made:
    """An instance of a class of the learner's."""

    own: Own


Values = frozenset  # of str, Own and Made
UNKNOWN: Values = frozenset({"?"})
MOST = 64  # values that one name may have; code that people write has two or three


@dataclass(eq=False, repr=False)
class Scope:
    """Names and their values: a module's, a function's or a class's."""

    parent: Scope | None = None
    lines: tuple[str, ...] = ()
    names: dict[str, Values] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)  # modules of which everything was imported
    of: Own | None = None  # the class, if it is a class's: its names are not seen from within its methods

    @property
    def home(self) -> Scope:
        return self.parent if self.of and self.parent else self

    def get(self, name: str) -> Values:
        if name in self.names:
            return self.names[name]
        if self.parent is not None:
            return self.parent.get(name)
        return frozenset(f"{module}.{name}" for module in self.stars) or UNKNOWN

    def put(self, name: str, values: Values, node: ast.AST, sure: bool) -> None:
        """Bind a name; where it is not sure that this runs, or runs last, it keeps what it had."""
        before = frozenset() if sure else self.names.get(name, frozenset())
        self.names[name] = before | values if len(before) < MOST else before
        self.places[name] = (node, self.lines)


Place = tuple[ast.AST, tuple[str, ...]]
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)


class Reader:
    """Reads for some names; `found` is what it has met so far."""

    def __init__(self, names: Iterable[str], elsewhere: Mapping[str, Iterable[str]]):
        self.listed = frozenset(names)
        self.elsewhere = {name: frozenset(others) for name, others in elsewhere.items()}
        self.wanted = self.listed | frozenset(ALWAYS)
        self.found: dict[str, Shortcut] = {}
        self.visited: set[tuple[ast.AST, frozenset[str]]] = set()
        self.members: dict[ast.AST, Scope] = {}
        self.steps = 0

    def shortcuts(self, values: Values, place: Place | None = None) -> list[Shortcut]:
        """Everything that is met from these values on."""
        for own in (value for value in values if isinstance(value, Own)):
            self.elsewhere.pop(own.name, None)  # by whatever name it is handed in, it is judged here
        try:
            self.use(values, place)
        except UNREADABLE:
            return []
        return list(self.found.values())

    # --- Reading what runs: every use of a value, and what that value itself uses.

    def use(self, values: Values, place: Place | None, called: bool = False) -> bool:
        """Note what is a shortcut among these, and go on into what is the learner's own. True if one was noted."""
        noted = False
        for value in sorted(values, key=_order):
            if isinstance(value, str):
                name = matched(value, self.wanted, called)
                if name:
                    self.found.setdefault(name, _shortcut(name, place))
                    noted = True
            else:
                self.reach(value.own if isinstance(value, Made) else value)
        return noted

    def reach(self, own: Own) -> None:
        before = self.wanted
        if own.scope.parent is None and own.name in self.elsewhere:
            self.wanted = before - self.elsewhere[own.name] - frozenset(ALWAYS)
        if self.wanted and (own.node, self.wanted) not in self.visited:
            self.visited.add((own.node, self.wanted))
            self.visit(own.node, Scope(own.scope, own.lines), own.of)
        self.wanted = before

    def visit(self, node: ast.AST | None, scope: Scope, of: Own | None = None) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                for part in (*getattr(node, "decorator_list", ()), *_defaults(node)):
                    self.visit(part, scope)
                inside = self.inside(node, scope, of)
                for part in node.body if isinstance(node.body, list) else [node.body]:
                    self.visit(part, inside)
            case ast.ClassDef():
                own = Own(node, scope, scope.lines, node.name)
                for part in (*node.decorator_list, *node.bases, *node.keywords):
                    self.visit(part, scope)
                for part in node.body:
                    method = isinstance(part, FUNCTIONS) and not _is_static(part)
                    self.visit(part, scope, own if method else None)
            case ast.AnnAssign():
                self.visit(node.value, scope)
            case ast.Call():
                self.visit_call(node, scope)
            case ast.Attribute() | ast.Name() if isinstance(node.ctx, ast.Load):
                if not self.use(self.resolve(node, scope), (node, scope.lines)) and isinstance(node, ast.Attribute):
                    self.visit(node.value, scope)
            case _ if isinstance(node, COMPREHENSIONS):
                inside = Scope(scope, scope.lines)
                for loop in node.generators:
                    self.assign(inside, loop.target, loop.iter, node)
                self.visit_all(ast.iter_child_nodes(node), inside)
            case None:
                pass
            case _:
                self.visit_all(ast.iter_child_nodes(node), scope)

    def visit_all(self, nodes: Iterable[ast.AST], scope: Scope) -> None:
        for node in nodes:
            self.visit(node, scope)

    def visit_call(self, node: ast.Call, scope: Scope) -> None:
        place = (node, scope.lines)
        noted = self.use(self.resolve(node.func, scope), place, called=True)
        if not noted:
            self.visit(node.func, scope)
        arguments = node.args
        if _calls(node, "isinstance", "issubclass"):  # asks about a class, and does not use it
            arguments = node.args[:1]
        elif _calls(node, "getattr"):
            self.use(self.resolve(node, scope), place)
        self.visit_all((*arguments, *node.keywords), scope)

    def inside(self, node: ast.AST, scope: Scope, of: Own | None) -> Scope:
        """The scope of a function's body. All its bindings are seen at once, whatever their order."""
        inside = Scope(scope, scope.lines)
        spec = node.args
        positional = [*spec.posonlyargs, *spec.args]
        for arg in (*positional, *spec.kwonlyargs, *filter(None, (spec.vararg, spec.kwarg))):
            inside.put(arg.arg, UNKNOWN, arg, sure=True)
        given = [*zip(positional[::-1], spec.defaults[::-1], strict=False)]
        given += [pair for pair in zip(spec.kwonlyargs, spec.kw_defaults, strict=True) if pair[1] is not None]
        for arg, default in given:
            inside.put(arg.arg, self.value(default, scope), arg, sure=False)
        if of is not None and positional:
            inside.put(positional[0].arg, frozenset({Made(of)}), positional[0], sure=True)
        if isinstance(node.body, list):
            self.bind(inside, node.body, sure=False)
        for part in ast.walk(node):
            if isinstance(part, ast.Global | ast.Nonlocal):
                for name in part.names:
                    inside.names.pop(name, None)
        return inside

    # --- Reading what a name is bound to.

    def bind(self, scope: Scope, statements: Iterable[ast.stmt], sure: bool = True) -> None:
        for node in statements:
            for name, values in self.bound_by(node, scope):
                scope.put(name, values, node, sure)
            for part in ast.iter_child_nodes(node):
                if isinstance(part, ast.expr):
                    for walrus in (n for n in ast.walk(part) if isinstance(n, ast.NamedExpr)):
                        self.assign(scope, walrus.target, walrus.value, node)
            if isinstance(node, ast.For | ast.AsyncFor):
                self.assign(scope, node.target, node.iter, node)
            if isinstance(node, ast.With | ast.AsyncWith):
                self.bind(scope, node.body, sure)
            elif not isinstance(node, (*FUNCTIONS, ast.ClassDef)):
                for body in _bodies(node):
                    self.bind(scope, body, sure=False)

    def bound_by(self, node: ast.stmt, scope: Scope) -> Iterator[tuple[str, Values]]:
        """What a statement itself binds, without those inside it."""
        match node:
            case ast.Import():
                for alias in node.names:
                    head = alias.name.partition(".")[0]
                    yield alias.asname or head, frozenset({alias.name if alias.asname else head})
            case ast.ImportFrom():
                for alias in node.names:
                    known = node.module and not node.level
                    if alias.name == "*":
                        scope.stars += [node.module] if known else []
                    else:
                        yield (
                            alias.asname or alias.name,
                            frozenset({f"{node.module}.{alias.name}"}) if known else UNKNOWN,
                        )
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                of = scope.of if isinstance(node, FUNCTIONS) and not _is_static(node) else None
                yield node.name, frozenset({Own(node, scope.home, scope.lines, node.name, of)})
            case ast.Assign():
                for target in node.targets:
                    yield from self.unpacked(target, node.value, scope)
            case ast.AnnAssign() if node.value is not None:
                yield from self.unpacked(node.target, node.value, scope)
            case ast.With() | ast.AsyncWith():
                for item in node.items:
                    if item.optional_vars is not None:
                        yield from self.unpacked(item.optional_vars, item.context_expr, scope)

    def assign(self, scope: Scope, target: ast.expr, value: ast.expr, node: ast.AST) -> None:
        for name, values in self.unpacked(target, value, scope):
            scope.put(name, values, node, sure=False)

    def unpacked(self, target: ast.expr, value: ast.expr, scope: Scope) -> Iterator[tuple[str, Values]]:
        """Each name of a target with its values; `a, b = f, g` one by one, other unpackings all alike."""
        match target, value:
            case ast.Name(), _:
                yield target.id, self.value(value, scope, target.id)
            case ast.Tuple() | ast.List(), ast.Tuple() | ast.List() if len(target.elts) == len(value.elts):
                for one, other in zip(target.elts, value.elts, strict=True):
                    yield from self.unpacked(one, other, scope)
            case _:
                values = UNKNOWN | self.carried(value, scope)
                yield from ((n.id, values) for n in ast.walk(target) if isinstance(n, ast.Name))

    def value(self, node: ast.expr, scope: Scope, name: str = "") -> Values:
        return self.resolve(node, scope, name) | self.carried(node, scope)

    def carried(self, node: ast.AST, scope: Scope) -> Values:
        """What a value may hold or be made of and is of interest: the functions in a table, the argument of a
        decorator, the class of a layer. Numbers that a library function computed are nothing of the kind."""
        match node:
            case ast.Call():
                made_by = self.interesting(self.resolve(node.func, scope))
                kept = {v for v in made_by if not isinstance(v, str) or v.rpartition(".")[2][:1].isupper()}
                parts = [node.func.value] if isinstance(node.func, ast.Attribute) and not made_by else []
                parts += [*node.args, *node.keywords]
            case ast.Name() | ast.Attribute():
                kept = self.interesting(self.resolve(node, scope))
                parts = [node.value] if isinstance(node, ast.Attribute) and not kept else []
            case ast.Lambda():
                return self.resolve(node, scope)
            case _ if isinstance(node, COMPREHENSIONS):
                kept, parts = set(), [loop.iter for loop in node.generators]
            case _:
                kept, parts = set(), [*ast.iter_child_nodes(node)]
        return frozenset(kept).union(*(self.carried(part, scope) for part in parts))

    def interesting(self, values: Values) -> set:
        wanted = self.listed | frozenset(ALWAYS)
        return {v for v in values if not isinstance(v, str) or matched(v, wanted)}

    # --- What an expression stands for.

    def resolve(self, node: ast.AST, scope: Scope, name: str = "<lambda>") -> Values:
        """Raises ValueError once too much has been read: nobody wrote such code by hand."""
        values = self.stands_for(node, scope, name)
        self.steps += 1 + len(values)
        if self.steps > STEPS:
            raise ValueError(f"Expected code that can be read in {STEPS:,} steps.")
        return values

    def stands_for(self, node: ast.AST, scope: Scope, name: str) -> Values:
        match node:
            case ast.Name():
                return scope.get(node.id)
            case ast.Attribute():
                return self.attributes(self.resolve(node.value, scope), node.attr)
            case ast.Call():
                return self.results(node, scope)
            case ast.Lambda():
                return frozenset({Own(node, scope.home, scope.lines, name, scope.of)})
            case ast.IfExp():
                return self.resolve(node.body, scope) | self.resolve(node.orelse, scope)
            case ast.BoolOp():
                return frozenset().union(*(self.resolve(value, scope) for value in node.values))
            case ast.NamedExpr() | ast.Await():
                return self.resolve(node.value, scope)
            case ast.Subscript():
                return UNKNOWN | frozenset(self.interesting(self.resolve(node.value, scope)))
        return UNKNOWN

    def attributes(self, values: Values, name: str) -> Values:
        known = frozenset().union(*(self.member(v.own, name) for v in values if isinstance(v, Made)))
        return known or frozenset().union(*(self.attribute(value, name) for value in values))

    def attribute(self, value: str | Own | Made, name: str) -> Values:
        if isinstance(value, str):
            longer = f"?.{name}" if value.startswith("?") else f"{value}.{name}"
            return frozenset({longer}) if len(longer) < 200 else UNKNOWN
        if isinstance(value, Own) and isinstance(value.node, ast.ClassDef):
            return self.member(value, name) or UNKNOWN
        return UNKNOWN

    def results(self, node: ast.Call, scope: Scope) -> Values:
        """What a call gives: an instance of a class, the function of a partial, a module by name, or who knows."""
        words = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        if _calls(node, "getattr") and len(node.args) > 1 and isinstance(node.args[1], ast.Constant) and words:
            return self.attributes(self.resolve(node.args[0], scope), words[0])
        if _calls(node, "__import__") and words:
            return frozenset({words[0].partition(".")[0]})
        results: set = set()
        for value in self.resolve(node.func, scope):
            if value == "importlib.import_module" and words:
                results.add(words[0])
            elif value == "functools.partial" and node.args:
                results |= self.resolve(node.args[0], scope)
            elif isinstance(value, Own) and isinstance(value.node, ast.ClassDef):
                results.add(Made(value))
            else:
                results.add(f"{value}()" if isinstance(value, str) and is_class(value) else "?")
        return frozenset(results)

    def member(self, own: Own, name: str, seen: tuple[ast.AST, ...] = ()) -> Values:
        """The attribute of a class of the learner's, or of its instances; empty where none is set."""
        values = self.members_of(own).names.get(name, frozenset())
        if values or own.node in seen:
            return values
        for base in (value for node in own.node.bases for value in self.resolve(node, own.scope)):
            if isinstance(base, Own) and isinstance(base.node, ast.ClassDef):
                values |= self.member(base, name, (*seen, own.node))
            elif isinstance(base, str) and base.endswith("Tensor"):
                values |= {f"torch.Tensor.{name}"}
        return values

    def members_of(self, own: Own) -> Scope:
        """What the class's body binds, and what its methods assign to `self`."""
        if own.node not in self.members:
            scope = self.members[own.node] = Scope(own.scope, own.lines, of=own)
            self.bind(scope, own.node.body)
            for method in (n for n in own.node.body if isinstance(n, FUNCTIONS) and n.args.args):
                inside, self_name = self.inside(method, own.scope, own), method.args.args[0].arg
                for node in (n for n in ast.walk(method) if isinstance(n, ast.Assign)):
                    for target in node.targets:
                        match target:
                            case ast.Attribute(value=ast.Name(id=owner)) if owner == self_name:
                                scope.put(target.attr, self.value(node.value, inside), node, sure=False)
        return self.members[own.node]


def _order(value: str | Own | Made) -> str:
    """Sets have none, and the same code is to give the same answer."""
    return value if isinstance(value, str) else (value.own if isinstance(value, Made) else value).name


def _shortcut(name: str, place: Place | None) -> Shortcut:
    if place is None:
        return Shortcut(name, 0, "")
    node, lines = place
    line = getattr(node, "lineno", 0)
    return Shortcut(name, line, lines[line - 1].strip()[:100] if 0 < line <= len(lines) else "")


def _calls(node: ast.Call, *names: str) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id in names


def _defaults(node: ast.AST) -> list[ast.expr]:
    return [*node.args.defaults, *filter(None, node.args.kw_defaults)]


def _is_static(node: ast.AST) -> bool:
    return any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in node.decorator_list)


def _bodies(node: ast.stmt) -> Iterator[list[ast.stmt]]:
    """The lists of statements inside a statement: branches, loops, handlers, cases."""
    for part in (node, *getattr(node, "handlers", ()), *getattr(node, "cases", ())):
        for name in ("body", "orelse", "finalbody"):
            body = getattr(part, name, None)
            if isinstance(body, list):
                yield body


def is_class(name: str) -> bool:
    """By its capital; a tensor's own class is left out, because what it gives is like any other tensor."""
    return name.rpartition(".")[2][:1].isupper() and not name.endswith(("()", "Tensor", "Parameter"))
