"""What a check has to say, as data, as at most six lines of text, and as a panel."""

from __future__ import annotations

import html
from dataclasses import dataclass, field

import torch

from attnlab.checks.diagnosis import Diagnosis
from attnlab.checks.shrink import Example
from attnlab.checks.words import diagnosis_lines


@dataclass
class Report:
    """The outcome of one check.

    laws: name -> held. broken: name -> the sentence that says where it does not hold.
    diagnosis: the name of the mistake, or None.
    shortcuts: the library calls in the answer's code that do what the exercise asks to write, each with its line.
    """

    name: str
    attempted: bool
    points: int
    max_points: int
    laws: dict[str, bool] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    hunt: bool = False  # the answer was a law about implementations
    raised: bool = False  # a case at least ended in an exception
    fault: str = ""  # what went wrong at once, before any law: raised, hang, type, ...
    printed: str = ""
    diagnosed: Diagnosis = field(default_factory=lambda: Diagnosis("unknown"))
    example: Example | None = None
    seconds: float = 0.0
    shortcuts: list[str] = field(default_factory=list)
    refused: bool = False  # the course does not accept its shortcuts

    @classmethod
    def without_exercise(cls, name: str, message: str) -> Report:
        """The report on a name that no exercise has."""
        return cls(name, attempted=False, points=0, max_points=0, broken={"exercise exists": message})

    @property
    def passed(self) -> bool:
        return not self.broken and not self.refused

    def note_shortcuts(self, shortcuts: list[str], refuse: bool) -> None:
        """Note the shortcuts that the answer takes. Refused, it has no points, whatever its laws say."""
        self.shortcuts, self.refused = shortcuts, refuse and bool(shortcuts)
        if self.refused:
            self.points = 0

    @property
    def diagnosis(self) -> str | None:
        return self.diagnosed.name

    @property
    def message(self) -> str:
        """The text of the panel."""
        return "\n".join(line for _, line in self.lines())

    def lines(self) -> list[tuple[str, str]]:
        """The panel line by line, six at most: (what the line is, its text)."""
        verdict, *others = self._verdict_and_why()
        return [verdict, *self._shortcut_lines(), *others][:6]  # the hint is last, and gives way

    def _shortcut_lines(self) -> list[tuple[str, str]]:
        if not self.shortcuts:
            return []
        calls = ", ".join(self.shortcuts[:3])
        sentence = f"Your code calls {calls}: that does what this exercise asks you to write."
        return [("shortcut", f"{sentence} To compare with it, call it in a cell of its own.")]

    def _verdict_and_why(self) -> list[tuple[str, str]]:
        short = self.name.rpartition(".")[2]
        if not self.max_points:
            return [("verdict", f"? {self.name}: not checked."), ("law", next(iter(self.broken.values())))]
        if self.passed:
            return [("verdict", f"✓ {short}: all {self.max_points} points. Every law holds ({len(self.laws)}).")]
        hint = ("hint", f"A hint: check.{short}.hint()   ·   {self.seconds:.2f} s")
        if not self.attempted:
            todo = "Write the cell above, run it, then run this one again."
            return [("verdict", f"○ {short}: not attempted yet (0 of {self.max_points} points)."), ("next", todo), hint]
        if self.refused and not self.broken:
            verdict = f"✗ {short}: 0 of {self.max_points} points. A shortcut is taken, and this course refuses it."
            return [("verdict", verdict), ("law", f"Every law holds ({len(self.laws)})."), hint]
        law, sentence = next(iter(self.broken.items()))
        verdict = (
            f"✗ {short}: {self.points} of {self.max_points} points; {len(self.broken)} of {len(self.laws)} laws fail."
        )
        if self.refused:
            verdict += " A shortcut is taken, and this course refuses it."
        # No law can be asked about calls that all gave nothing to judge: the fault speaks for itself.
        opening = "" if self.fault else f"First law: {law}. "
        return [("verdict", verdict), ("law", f"{opening}{sentence}"), *self._diagnosis_lines(), hint]

    def _diagnosis_lines(self) -> list[tuple[str, str]]:
        known = self.diagnosed
        if not known.mistakes and self.example is not None:
            return [("diagnosis", "Not a mistake that we know. Below is the smallest example we found where it shows.")]
        return diagnosis_lines(known.certainty, known.mistakes, self.hunt, self.raised)

    def __str__(self) -> str:
        parts = [self.message]
        if self.example is not None:
            parts.append(_example_text(self.example))
        if self.printed:
            parts.append(f"Your code printed: {self.printed.rstrip()}")
        return "\n".join(parts)

    __repr__ = __str__

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self.panel()}

    def panel(self) -> str:
        """The same as HTML. Colours are JupyterLab's own, with fallbacks, so it is readable in both themes."""
        colour = "#2e7d32" if self.passed else "#b26a00" if self.attempted else "#5c6bc0"
        rows = [f'<div style="{_STYLES.get(kind, "")}">{html.escape(text)}</div>' for kind, text in self.lines()]
        if self.example is not None:
            rows.append(_example_html(self.example))
        if self.printed:
            rows.append(
                f"<details><summary>Your code printed</summary><pre>{html.escape(self.printed)}</pre></details>"
            )
        return (
            f'<div class="attnlab-report" role="status" style="border-left: 6px solid {colour}; padding: 8px 12px; '
            "background: var(--jp-layout-color1, #ffffff); color: var(--jp-content-font-color1, #1a1a1a); "
            f'font-family: var(--jp-ui-font-family, sans-serif); line-height: 1.45">{"".join(rows)}</div>'
        )


