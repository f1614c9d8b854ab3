"""Laws that hold for all inputs, tried on many, and signatures that refuse shapes that do not fit."""

import checked
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

sizes = st.integers(min_value=1, max_value=6)
seeds = st.integers(min_value=0, max_value=2**31 - 1)
many = settings(max_examples=40, deadline=None, derandomize=True)


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def drawn(seed, queries, keys, width, features=3):
    return normal(seed, queries, width), normal(seed + 1, keys, width), normal(seed + 2, keys, features)


def agree(got, want, atol=1e-12):
    torch.testing.assert_close(got, want, rtol=0, atol=atol)


@many
@given(seeds, sizes, sizes, st.floats(0.05, 20.0))
def test_rows_of_softmax_are_positive_and_sum_to_one(seed, rows, keys, temperature):
    weights = checked.softmax(normal(seed, rows, keys), temperature)
    assert (weights >= 0).all()
    agree(weights.sum(-1), torch.ones(rows, dtype=torch.float64))


@many
@given(seeds, sizes, st.floats(-1e3, 1e3))
def test_adding_a_constant_to_all_scores_changes_no_weight(seed, keys, constant):
    scores = normal(seed, keys)
    agree(checked.softmax(scores + constant), checked.softmax(scores), atol=1e-11)


@many
@given(seeds, sizes, sizes, sizes)
def test_rows_of_attention_sum_to_one_and_outputs_lie_between_the_values(seed, queries, keys, width):
    query, key, value = drawn(seed, queries, keys, width)
    output, weights = checked.attention(query, key, value)
    agree(weights.sum(-1), torch.ones(queries, dtype=torch.float64))
    assert (output <= value.amax(0) + 1e-12).all() and (output >= value.amin(0) - 1e-12).all()


@many
@given(seeds, sizes, sizes, st.randoms(use_true_random=False))
def test_shuffling_keys_with_their_values_changes_no_output(seed, queries, keys, shuffler):
    query, key, value = drawn(seed, queries, keys, 4)
    order = shuffler.sample(range(keys), keys)
    agree(checked.attention(query, key[order], value[order])[0], checked.attention(query, key, value)[0])


@many
@given(seeds, sizes, st.randoms(use_true_random=False))
def test_self_attention_commutes_with_every_reordering_of_the_tokens(seed, tokens, shuffler):
    layer, x = checked.SelfAttention1d(4, 3).double(), normal(seed, tokens, 4)
    order = shuffler.sample(range(tokens), tokens)
    with torch.no_grad():
        agree(layer(x[order])[0], layer(x)[0][order])


@many
@given(seeds, st.integers(2, 7), st.data())
def test_with_a_causal_mask_the_past_does_not_depend_on_the_future(seed, tokens, data):
    now = data.draw(st.integers(1, tokens - 1))
    layer, x = checked.SelfAttention1d(4, 3).double(), normal(seed, tokens, 4)
    other = x.clone()
    other[now:] = normal(seed + 1, tokens - now, 4)
    with torch.no_grad():
        mask = checked.causal_mask(tokens)
        agree(layer(other, mask)[0][:now], layer(x, mask)[0][:now])


@many
@given(seeds, st.integers(1, 9))
def test_entropy_lies_between_zero_and_log_of_the_number_of_keys(seed, keys):
    entropy = checked.entropy(normal(seed, keys).softmax(-1))
    assert -1e-12 <= entropy <= torch.tensor(float(keys), dtype=torch.float64).log() + 1e-12


@many
@given(seeds, sizes, sizes)
def test_moving_queries_and_keys_alike_changes_no_kernel_regression(seed, queries, keys):
    query, key, value = drawn(seed, queries, keys, 2)
    shift = normal(seed + 3, 2)
    moved = checked.nadaraya_watson(query + shift, key + shift, value, 0.7)[0]
    agree(moved, checked.nadaraya_watson(query, key, value, 0.7)[0], atol=1e-10)


@pytest.mark.parametrize("width", [4, 64, 1024])
def test_dot_products_have_the_variance_of_the_width_and_scaled_ones_of_one(width):
    """10,000 products of 100 queries with 100 keys: the variance is within a few percent."""
    scores = checked.dot_product_scores(normal(0, 100, width), normal(1, 100, width))
    assert scores.var().item() == pytest.approx(width, rel=0.1)
    assert checked.scale(scores, width).var().item() == pytest.approx(1.0, rel=0.1)


WRONG = {
    "keys of another width": lambda: checked.dot_product_scores(torch.zeros(5, 4), torch.zeros(7, 3)),
    "values for another number of keys": lambda: checked.weighted_average(torch.zeros(5, 7), torch.zeros(6, 2)),
    "a mask of floats": lambda: checked.attention(*(torch.zeros(3, 4) for _ in range(3)), torch.zeros(3, 3)),
    "a mask turned round": lambda: checked.attention(
        torch.zeros(5, 4), torch.zeros(7, 4), torch.zeros(7, 6), torch.ones(7, 5, dtype=torch.bool)
    ),
    "scores of integers": lambda: checked.softmax(torch.zeros(3, dtype=torch.int64)),
    "a batch on the query alone": lambda: checked.attention(torch.zeros(2, 5, 4), torch.zeros(7, 4), torch.zeros(7, 6)),
}


@pytest.mark.parametrize("what", WRONG)
def test_signatures_are_checked_at_run_time_and_refuse(what):
    with pytest.raises(TypeCheckError):
        WRONG[what]()
