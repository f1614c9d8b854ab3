"""A bone is a dark line where its two joints are, and nothing elsewhere."""

import numpy as np

from attnlab.viz.skeletons import skeleton_pictures


def test_an_upright_bone_is_an_upright_line():
    points = np.array([[[0.0, 0.2], [0.0, 0.8]], [[0.5, 0.2], [0.5, 0.8]]])
    pictures = skeleton_pictures(points, [(0, 1)], left=-1, right=1, bottom=0, top=1, height=50)
    assert pictures.shape == (2, 50, 100) and pictures.dtype == np.uint8
    for picture, column in zip(pictures, (50, 75), strict=True):
        rows, columns = (picture < 255).nonzero()
        assert set(columns) == {column, column + 1}
        assert rows.min() == 10 and rows.max() in (40, 41)


def test_what_lies_outside_is_not_drawn():
    points = np.array([[[5.0, 5.0], [6.0, 6.0]]])
    assert (skeleton_pictures(points, [(0, 1)], left=-1, right=1, bottom=0, top=1) == 255).all()
