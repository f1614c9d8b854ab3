"""Attention over the states of an RNN: loops, hand-worked numbers, parameter counts, and what must not matter."""

import math

import pytest
import rnn_loops
import torch
from jaxtyping import TypeCheckError
from rnn_checked import additive, decoder, local, luong, masked, pooling
from torch.autograd import gradcheck

from attnlab.reference.counting import parameter_count

B, Q, K, DQ, DK, N, T = 2, 5, 7, 4, 6, 3, 8
SEEDS = (0, 100, 200)


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def agree(got, want):
    torch.testing.assert_close(got, torch.as_tensor(want, dtype=got.dtype), rtol=0, atol=1e-12)


def agree_all(got, want):
    for mine, theirs in zip(got, zip(*want, strict=True), strict=True):
        agree(mine, list(theirs))


def lists(*tensors):
    return [tensor.tolist() for tensor in tensors]


@pytest.mark.parametrize("seed", SEEDS)
def test_additive_scores_take_each_pair_through_the_small_network(seed):
    query, key = normal(seed, B, Q, DQ), normal(seed + 1, B, K, DK)
    weights = normal(seed + 2, N, DQ), normal(seed + 3, N, DK), normal(seed + 4, N)
    want = [rnn_loops.additive_scores(q, k, *lists(*weights)) for q, k in zip(*lists(query, key), strict=True)]
    agree(additive.additive_scores(query, key, *weights), want)


