"""Plain pictures show what they are given: means as lines and bars, every seed visible."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from attnlab.viz import bars, runs


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_runs_draws_the_mean_and_the_band_from_lowest_to_highest_seed():
    seeds = [[1.0, 4.0, 9.0], [3.0, 6.0, 9.0]]
    picture = runs([10, 20, 40], {"accuracy": {"with": seeds, "without": [[0.0, 0.0, 0.0]]}}, "length", "A finding")
    (ax,) = picture.axes
    assert picture.get_suptitle() == "A finding"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("length", "accuracy")
    with_, without = ax.lines
    assert list(with_.get_ydata()) == [2.0, 5.0, 9.0] and list(without.get_ydata()) == [0.0, 0.0, 0.0]
    assert with_.get_linestyle() != without.get_linestyle(), "told apart without colour"
    band = ax.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (1.0, 9.0)


def test_runs_takes_a_logarithmic_axis():
    picture = runs([1, 2], {"gradient": {"plain": [[1e-3, 1e-9]]}}, "length", "It dies", scale="log")
    assert picture.axes[0].get_yscale() == "log"


def test_bars_are_as_long_as_the_mean_and_show_every_seed():
    picture = bars({"none": [0.2, 0.4], "gate": [0.9, 1.0]}, "accuracy", "A gate helps", chance=0.25)
    (ax,) = picture.axes
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([0.3, 0.95])
    dots = [line.get_xdata() for line in ax.lines if line.get_marker() == "o"]
    assert np.allclose(dots, [[0.2, 0.4], [0.9, 1.0]])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["none", "gate"]
    assert any(text.get_text().strip() == "chance" for text in ax.texts)
