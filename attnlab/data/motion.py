"""Recorded human motion, read from where the package pybullet keeps it: nothing of it is in this repository.

pybullet 3.2.7 (zlib licence) carries 15 takes as text files, `pybullet_data/data/motions/humanoid3d_*.txt`. Who
moved, and who recorded it, is not written down there. So we read the files where they are installed and pass nothing
on.

A file is JSON: a list of frames of 44 numbers: seconds, the pelvis's place (3) and turn (4), then for each joint in
the order of `TURNS` a quaternion (w, x, y, z), or one angle about the sideways axis for knees and elbows. x is
forwards, y up, z to the right, in metres. Lengths of the bones: `pybullet_data/humanoid/humanoid.urdf`, which is four
times as large.
"""

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# joint -> (the joint it hangs on, where it sits there while nothing is turned)
BODY = {
    "pelvis": (None, (0.0, 0.0, 0.0)),
    "chest": ("pelvis", (0.0, 0.236151, 0.0)),
    "neck": ("chest", (0.0, 0.223894, 0.0)),
    "right hip": ("pelvis", (0.0, 0.0, 0.084887)),
    "right knee": ("right hip", (0.0, -0.421546, 0.0)),
    "right ankle": ("right knee", (0.0, -0.40987, 0.0)),
    "right shoulder": ("chest", (-0.02405, 0.2435, 0.18311)),
    "right elbow": ("right shoulder", (0.0, -0.274788, 0.0)),
    "right wrist": ("right elbow", (0.0, -0.258947, 0.0)),
    "left hip": ("pelvis", (0.0, 0.0, -0.084887)),
    "left knee": ("left hip", (0.0, -0.421546, 0.0)),
    "left ankle": ("left knee", (0.0, -0.40987, 0.0)),
    "left shoulder": ("chest", (-0.02405, 0.2435, -0.18311)),
    "left elbow": ("left shoulder", (0.0, -0.274788, 0.0)),
    "left wrist": ("left elbow", (0.0, -0.258947, 0.0)),
}
MOTION_JOINTS = tuple(BODY)
MOTION_BONES = tuple(
    (MOTION_JOINTS.index(joint), MOTION_JOINTS.index(parent)) for joint, (parent, _) in BODY.items() if parent
)
TURNS = (
    *("pelvis", "chest", "neck"),
    *("right hip", "right knee", "right ankle", "right shoulder", "right elbow"),
    *("left hip", "left knee", "left ankle", "left shoulder", "left elbow"),
)
HINGES = ("right knee", "left knee", "right elbow", "left elbow")


@dataclass(frozen=True)
class Motion:
    """One take. positions: (frames, joints, 3) in metres, joints as in MOTION_JOINTS; seconds: when each frame is."""

    positions: np.ndarray
    seconds: np.ndarray

    def resampled(self, rate: float) -> np.ndarray:
        """Positions (frames, joints, 3) at `rate` frames a second, interpolated."""
        times = np.arange(0, self.seconds[-1], 1 / rate)
        places = self.positions.reshape(len(self.seconds), -1)
        columns = [np.interp(times, self.seconds, column) for column in places.T]
        return np.stack(columns, axis=-1).reshape(len(times), *self.positions.shape[1:])


def seen_from(positions: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """What a camera sees: (clips, frames, joints, 3) and one angle a clip in, (clips, frames, joints, 2) out.

    The camera goes round the upright axis, stands far off, and follows the first joint sideways.
    """
    centred = positions - positions[..., :1, :] * (1, 0, 1)
    sideways = np.stack([np.cos(angles), np.sin(angles)], axis=-1)[:, None, None]
    return np.stack([(centred[..., [0, 2]] * sideways).sum(axis=-1), centred[..., 1]], axis=-1)


def motion_folder() -> Path:
    """Where the takes lie. pybullet itself is not imported. Raises FileNotFoundError when it is not installed."""
    found = importlib.util.find_spec("pybullet_data")
    folder = found and Path(found.submodule_search_locations[0]) / "data" / "motions"
    if not folder or not folder.is_dir():
        raise FileNotFoundError(
            "Expected the package pybullet, which carries the recorded motion, found none. Install it where there is "
            "a wheel (Linux on x86-64): pip install pybullet==3.2.7. The lesson goes on without."
        )
    return folder


def motion_names() -> list[str]:
    """The takes that are there, such as "walk"."""
    return sorted(path.stem.removeprefix("humanoid3d_") for path in motion_folder().glob("humanoid3d_*.txt"))


def load_motion(name: str) -> Motion:
    """One take as joint positions. Raises FileNotFoundError for a name that is not there, or without pybullet."""
    path = motion_folder() / f"humanoid3d_{name}.txt"
    if not path.exists():
        raise FileNotFoundError(f"Expected one of the takes {', '.join(motion_names())}; got {name!r}.")
    frames = np.array(json.loads(path.read_text())["Frames"], dtype=float)
    if frames.ndim != 2 or frames.shape[1] != 44:
        raise ValueError(f"Expected frames of 44 numbers in {path.name}, got shape {frames.shape}.")
    seconds = np.concatenate([[0.0], frames[:-1, 0].cumsum()])  # each frame says how long it lasts
    return Motion(positions_of(frames[:, 1:4], turns_of(frames)), seconds)


def turns_of(frames: np.ndarray) -> dict[str, np.ndarray]:
    """Frames (t, 44) in, how far each joint is turned against the one it hangs on: joint -> matrices (t, 3, 3)."""
    turned, column = {}, 4
    for joint in TURNS:
        width = 1 if joint in HINGES else 4
        numbers = frames[:, column : column + width]
        turned[joint] = about_z(numbers[:, 0]) if joint in HINGES else from_quaternions(numbers)
        column += width
    return turned


def positions_of(root: np.ndarray, turned: dict[str, np.ndarray]) -> np.ndarray:
    """Forward kinematics: from the pelvis (t, 3) outwards, each joint is placed by the turns of all before it."""
    place, whole = {}, {}
    for joint, (parent, offset) in BODY.items():
        if parent is None:
            place[joint], whole[joint] = root, turned[joint]
            continue
        place[joint] = place[parent] + whole[parent] @ np.array(offset)
        whole[joint] = whole[parent] @ turned[joint] if joint in turned else whole[parent]  # wrists do not turn
    return np.stack([place[joint] for joint in BODY], axis=1)


def from_quaternions(quaternions: np.ndarray) -> np.ndarray:
    """(t, 4) as (w, x, y, z), of any length but zero, in; rotation matrices (t, 3, 3) out."""
    w, x, y, z = (quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


def about_z(angles: np.ndarray) -> np.ndarray:
    """Angles (t,) in; rotations about the z axis (t, 3, 3) out."""
    half = angles[:, None] / 2
    nothing = np.zeros_like(half)
    return from_quaternions(np.concatenate([np.cos(half), nothing, nothing, np.sin(half)], axis=1))
