"""What this package promises, held against the rows of one run. Of what was not measured nothing is said."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from attnlab.bench.measuring import Row
from attnlab.bench.memory import growth

AS_FAST, PADDING_FREE, DILATED, EXPONENT = 0.95, 1.5, 10.0, 1.1
LONG = 8192  # tokens from which the promise about dilated windows counts


@dataclass(frozen=True)
class Claim:
    """worst: the least favourable figure of those that it is about, and where that was."""

    text: str
    held: bool
    worst: float
    where: str

    def as_row(self) -> dict[str, Any]:
        return asdict(self)


def claims(rows: list[Row]) -> list[Claim]:
    found = [
        _least(
            f"attention is never slower than {AS_FAST} x torch's function",
            (row for row in rows if row["section"] in ("attention", "others") and row["way"] == "fast"),
            AS_FAST,
        ),
        _least(
            f"without padding at least {PADDING_FREE} x as fast as padded, lengths uniform on [0.2 S, S]",
            (row for row in rows if row["section"] == "padding" and row["way"] == "packed"),
            PADDING_FREE,
        ),
        _dilated(rows),
        *(_linear(rows, backward) for backward in (False, True)),
    ]
    return [claim for claim in found if claim is not None]


def _least(text: str, rows: Iterable[Row], limit: float) -> Claim | None:
    rows = [row for row in rows if "ratio" in row]
    if not rows:
        return None
    worst = min(rows, key=lambda row: row["ratio"])
    return Claim(text, worst["ratio"] >= limit, worst["ratio"], named(worst["case"]))


def _dilated(rows: list[Row]) -> Claim | None:
    """PDAN's layer, whose code unfolds, with three taps at this length: time or memory, whichever is better."""
    about = [
        row
        for row in rows
        if row["section"] == "windows" and row["way"] == "fast" and "ratio" in row
        and row["case"].get("taps") == 3 and row["case"]["dilation"] > 1 and row["case"]["tokens"] >= LONG
    ]  # fmt: skip
    if not about:
        return None
    best = {id(row): max(row["ratio"], row.get("less_memory", 0)) for row in about}
    worst = min(about, key=lambda row: best[id(row)])
    text = f"dilated windows of 3 at {LONG} tokens at least {DILATED:g} x the unfold, in time or memory"
    return Claim(text, best[id(worst)] >= DILATED, best[id(worst)], named(worst["case"]))


def _linear(rows: list[Row], backward: bool) -> Claim | None:
    exponent = growth(rows, "fast", backward)
    if exponent is None:
        return None
    text = f"memory grows with the length to a power of at most {EXPONENT}, {'fwd+bwd' if backward else 'fwd'}"
    return Claim(text, exponent <= EXPONENT, exponent, "attention, N to 4 N")


def named(case: dict[str, Any]) -> str:
    return ", ".join(value if isinstance(value, str) else f"{name} {value}" for name, value in case.items())