@pytest.mark.parametrize("seed", SEEDS)
def test_luong_scores_are_those_of_the_loops(seed):
    query, key = normal(seed, B, Q, DQ), normal(seed + 1, B, K, DK)
    between, weight, vector = normal(seed + 2, DQ, DK), normal(seed + 3, N, DQ + DK), normal(seed + 4, N)
    pairs = list(zip(*lists(query, key), strict=True))
    general = [rnn_loops.general_scores(q, k, between.tolist()) for q, k in pairs]
    agree(luong.luong_scores(query, key, "general", between), general)
    concat = [rnn_loops.concat_scores(q, k, *lists(weight, vector)) for q, k in pairs]
    agree(luong.luong_scores(query, key, "concat", weight, vector), concat)
    narrow = key[..., :DQ]
    agree(luong.luong_scores(query, narrow), luong.luong_scores(query, narrow, "general", torch.eye(DQ).double()))
    places = normal(seed + 5, K + 2, DQ)
    agree(
        luong.location_scores(query, places, K),
        [rnn_loops.location_scores(q, places.tolist(), K) for q in lists(query)[0]],
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_masked_softmax_takes_the_filler_away_first(seed):
    scores, lengths = normal(seed, B + 1, Q, K), torch.tensor([K, 3, 0])
    want = [rnn_loops.masked_softmax(s, n) for s, n in zip(*lists(scores, lengths), strict=True)]
    agree(masked.masked_softmax(scores, lengths), want)


def step_inputs(seed):
    return (
        *(normal(seed, B, 2), normal(seed + 1, B, DQ), normal(seed + 2, B, K, DK), torch.tensor([K, 3])),
        *(normal(seed + 3, N, DQ), normal(seed + 4, N, DK), normal(seed + 5, N)),
        *(normal(seed + 6, DQ, 2 + DK), normal(seed + 7, DQ, DQ), normal(seed + 8, DQ)),
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_a_decoder_step_of_bahdanau_is_the_loops(seed):
    token, state, memory, lengths, *weights = step_inputs(seed)
    items = zip(*lists(token, state, memory, lengths), strict=True)
    want = [rnn_loops.attention_decoder_step(*item, *lists(*weights)) for item in items]
    agree_all(decoder.attention_decoder_step(token, state, memory, lengths, *weights), want)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_decoder_step_of_luong_is_the_loops(seed):
    token, state, memory, lengths, *_ = step_inputs(seed)
    weights = (
        *(normal(seed + 3, DQ, DK), normal(seed + 4, DQ, DK + DQ)),
        *(normal(seed + 6, DQ, 2 + DQ), normal(seed + 7, DQ, DQ), normal(seed + 8, DQ)),
    )
    fed = normal(seed + 9, B, DQ)
    items = zip(*lists(token, state, fed, memory, lengths), strict=True)
    want = [rnn_loops.luong_decoder_step(*item, *lists(*weights)) for item in items]
    agree_all(decoder.luong_decoder_step(token, state, fed, memory, lengths, *weights), want)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("half_width", [1, 3])
def test_local_attention_is_the_loops(seed, half_width):
    query, key, lengths = normal(seed, B, Q, DQ), normal(seed + 1, B, K, DQ), torch.tensor([K, 3])
    weight, vector = normal(seed + 2, N, DQ), normal(seed + 3, N)
    items = list(zip(*lists(query, key, lengths), strict=True))
    want = [rnn_loops.local_attention(*item, *lists(weight, vector), half_width) for item in items]
    agree_all(local.local_attention(query, key, lengths, weight, vector, half_width), want)
    want = [rnn_loops.monotonic_attention(*item, half_width) for item in items]
    agree_all(local.monotonic_attention(query, key, lengths, half_width), want)


@pytest.mark.parametrize("seed", SEEDS)
def test_attention_pooling_is_the_loops(seed):
    states, lengths = normal(seed, B, T, DQ), torch.tensor([T, 3])
    weights = normal(seed + 1, N, DQ), normal(seed + 2, N), normal(seed + 3, N)
    want = [rnn_loops.attention_pooling(*item, *lists(*weights)) for item in zip(*lists(states, lengths), strict=True)]
    agree_all(pooling.attention_pooling(states, lengths, *weights), want)


# ------------------------------------------------------------------ by hand


def test_scores_0_and_ln_3_with_filler_give_a_quarter_and_three_quarters_and_nothing():
    scores = torch.tensor([[[0.0, math.log(3), 9.0]]], dtype=torch.float64)
    agree(masked.masked_softmax(scores, torch.tensor([2])), [[[1 / 4, 3 / 4, 0.0]]])


def test_an_item_without_a_key_gives_zeros_and_a_gradient_of_zeros():
    scores = normal(0, 1, 2, 3).requires_grad_()
    weights = masked.masked_softmax(scores, torch.tensor([0]))
    weights.sum().backward()
    assert not weights.any() and not scores.grad.any()


def test_one_additive_score_by_hand():
    """tanh(ln 2) = 3/5 and tanh(-ln 2) = -3/5; with v = (1, 10): 3/5 - 6."""
    half = torch.tensor([[1.0], [-1.0]], dtype=torch.float64) * math.log(2) / 2
    one = torch.ones(1, 1, dtype=torch.float64)
    agree(additive.additive_scores(one, one, half, half, torch.tensor([1.0, 10.0]).double()), [[-5.4]])


def test_local_weights_by_hand():
    """v = 0 puts the centre at half the length, 2 of 4; D = 1: three equal shares, the outer two times e^-2."""
    query, key, zero = torch.zeros(1, 2).double(), torch.zeros(5, 2).double(), torch.zeros(3).double()
    weights = local.local_attention(query, key, torch.tensor(4), normal(0, 3, 2), zero, 1)[1]
    agree(weights, [[0.0, math.exp(-2) / 3, 1 / 3, math.exp(-2) / 3, 0.0]])


# ------------------------------------------------------------------ published beginnings and counts


def test_bahdanaus_beginning_is_uniform_and_only_v_learns_in_the_first_step():
    torch.manual_seed(0)
    layer = additive.AdditiveAttention(DQ, DK, N).double()
    lengths = torch.tensor([K, 3])
    context, weights = layer(normal(0, B, Q, DQ), normal(1, B, K, DK), lengths)
    for item, length in enumerate(lengths.tolist()):
        assert torch.equal(weights[item, :, :length], torch.full((Q, length), 1 / length, dtype=torch.float64))
    context.sin().sum().backward()
    assert layer.vector.grad.abs().min() > 0
    assert not layer.to_query.grad.any() and not layer.to_key.grad.any()


@pytest.mark.parametrize(("query_width", "key_width", "hidden"), [(1000, 2000, 1000), (4, 6, 3)])
def test_parameters_of_the_scores_by_formula(query_width, key_width, hidden):
    """1000 units, encoder states of 2000: Bahdanau's own sizes, 3,001,000 numbers. Luong's concat has as many."""
    with torch.device("meta"):
        layer = additive.AdditiveAttention(query_width, key_width, hidden)
    expected = hidden * (query_width + key_width) + hidden
    assert parameter_count(layer) == expected == luong.luong_parameters("concat", query_width, key_width, hidden)
    assert luong.luong_parameters("general", query_width, key_width) == query_width * key_width
    assert luong.luong_parameters("dot", query_width, query_width) == 0
    assert luong.luong_parameters("location", query_width, key_width, longest=50) == 50 * query_width


# ------------------------------------------------------------------ properties


def test_concat_is_bahdanaus_score_with_the_two_weights_side_by_side():
    query, key = normal(0, B, Q, DQ), normal(1, B, K, DK)
    to_query, to_key, vector = normal(2, N, DQ), normal(3, N, DK), normal(4, N)
    both = luong.luong_scores(query, key, "concat", torch.cat([to_query, to_key], dim=-1), vector)
    agree(both, additive.additive_scores(query, key, to_query, to_key, vector))


def test_without_the_tanh_all_queries_would_share_one_row_of_weights():
    query, key = normal(0, B, Q, DQ), normal(1, B, K, DK)
    scores = (query @ normal(2, N, DQ).mT)[:, :, None] + (key @ normal(3, N, DK).mT)[:, None]
    weights = (scores @ normal(4, N)).softmax(-1)
    agree(weights, weights[:, :1].expand_as(weights))


@pytest.mark.parametrize("extra", [1, 4])
def test_more_padding_changes_nothing(extra):
    token, state, memory, lengths, *weights = step_inputs(0)
    longer = torch.cat([memory, 1e3 + normal(9, B, extra, DK)], dim=1)
    short = decoder.attention_decoder_step(token, state, memory, lengths, *weights)
    long = decoder.attention_decoder_step(token, state, longer, lengths, *weights)
    agree(long[0], short[0]), agree(long[1], short[1]), agree(long[2][:, :K], short[2])
    assert not long[2][:, K:].any()


def test_pooling_with_a_query_of_zero_is_the_mean_of_the_real_states():
    states, lengths = normal(0, B, T, DQ), torch.tensor([T, 3])
    pooled = pooling.attention_pooling(states, lengths, normal(1, N, DQ), normal(2, N), torch.zeros(N).double())[0]
    agree(pooled, torch.stack([states[0].mean(0), states[1, :3].mean(0)]))


def test_local_rows_sum_to_less_than_one_and_stay_inside_the_sentence():
    query, key, lengths = normal(0, B, Q, DQ), normal(1, B, K, DQ), torch.tensor([K, 3])
    _, weights = local.local_attention(query, key, lengths, normal(2, N, DQ), normal(3, N), 2)
    assert (weights.sum(-1) < 1).all() and (weights.sum(-1) > 0).all()
    assert not weights[1, :, 3:].any()


def test_the_gaussian_is_what_teaches_the_position():
    query, key, lengths = normal(0, B, Q, DQ), normal(1, B, K, DQ), torch.tensor([K, 3])
    weight, vector = normal(2, N, DQ).requires_grad_(), normal(3, N).requires_grad_()
    local.local_attention(query, key, lengths, weight, vector, 2)[0].sum().backward()
    assert weight.grad.any() and vector.grad.any()


GRADCHECKED = {
    "additive scores": lambda: (
        additive.additive_scores,
        (normal(0, 2, 4), normal(1, 3, 5), normal(2, 2, 4), normal(3, 2, 5), normal(4, 2)),
    ),
    "masked softmax": lambda: (lambda s: masked.masked_softmax(s, torch.tensor([2, 3])), (normal(0, 2, 2, 4),)),
    "pooling": lambda: (
        lambda s, *w: pooling.attention_pooling(s, torch.tensor(3), *w)[0],
        (normal(0, 4, 3), normal(1, 2, 3), normal(2, 2), normal(3, 2)),
    ),
    "decoder step": lambda: (
        lambda s, m: decoder.attention_decoder_step(step_inputs(0)[0], s, m, *step_inputs(0)[3:]),
        (normal(1, B, DQ), normal(2, B, K, DK)),
    ),
}


@pytest.mark.parametrize("name", GRADCHECKED)
def test_gradients_are_those_of_finite_differences(name):
    function, leaves = GRADCHECKED[name]()
    assert gradcheck(function, tuple(leaf.requires_grad_() for leaf in leaves))


def test_a_method_that_is_none_is_told_what_there_is():
    with pytest.raises(ValueError, match="dot, general or concat for the method, got 'cosine'"):
        luong.luong_scores(normal(0, Q, DQ), normal(1, K, DQ), "cosine")


def test_a_sentence_longer_than_the_location_weight_is_refused():
    with pytest.raises(ValueError, match="at most 6 keys"):
        luong.location_scores(normal(0, Q, DQ), normal(1, 6, DQ), 7)


def test_a_state_of_the_wrong_width_is_refused():
    token, _, *rest = step_inputs(0)
    with pytest.raises(TypeCheckError):
        decoder.attention_decoder_step(token, normal(1, B, DQ + 1), *rest)
