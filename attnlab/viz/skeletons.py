"""Skeletons as small pictures, to lay weights over them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def skeleton_pictures(
    points: Any,
    bones: Sequence[tuple[int, int]],
    left: float,
    right: float,
    bottom: float,
    top: float,
    height: int = 144,
) -> np.ndarray:
    """Points (frames, joints, 2) as x and y in, grey pictures (frames, height, width) out, bones dark on white.

    The picture shows what lies between the four edges; its width follows from its height.
    """
    points = np.asarray(points, dtype=float)
    scale = height / (top - bottom)
    width = round((right - left) * scale)
    columns, rows = (points[..., 0] - left) * scale, (top - points[..., 1]) * scale
    along = np.linspace(0, 1, height)[:, None]
    pictures = np.full((len(points), height, width), 255, dtype=np.uint8)
    for frame, (across, down) in enumerate(zip(columns, rows, strict=True)):
        a, b = np.array(bones).T
        x, y = (np.rint(values[a] + along * (values[b] - values[a])).astype(int) for values in (across, down))
        for dx in (0, 1):  # two pixels thick
            for dy in (0, 1):
                inside = (x + dx >= 0) & (x + dx < width) & (y + dy >= 0) & (y + dy < height)
                pictures[frame, (y + dy)[inside], (x + dx)[inside]] = 40
    return pictures
