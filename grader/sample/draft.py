"""One lesson as one student hands it in: the release, solved, until something is changed."""

from __future__ import annotations

import ast
import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from attnlab.checks.exercise import Exercise, Mistake
from attnlab.checks.lesson import Lesson
from grader.sample.cells import also_right, mistaken


@dataclass
class Draft:
    """`cells` are the notebook's own; `main` is the exercise that a student's one oddity is put into."""

    lesson: Lesson
    notebook: dict
    main: str

    @classmethod
    def of(cls, lesson: Lesson, root: Path, main: str) -> Draft:
        """Every exercise is solved. Raises OSError where the lesson has not been built."""
        slug = lesson.slug
        released, solved = (
            json.loads((root / folder / slug / f"{slug}.ipynb").read_text(encoding="utf-8"))
            for folder in ("lessons", "solutions")
        )
        draft = cls(lesson, released, main)
        for cell in solved["cells"]:
            if _stamp(cell).get("solution"):
                lines = [line for line in "".join(cell["source"]).split("\n") if not line.strip().startswith("### ")]
                draft.write(_stamp(cell)["grade_id"], "\n".join(lines))
        return draft

    def copy(self) -> Draft:
        return Draft(self.lesson, copy.deepcopy(self.notebook), self.main)

    @property
    def cells(self) -> list[dict]:
        return self.notebook["cells"]

    @property
    def exercises(self) -> dict[str, Exercise]:
        return self.lesson.exercises

    def cell(self, grade_id: str) -> dict:
        return next(cell for cell in self.cells if _stamp(cell).get("grade_id") == grade_id)

    def place(self, grade_id: str) -> int:
        return self.cells.index(self.cell(grade_id))

    def text(self, grade_id: str) -> str:
        return "".join(self.cell(grade_id)["source"])

    def write(self, grade_id: str, text: str) -> None:
        """Put this text into a cell."""
        self.cell(grade_id)["source"] = text.splitlines(keepends=True)

    def stub(self, exercise: str) -> None:
        """Leave an exercise unwritten, as it was released: the signature, and the line that says so."""
        tree = ast.parse(self.text(exercise))
        unwritten = ast.parse('raise NotImplementedError("write this, then run the check below")').body
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                node.body = unwritten
        self.write(exercise, ast.unparse(tree))

    def mistake(self, exercise: str, *mistakes: Mistake) -> None:
        """Make a mistake of the bank, or several at once."""
        self.write(exercise, mistaken(self.exercises[exercise], *mistakes))

    def named(self, exercise: str, name: str) -> Mistake:
        """The mistake of that name."""
        return next(mistake for mistake in self.exercises[exercise].mistakes if mistake.name == name)

    def right(self, exercise: str, place: int) -> None:
        """Solve an exercise in another way that the bank knows."""
        ways = list(self.exercises[exercise].also_right)
        self.write(exercise, also_right(self.exercises[exercise], ways[place % len(ways)]))

    def before(self, line: str) -> None:
        """Let the main exercise do this first, whenever it is called."""
        tree = ast.parse(self.text(self.main))
        (function,) = tree.body
        documented = ast.get_docstring(function) is not None
        function.body[documented:documented] = ast.parse(line).body
        self.write(self.main, ast.unparse(tree))

    def rename(self, new_name: Callable[[int, str], str]) -> None:
        """Give the local variables of every exercise other names; arguments keep theirs, since callers name them."""
        for exercise in self.exercises:
            self.write(exercise, _renamed(self.text(exercise), new_name))

    def insert(self, place: int, text: str, kind: str = "code", tags: tuple[str, ...] = ()) -> None:
        """A new cell of the student's own."""
        cell = {"cell_type": kind, "id": f"own-{len(self.cells)}", "metadata": {"tags": list(tags)} if tags else {}}
        cell |= {"execution_count": None, "outputs": []} if kind == "code" else {}
        self.cells.insert(place, cell | {"source": text.splitlines(keepends=True)})

    def to_bytes(self) -> bytes:
        return (json.dumps(self.notebook, indent=1, ensure_ascii=False) + "\n").encode()


def _stamp(cell: dict) -> dict:
    return cell["metadata"].get("nbgrader", {})


def _renamed(text: str, new_name: Callable[[int, str], str]) -> str:
    tree = ast.parse(text)
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
        names = [node for node in ast.walk(function) if isinstance(node, ast.Name)]
        arguments = {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
        own = dict.fromkeys(node.id for node in names if isinstance(node.ctx, ast.Store) and node.id not in arguments)
        new = {old: new_name(i, old) for i, old in enumerate(own)}
        for node in names:
            node.id = new.get(node.id, node.id)
    return ast.unparse(tree)
