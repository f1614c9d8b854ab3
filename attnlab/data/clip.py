"""Five seconds of the film Big Buck Bunny, shrunk.

(c) copyright 2008, Blender Foundation / www.bigbuckbunny.org, CC BY 3.0; see ORIGIN.md.
"""

import numpy as np

from attnlab.data.verified import load_verified

SHA256 = "d5786484286aeba96ac5a1ca17ac7cae352096d5e8bd3777df4925c7635c29ef"

CLIP_SECONDS = np.arange(16) * 8 / 25  # every eighth frame of a film with 25 a second


def load_clip() -> np.ndarray:
    """Return uint8 (frames 16, height 72, width 128, colours 3); CLIP_SECONDS has each frame's time.

    The rabbit comes out of his burrow, stretches and settles; the camera follows a little. Raises DataError.
    """
    return load_verified("clip.npz", SHA256)["frames"]
