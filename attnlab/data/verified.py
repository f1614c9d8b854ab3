"""Open a data file of this folder only if it is the very file the course was written with."""

import hashlib
import io
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent


class DataError(Exception):
    """A data file is missing or is not the one the course was written with."""


def load_verified(name: str, sha256: str, folder: Path = FOLDER) -> dict[str, np.ndarray]:
    """Return the arrays of `folder`/`name` by name; raise DataError if the file is missing or differs."""
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise DataError(
            f"Expected the data file {name} in {folder}, but it could not be read ({error.strerror}). "
            f"Fetch it again: `git checkout -- attnlab/data/{name}`, or install the course anew."
        ) from error
    got = hashlib.sha256(content).hexdigest()
    if got != sha256:
        raise DataError(
            f"Expected {name} with sha256 {sha256[:12]}…, got {got[:12]}… ({len(content)} bytes). "
            f"It was changed or only partly fetched. Fetch it again: `git checkout -- attnlab/data/{name}`."
        )
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return {key: arrays[key] for key in arrays.files}
