"""Finds calls in code cells: `check.quiz(3)`, `figure(...)`."""

import ast
from collections.abc import Iterator

from grader.pipeline.source import Cell, Source


def calls(source: Source) -> Iterator[tuple[Cell, str, ast.Call]]:
    """Every call in the lesson's code, with its name as written: "check.quiz", "figure"."""
    for cell in source.code:
        for node in ast.walk(ast.parse(cell.text)):
            if isinstance(node, ast.Call):
                yield cell, ast.unparse(node.func), node


def first_arguments(source: Source, name: str) -> list:
    """What the calls of `name` are called with, in order: question numbers, names of predictions."""
    return [
        node.args[0].value
        for _, called, node in calls(source)
        if called == name and node.args and isinstance(node.args[0], ast.Constant)
    ]
