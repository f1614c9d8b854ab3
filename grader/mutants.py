"""Mutants of a reference: the same code with one small thing changed, which its check must notice.

The mistakes of an exercise are those that somebody thought of. Mutants are made by rule from the reference
itself, so they show what nobody thought of. A mutant that passes its check points at a law that is missing.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator

from attnlab.checks.exercise import Exercise
from attnlab.checks.marking import mark
from grader.mutation_operators import OWN

ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Pow")
COMPARISONS = ("Eq", "NotEq", "Lt", "LtE", "Gt", "GtE")
CORE = (
    *(f"ReplaceBinaryOperator_{a}_{b}" for a, b in itertools.permutations(ARITHMETIC, 2)),
    "ReplaceBinaryOperator_BitOr_BitAnd",
    "ReplaceBinaryOperator_BitAnd_BitOr",
    *(f"ReplaceComparisonOperator_{a}_{b}" for a, b in itertools.permutations(COMPARISONS, 2)),
    "ReplaceComparisonOperator_Is_IsNot",
    "ReplaceComparisonOperator_IsNot_Is",
    "ReplaceUnaryOperator_USub_UAdd",
    "ReplaceUnaryOperator_Delete_USub",
    "ReplaceUnaryOperator_Delete_Invert",
    "ReplaceUnaryOperator_Delete_Not",
    "NumberReplacer",
    "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue",
    "ReplaceAndWithOr",
    "ReplaceOrWithAnd",
    "AddNot",
)

# Mutants that no check can tell from the reference, not counted: exercise -> the changed line -> why.
ONE_DEVICE = "a check runs on the CPU, where tensors lie unasked; tests/reference tries another device"
NO_ERROR_ASKED = "a check calls with what is allowed; tests/reference asks for the error"
FOUR_AXES = "a layer is given batches of maps, where axis +2 is axis -2"
EQUIVALENT = {
    "rnn_attention.luong_scores": {
        'without: raise ValueError(f"Expected dot, general or concat for the method, got {method!r}.")': NO_ERROR_ASKED,
    },
    "squeeze_excitation.SqueezeExcitation": {"return features.mean(dim=(+2, -1))": FOUR_AXES},
    "welcome.leave_one_out": {"itself = torch.eye(keys.shape[-2], dtype=torch.bool)": ONE_DEVICE},
    "self_attention.causal_mask": {"return torch.ones(length, length, dtype=torch.bool).tril()": ONE_DEVICE},
}


@dataclass(frozen=True)
class Mutant:
    """A changed reference. `rule` is what changed it, `line` the changed line as it now reads."""

    rule: str
    line: str
    answer: Callable

    def killed_by(self, exercise: Exercise, seed: int = 0) -> bool:
        """Does the exercise's check notice? An endless mutant is stopped by the check's own time limit."""
        return not mark(exercise, self.answer, seed, diagnosed=False).passed


@cache
def mutants(exercise: Exercise) -> tuple[Mutant, ...]:
    """All mutants of an exercise's reference that differ from it and from one another."""
    file = Path(inspect.getsourcefile(exercise.answer))
    source, name = file.read_text(), exercise.answer.__name__
    known = {_essence(compile(source, file, "exec"))}
    equivalent = EQUIVALENT.get(exercise.full_name, {})
    made = []
    for rule, mutated, line in _changed_sources(source, name, _operators(exercise)):
        code = _compiled(mutated, file)
        if code is None or _essence(code) in known or line in equivalent:
            continue
        known.add(_essence(code))
        answer = _answer_of(code, name, file)
        if answer is not None:
            made.append(Mutant(rule, line, answer))
    return tuple(made)


def _changed_sources(source: str, name: str, operators: list[Operator]) -> Iterator[tuple[str, str, str]]:
    """The rule, the whole file with one change in a definition the answer needs, and the changed line."""
    lines = source.splitlines(keepends=True)
    for start, end in _needed(source, name):
        definition = "".join(lines[start:end])
        for operator in operators:
            for occurrence in itertools.count():
                changed = mutate_code(definition, operator, occurrence)
                if changed is None:
                    break
                whole = "".join([*lines[:start], changed, *lines[end:]])
                yield type(operator).__name__, whole, _changed_line(definition, changed)


def _operators(exercise: Exercise) -> list[Operator]:
    """All of them; but the numbers in a law (the answer to a bug hunt) are inputs that it tries.

    Other inputs make another law that is as right, so those numbers stay as they are.
    """
    names = [name for name in CORE if not (exercise.hunt and name == "NumberReplacer")]
    return [*(get_operator(f"core/{name}")() for name in names), *(operator() for operator in OWN)]


def _needed(source: str, name: str) -> list[tuple[int, int]]:
    """Where the answer stands in its file, and the functions and classes of the same file that it uses."""
    tree = ast.parse(source)
    definitions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    needed, waiting = {}, [name]
    while waiting:
        found = waiting.pop()
        if found in definitions and found not in needed:
            needed[found] = definitions[found]
            waiting += [node.id for node in ast.walk(definitions[found]) if isinstance(node, ast.Name)]
    return [(node.lineno - 1, node.end_lineno) for node in needed.values()]


def _changed_line(before: str, after: str) -> str:
    for old, new in zip(before.splitlines(), after.splitlines(), strict=False):
        if old != new:
            return f"without: {old.strip()}" if new.strip() == "pass" else new.strip()
    return ""


def _compiled(source: str, file: Path) -> types.CodeType | None:
    """The code, or None where the mutant is no Python (then there is nothing to notice)."""
    try:
        return compile(source, file, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return None


def _essence(code: types.CodeType) -> tuple[Any, ...]:
    """What a piece of code does, without the places where it stands in the file."""
    constants = tuple(
        _essence(value) if isinstance(value, types.CodeType) else (type(value).__name__, repr(value))
        for value in code.co_consts
    )
    return code.co_name, code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars


def _answer_of(code: types.CodeType, name: str, file: Path) -> Callable | None:
    """Run the code as a module of its own and take the answer out. None where it does not even load."""
    module = types.ModuleType(f"mutant_of_{file.stem}")
    module.__file__ = str(file)
    try:
        exec(code, module.__dict__)  # our own reference, changed by our own rules
    except Exception:
        return None
    return module.__dict__[name]
