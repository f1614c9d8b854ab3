"""Weights over a picture: every place where it belongs, tokens without a place kept, nothing rescaled."""

import numpy as np
import pytest

from attnlab.data import load_clip, load_digits
from attnlab.viz import AttentionRecord, Grid, View, overlay
from attnlab.viz.views.overlay import draw_places, kept_whole
from tests.viz.records import random_weights
from tests.viz.sent import weights_of

VIT = AttentionRecord(random_weights(2, 3, 197, 197), query_grid=Grid(14, 14, before=("[CLS]",)))
WORDS = AttentionRecord(
    random_weights(4, 62),
    kind="cross",
    query_labels=["the", "big", "rabbit", "</script>$x$"],
    key_grid=Grid(y=6, x=10, before=("[REG1]", "[REG2]")),
)
FRAME = load_clip()[0]


def one_hot(places: int, place: int) -> np.ndarray:
    weights = np.zeros((places, places))
    weights[:, place] = 1
    return weights


def test_it_is_a_view_whose_weights_come_back():
    view = overlay(VIT, FRAME)
    assert isinstance(view, View) and view.spec["view"] == "overlay"
    assert view.spec["keyGrid"] == {"t": 1, "y": 14, "x": 14, "before": 1}
    assert view.spec["keyNames"][:3] == ["[CLS]", "y0 x0", "y0 x1"]
    assert np.abs(weights_of(view) - VIT.weights).max() < 0.005
    assert len(view.spec["pictures"]) == 1 and view.spec["start"]["opacity"] == 0.6


def test_colours_mean_the_same_in_all_heads_and_queries():
    assert overlay(VIT, FRAME, query=0).spec["high"] == overlay(VIT, query=90, head=2).spec["high"] == VIT.weights.max()


def test_it_starts_where_it_is_told_also_by_name():
    start = overlay(WORDS, FRAME, query="rabbit").spec["start"]
    assert start["query"] == 2 and start["key"] == WORDS.weights[0, 0, 2].argmax()
    start = overlay(VIT, FRAME, query=5, layer=1, head=2, opacity=1).spec["start"]
    assert (start["layer"], start["head"], start["query"], start["opacity"]) == (1, 2, 5, 1)


def test_without_a_picture_the_weights_stand_alone():
    view = overlay(VIT)
    assert view.spec["pictures"] == [] and view.png[:4] == b"\x89PNG"


def test_each_input_of_a_gate_has_its_own_picture():
    values = np.random.default_rng(0).uniform(size=(3, 8, 8))
    record = AttentionRecord.gate(values, over="space", items=["zero", "one", "two"])
    digits = load_digits()[0][:3] / 16
    view = overlay(record, list(digits), query="two")
    assert len(set(view.spec["pictures"])) == 3
    assert overlay(record, digits).spec["pictures"] == view.spec["pictures"]
    assert '"two"' in view.title and view.spec["axes"]["query"] == "input"
    assert overlay(record.select(query=0), digits[0]).spec["pictures"] == view.spec["pictures"][:1]


@pytest.mark.parametrize(("y", "x"), [(0, 0), (2, 7), (5, 9)])
def test_a_patch_lies_on_its_part_of_the_picture(y, x):
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(1.6, 0.9), dpi=100)
    ax = figure.add_axes((0, 0, 1, 1))
    weights = np.ma.masked_array(one_hot(60, y * 10 + x)[0].reshape(6, 10), False)
    draw_places(ax, weights, np.zeros((90, 160), np.uint8), 1.0, 1.0)
    ax.axis("off")
    figure.canvas.draw()
    red = np.asarray(figure.canvas.buffer_rgba())[..., 0].astype(int)
    plt.close(figure)
    bright = np.argwhere(red > 200)
    assert bright.min(axis=0).tolist() == [15 * y, 16 * x]
    assert bright.max(axis=0).tolist() == [15 * y + 14, 16 * x + 15]


def test_what_may_not_be_seen_is_hatched_and_never_taken_for_zero():
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots()
    hidden = np.zeros((2, 3), bool)
    hidden[1, 2] = True
    image = draw_places(ax, np.ma.masked_array(np.ones((2, 3)), hidden), FRAME, 0.5, 1.0)
    hatched = [one for one in ax.collections if one.get_hatch()]
    plt.close(figure)
    assert len(hatched) == 1 and len(hatched[0].get_paths()) == 1
    assert np.array_equal(np.ma.getmaskarray(image.get_array()), hidden)


