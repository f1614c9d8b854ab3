"""Biases by distance are those of the whole table, and so is what is learnt of them."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attnlab.fast import alibi_attention, alibi_slopes, flex, relative_attention
from attnlab.fast.distance_bias import Alibi, Relative
from attnlab.fast.ladder.naive import naive
from attnlab.fast.ladder.tiled_torch import Places
from attnlab.fast.problem import problem
from tests.fast.gradients import (
    assert_same,
    assert_same_bits_twice,
    assert_within_the_budget,
    draw,
    inside_poison,
    with_gradients,
)
from tests.fast.memory import extra_memory, forward_and_backward
from tests.fast.uncompiled import uncompiled


def distances(queries, keys):
    return torch.arange(keys) - torch.arange(queries)[:, None] - (keys - queries)


def in_a_table(query, key, value, parameters, *, causal, scale=None):
    """Slopes have one axis, a table of relative distances two."""
    distance = distances(query.shape[-2], key.shape[-2])
    reach = parameters.shape[-1] // 2
    if parameters.ndim == 1:
        bias = -parameters[:, None, None] * distance.abs()
    else:
        bias = parameters[:, distance.clamp(-reach, reach) + reach]
    key, value = (t.repeat_interleave(query.shape[-3] // t.shape[-3], dim=-3) for t in (key, value))
    return naive(query, key, value, bias=bias.to(query.dtype), causal=causal, scale=scale)[0]


def leaves(queries, keys, *parameters, heads=4, kv_heads=2, width=8, features=6, **options):
    """Query, key, value, and small positive slopes or a table of that kind: large ones leave a single key in sight."""
    *qkv, bias = draw(
        (2, heads, queries, width), (2, kv_heads, keys, width), (2, kv_heads, keys, features), (heads, *parameters),
        **options,
    )  # fmt: skip
    return [*qkv, (bias.detach().abs() * 0.1).requires_grad_()]


WAYS = pytest.mark.parametrize(("way", "parameters"), [(alibi_attention, ()), (relative_attention, (11,))])
SIZES = [(1, 1), (40, 40), (33, 50), (50, 9), (20, 70)]


@pytest.fixture(autouse=True)
def small_tiles(request, monkeypatch):
    """So that a few dozen tokens are more than one tile, in tests that do not ask about memory."""
    if "memory" not in request.node.name:
        monkeypatch.setattr("attnlab.fast.ladder.tiled_torch.KEYS", 16)
        monkeypatch.setattr("attnlab.fast.ladder.tiled_torch.SCORES", 16 * 16 * 8)


@WAYS
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
def test_output_and_all_gradients_are_those_of_the_table(way, parameters, causal, size, dtype, tolerance):
    drawn = leaves(*size, *parameters, dtype=dtype)
    want = with_gradients(partial(in_a_table, causal=causal), drawn)
    assert_same(with_gradients(partial(way, causal=causal), drawn), want, tolerance)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 60), st.integers(1, 60), st.integers(0, 70), st.booleans(), st.sampled_from([(4, 1), (3, 3)]),
    st.sampled_from([None, 0.3, -1.0]),
)  # fmt: skip
def test_any_size_and_reach(queries, keys, reach, causal, heads, scale):
    options = dict(causal=causal, scale=scale)
    for way, parameters in ((alibi_attention, ()), (relative_attention, (2 * reach + 1,))):
        drawn = leaves(queries, keys, *parameters, heads=heads[0], kv_heads=heads[1], width=3)
        want = with_gradients(partial(in_a_table, **options), drawn)
        assert_same(with_gradients(partial(way, **options), drawn), want, 1e-10)


def test_slopes_are_those_of_the_paper():
    assert alibi_slopes(8).tolist() == [2.0**-n for n in range(1, 9)]
    assert alibi_slopes(1).tolist() == [2.0**-8]
    assert torch.allclose(alibi_slopes(16), torch.tensor([2 ** (-n / 2) for n in range(1, 17)]))
    assert alibi_slopes(6).log2().tolist() == [-2, -4, -6, -8, -1, -3]  # as get_slopes(6) of their code


def test_one_tile_of_each_bias():
    places = Places(slice(4, 6), slice(1, 4), 1)  # queries at 5 and 6, keys at 1, 2, 3
    assert Alibi().tile(torch.tensor([0.5]), places).tolist() == [[[-2, -1.5, -1], [-2.5, -2, -1.5]]]
    table = torch.arange(-3.0, 4.0)[None]  # each entry is its distance
    assert Relative().tile(table, places).tolist() == [[[-3, -3, -2], [-3, -3, -3]]]
    total = torch.zeros(1, 7)
    Relative().add_gradient(total, places, torch.tensor([[[[1.0, 2, 3], [4, 5, 6]]]]))
    assert total.tolist() == [[18, 3, 0, 0, 0, 0, 0]]


@WAYS
def test_without_heads_there_is_one(way, parameters):
    query, key, value, bias = draw((9, 4), (9, 4), (9, 4), (1, *parameters))
    got = way(query, key, value, bias, causal=True)
    want = in_a_table(query[None], key[None], value[None], bias, causal=True)[0]
    assert torch.allclose(got, want, atol=1e-12)


@WAYS
def test_gradcheck(way, parameters):
    drawn = leaves(5, 7, *parameters, heads=2, kv_heads=1, width=2, features=2)
    assert torch.autograd.gradcheck(partial(way, causal=False), drawn)


@WAYS
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_errs_at_most_twice_as_much_as_the_table(way, parameters, dtype):
    drawn = leaves(50, 50, *parameters, width=32, features=32, dtype=dtype)
    assert_within_the_budget(partial(way, causal=True), partial(in_a_table, causal=True), drawn)


def test_half_precision_with_slopes_in_float32():
    query, key, value, slopes = leaves(40, 40, dtype=torch.float16)
    slopes = alibi_slopes(4).requires_grad_()
    output, *_, grad = with_gradients(alibi_attention, [query, key, value, slopes])
    assert output.dtype == torch.float16 and grad.dtype == torch.float32


def test_a_slope_of_half_precision_reaches_far():
    """In half precision 70,000 is not a number any more, and 3,001 becomes 3,000."""
    places = Places(slice(70_000, 70_001), slice(0, 2), 0)
    assert Alibi().tile(torch.ones(1, dtype=torch.float16), places).tolist() == [[[-70_000, -69_999]]]


@WAYS
def test_the_same_bits_every_time(way, parameters):
    assert_same_bits_twice(way, leaves(70, 70, *parameters, dtype=torch.float32))


@WAYS
def test_nothing_beyond_the_ends_is_read(way, parameters):
    drawn = leaves(37, 41, *parameters)
    want = with_gradients(partial(in_a_table, causal=True), drawn)
    poisoned = [*(inside_poison(leaf) for leaf in drawn[:3]), drawn[3]]
    assert_same(with_gradients(partial(way, causal=True), poisoned), want, 1e-10)


@WAYS
def test_memory_is_linear(way, parameters):
    taken = []
    for tokens in (1024, 2048):
        drawn = leaves(tokens, tokens, *parameters, heads=2, width=32, features=32, dtype=torch.float32)
        grad = torch.ones_like(drawn[0])
        taken.append(extra_memory(forward_and_backward(partial(way, causal=True), *drawn, grad=grad)))
    assert taken[1] <= 2.2 * taken[0]
    assert taken[1] < 2 * 2 * 2048 * 2048 * 4 / 4  # the table, of which the plain form holds several


@WAYS
@pytest.mark.parametrize("causal", [False, True])
def test_what_cuda_would_be_asked_adds_the_same(way, parameters, causal):
    """FlexAttention with our scores and our blocks; also the gradient of the parameters."""
    drawn = leaves(40, 50, *parameters, dtype=torch.float32)
    bias = Relative() if parameters else Alibi()

    def flexible(query, key, value, parameters):
        score, right = bias.score(parameters, 10), 0 if causal else None
        return flex.attend(problem(query, key, value), None, right, score, function=uncompiled)

    want = with_gradients(partial(in_a_table, causal=causal), drawn)
    assert_same(with_gradients(flexible, drawn), want, 1e-4)


def test_errors_say_what_to_do():
    query, key, value, slopes = leaves(6, 6)
    with pytest.raises(ValueError, match="`slopes` of shape \\(4,\\), a row for each head, got \\(3,\\)"):
        alibi_attention(query, key, value, slopes[:3])
    with pytest.raises(ValueError, match="`table` of shape \\(4, distances\\), a row for each head, got \\(4,\\)"):
        relative_attention(query, key, value, slopes)
    with pytest.raises(ValueError, match="odd number of distances, -r to r, got 4"):
        relative_attention(query, key, value, slopes.expand(4, 4))
    with pytest.raises(TypeError, match="`slopes` as numbers with a point on cpu, got torch.int64"):
        alibi_attention(query, key, value, slopes.long())
    with pytest.raises(ValueError, match="one head or more, got 0"):
        alibi_slopes(0)
