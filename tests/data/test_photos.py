"""The photographs are what their names say, as far as colours can tell, and each box holds what it names."""

import numpy as np

from attnlab.data import load_photos


def test_five_photographs_of_one_size():
    photos = load_photos()
    assert list(photos) == ["cat", "coffee", "rocket", "flower", "pagoda"]
    for photo in photos.values():
        assert photo.pixels.shape == (96, 144, 3) and photo.pixels.dtype == np.uint8
        assert photo.inside.shape == (96, 144) and photo.inside.dtype == bool


def test_a_box_is_part_of_the_picture():
    for name, photo in load_photos().items():
        assert 0.02 < photo.inside.mean() < 0.9, name


def test_the_flower_and_the_rocket_are_warmer_than_the_leaves_and_the_sky_around_them():
    photos = load_photos()
    for name in ("flower", "rocket"):
        warmth = photos[name].pixels[..., 0].astype(float) - photos[name].pixels[..., 2]
        inside = photos[name].inside
        assert warmth[inside].mean() > warmth[~inside].mean(), name
