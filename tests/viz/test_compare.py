"""Two records and their difference: what is sent, what is found, and what cannot be compared."""

import numpy as np
import pytest

from attnlab.viz import AttentionRecord, compare
from attnlab.viz.views.coding import decode
from attnlab.viz.views.compare import diverging
from tests.viz.records import CAUSAL, WORDS, random_record, random_weights
from tests.viz.sent import ink, sent

FIRST = random_record()
SECOND = AttentionRecord(random_weights(2, 3, 5, 5, seed=1), query_labels=WORDS)


def second_weights(view) -> np.ndarray:
    arrays, shape = sent(view), view.spec["shape"]
    return decode(arrays["secondCodes"].reshape(shape), arrays["secondLargest"].reshape(*shape[:3], 1))


def differences(view) -> np.ndarray:
    arrays = sent(view)
    return (arrays["differences"] * arrays["differenceStep"]).reshape(view.spec["shape"])


def test_the_page_gets_both_and_the_difference_is_second_minus_first():
    view = compare(FIRST, SECOND)
    assert np.abs(second_weights(view) - SECOND.weights).max() < 0.002
    assert np.abs(differences(view) - (SECOND.weights - FIRST.weights)).max() < 1e-4


def test_a_difference_below_what_a_byte_can_tell_is_kept():
    weights = random_weights(1, 1, 5, 5)
    moved = weights.copy()
    moved[0, 0, 2, :2] += (1e-5, -1e-5)
    view = compare(AttentionRecord(weights), AttentionRecord(moved))
    assert np.allclose(differences(view)[0, 0, 2, :2], (1e-5, -1e-5), atol=1e-7)
    assert view.spec["most"] == pytest.approx(1e-5, rel=0.05)


def test_it_starts_at_the_largest_difference_and_the_title_names_it():
    view = compare(FIRST, SECOND, names=("before", "after"))
    change = SECOND.weights - FIRST.weights
    at = np.unravel_index(np.abs(change).argmax(), change.shape)
    assert tuple(view.spec["start"][axis] for axis in ("layer", "head", "query", "key")) == at
    query, key = WORDS[at[2]], WORDS[at[3]]
    told = (
        f'"{query}" to "{key}", {FIRST.weights[at]:.2f} in before and {SECOND.weights[at]:.2f} in after '
        f"({change[at]:+.2f})"
    )
    assert told in view.title and told in view.alt


def test_within_a_head_that_was_asked_for_it_starts_at_that_heads_largest_difference():
    change = np.abs(SECOND.weights - FIRST.weights)[1, 2]
    start = compare(FIRST, SECOND, layer=1, head=2).spec["start"]
    assert (start["layer"], start["head"]) == (1, 2)
    assert (start["query"], start["key"]) == np.unravel_index(change.argmax(), change.shape)


def test_the_first_two_share_one_scale_and_the_difference_reaches_as_far_up_as_down():
    flat = AttentionRecord(np.full((2, 3, 5, 5), 0.2), query_labels=WORDS)
    assert compare(flat, FIRST).spec["high"] == compare(FIRST, flat).spec["high"] == pytest.approx(FIRST.weights.max())
    view = compare(flat, FIRST)
    assert view.spec["most"] == pytest.approx(np.abs(FIRST.weights - 0.2).max())
    images = [ax.images[0] for ax in view.picture().axes[:3]]
    assert images[0].get_clim() == images[1].get_clim() == (0, view.spec["high"])
    assert images[2].get_clim() == (-view.spec["most"], view.spec["most"])


def test_zero_is_the_lightest_of_the_colours_and_below_is_bluer_than_above():
    table = diverging().astype(int)
    assert table.shape == (256, 3) and abs(int(table.sum(axis=1).argmax()) - 127) < 4
    assert table[40, 2] > table[40, 0] and table[215, 0] > table[215, 2]
    assert np.array_equal(sent(compare(FIRST, SECOND))["diverging"], diverging().ravel())


