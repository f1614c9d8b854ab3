"""Arrays of pixels become pictures that a browser shows; everything else is refused with a way out."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from attnlab.data import load_clip, load_digits
from attnlab.viz.views.pictures import data_uri, pixels, several


def read(uri):
    kind, data = uri.split(",")
    return kind, np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_a_small_picture_keeps_every_pixel():
    digit = pixels(load_digits()[0][0] / 16)
    kind, back = read(data_uri(digit))
    assert kind == "data:image/png;base64"
    assert np.array_equal(back, digit)


def test_a_frame_of_a_film_stays_closer_to_itself_than_to_the_next_one():
    for frame, following in zip(load_clip()[:4], load_clip()[1:5], strict=True):
        kind, back = read(data_uri(frame))
        assert kind == "data:image/jpeg;base64" and back.shape == frame.shape
        off, other = (np.abs(back.astype(int) - one).mean() for one in (frame, following))
        assert off < 4.5 < other


@pytest.mark.parametrize(("shape", "longest", "want"), [((90, 160, 3), 80, (45, 80, 3)), ((300, 100), 150, (150, 50))])
def test_a_large_picture_is_shrunk_in_its_proportions(shape, longest, want):
    assert read(data_uri(np.zeros(shape, np.uint8), longest))[1].shape == want


def test_the_same_picture_gives_the_same_bytes():
    frame = load_clip()[3]
    assert data_uri(frame) == data_uri(frame.copy())


def test_floats_and_bytes_of_the_same_picture_are_the_same_pixels():
    frame = load_clip()[0]
    assert np.array_equal(pixels(frame / 255), frame)


def test_a_tensor_is_a_picture_too():
    torch = pytest.importorskip("torch")
    assert pixels(torch.ones(2, 5, 3)).shape == (2, 5, 3)
    with pytest.raises(ValueError, match=r"got \(3, 4, 5\).*permute\(1, 2, 0\)"):
        pixels(torch.zeros(3, 4, 5))


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (np.zeros((1, 4, 5)), r"image\[0\]"),
        (np.zeros((4, 5, 1)), r"image\[\.\.\., 0\]"),
        (np.zeros((4, 5, 4)), "alpha"),
        (np.zeros((2, 3, 4, 5)), r"batch.*image\[0\]"),
        (np.zeros(7), r"got \(7,\)"),
        (np.zeros((0, 4)), r"got \(0, 4\)"),
        (np.full((4, 5), -1.0), r"-1 to -1.*image \* std \+ mean"),
        (np.full((4, 5), 255.0), "255 to 255.*Divide"),
        (np.full((4, 5), 7), r"int64.*astype\(np\.uint8\)"),
        (np.full((4, 5), np.nan), "finite"),
        ("cat.png", "array of numbers"),
    ],
)
def test_what_is_no_picture_is_refused_with_a_way_out(image, told):
    with pytest.raises(ValueError, match=told):
        pixels(image)


def test_pictures_are_counted_and_the_wrong_one_is_named():
    images = [np.zeros((4, 5)), np.ones((4, 5))]
    assert [one.max() for one in several(images, 2)] == [0, 255]
    assert len(several(np.zeros((2, 4, 5)), 2)) == 2
    with pytest.raises(ValueError, match="each input, 3 in all; got 2"):
        several(images, 3)
    with pytest.raises(ValueError, match=r"images\[1\] of shape"):
        several([images[0], np.zeros((3, 4, 5))], 2)
