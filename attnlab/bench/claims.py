"""What this package promises, held against the rows of one run. Of what was not measured nothing is said."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from attnlab.bench.counting import BACKWARD
from attnlab.bench.measuring import Row
from attnlab.bench.memory import growth

AS_FAST, PADDING_FREE, DILATED, EXPONENT = 0.95, 1.5, 10.0, 1.1
# On an H100 or H200. Triton's tutorial has 395 to 477 TFLOP/s forward on an H100, by compiler and clock.
TUTORIAL, CAUSAL_SHARE, BACKWARD_RATE, OVER_FLASH, FLASH_TOKENS, VARLEN = 395.0, 0.9, 300.0, 1.1, 4096, 2.4
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


def on_hopper(rows: list[Row]) -> list[Claim]:
    """What is promised of an H100 or H200, in bfloat16, after published speeds of Triton's tutorial."""
    large = {"tokens": 16384, "width": 128, "dtype": "bfloat16"}
    full, causal = (_rate(rows, large | {"mask": mask}) for mask in ("full", "causal"))
    backward = _backward_rate(rows, large | {"mask": "full"})
    found = [
        _at_least("forward, full, width 128, 16,384 tokens, TFLOP/s", full, TUTORIAL, large),
        _at_least("the same causal, as a share of that", causal and full and causal / full, CAUSAL_SHARE, large),
        _at_least("backward alone, full, TFLOP/s", backward, BACKWARD_RATE, large),
        _least(
            f"at least {OVER_FLASH} x torch's flash back end from {FLASH_TOKENS} tokens on, forward",
            (row for row in _beside(rows, "flash") if row["case"]["tokens"] >= FLASH_TOKENS),
            OVER_FLASH,
        ),
        _least(
            f"attention without padding at least {VARLEN} x as fast as padded, full",
            (
                row for row in rows
                if row["section"] == "padding" and row["way"] == "packed" and row["case"]["what"] == "attention"
                and row["case"]["mask"] == "full" and row["case"]["pass"] == "fwd"
            ),
            VARLEN,
        ),
    ]  # fmt: skip
    return [claim for claim in found if claim is not None]


def _at_least(text: str, got: float | None, limit: float, case: dict[str, Any]) -> Claim | None:
    return None if not got else Claim(f"{text}: at least {limit:g}", got >= limit, got, named(case))


def _row(rows: list[Row], what: dict[str, Any], backward: bool = False) -> Row | None:
    """Our row of the case that has these sizes."""
    wanted = (what | {"pass": "fwd+bwd" if backward else "fwd"}).items()
    about = (row for row in rows if row["section"] == "attention" and row["way"] == "fast" and "ms" in row)
    return next((row for row in about if wanted <= row["case"].items()), None)


def _rate(rows: list[Row], what: dict[str, Any]) -> float | None:
    row = _row(rows, what)
    return row and row["tflops"]


def _backward_rate(rows: list[Row], what: dict[str, Any]) -> float | None:
    """Of the backward alone: the time of both passes without that of the forward, 2.5 x its FLOPs."""
    forward, both = _row(rows, what), _row(rows, what, backward=True)
    if forward is None or both is None:
        return None
    return BACKWARD * forward["tflops"] * forward["ms"] / (both["ms"] - forward["ms"])


def _beside(rows: list[Row], other: str) -> Iterable[Row]:
    """Our rows of forward passes, with the ratio to another way's time in place of the one to torch's own choice."""
    theirs = {named(row["case"]): row["ms"] for row in rows if row["way"] == other and "ms" in row}
    for row in rows:
        where = named(row["case"])
        if row["section"] == "attention" and row["way"] == "fast" and row["case"]["pass"] == "fwd" and where in theirs:
            yield row | {"ratio": theirs[where] / row["ms"]}


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
        and row["case"].get("taps") == 3 and row["case"]["tokens"] >= LONG
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
