"""Arrays of pixels as pictures that a page can show."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from attnlab.viz.validation import as_array

SMALL = 64  # pixels a side; up to here every pixel is kept, beyond it JPEG is several times smaller
LONGEST = 960  # no figure is drawn wider
QUALITY = 88  # with colours as fine as brightness: in a frame of 100 pixels each of them counts


def pixels(image: Any, what: str = "image") -> np.ndarray:
    """The picture as uint8, (y, x) for grey and (y, x, 3) for colour.

    image: array or tensor of uint8 from 0 to 255, or of floats from 0 to 1. Raises ValueError, with what to do, for
    any other shape or range: channels in front, an alpha channel, a batch, numbers normalised for a model.
    """
    array = as_array(image, what)
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[-1] == 3)) or 0 in array.shape:
        raise ValueError(f"Expected {what} of shape (y, x) or (y, x, 3), got {array.shape}.{_reshaped(array.shape)}")
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind != "f":
        raise ValueError(
            f"Expected {what} as uint8 from 0 to 255 or as floats from 0 to 1, got {array.dtype}. "
            "Whole numbers from 0 to 255: .astype(np.uint8); another range: divide by its largest."
        )
    if not np.isfinite(array).all():
        raise ValueError(f"Expected {what} of finite numbers, got NaN or infinite ones.")
    low, high = float(array.min()), float(array.max())
    if low < 0 or high > 1:
        why = "Normalised for a model? Undo it: image * std + mean." if low < 0 else "Divide by the largest, often 255."
        raise ValueError(f"Expected {what} as floats from 0 to 1, got {low:.3g} to {high:.3g}. {why}")
    return np.rint(255 * array).astype(np.uint8)


def _reshaped(shape: tuple[int, ...]) -> str:
    """What turns an array of this shape into a picture."""
    if len(shape) == 4:
        return " Choose one picture of the batch: image[0]."
    if len(shape) != 3:
        return ""
    if shape[0] == 3:
        return " The colours stand in front. Put them last: image.permute(1, 2, 0); in numpy image.transpose(1, 2, 0)."
    if shape[0] == 1:
        return " One channel in front: image[0]."
    return {1: " One channel behind: image[..., 0].", 4: " Leave out the alpha channel: image[..., :3]."}.get(
        shape[-1], ""
    )


def data_uri(image: np.ndarray, longest: int = LONGEST) -> str:
    """Pixels (y, x) or (y, x, 3) of uint8 as a data URI: PNG up to 64 x 64, JPEG beyond; the same bytes each time.

    A picture longer than `longest` is shrunk to it, and keeps its proportions.
    """
    from PIL import Image

    picture = Image.fromarray(image)
    exact = max(image.shape[:2]) <= SMALL
    shrink = longest / max(image.shape[:2])
    if shrink < 1 and not exact:
        size = [max(1, round(side * shrink)) for side in picture.size]
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    kind, options = ("png", {"optimize": True}) if exact else ("jpeg", {"quality": QUALITY, "subsampling": 0})
    buffer = io.BytesIO()
    picture.save(buffer, format=kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def several(images: Any, number: int, what: str = "images", each: str = "input") -> list[np.ndarray]:
    """One picture for each of `number` inputs. Raises ValueError for another number."""
    if not isinstance(images, Sequence):
        images = as_array(images, what)  # one array of them all
    if len(images) != number:
        raise ValueError(f"Expected one picture for each {each}, {number} in all; got {len(images)}.")
    return [pixels(image, f"{what}[{i}]") for i, image in enumerate(images)]
