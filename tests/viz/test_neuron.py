"""Query times key, dimension by dimension: the bytes, the sums, the weight, and what is said when they do not agree."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from attnlab.reference.attention import attention
from attnlab.viz import AttentionRecord, neuron
from attnlab.viz.views.coding import at_most
from attnlab.viz.views.neuron import products_softmax
from attnlab.viz.views.part import part_that_fits
from attnlab.viz.views.signed import encode_signed
from tests.viz.records import CAUSAL, WORDS, random_record, softmax
from tests.viz.sent import ink, sent

WIDTH = 16


def attended(layers=2, heads=3, queries=5, keys=5, mask=None, width=WIDTH, **fields) -> AttentionRecord:
    """What the course's own attention makes of random vectors, and the vectors."""
    draw = torch.Generator().manual_seed(0)
    q = 2 * torch.randn(layers, heads, queries, width, generator=draw)
    k = torch.randn(layers, heads, keys, width, generator=draw)
    weights = attention(q, k, k, None if mask is None else torch.from_numpy(mask))[1]
    kind = "self" if queries == keys else "cross"
    return AttentionRecord(weights, kind=kind, mask=mask, queries=q, keys=k, scale=width**-0.5, **fields)


RECORDS = {
    "all to all": attended(query_labels=WORDS),
    "causal": attended(mask=CAUSAL, query_labels=WORDS),
    "to another sequence": attended(queries=3, keys=7),
    "one query hidden from all": attended(mask=CAUSAL & (np.arange(5) > 0)),
}
every_record = pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)


def read(view) -> tuple[np.ndarray, np.ndarray]:
    """Queries and keys as the page reads them."""
    layers, heads, queries, keys = view.spec["shape"]
    arrays, width = sent(view), view.spec["width"]
    sides = []
    for name, count in (("query", queries), ("key", keys)):
        codes = arrays["queries" if name == "query" else "keys"].reshape(layers, heads, count, width)
        sides.append(codes * arrays[f"{name}Steps"].reshape(layers, heads, count, 1))
    return sides[0], sides[1]


@every_record
def test_products_of_what_was_sent_add_up_to_the_score(record):
    queries, keys = read(neuron(record))
    sums = (queries[..., :, None, :] * keys[..., None, :, :]).sum(axis=-1)
    true = record.queries.astype(np.float64) @ record.keys.astype(np.float64).swapaxes(-1, -2)
    # A number is at most half a step off, and a step is the 32767th part of the largest number of its row.
    size = {name: np.abs(getattr(record, name)) for name in ("queries", "keys")}
    off = {name: sizes.max(axis=-1) / 32767 / 2 for name, sizes in size.items()}
    bound = off["queries"][..., :, None] * size["keys"].sum(axis=-1)[..., None, :]
    bound = bound + off["keys"][..., None, :] * size["queries"].sum(axis=-1)[..., :, None]
    assert (np.abs(sums - true) <= 1.01 * bound + 1e-5).all()


@every_record
def test_the_softmax_of_scaled_sums_is_the_weight(record):
    view = neuron(record)
    queries, keys = read(view)
    scores = np.where(record.visible, view.spec["scale"] * (queries @ keys.swapaxes(-1, -2)), -1e30)
    weights = softmax(scores) * record.visible
    assert np.abs(weights - record.weights).max() < 1e-3
    assert np.abs(products_softmax(record) - record.weights).max() < 1e-5
    assert "something else" not in view.spec["note"]


def test_the_note_prints_how_far_off_the_largest_sum_is():
    record = RECORDS["all to all"]
    queries, keys = read(neuron(record))
    off = np.abs(queries @ keys.swapaxes(-1, -2) - record.queries @ record.keys.swapaxes(-1, -2)).max()
    printed = float(re.search(r"a sum is at most (\S+) off", neuron(record).spec["note"])[1])
    assert off <= printed < 2 * off


def test_a_bias_on_the_scores_does_not_pass_for_a_product():
    record = RECORDS["all to all"]
    scores = record.scale * record.queries @ record.keys.swapaxes(-1, -2) + np.arange(5)
    weights = softmax(scores)
    note = neuron(replace(record, weights=weights, _cache={})).spec["note"]
    assert f"up to {np.abs(weights - record.weights).max():.2g} off" in note and "bias" in note


def test_without_a_scale_the_last_step_is_left_out_and_the_note_says_so():
    view = neuron(replace(RECORDS["all to all"], scale=None, _cache={}))
    assert view.spec["scale"] is None and "keeps no scale" in view.spec["note"]
    assert ", times" not in view.alt


def test_numbers_keep_their_sign_zero_rows_stay_zero_and_no_code_overflows():
    numbers = np.array([[-2.0, 1.0, 0.0], [0.0, 0.0, 0.0], [1e-12, -3e-12, 0.0]], dtype=np.float32)
    coded = encode_signed(numbers, axis=-1)
    assert coded.codes.dtype == np.int16 and coded.steps.shape == (3, 1)
    assert coded.codes.tolist()[0] == [-32767, 16384, 0] and not coded.codes[1].any()
    assert np.abs(coded.numbers - numbers).max() == pytest.approx(coded.error)
    assert coded.error <= 2 / 32767
    assert np.allclose(coded.numbers[2], numbers[2], rtol=1e-4)


