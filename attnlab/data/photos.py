"""Five small photographs, and the box that what each shows lies in; sources and licences in ORIGIN.md.

The flower is by Flickr user vultilion and the pagoda by danielbuechele, both CC BY 2.0: credit them where shown.
"""

from typing import NamedTuple

import numpy as np

from attnlab.data.verified import load_verified

SHA256 = "1f57091a59aa4f13582188fff50828b59c63638a616bd4ca2a07bfd8584aa478"


class Photo(NamedTuple):
    """pixels: uint8 (y 96, x 144, colours 3). inside: bool (y 96, x 144), True in the box around what it shows."""

    pixels: np.ndarray
    inside: np.ndarray


def load_photos() -> dict[str, Photo]:
    """cat, coffee, rocket, flower, pagoda. The boxes were set by hand. Raises DataError."""
    arrays = load_verified("photos.npz", SHA256)
    photos = {}
    for i, name in enumerate(arrays["names"]):
        left, top, right, bottom = arrays["boxes"][i]
        inside = np.zeros(arrays["pixels"].shape[1:3], dtype=bool)
        inside[top:bottom, left:right] = True
        photos[str(name)] = Photo(arrays["pixels"][i], inside)
    return photos
