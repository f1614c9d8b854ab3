"""Signed numbers as bytes: 16 bits each, as shares of the largest size along an axis. The page multiplies them back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LARGEST = 32767


@dataclass(frozen=True)
class Signed:
    """Codes of int16, the float32 step between two of them, and how far off codes * steps can be."""

    codes: np.ndarray
    steps: np.ndarray
    error: float

    @property
    def numbers(self) -> np.ndarray:
        """What the page reads."""
        return self.codes.astype(np.float32) * self.steps


def encode_signed(numbers: np.ndarray, axis: int | None = None) -> Signed:
    """One step for each row along `axis`; with None one for all. The axes stay. Expects finite numbers."""
    largest = np.abs(numbers).max(axis=axis, keepdims=True)
    steps = (np.where(largest > 0, largest, 1) / LARGEST).astype(np.float32)
    codes = np.clip(np.rint(numbers / steps), -LARGEST, LARGEST).astype(np.int16)
    return Signed(codes, steps, float(np.abs(codes.astype(np.float32) * steps - numbers).max()))