_STYLES = {
    "verdict": "font-weight: 700",
    "diagnosis": "margin-top: 6px",
    "next": "margin-top: 6px; font-weight: 600",
    "hint": "margin-top: 6px; font-size: 90%",
}


def _tables(example: Example) -> tuple[list[list[str]], list[list[str]]]:
    """Both outputs as rows of short numbers, with as many digits as it takes to see that they differ."""
    for digits in (3, 4, 6, 9):
        mine, theirs = _rows(example.got, digits), _rows(example.want, digits)
        if mine != theirs:
            break
    return mine, theirs


def _rows(tensor: torch.Tensor, digits: int) -> list[list[str]]:
    flat = tensor.reshape(-1, tensor.shape[-1]) if tensor.ndim else tensor.reshape(1, 1)
    return [[_number(value, digits) for value in row] for row in flat[:6, :8].tolist()]


def _number(value: float | bool, digits: int) -> str:
    return str(value) if isinstance(value, bool) else f"{value:.{digits}g}"


def _given(example: Example) -> str:
    """The inputs in one line, with two digits behind the point."""
    return "; ".join(f"{name} = {_shortened(value)}" for name, value in example.inputs.items())


def _shortened(value: torch.Tensor | float) -> object:
    if not isinstance(value, torch.Tensor):
        return round(value, 3)
    return ((value.double() * 100).round() / 100 if value.is_floating_point() else value).tolist()


def _titled(example: Example) -> list[tuple[str, list[list[str]]]]:
    mine, theirs = _tables(example)
    return [
        (f"your {example.name} {tuple(example.got.shape)}", mine),
        (f"expected {example.name} {tuple(example.want.shape)}", theirs),
    ]


def _example_text(example: Example) -> str:
    tables = [f"{title}: {' / '.join(' '.join(row) for row in rows)}" for title, rows in _titled(example)]
    return "\n".join([f"Given {_given(example)}", *tables])


def _example_html(example: Example) -> str:
    tables = "".join(
        f'<div style="display: inline-block; margin: 6px 24px 0 0; vertical-align: top">'
        f"<table><caption>{html.escape(title)}</caption>{_table(rows)}</table></div>"
        for title, rows in _titled(example)
    )
    return f"<div>Given {html.escape(_given(example))}</div>{tables}"


def _table(rows: list[list[str]]) -> str:
    return "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
