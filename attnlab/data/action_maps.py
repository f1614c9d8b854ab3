"""Made-up feature maps of videos, in which what matters stands in one place at one moment, and a skeleton says which.

A map is (t, y, x, c), as a video network would give it. Each class has a pattern over the channels. The clip's own
class is written into one cell: where the moving limb's end is at rest, in the middle of its movement. Other cells
hold patterns too, of classes drawn at random, so that nobody can tell from the map alone which one counts.
"""

from dataclasses import dataclass

import numpy as np

from attnlab.data.skeletons import LIMBS, REST, Skeletons

MOMENTS, ROWS, COLUMNS = 8, 6, 5  # of the map, for 2.5 m by 1.8 m
END = {"left arm": "left hand", "right arm": "right hand", "left leg": "left foot", "right leg": "right foot"}


@dataclass(frozen=True)
class ActionMaps:
    """features: (clips, t, y, x, c). label: (clips,). place: (clips, y, x) and moment: (clips, t), True where it is."""

    features: np.ndarray
    label: np.ndarray
    place: np.ndarray
    moment: np.ndarray


def make_action_maps(
    skeletons: Skeletons, seed: int, classes: int = 6, channels: int = 16, crowded: float = 0.5, noise: float = 0.3
) -> ActionMaps:
    """Maps for these skeletons. crowded: the share of the other cells that hold some class's pattern."""
    draw = np.random.default_rng(seed)
    clips = len(skeletons.limb)
    patterns = np.random.default_rng(0).standard_normal((classes, channels))  # the same in every set
    label, size = draw.integers(classes, size=clips), (clips, MOMENTS, ROWS, COLUMNS)
    others = patterns[draw.integers(classes, size=size)] * (draw.random(size) < crowded)[..., None]
    moment, row, column = moment_of(skeletons), *place_of(skeletons)
    every = np.arange(clips)
    others[every, moment, row, column] = patterns[label]
    features = others + noise * draw.standard_normal(others.shape)
    place, when = np.zeros((clips, ROWS, COLUMNS), dtype=bool), np.zeros((clips, MOMENTS), dtype=bool)
    place[every, row, column] = when[every, moment] = True
    return ActionMaps(features.astype(np.float32), label, place, when)


def moment_of(skeletons: Skeletons) -> np.ndarray:
    """The moment of the map in which the middle of the movement falls."""
    frames = skeletons.during.shape[1]
    middle = (skeletons.during * np.arange(frames)).sum(axis=1) / skeletons.during.sum(axis=1) + 0.5
    return (middle * MOMENTS / frames).astype(int)


def place_of(skeletons: Skeletons) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of the cell in which the end of the moving limb is at rest."""
    ends = np.array([REST[END[limb]] for limb in LIMBS])[skeletons.limb]
    column = (ends[:, 0] + skeletons.shift + 1.25) / 2.5 * COLUMNS
    row = (1.8 - ends[:, 1]) / 1.8 * ROWS
    return row.astype(int), column.astype(int)