@pytest.mark.parametrize(
    ("error", "text"), [(0.00127, "0.002"), (0.0010001, "0.002"), (3e-7, "3e-07"), (0.95, "1"), (0, "0")]
)
def test_what_is_said_of_an_error_is_never_less_than_it(error, text):
    assert at_most(error) == text


def test_it_starts_where_it_is_told_at_the_dimension_that_counts_most():
    record = RECORDS["all to all"]
    view = neuron(record, layer=1, head=2, query=3, key=0)
    start = view.spec["start"]
    assert [start[axis] for axis in ("layer", "head", "query", "key")] == [1, 2, 3, 0]
    products = record.queries[1, 2, 3] * record.keys[1, 2, 0]
    assert start["unit"] == np.abs(products).argmax()
    assert f'"on" · "the" = {products.sum():.3g}' in view.title
    assert f"dimension {start['unit']} counts most ({products[start['unit']]:+.3g})" in view.title


def test_the_table_has_the_dimensions_that_count_most():
    record = RECORDS["all to all"]
    table = neuron(record, layer=0, head=0, query=1, key=2).table
    q, k = record.queries[0, 0, 1], record.keys[0, 0, 2]
    at = table["dimension"]
    assert len(at) == 10 and at == sorted(at)
    assert set(at) == set(np.argsort(-np.abs(q * k))[:10])
    assert np.allclose(table["query × key"], (q * k)[at])
    assert np.allclose(table["sum so far"], np.cumsum(q * k)[at], atol=1e-5)


def test_the_description_follows_the_sum_to_the_weight():
    record = RECORDS["causal"]
    view = neuron(record, layer=0, head=0, query=2, key=1)
    total = float(record.queries[0, 0, 2] @ record.keys[0, 0, 1])
    assert f"= {total:.3g}, times 0.25 = {total / 4:.3g}; the softmax over 3 keys" in view.alt
    assert f"a weight of {record.weights[0, 0, 2, 1]:.3g}" in view.alt
    assert "the mask hides it from the softmax" in neuron(record, layer=0, head=0, query=2, key=4).alt


@every_record
def test_the_picture_is_drawn_and_the_same_each_time(record):
    assert 0.01 < ink(neuron(record)) < 0.9
    assert neuron(record).html() == neuron(record).html()


def test_the_picture_has_a_bar_for_each_dimension_and_the_sum_last():
    record = RECORDS["all to all"]
    axes = neuron(record, layer=0, head=1, query=4, key=0).picture().axes
    heights = [[bar.get_height() for bar in ax.patches] for ax in axes]
    q, k = record.queries[0, 1, 4], record.keys[0, 1, 0]
    for strip, true in zip(heights, (q, k, q * k, np.cumsum(q * k)), strict=True):
        assert np.allclose(strip, true, atol=1e-5)


def test_when_all_heads_are_too_many_the_chosen_one_is_sent_and_the_note_says_so():
    record = attended(layers=3, heads=12, queries=300, keys=300, width=64)
    view = neuron(record, layer=2, head=5, query=7, key=9)
    assert view.spec["shape"] == [1, 12, 300, 300] and "Only layer 2 is here" in view.spec["note"]
    start = view.spec["start"]
    assert [start[axis] for axis in ("layer", "head", "query", "key")] == [0, 5, 7, 9]
    queries, keys = read(view)
    assert queries[0, 5, 7] @ keys[0, 5, 9] == pytest.approx(record.queries[2, 5, 7] @ record.keys[2, 5, 9], abs=0.01)
    assert len(view.html()) < 4_000_000


@pytest.mark.parametrize(
    ("most", "part"), [(600, {}), (599, {"layer": 1}), (300, {"layer": 1}), (299, {"layer": 1, "head": 2})]
)
def test_the_largest_part_that_fits_is_chosen(most, part):
    assert part_that_fits(random_record(), {"layer": 1, "head": 2}, 100, most) == part


def test_a_head_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"5 queries and 5 keys.*select\(query="):
        part_that_fits(random_record(), {"layer": 1, "head": 2}, 100, 99)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (lambda: random_record(), "keeps the vectors.*keep_vectors=True.*queries="),
        (lambda: RECORDS["all to all"].mean("head"), "made of several heads"),
        (lambda: replace(RECORDS["causal"], keys=np.full((2, 3, 5, WIDTH), np.nan), _cache={}), "finite keys"),
    ],
    ids=["weights alone", "mean over heads", "NaN"],
)
def test_a_record_without_usable_vectors_is_refused(record, message):
    with pytest.raises(ValueError, match=message):
        neuron(record())


def test_a_key_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="key between 0 and 4, got 5"):
        neuron(RECORDS["causal"], key=5)
