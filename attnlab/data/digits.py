"""1,797 handwritten digits, 8 by 8 (E. Alpaydin and C. Kaynak 1998; UCI, CC BY 4.0; see ORIGIN.md)."""

import numpy as np

from attnlab.data.verified import load_verified

SHA256 = "b2dab7b501728c22e9119ad76740b2e17c77a231e42d1e592380d90886f1a05e"


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return (images, labels), both uint8: (1797, 8, 8) with ink from 0 to 16, and (1797,) with 0 to 9.

    Ink counts how many of the 4 by 4 pixels below it were on. The order is that of the UCI test set: ten
    runs of the digits by 13 writers, so the last rows are other hands than the first. Raises DataError.
    """
    arrays = load_verified("digits.npz", SHA256)
    return arrays["images"], arrays["labels"]
