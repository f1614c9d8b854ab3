"""Attention over a clip: frames in their order, shares that add up, and nothing that moves by itself."""

import io

import numpy as np
import pytest
from PIL import Image

from attnlab.data import load_clip
from attnlab.viz import AttentionRecord, Grid, View, space_time
from tests.viz.records import random_weights
from tests.viz.sent import sent, weights_of

CLIP = load_clip()
GRID = Grid(y=3, x=4, t=16, before=("[CLS]",))
RECORD = AttentionRecord(random_weights(1, 2, 193, 193), query_grid=GRID)
MOMENTS = AttentionRecord(random_weights(8, 8), query_grid=Grid(1, 1, t=8))


def shades(view: View) -> int:
    """How many different greys the static picture has: a blank one has one."""
    return len(np.unique(np.asarray(Image.open(io.BytesIO(view.png)).convert("L"))))


def test_it_is_a_view_with_a_picture_for_each_frame():
    view = space_time(RECORD, CLIP)
    assert view.spec["view"] == "space_time" and len(set(view.spec["pictures"])) == 16
    assert view.spec["keyGrid"] == {"t": 16, "y": 3, "x": 4, "before": 1}
    assert np.abs(weights_of(view) - RECORD.weights).max() < 0.005


def test_shares_of_frames_and_of_the_token_in_front_add_up_to_one():
    view = space_time(RECORD, CLIP)
    shares = sent(view)["shares"].reshape(1, 2, 193, 16)
    assert np.allclose(shares.sum(axis=-1) + RECORD.weights[..., 0], 1, atol=1e-5)
    assert shares[0, 1, 50, 3] == pytest.approx(RECORD.weights[0, 1, 50, 1 + 3 * 12 : 1 + 4 * 12].sum(), abs=1e-6)
    assert view.spec["highShare"] == pytest.approx(shares.max())


def test_of_a_gate_the_bars_show_the_mean():
    values = np.random.default_rng(0).uniform(size=(4, 2, 3))
    view = space_time(AttentionRecord.gate(values, over="space-time"))
    assert np.allclose(sent(view)["shares"], values.mean(axis=(1, 2)), atol=1e-6)
    assert view.spec["shareName"] == "mean gate" and "opens widest in frame" in view.title


def test_nothing_plays_at_first_and_the_frame_of_the_strongest_link_is_shown():
    weights = np.full((12, 12), 0.05)
    weights[:, 9] = 0.45
    record = AttentionRecord(weights, query_grid=Grid(1, 4, t=3))
    assert space_time(record).spec["start"] | {"playing": 0, "frame": 2, "key": 9} == space_time(record).spec["start"]


def test_where_the_token_in_front_is_strongest_the_frame_with_the_largest_share_is_shown():
    weights = np.array([[0.6, 0.0, 0.1, 0.2, 0.1]])
    record = AttentionRecord(weights, kind="cross", key_grid=Grid(1, 2, t=2, before=("[CLS]",)))
    start = space_time(record).spec["start"]
    assert (start["key"], start["frame"]) == (0, 1)


def test_the_description_names_the_strongest_frame():
    weights = np.array([[0.1, 0.2, 0.3, 0.4]])
    view = space_time(AttentionRecord(weights, kind="cross", query_labels=["it"], key_grid=Grid(1, 2, t=2)))
    assert view.title == '"it" looks most at frame t1 (70% of its weight)'
    assert 'Frame t1 has the largest share of weight, 0.70, of 2 frames. Shown: query "it".' in view.alt
    assert view.table["share of weight"] == pytest.approx([0.3, 0.7])
    assert view.table["largest at"] == ["t0 y0 x1", "t1 y0 x1"]


def test_whole_frames_may_be_tokens_and_each_may_span_several_frames_of_the_clip():
    view = space_time(MOMENTS, CLIP)
    assert len(view.spec["pictures"]) == 8 and "spans 2 frames" in view.spec["note"]
    assert view.spec["pictures"] == space_time(MOMENTS, CLIP[1::2]).spec["pictures"]


def test_frames_may_be_grey_and_may_be_missing():
    assert space_time(MOMENTS, CLIP[:8, ..., 0]).spec["pictures"][0].startswith("data:image/jpeg")
    assert space_time(MOMENTS).spec["pictures"] == []


@pytest.mark.parametrize("clip", [None, CLIP])
def test_the_picture_is_not_blank(clip):
    assert shades(space_time(RECORD, clip)) > (20 if clip is None else 150)


def test_the_same_record_gives_the_same_bytes_within_the_limits():
    pages = [space_time(MOMENTS, CLIP).html() for _ in range(2)]
    assert pages[0] == pages[1] and len(pages[0]) < 1_000_000


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: space_time(AttentionRecord(random_weights(4, 4)), CLIP), "lie on a grid"),
        (lambda: space_time(RECORD, CLIP[:15]), "Expected 16 frames.*got 15"),
        (lambda: space_time(RECORD, CLIP.transpose(0, 3, 1, 2)), r"permute\(0, 2, 3, 1\)"),
        (lambda: space_time(RECORD, CLIP.transpose(3, 0, 1, 2)), r"permute\(1, 2, 3, 0\)"),
        (lambda: space_time(RECORD, CLIP.astype(int)), r"frames\[0\] as uint8"),
        (lambda: space_time(RECORD, []), "got 0"),
        (lambda: space_time(RECORD, CLIP, opacity=-1), "opacity"),
        (lambda: space_time(RECORD, CLIP, layer=1), "layer between 0 and 0, got 1"),
        (
            lambda: space_time(AttentionRecord.gate(np.ones((2, 4, 2, 2)), over="space-time"), CLIP),
            "one clip, got one over 2",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_a_way_out(make, told):
    with pytest.raises(ValueError, match=told):
        make()


@pytest.mark.parametrize("order", [(0, 3, 1, 2), (3, 0, 1, 2)])
def test_the_advice_for_colours_in_front_is_right(order):
    with pytest.raises(ValueError) as caught:
        space_time(RECORD, CLIP.transpose(order))
    advice = str(caught.value).split("frames.transpose(")[1].split(")")[0]
    assert np.array_equal(CLIP.transpose(order).transpose([int(i) for i in advice.split(",")]), CLIP)
