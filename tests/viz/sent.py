"""What a view sends to the page, read back as the page reads it."""

import io
import zlib

import numpy as np

from attnlab.viz import View
from attnlab.viz.views.coding import decode


def sent(view: View) -> dict[str, np.ndarray]:
    """The arrays by name, each flat."""
    block, at, arrays = zlib.decompress(view.data), 0, {}
    for told in view.spec["arrays"]:
        array = np.frombuffer(block, told["type"], told["length"], at)
        arrays[told["name"]], at = array, at + array.nbytes
    assert at == len(block)
    return arrays


def weights_of(view: View) -> np.ndarray:
    """The weights (layer, head, query, key) as the page reads them."""
    arrays, shape = sent(view), view.spec["shape"]
    return decode(arrays["codes"].reshape(shape), arrays["largest"].reshape(*shape[:3], 1))


def ink(view: View) -> float:
    """The share of the static picture's pixels that are not white."""
    import matplotlib.image

    pixels = matplotlib.image.imread(io.BytesIO(view.png))[..., :3]
    return float((pixels < 0.97).any(axis=-1).mean())
