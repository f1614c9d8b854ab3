"""The clip is a film: an almost still camera, and somebody who moves."""

import numpy as np

from attnlab.data import CLIP_SECONDS, load_clip


def test_shape_and_times():
    clip = load_clip()
    assert clip.shape == (16, 72, 128, 3) and clip.dtype == np.uint8
    assert CLIP_SECONDS.shape == (16,)
    assert CLIP_SECONDS[0] == 0 and np.allclose(np.diff(CLIP_SECONDS), 0.32)


def test_the_colours_are_in_the_order_red_green_blue():
    meadow = load_clip()[0, 60:, 60:].reshape(-1, 3).mean(axis=0)
    red, green, blue = meadow
    assert green > red > blue, "the meadow is yellow-green"


def test_the_rabbit_moves_and_the_sky_behind_him_does_not():
    spread = load_clip().astype(float).std(axis=0).mean(axis=-1)
    rabbit, sky = spread[20:60, 20:60].mean(), spread[:20, 115:].mean()
    assert rabbit > 5 * sky
