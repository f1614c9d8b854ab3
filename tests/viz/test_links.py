"""Lines between names: which are drawn, what is said about them, and what is refused."""

import numpy as np
import pytest

from attnlab.viz import AttentionRecord, links
from attnlab.viz.views.links import strongest
from tests.viz.records import CAUSAL, WORDS, random_record, random_weights
from tests.viz.sent import ink, sent, weights_of

ROW = np.array([0.1, 0.0, 0.4, 0.3, 0.2])


@pytest.mark.parametrize(
    ("share", "keys"), [(0.3, [2]), (0.4, [2]), (0.5, [2, 3]), (0.7, [2, 3]), (0.9, [2, 3, 4]), (1, [2, 3, 4, 0])]
)
def test_the_fewest_keys_that_have_the_share_are_drawn(share, keys):
    assert strongest(ROW, share).tolist() == keys


def test_a_row_that_was_cut_is_measured_by_what_is_left_of_it():
    assert strongest(ROW / 10, 0.5).tolist() == [2, 3]


def test_a_query_that_may_see_nothing_draws_nothing():
    assert strongest(np.zeros(5), 1.0).size == 0


def test_it_starts_at_the_strongest_link_with_the_query_side_chosen():
    view = links(random_record(), share=0.6)
    weights = random_record().weights
    start = view.spec["start"]
    assert tuple(start[axis] for axis in ("layer", "head", "query", "key")) == np.unravel_index(
        weights.argmax(), weights.shape
    )
    assert (start["share"], start["side"]) == (0.6, 0)


def test_what_is_chosen_by_the_caller_is_chosen():
    start = links(random_record(), layer=1, head=2, query=3).spec["start"]
    assert (start["layer"], start["head"], start["query"]) == (1, 2, 3)
    assert start["key"] == random_record().weights[1, 2, 3].argmax()


def test_the_page_gets_the_weights():
    record = random_record()
    assert np.abs(weights_of(links(record)) - record.weights).max() < 1e-4


def test_the_description_counts_the_lines_and_names_the_weights_of_the_chosen_query():
    weights = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.5, 0.5, 0.0]])
    view = links(AttentionRecord(weights, query_labels=["a", "b", "c"]), query=0, share=0.85)
    assert "Drawn: 6 lines of 9, which have 85% of each query's weight." in view.alt
    assert 'Highlighted: "a", which looks at "a" 0.70, "b" 0.20.' in view.alt


def test_in_print_few_enough_lines_stay_and_the_description_says_so():
    record = AttentionRecord(random_weights(64, 64, sharpness=0.2))
    view = links(record)
    assert "In print the 200 strongest of the others." in view.alt
    curves = [lines for lines in view.picture().axes[0].collections]
    counts = [len(lines.get_segments()) for lines in curves]
    assert counts == [200, strongest(record.weights[0, 0, view.spec["start"]["query"]], 0.9).size]


def test_a_thicker_line_is_a_larger_weight_whatever_the_number_of_heads():
    widths = []
    for count in (1, 12):
        record = AttentionRecord(random_weights(1, count, 5, 5)[:, :1].repeat(count, axis=1), query_labels=WORDS)
        chosen = links(record, layer=0, head=0, query=2, share=1.0).picture().axes[0].collections[1]
        widths.append(list(chosen.get_linewidths()))
        assert widths[-1] == sorted(widths[-1]), "the strongest is drawn last, on top"
        assert np.allclose(widths[-1], 0.6 + 4 * np.sort(record.weights[0, 0, 2]))
    assert widths[0] == widths[1]


@pytest.mark.parametrize(
    "record",
    [
        random_record(mask=None),
        random_record().masked(CAUSAL),
        AttentionRecord(random_weights(4, 7), kind="cross", key_labels=[*WORDS, "$x$", "</script>"]),
        AttentionRecord(random_weights(128, 128)),
    ],
    ids=["words", "causal", "cross", "128 tokens"],
)
def test_the_picture_is_drawn_and_the_same_each_time(record):
    view = links(record, title="costs $1 or $2")
    assert 0.01 < ink(view) < 0.9
    assert view.html() == links(record, title="costs $1 or $2").html()


def test_of_very_many_heads_the_chosen_layer_is_sent_and_the_note_says_so():
    record = AttentionRecord(random_weights(6, 9, 256, 256), source=[f"block {i}" for i in range(6)])
    view = links(record, layer=4, head=7, query=10)
    assert view.spec["shape"] == [1, 9, 256, 256] and view.spec["layerNames"] == ["block 4"]
    assert (view.spec["start"]["layer"], view.spec["start"]["head"]) == (0, 7)
    assert "Only block 4 is here" in view.spec["note"]
    assert np.array_equal(sent(view)["largest"], record.weights[4].max(axis=-1).ravel())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: links(AttentionRecord.gate(np.full(8, 0.5))), "got a gate.*heatmap"),
        (lambda: links(AttentionRecord(random_weights(257, 257))), "at most 256 .* got 257 and 257.*select"),
        (lambda: links(random_record(), share=0.2), "between 0.3 and 1, got 0.2"),
        (lambda: links(random_record(), share=90), "between 0.3 and 1, got 90"),
        (lambda: links(random_record(), head=3), "head between 0 and 2, got 3"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
