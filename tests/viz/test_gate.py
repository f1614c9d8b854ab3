"""A gate: bars of one input beside the mean of all, in any order, and maps where it opens places."""

import numpy as np
import pytest

from attnlab.data import load_clip, load_digits
from attnlab.viz import AttentionRecord, gate
from attnlab.viz.views.gate import pooled
from tests.viz.records import random_weights
from tests.viz.sent import sent, weights_of
from tests.viz.test_space_time import shades

VALUES = np.random.default_rng(0).uniform(size=(2, 5, 64)).astype(np.float32)
RECORD = AttentionRecord.gate(VALUES, items=[f"digit {i}" for i in range(5)], source=["se1", "se2"])


def test_it_is_a_view_whose_values_and_means_come_back():
    view = gate(RECORD)
    assert view.spec["view"] == "gate" and view.spec["high"] == 1
    assert np.abs(weights_of(view)[:, 0] - VALUES).max() < 0.005
    assert np.allclose(sent(view)["means"].reshape(2, 64), VALUES.mean(axis=1), atol=1e-6)


def test_the_axis_reaches_beyond_one_where_a_value_does():
    assert gate(AttentionRecord.gate([0.5, 1.6])).spec["high"] == pytest.approx(1.6)


@pytest.mark.parametrize("sort", [False, True])
def test_the_order_by_mean_goes_along_and_is_used_only_when_asked_for(sort):
    view = gate(RECORD, sort=sort)
    order = sent(view)["order"].astype(int).reshape(2, 64)
    for layer in range(2):
        assert sorted(order[layer]) == list(range(64))
        assert (np.diff(VALUES.mean(axis=1)[layer][order[layer]]) <= 0).all()
    assert view.spec["start"]["sort"] == sort


def test_equal_means_keep_their_order():
    assert sent(gate(AttentionRecord.gate(np.full(9, 0.5))))["order"].tolist() == list(range(9))


def test_it_starts_where_it_is_told_also_by_name():
    start = gate(RECORD, query="digit 3", layer=1).spec["start"]
    assert (start["layer"], start["query"], start["key"]) == (1, 3, VALUES[1, 3].argmax())


def test_each_input_may_bring_its_picture():
    view = gate(RECORD, images=load_digits()[0][:5] / 16)
    assert len(set(view.spec["pictures"])) == 5


def test_the_description_tells_what_is_special_of_the_input():
    record = AttentionRecord.gate([[0.9, 0.2, 0.5], [0.8, 0.8, 0.5]], items=["a", "b"], labels=["red", "green", "blue"])
    view = gate(record, query=1)
    assert view.title == '"b" opens widest for channel "red" (0.80)'
    assert 'Furthest from the mean of all 2 inputs is channel "green": 0.80, above 0.50.' in view.alt
    assert view.table["channel"] == ["green", "red", "blue"]
    assert view.table["difference"] == pytest.approx([0.3, -0.05, 0], abs=1e-6)


def test_one_input_has_no_mean_to_be_compared_with():
    view = gate(AttentionRecord.gate([0.1, 0.9, 0.4], over="time", labels=["Mon", "Tue", "Wed"]))
    assert view.title == '"input 0" opens widest for moment "Tue" (0.90)'
    assert "Furthest" not in view.alt and list(view.table) == ["input", "time", "gate"]


def test_over_space_it_is_an_overlay_and_over_a_clip_a_strip():
    digits = load_digits()[0][:3] / 16
    places = gate(AttentionRecord.gate(VALUES[0, :3].reshape(3, 8, 8), over="space"), digits, query=1)
    assert places.spec["view"] == "overlay" and len(places.spec["pictures"]) == 3
    assert places.spec["start"]["query"] == 1
    clip = gate(AttentionRecord.gate(VALUES[0, 0].reshape(16, 2, 2), over="space-time"), load_clip())
    assert clip.spec["view"] == "space_time" and len(clip.spec["pictures"]) == 16


@pytest.mark.parametrize("channels", [4, 64, 2048])
def test_pictures_of_few_and_of_many_channels_are_not_blank(channels):
    values = np.random.default_rng(1).uniform(size=(3, channels))
    assert shades(gate(AttentionRecord.gate(values), sort=True)) > 20


@pytest.mark.parametrize("size", [1, 5, 400, 401, 2048])
def test_where_bars_are_too_many_each_is_the_largest_of_its_neighbours(size):
    values = np.random.default_rng(2).uniform(size=size)
    bars, each = pooled(values, 400)
    assert len(bars) <= 400 and len(bars) == -(-size // each)
    assert all(bar == values[i * each : (i + 1) * each].max() for i, bar in enumerate(bars))
    assert (each == 1) == (size <= 400)


def test_the_same_record_gives_the_same_bytes():
    assert gate(RECORD).html() == gate(RECORD).html()


def test_names_may_contain_anything():
    record = AttentionRecord.gate([[0.1, 0.2]], items=["$</script>"], labels=["_a$b$", "<b>"])
    assert gate(record).html().count("</script>") == 1


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: gate(AttentionRecord(random_weights(4, 4))), 'kind "gate", got "self"'),
        (lambda: gate(RECORD, images=[np.zeros((4, 4))]), "each input, 5 in all; got 1"),
        (lambda: gate(RECORD, query="digit 9"), "'digit 9'.*'digit 0'"),
        (lambda: gate(RECORD, layer=2), "layer between 0 and 1, got 2"),
        (lambda: gate(AttentionRecord.gate(np.ones((1700, 2048), np.float32))), r"1700 inputs.*slice\(16\)"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_way_out(make, told):
    with pytest.raises(ValueError, match=told):
        make()
