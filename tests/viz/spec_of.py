"""What a view sends to the page, read back."""

import zlib

import numpy as np

from attnlab.viz import View
from attnlab.viz.views.coding import decode


def arrays_of(view: View) -> dict[str, np.ndarray]:
    """All arrays of a view by name, flat, as the page gets them."""
    block, at, arrays = zlib.decompress(view.data), 0, {}
    for told in view.spec["arrays"]:
        arrays[told["name"]] = np.frombuffer(block, told["type"], told["length"], at)
        at += arrays[told["name"]].nbytes
    assert at == len(block)
    return arrays


def weights_of(view: View) -> np.ndarray:
    """The weights (layer, head, query, key) as the page reads them."""
    arrays, shape = arrays_of(view), view.spec["shape"]
    return decode(arrays["codes"].reshape(shape), arrays["largest"].reshape(*shape[:3], 1))
