"""The digits are the real ones, in their order."""

import numpy as np
import pytest

from attnlab.data import load_digits


def test_shapes_and_range():
    images, labels = load_digits()
    assert images.shape == (1797, 8, 8) and images.dtype == np.uint8
    assert labels.shape == (1797,) and labels.dtype == np.uint8
    assert (images.min(), images.max()) == (0, 16)


def test_the_first_ten_are_nought_to_nine():
    assert load_digits()[1][:10].tolist() == list(range(10))


def test_the_first_digit_is_a_ring_around_an_empty_middle():
    zero = load_digits()[0][0]
    assert zero[2:6, 3:5].max() <= 2
    assert zero[0, 3] > 10 and zero[7, 3] > 10


def test_equal_to_the_copy_inside_scikit_learn():
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn holds the copy to compare with")
    bundle = datasets.load_digits()
    images, labels = load_digits()
    assert np.array_equal(images, bundle.images)
    assert np.array_equal(labels, bundle.target)


def test_each_call_gives_arrays_of_its_own():
    images, _ = load_digits()
    images[:] = 0
    assert load_digits()[0].max() == 16