def test_the_description_is_true_of_the_picture():
    weights = np.full((2, 1, 5), 0.1)
    weights[1, 0] = [0.25, 0.05, 0.05, 0.6, 0.05]
    weights[0] = 0.2
    record = AttentionRecord(weights, kind="cross", query_labels=["cat"], key_grid=Grid(2, 2, before=("[CLS]",)))
    view = overlay(record)
    assert view.title == '"cat" looks most at "y1 x0" (0.60)'
    assert 'head 1, query "cat". The largest weight on a place is 0.60, at "y1 x0". "[CLS]" gets 0.25.' in view.alt
    assert view.table["key"][0] == "y1 x0" and view.table["weight"][0] == pytest.approx(0.6)


def test_a_title_and_a_description_of_ones_own_are_kept():
    view = overlay(WORDS, FRAME, title="Words find the rabbit", alt="A rabbit.")
    assert (view.title, view.alt) == ("Words find the rabbit", "A rabbit.")


def test_the_keyboard_help_offers_asking_only_where_a_patch_can_ask():
    assert "asks from there" in overlay(VIT).spec["keysHelp"]
    assert "asks" not in overlay(WORDS).spec["keysHelp"]


def test_the_same_record_gives_the_same_bytes_and_hostile_names_stay_text():
    pages = [overlay(WORDS, FRAME, query="</script>$x$").html() for _ in range(2)]
    assert pages[0] == pages[1] and pages[0].count("</script>") == 1


def test_the_picture_is_not_blank():
    from tests.viz.test_space_time import shades

    assert shades(overlay(VIT, FRAME)) > 100


def test_too_many_weights_leave_a_part_with_its_places():
    weights = random_weights(2, 2, 40, 40)
    record = AttentionRecord(weights, query_grid=Grid(5, 8), source=["early", "late"])
    start = {"layer": 1, "head": 0, "query": 7}
    whole = kept_whole(record, start, most=6400)
    assert whole == (record, start, "")
    layer, chosen, told = kept_whole(record, start, most=3200)
    assert np.array_equal(layer.weights, record.weights[1:]) and layer.key_grid == record.key_grid
    assert chosen == {"layer": None, "head": 0, "query": 7} and "Only late is here" in told
    head, _, told = kept_whole(record, start, most=1600)
    assert np.array_equal(head.weights, record.weights[1:, :1]) and "Only late, head 0 is here" in told
    query, chosen, told = kept_whole(record, start, most=200)
    assert np.array_equal(query.weights, record.weights[:, :, 7:8]) and query.key_grid == record.key_grid
    assert chosen["query"] is None and 'Only query "y0 x7" is here' in told


def test_a_video_of_many_tokens_becomes_a_figure_of_the_query_asked():
    weights = np.full((1, 1, 1801, 1801), 1 / 1801, np.float32)
    weights[0, 0, 0] = 0
    weights[0, 0, 0, 5] = 1
    view = overlay(AttentionRecord(weights, query_grid=Grid(30, 60, before=("[CLS]",))), query=100)
    assert view.spec["shape"] == [1, 1, 1, 1801] and 'Only query "y1 x39"' in view.spec["note"]
    assert view.spec["high"] == 1, "the largest of all queries, so that figures of one record can be compared"


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: overlay(AttentionRecord(random_weights(5, 5))), r"lie on a grid.*5 keys.*before=\(\"\[CLS\]\",\)"),
        (lambda: overlay(AttentionRecord(random_weights(6, 6))), r"key_grid=Grid\(y=2, x=3\)"),
        (lambda: overlay(AttentionRecord(random_weights(8, 8), query_grid=Grid(2, 2, 2))), "2 frames.*space_time"),
        (lambda: overlay(VIT, np.zeros((3, 9, 9))), r"image\.permute\(1, 2, 0\)"),
        (lambda: overlay(VIT, [FRAME, FRAME]), "Expected one picture, got 2"),
        (lambda: overlay(VIT, FRAME, query=197), "query between 0 and 196, got 197"),
        (lambda: overlay(WORDS, FRAME, query="hare"), "'hare'.*'rabbit'"),
        (lambda: overlay(VIT, FRAME, head=3), "head between 0 and 2, got 3"),
        (lambda: overlay(VIT, FRAME, opacity=60), "opacity from 0.*got 60"),
        (lambda: overlay(AttentionRecord.gate(np.ones((3, 4, 4)), over="space"), FRAME), "each input, 3 in all"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_way_out(make, told):
    with pytest.raises(ValueError, match=told):
        make()


def test_colours_go_up_to_the_largest_weight_of_the_query_unless_they_are_to_be_compared():
    assert overlay(VIT, FRAME, query=0).spec["start"]["scale"] == 0
    assert overlay(VIT, FRAME, query=0, same_scale=True).spec["start"]["scale"] == 1
    assert overlay(VIT, FRAME, query=0).png != overlay(VIT, FRAME, query=0, same_scale=True).png
