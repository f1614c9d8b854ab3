"""Reads a lesson's source (jupytext percent format) into cells whose metadata is known to be right."""

from dataclasses import dataclass
from pathlib import Path

import jupytext

from grader.pipeline.refusal import Refused

SECTIONS = (
    "card",
    "recall",
    "puzzle",
    "intuition",
    "mechanism",
    "exercises_a",
    "look_inside",
    "exercises_b",
    "experiment",
    "quiz",
    "stretch",
    "sources",
)
ROLES = ("predict", "quiz", "recall", "figure", "interactive", "experiment", "carry_on")
MARKDOWN_KEYS = ("section", "why", "exercise_text")
CODE_KEYS = ("exercise", "check", "role")
JUPYTEXT_KEYS = ("lines_to_next_cell", "lines_to_end_of_cell_marker", "cell_marker")


@dataclass(frozen=True)
class Cell:
    """One cell as the author wrote it. `number` counts from 1, in the order of the file."""

    number: int
    kind: str
    text: str
    section: str | None = None
    why: bool = False
    exercise_text: str | None = None
    exercise: str | None = None
    check: str | None = None
    role: str | None = None

    @property
    def is_code(self) -> bool:
        return self.kind == "code"

    @property
    def part(self) -> str:
        """What the cell is for, in one word and a name: part of what makes its id."""
        for key in ("section", "exercise_text", "exercise", "check", "role"):
            if getattr(self, key):
                return f"{key} {getattr(self, key)}"
        return "why" if self.why else "plain"


@dataclass(frozen=True)
class Source:
    """A lesson's source: the file, and its cells."""

    path: Path
    cells: tuple[Cell, ...]

    @property
    def slug(self) -> str:
        return self.path.stem

    @property
    def number(self) -> int:
        return int(self.slug.split("_")[0])

    @property
    def shown_path(self) -> str:
        return f"solutions/{self.slug}/{self.slug}.py"

    def where(self, cell: Cell | None = None) -> str:
        return f"{self.shown_path}, cell {cell.number}" if cell else self.shown_path

    @property
    def code(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.is_code]

    @property
    def markdown(self) -> list[Cell]:
        return [cell for cell in self.cells if not cell.is_code]


def read(path: Path) -> Source:
    """Read one lesson. Raises Refused for metadata that the pipeline does not know."""
    try:
        notebook = jupytext.reads(path.read_text(encoding="utf-8"), fmt="py:percent")
    except Exception as error:  # jupytext lets many kinds through; the author needs the file's name
        raise Refused(
            f"solutions/{path.stem}/{path.name}",
            "a file that jupytext reads",
            f"{type(error).__name__} ({str(error).splitlines()[0]})",
            "Look at the head of the file and at its `# %%` lines.",
        ) from error
    source = Source(path, ())
    raw = [cell for cell in notebook.cells if cell.source.strip() or cell.metadata]
    cells = tuple(_cell(source, number, cell) for number, cell in enumerate(raw, start=1))
    return Source(path, cells)


def _cell(source: Source, number: int, raw) -> Cell:
    metadata = {key: value for key, value in raw.metadata.items() if key not in JUPYTEXT_KEYS}
    cell = Cell(number, raw.cell_type, raw.source.strip("\n"))
    _refuse_unknown_keys(source, cell, metadata)
    _refuse_unknown_values(source, cell, metadata)
    return Cell(number, cell.kind, cell.text, **metadata)


def _refuse_unknown_keys(source: Source, cell: Cell, metadata: dict) -> None:
    known = {"markdown": MARKDOWN_KEYS, "code": CODE_KEYS}.get(cell.kind, ())
    for key in metadata:
        if key not in known:
            raise Refused(
                source.where(cell),
                f"after %% of a {cell.kind} cell only {', '.join(known) or 'nothing'}",
                f"`{key}`",
                'Correct the name or take it out; values stand in double quotes, as in exercise="scale".',
            )
    if "role" in metadata and len(metadata) > 1:
        raise Refused(
            source.where(cell),
            "a role or an exercise or a check",
            " and ".join(metadata),
            "A cell with a role is not run when marking, so it cannot carry marks: split the cell.",
        )


def _refuse_unknown_values(source: Source, cell: Cell, metadata: dict) -> None:
    for key, known in (("section", SECTIONS), ("role", ROLES)):
        if key in metadata and metadata[key] not in known:
            raise Refused(
                source.where(cell),
                f"{key} to be one of {', '.join(known)}",
                f"{metadata[key]!r}",
                "Correct it.",
            )
    if metadata.get("why", True) is not True:
        raise Refused(source.where(cell), "why=true", f"why={metadata['why']!r}", "Write true, or take it out.")
    for key in ("exercise_text", "exercise", "check"):
        if key in metadata and not (isinstance(metadata[key], str) and metadata[key].isidentifier()):
            raise Refused(
                source.where(cell),
                f"{key} to name a function or class",
                f"{metadata[key]!r}",
                "Use the name that the learner defines: letters, digits and underscores.",
            )
