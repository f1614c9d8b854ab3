"""What one attack is: a notebook to hand in, what it deserves, and where to look afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from grader.referee.result import Result, Verdict
from tests.redteam import plain_lesson

if TYPE_CHECKING:
    from tests.redteam.ground import Ground

ROOT = Path(__file__).parents[2]
SELF_ATTENTION = "05_self_attention"
SELF_ATTENTION_FULL = 59.0
FAILED, ERROR, MISSING = Verdict.FAILED, Verdict.ERROR, Verdict.NOT_DEFINED


@dataclass(frozen=True)
class Case:
    """One submission.

    text: the notebook, as a dict or as bytes, made for the ground (which knows the places of the secrets).
    fair: the points that it deserves. verdicts: how an exercise below its points may have ended.
    seconds: of wall time that marking it may take. leaves: does it try to leave something behind, so that honest
    submissions are tried directly afterwards? look: raises AssertionError where something is wrong.
    """

    name: str
    text: Callable[[Ground], dict | bytes]
    fair: float
    verdicts: tuple[Verdict, ...] = tuple(v for v in Verdict if v is not Verdict.GRADER_FAULT)
    seconds: float = 8.0
    lesson: str = plain_lesson.SLUG
    leaves: bool = False
    look: Callable[[Ground, Result], None] | None = None


@dataclass(frozen=True)
class Look:
    """A threat to a part that no submission reaches by being run: `look` does it all."""

    name: str
    look: Callable[[Ground], None]


@dataclass(frozen=True)
class CannotArise:
    """A threat that has no place to happen, and why."""

    why: str


@dataclass(frozen=True)
class Threat:
    number: int
    name: str
    cases: tuple[Case | Look | CannotArise, ...]


def plain(
    attack: str = "",
    answers: dict[str, str] = plain_lesson.WRONG,
    first: str = "",
    last: str = "",
    magic: bool = False,
    **changed: str,
) -> Callable[[Ground], dict]:
    """The plain lesson with these answers, and the attack in a cell of its own behind them (`first`: before them;
    `last`: behind all tests). `changed` are other answers, by name. COURSE and the like stand for the ground's places.
    """

    def build(ground: Ground) -> dict:
        imports = plain_lesson.MAGIC + plain_lesson.FIRST if magic else plain_lesson.FIRST
        cells = plain_lesson.cells({**answers, **changed}, ground.secrets, tests=False, first=imports)
        helpers = next(i for i, cell in enumerate(cells) if cell["id"] == "close")
        cells[helpers:helpers] = [own_cell(attack)] if attack else []
        cells[1:1] = [own_cell(first)] if first else []
        cells += [own_cell(last)] if last else []
        for cell in cells:
            cell["source"] = ground.placed(cell["source"])
        return plain_lesson.notebook(cells)

    return build


def own_cell(text: str, kind: str = "code") -> dict:
    cell = {"cell_type": kind, "id": f"own-{abs(hash(text)) % 10**8}", "metadata": {}, "source": text}
    return cell | ({"outputs": [], "execution_count": None} if kind == "code" else {})


@lru_cache(maxsize=2)
def _lesson_05(folder: str) -> dict:
    path = ROOT / folder / SELF_ATTENTION / f"{SELF_ATTENTION}.ipynb"
    return json.loads(path.read_text(encoding="utf-8"))


def lesson_05(attack: str = "", right: bool = False, **answers: str) -> Callable[[Ground], dict]:
    """Lesson 05, as released or solved, with the attack in a cell before the first answer, and other answers."""

    def build(ground: Ground) -> dict:
        notebook = deepcopy(_lesson_05("solutions" if right else "lessons"))
        cells = notebook["cells"]
        for cell in cells:
            name = cell["metadata"].get("nbgrader", {}).get("grade_id", "")
            if name in answers:
                cell["source"] = ground.placed(answers[name])
        place = next(i for i, cell in enumerate(cells) if "nbgrader" in cell["metadata"])
        cells[place:place] = [own_cell(ground.placed(attack))] if attack else []
        return notebook

    return build


def altered(
    text: Callable[[Ground], dict], change: Callable[[dict], dict | bytes | None]
) -> Callable[[Ground], dict | bytes]:
    """The notebook after a change to its JSON, in place or by what the change returns."""

    def build(ground: Ground) -> dict | bytes:
        notebook = text(ground)
        changed = change(notebook)
        return notebook if changed is None else changed

    return build
