"""How good the checks are: `python -m grader.scoreboard` measures every exercise of every lesson.

    mistakes caught       wrong implementations that lose marks
    own diagnosis         ... and are told which mistake it is
    mutants killed        changes made by rule to the reference that the check notices
    right accepted        right implementations, written differently, with full marks

The table goes to the screen, into README.md between its two markers, and with the times into scoreboard.json.
The README has no times: they differ from run to run and machine to machine.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import click

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- scoreboard:begin -->", "<!-- scoreboard:end -->"

MISTAKES, RIGHT, MUTANTS = 8, 5, 0.95  # at least so many of each, and this share of the mutants
REPEATS = 20
PATH = click.Path(path_type=Path)


@dataclass(frozen=True)
class Row:
    """One exercise. A pair is (how many, of how many); times are in milliseconds."""

    name: str
    caught: tuple[int, int]
    diagnosed: tuple[int, int]
    killed: tuple[int, int]
    accepted: tuple[int, int]
    right_ms: float  # a right answer, the median
    wrong_ms: float  # a wrong answer with its diagnosis, 95th percentile over the mistakes

    def shortfalls(self) -> list[str]:
        """Which bars this exercise misses, in words."""
        bars = {
            f"has {self.caught[1]} mistakes, wants {MISTAKES}": self.caught[1] >= MISTAKES,
            f"catches {_of(self.caught)} mistakes": self.caught[0] == self.caught[1],
            f"diagnoses {_of(self.diagnosed)} mistakes as themselves": self.diagnosed[0] == self.diagnosed[1],
            f"has {self.accepted[1]} right variants, wants {RIGHT}": self.accepted[1] >= RIGHT,
            f"accepts {_of(self.accepted)} right variants": self.accepted[0] == self.accepted[1],
            f"kills {_of(self.killed)} mutants, wants {MUTANTS:.0%}": _share(self.killed) >= MUTANTS,
        }
        return [f"{self.name} {words}" for words, held in bars.items() if not held]


@dataclass(frozen=True)
class Budget:
    """A time that the checks keep to, over all exercises."""

    what: str
    limit_ms: float
    measured_ms: float

    @property
    def held(self) -> bool:
        return self.measured_ms <= self.limit_ms

    def line(self, with_time: bool = True) -> str:
        measured = f", measured {self.measured_ms:.0f} ms" if with_time else ""
        return f"{self.what}: at most {self.limit_ms:.0f} ms{measured}: {'held' if self.held else 'NOT HELD'}"


def measure(exercise) -> Row:
    """Put an exercise through everything that is counted."""
    from attnlab.checks.marking import mark
    from grader.mutants import mutants

    mark(exercise, exercise.answer)  # warm: the first call runs the reference and loads torch's parts
    right_ms = [_timed(lambda: mark(exercise, exercise.answer))[1] for _ in range(REPEATS)]
    wrong = [(mistake, *_timed(lambda m=mistake: mark(exercise, m.answer))) for mistake in exercise.mistakes]
    right = [mark(exercise, answer, diagnosed=False).passed for answer in exercise.also_right.values()]
    return Row(
        exercise.full_name,
        caught=_count(not report.passed for _, report, _ in wrong),
        diagnosed=_count(report.diagnosis == mistake.name for mistake, report, _ in wrong),
        killed=_count(mutant.killed_by(exercise) for mutant in mutants(exercise)),
        accepted=_count(right),
        right_ms=round(statistics.median(right_ms), 1),
        wrong_ms=round(percentile_95([ms for *_, ms in wrong]), 1),
    )


def budgets(rows: list[Row]) -> list[Budget]:
    """The times that were promised, against the times measured."""
    right, wrong = [row.right_ms for row in rows], [row.wrong_ms for row in rows]
    return [
        Budget("A right answer, median over all exercises", 20, statistics.median(right)),
        Budget("A right answer, 95th percentile", 200, percentile_95(right)),
        Budget("A wrong answer with its diagnosis, 95th percentile", 1000, percentile_95(wrong)),
    ]


def percentile_95(values: list[float]) -> float:
    """The smallest value that at least 95 % of the values do not exceed."""
    ranked = sorted(values)
    return ranked[-(-95 * len(ranked) // 100) - 1]


HEAD = ("exercise", "mistakes caught", "own diagnosis", "mutants killed", "right accepted")
TIMES = ("right ms", "wrong ms")


def cells(row: Row) -> tuple[str, ...]:
    return row.name, *(_of(pair) for pair in (row.caught, row.diagnosed, row.killed, row.accepted))


def screen_table(rows: list[Row]) -> str:
    """The table with times, in columns."""
    lines = [(*HEAD, *TIMES), *((*cells(row), f"{row.right_ms:.1f}", f"{row.wrong_ms:.0f}") for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    spread = ["".join(cell.rjust(w + 2) for cell, w in zip(line, widths, strict=True)) for line in lines]
    names = [line[0].ljust(widths[0]) for line in lines]
    return "\n".join(name + rest[widths[0] + 2 :] for name, rest in zip(names, spread, strict=True))


def readme_table(rows: list[Row]) -> str:
    """The table without times, and whether the times were kept, in Markdown."""
    ruler = "|---|" + "---:|" * (len(HEAD) - 1)
    lines = [f"| {' | '.join(HEAD)} |", ruler, *(f"| {' | '.join(cells(row))} |" for row in rows)]
    kept = [f"- {budget.line(with_time=False)}" for budget in budgets(rows)]
    where = "Times on your own machine: `make scoreboard`; they go to `scoreboard.json`."
    return "\n".join([*lines, "", *kept, "", where])


def fill(text: str, table: str) -> str:
    """The text with the table between its two markers. Raises ValueError where they are not there."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"expected a line {BEGIN} and then a line {END}; add them where the table should be")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


@click.command()
@click.option("--json", "json_path", type=PATH, default=ROOT / "scoreboard.json", help="Where the JSON goes.")
@click.option("--readme", type=PATH, default=ROOT / "README.md", help="The README to fill.")
def main(json_path: Path, readme: Path) -> None:
    """Measure every exercise; exit code 1 if a bar is missed."""
    import torch

    from attnlab.checks import lessons

    torch.set_num_threads(1)
    rows = [measure(exercise) for lesson in lessons() for exercise in lesson.exercises.values()]
    click.echo(screen_table(rows))
    json_path.write_text(json.dumps(_as_json(rows), indent=1) + "\n")
    try:
        readme.write_text(fill(readme.read_text(), readme_table(rows)))
    except (OSError, ValueError) as error:
        click.echo(f"{readme} was not filled: {error}.", err=True)
    short = [line for row in rows for line in row.shortfalls()]
    for line in short:
        click.echo(f"Short: {line}")
    for budget in budgets(rows):
        click.echo(budget.line())
    sys.exit(1 if short else 0)


def _as_json(rows: list[Row]) -> dict:
    return {
        "exercises": [asdict(row) for row in rows],
        "budgets": [asdict(budget) | {"held": budget.held} for budget in budgets(rows)],
    }


def _count(outcomes: Iterable[bool]) -> tuple[int, int]:
    counted = list(outcomes)
    return sum(counted), len(counted)


def _of(pair: tuple[int, int]) -> str:
    return f"{pair[0]}/{pair[1]}"


def _share(pair: tuple[int, int]) -> float:
    return pair[0] / max(pair[1], 1)


def _timed(call: Callable):
    """What the call returned, and how many milliseconds it took."""
    start = time.perf_counter()
    result = call()
    return result, (time.perf_counter() - start) * 1000


if __name__ == "__main__":
    main()