def test_the_table_has_the_largest_differences_with_both_weights():
    table = compare(FIRST, SECOND, names=("before", "after")).table
    change = SECOND.weights - FIRST.weights
    assert list(table) == ["layer", "head", "query", "key", "in before", "in after", "difference"]
    assert np.allclose(np.abs(table["difference"]), np.sort(np.abs(change).ravel())[::-1][:10])
    assert np.allclose(np.subtract(table["in after"], table["in before"]), table["difference"])


def test_tokens_that_are_called_otherwise_have_both_names():
    other = AttentionRecord(SECOND.weights, query_labels=[*WORDS[:4], "dog"])
    view = compare(FIRST, other)
    assert view.spec["queryNames"] == view.spec["keyNames"] == [*WORDS[:4], "it | dog"]


def test_each_has_its_own_mask():
    view = compare(FIRST, SECOND.masked(CAUSAL))
    assert "mask" not in sent(view) and view.spec["maskShape"] is None
    shape = view.spec["secondMaskShape"]
    assert np.array_equal(
        np.broadcast_to(sent(view)["secondMask"].reshape(shape).astype(bool), (2, 3, 5, 5))[1, 1], CAUSAL
    )
    hidden = view.picture().axes[2].images[0].get_array()
    assert not np.ma.getmaskarray(hidden).any(), "what the first sees can differ"
    both = compare(FIRST.masked(CAUSAL), SECOND.masked(CAUSAL)).picture().axes[2].images[0].get_array()
    assert np.array_equal(np.ma.getmaskarray(both), ~CAUSAL)


def test_a_record_does_not_differ_from_itself():
    view = compare(FIRST, FIRST)
    assert view.title == "first and second have the same weights"
    assert view.spec["most"] == 0 and not sent(view)["differences"].any()
    assert ink(view) > 0.05


def test_gates_can_be_compared():
    view = compare(AttentionRecord.gate(np.linspace(0, 1, 8)), AttentionRecord.gate(np.full(8, 0.5)))
    assert view.spec["most"] == pytest.approx(0.5) and view.spec["high"] == 1.0


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (FIRST, SECOND),
        (FIRST.masked(CAUSAL), SECOND.masked(CAUSAL)),
        (AttentionRecord(random_weights(4, 7), "cross"), AttentionRecord(random_weights(4, 7, seed=2), "cross")),
    ],
    ids=["words", "causal", "cross"],
)
def test_the_picture_is_drawn_and_the_same_each_time(first, second):
    view = compare(first, second, names=("$a$", "$b$"))
    assert 0.05 < ink(view) < 0.95
    assert view.html() == compare(first, second, names=("$a$", "$b$")).html()


def test_when_all_heads_are_too_many_the_chosen_layer_is_sent_and_the_note_says_so():
    first, second = (AttentionRecord(random_weights(3, 4, 300, 300, seed=seed)) for seed in (0, 1))
    view = compare(first, second, layer=2, head=3)
    assert view.spec["shape"] == [1, 4, 300, 300] and "Only layer 2 is here" in view.spec["note"]
    assert (view.spec["start"]["layer"], view.spec["start"]["head"]) == (0, 3)
    assert np.abs(differences(view) - (second.weights - first.weights)[2]).max() < 1e-4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: compare(FIRST, FIRST.select(head=0)), r"\(2, 3, 5, 5\) and \(2, 1, 5, 5\)"),
        (
            lambda: compare(AttentionRecord.gate(np.full((5, 5), 0.5)), AttentionRecord(random_weights(5, 5))),
            'two gates or none, got kind "gate" and "self"',
        ),
        (lambda: compare(FIRST, SECOND, names=("a", "a")), r"two different names.*\('a', 'a'\)"),
        (lambda: compare(FIRST, SECOND, names=("a", "b", "c")), "two different names"),
        (lambda: compare(FIRST, SECOND, layer=2), "layer between 0 and 1, got 2"),
    ],
)
def test_what_cannot_be_compared_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
