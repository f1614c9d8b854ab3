"""A record keeps what it is given, in one form, and what is made of it is right."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attnlab.viz import AttentionRecord, Grid, Link
from tests.viz.records import CAUSAL, ROLLOUT, TWO_LAYERS, WORDS, random_record, random_weights, softmax


def test_missing_axes_are_added_in_front():
    assert AttentionRecord(random_weights(5, 5)).shape == (1, 1, 5, 5)
    assert AttentionRecord(random_weights(3, 5, 5)).shape == (1, 3, 5, 5)
    assert AttentionRecord(random_weights(2, 3, 5, 5)).shape == (2, 3, 5, 5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_tensors_of_any_precision_are_read(dtype):
    weights = torch.tensor(random_weights(5, 5), requires_grad=True).to(dtype)
    record = AttentionRecord(weights)
    assert record.weights.dtype == np.float32
    assert np.allclose(record.weights[0, 0], weights.detach().float().numpy())


def test_it_cannot_be_changed_and_does_not_hold_on_to_what_it_was_given():
    weights = random_weights(5, 5)
    record = AttentionRecord(weights)
    weights[:] = 0
    assert record.weights.sum() == pytest.approx(5, rel=1e-5)
    with pytest.raises(ValueError, match="read-only"):
        record.weights[:] = 0


def test_names_come_from_labels_then_from_the_grid_then_from_numbers():
    assert random_record().key_names == WORDS
    grid = Grid(y=2, x=2, before=("[CLS]",))
    assert AttentionRecord(random_weights(5, 5), query_grid=grid).key_names == (
        "[CLS]",
        "y0 x0",
        "y0 x1",
        "y1 x0",
        "y1 x1",
    )
    assert AttentionRecord(random_weights(2, 2)).query_names == ("0", "1")
    assert Grid(y=1, x=1, t=2).names() == ("t0 y0 x0", "t1 y0 x0")


def test_a_query_that_may_see_nothing_has_zeros():
    mask = np.ones((5, 5), dtype=bool)
    mask[2] = False
    assert AttentionRecord(random_weights(5, 5), mask=None).masked(mask).weights[0, 0, 2].sum() == 0


def test_select_keeps_axes_names_and_vectors():
    record = random_record(source=["a", "b"], queries=np.ones((2, 3, 5, 4)), keys=np.ones((2, 3, 5, 4)))
    part = record.select(layer="b", head=[2, 0], query=["it", "cat"])
    assert part.shape == (1, 2, 2, 5)
    assert (part.source, part.head_names, part.query_names, part.kind) == (("b",), ("2", "0"), ("it", "cat"), "cross")
    assert part.queries.shape == (1, 2, 2, 4)
    assert np.array_equal(part.weights[0, 0, 1], record.weights[1, 2, 1])


def test_leaving_keys_out_and_sharing_out_anew():
    part = random_record().select(key=[1, 2])
    assert not part.complete
    assert np.allclose(part.renormalised().weights.sum(axis=-1), 1)
    assert part.renormalised().complete


def test_means_over_heads_and_layers():
    record = random_record()
    assert np.allclose(record.mean("head", "layer").weights[0, 0], record.weights.mean(axis=(0, 1)))
    assert record.mean("head").shape == (2, 1, 5, 5)


def test_rollout_is_the_one_worked_out_by_hand():
    assert np.allclose(AttentionRecord(TWO_LAYERS).rollout().weights[0, 0], ROLLOUT)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(1, 4), st.integers(2, 9), st.floats(0, 1), st.integers(0, 99))
def test_rollout_rows_sum_to_one(layers, heads, tokens, residual, seed):
    record = AttentionRecord(random_weights(layers, heads, tokens, tokens, seed=seed))
    assert np.allclose(record.rollout(residual).weights.sum(axis=-1), 1, atol=1e-5)


def test_a_later_layer_multiplies_from_the_left():
    layers = [0.5 * layer[0] + 0.5 * np.eye(3) for layer in TWO_LAYERS]
    assert not np.allclose(layers[0] @ layers[1], ROLLOUT, atol=0.01)
    assert np.allclose(layers[1] @ layers[0], ROLLOUT)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.2, 5), st.integers(0, 99))
def test_a_temperature_needs_no_scores(temperature, seed):
    scores = np.random.default_rng(seed).normal(size=(1, 2, 4, 6))
    record = AttentionRecord(softmax(scores), kind="cross")
    assert np.allclose(record.at_temperature(temperature).weights, softmax(scores / temperature), atol=1e-5)


def test_masking_is_what_a_softmax_over_fewer_keys_gives():
    scores = np.random.default_rng(0).normal(size=(5, 5))
    masked = AttentionRecord(softmax(scores)).masked(CAUSAL)
    assert np.allclose(masked.weights[0, 0], softmax(np.where(CAUSAL, scores, -np.inf)), atol=1e-6)


def test_top_links_are_the_largest_and_leave_out_what_was_not_chosen():
    record = random_record().masked(CAUSAL)
    links = record.top_links(4)
    assert isinstance(links[0], Link)
    weights = sorted((link.weight for link in links), reverse=True)
    assert [link.weight for link in links] == weights
    assert "the" not in {link.query for link in links}, "the first token sees only itself"
    assert all(link.query != link.key for link in record.top_links(4, itself=False))


def test_equal_weights_come_in_the_order_in_which_they_stand():
    links = AttentionRecord(np.full((2, 2), 0.5)).top_links(3)
    assert [(link.query, link.key) for link in links] == [("0", "0"), ("0", "1"), ("1", "0")]


def test_entropy_is_that_of_torch():
    record = random_record()
    expected = torch.special.entr(torch.tensor(record.weights)).sum(-1)
    assert np.allclose(record.entropy(), expected, atol=1e-6)


@pytest.mark.parametrize(
    "record",
    [
        random_record(source=["a", "b"], heads=["x", "y", "z"]).masked(CAUSAL),
        AttentionRecord(random_weights(5, 9), kind="cross", key_grid=Grid(y=2, x=4, before=("[CLS]",))),
        AttentionRecord.gate(np.random.default_rng(0).random((2, 3, 2, 4)), over="space", items=["a", "b", "c"]),
        random_record(queries=np.ones((2, 3, 5, 4)), keys=np.ones((2, 3, 5, 4)), scale=0.5),
    ],
    ids=["masked", "grid", "gate", "vectors"],
)
def test_saved_and_loaded_it_is_the_same(record, tmp_path):
    again = AttentionRecord.load(record.save(tmp_path / "record.npz"))
    assert again.digest == record.digest
    for name in ("kind", "over", "scale", "source", "heads", "query_grid", "key_grid", "complete"):
        assert getattr(again, name) == getattr(record, name), name


def test_a_gate_lies_on_the_same_four_axes():
    values = np.random.default_rng(0).random((3, 2, 4))
    gate = AttentionRecord.gate(values, over="space")
    assert (gate.shape, gate.key_grid, gate.kind) == ((1, 1, 3, 8), Grid(y=2, x=4), "gate")
    assert np.allclose(gate.weights[0, 0, 1], values[1].ravel())
    assert AttentionRecord.gate(values[0, 0]).shape == (1, 1, 1, 4)
    assert gate.mean("query").shape == (1, 1, 1, 8)


def test_the_digest_tells_records_apart():
    assert random_record().digest == random_record().digest
    assert random_record().digest != random_record().at_temperature(2).digest
    assert random_record().digest != AttentionRecord(random_weights(2, 3, 5, 5)).digest
