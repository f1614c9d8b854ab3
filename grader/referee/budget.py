"""How long a submission may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """Seconds that a cell, a check, and all of a submission may take."""

    cell: float = 30.0
    check: float = 20.0
    submission: float = 120.0
