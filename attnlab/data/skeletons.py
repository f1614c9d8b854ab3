"""Made-up skeletons that move one limb for a while, so that it is known which joints and which frames matter.

25 joints in the order of NTU RGB+D. A rest pose; one limb swings in the picture's plane, its angle a sine; which
limb, how often, and when is drawn at random; everything else only trembles. x is the viewer's right, y up, z towards
the viewer, in metres; the person faces the viewer, so its left arm is on the viewer's right.
"""

from dataclasses import dataclass

import numpy as np

REST = {
    "spine base": (0.0, 0.95, 0.0),
    "spine middle": (0.0, 1.2, 0.0),
    "neck": (0.0, 1.5, 0.0),
    "head": (0.0, 1.68, 0.0),
    "left shoulder": (0.18, 1.4, 0.0),
    "left elbow": (0.36, 1.18, 0.0),
    "left wrist": (0.52, 0.98, 0.02),
    "left hand": (0.57, 0.92, 0.03),
    "right shoulder": (-0.18, 1.4, 0.0),
    "right elbow": (-0.36, 1.18, 0.0),
    "right wrist": (-0.52, 0.98, 0.02),
    "right hand": (-0.57, 0.92, 0.03),
    "left hip": (0.1, 0.92, 0.0),
    "left knee": (0.19, 0.5, 0.02),
    "left ankle": (0.27, 0.1, 0.0),
    "left foot": (0.31, 0.04, 0.1),
    "right hip": (-0.1, 0.92, 0.0),
    "right knee": (-0.19, 0.5, 0.02),
    "right ankle": (-0.27, 0.1, 0.0),
    "right foot": (-0.31, 0.04, 0.1),
    "spine shoulder": (0.0, 1.42, 0.0),
    "left hand tip": (0.61, 0.86, 0.03),
    "left thumb": (0.56, 0.89, 0.07),
    "right hand tip": (-0.61, 0.86, 0.03),
    "right thumb": (-0.56, 0.89, 0.07),
}
SKELETON_JOINTS = tuple(REST)
# child, parent, counted from 0
SKELETON_BONES = (
    *((0, 1), (1, 20), (2, 20), (3, 2), (4, 20), (5, 4), (6, 5), (7, 6), (8, 20), (9, 8), (10, 9), (11, 10)),
    *(
        (12, 0),
        (13, 12),
        (14, 13),
        (15, 14),
        (16, 0),
        (17, 16),
        (18, 17),
        (19, 18),
        (21, 22),
        (22, 7),
        (23, 24),
        (24, 11),
    ),
)
# what turns about its first joint
LIMBS = {
    "left arm": (4, 5, 6, 7, 21, 22),
    "right arm": (8, 9, 10, 11, 23, 24),
    "left leg": (12, 13, 14, 15),
    "right leg": (16, 17, 18, 19),
}
SWING = 0.7  # radians to either side


@dataclass(frozen=True)
class Skeletons:
    """Clips, and what is true of them.

    joints: (clips, frames, 25, 3). limb: (clips,), an index into LIMBS. often: (clips,), how often it swings to and
    fro. moves: (clips, 25), True for joints that swing. during: (clips, frames), True while they do.
    shift: (clips,), how far to the viewer's right the person stands, in metres.
    """

    joints: np.ndarray
    limb: np.ndarray
    often: np.ndarray
    moves: np.ndarray
    during: np.ndarray
    shift: np.ndarray


def make_skeletons(
    clips: int,
    seed: int,
    frames: int = 16,
    lasts: int = 3,
    often: tuple[int, ...] = (1,),
    shifts: tuple[float, ...] = (0.0,),
    tremble: float = 0.02,
) -> Skeletons:
    """Clips in which one limb swings for `lasts` of the frames, at a random time. Equal seeds give equal clips.

    often: how many swings there may be; shifts: where the person may stand; tremble: the noise on every coordinate.
    """
    draw = np.random.default_rng(seed)
    limb, swings = draw.integers(len(LIMBS), size=clips), draw.choice(often, size=clips)
    shift = draw.choice(shifts, size=clips)
    since = np.arange(frames) - draw.integers(frames - lasts + 1, size=(clips, 1)) + 0.5  # frames since it began
    during = (since > 0) & (since < lasts)
    angle = SWING * np.sin(2 * np.pi * swings[:, None] * since / lasts) * during
    joints = np.tile(np.array(list(REST.values())), (clips, frames, 1, 1))
    moves = np.zeros((clips, len(REST)), dtype=bool)
    for number, (root, *rest) in enumerate(LIMBS.values()):
        those = np.ix_(limb == number, range(frames), rest)
        arm = joints[those] - joints[0, 0, root]
        joints[those] = joints[0, 0, root] + turned(arm, angle[limb == number][..., None])
        moves[np.ix_(limb == number, rest)] = True
    joints[..., 0] += shift[:, None, None]
    joints += tremble * draw.standard_normal(joints.shape)
    return Skeletons(joints.astype(np.float32), limb, swings, moves, during, shift)


def turned(arm: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Vectors (..., 3) turned by angles (...) in the picture's plane, outwards and back."""
    outwards = np.sign(arm[..., :1, 0])  # the left and the right limb are each other's mirror image
    sine, cosine = np.sin(angle * outwards), np.cos(angle)
    x, y, z = np.moveaxis(arm, -1, 0)
    return np.stack([cosine * x - sine * y, sine * x + cosine * y, z], axis=-1)
