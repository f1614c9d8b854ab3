"""Sliding windows see what a mask of the whole table would let them see, in linear memory: in strips, or tap by tap."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attnlab.fast import attention, flex, sliding_attention, sliding_window, window_taps
from attnlab.fast.ladder.naive import naive
from attnlab.fast.problem import problem
from tests.fast.gradients import (
    assert_same,
    assert_same_bits_twice,
    assert_within_the_budget,
    draw,
    inside_poison,
    with_gradients,
)
from tests.fast.memory import extra_memory, forward, forward_and_backward
from tests.fast.uncompiled import uncompiled


def in_a_table(query, key, value, *, left, right, dilation=1, scale=None):
    places = torch.arange(query.shape[-2])
    distance = places - places[:, None]
    seen = (distance >= -left * dilation) & (distance <= right * dilation) & (distance % dilation == 0)
    key, value = (t.repeat_interleave(query.shape[-3] // t.shape[-3], dim=-3) for t in (key, value))
    return naive(query, key, value, seen, scale=scale)[0]


def leaves(tokens, *, batch=2, heads=4, kv_heads=2, width=8, features=6, **options):
    shapes = (batch, heads, tokens, width), (batch, kv_heads, tokens, width), (batch, kv_heads, tokens, features)
    return draw(*shapes, **options)


STRIPS, TAPS = 0, 1 << 60  # for FEW: no window has so few keys, or every one


@pytest.fixture(params=[STRIPS, TAPS], ids=["strips", "taps"])
def form(request, monkeypatch):
    """Either form, whatever the window."""
    monkeypatch.setattr(sliding_window, "FEW", request.param)


WINDOWS = [
    # tokens, left, right, dilation
    (1, 0, 0, 1),
    (5, 100, 100, 1),
    (70, 3, 2, 1),
    (130, 5, 9, 3),
    (200, 40, 0, 1),
    (300, 33, 70, 2),
    (300, 0, 300, 1),
    (9, 2, 2, 1 << 40),
    (66, 2, 3, 1),  # strips of 2 + 32 + 3: the second would end one token behind the end,
    (67, 2, 3, 1),  # at the end,
    (68, 32, 3, 1),  # and before it; the first chunk's begins a whole chunk in front of the beginning
]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 2e-5)])
@pytest.mark.parametrize("window", WINDOWS)
def test_output_and_gradients_are_those_of_the_table(window, dtype, tolerance, form):
    tokens, left, right, dilation = window
    options = dict(left=left, right=right, dilation=dilation)
    drawn = leaves(tokens, dtype=dtype)
    got = with_gradients(partial(sliding_attention, **options), drawn)
    assert_same(got, with_gradients(partial(in_a_table, **options), drawn), tolerance)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 150), st.integers(0, 80), st.integers(0, 80), st.integers(1, 6), st.sampled_from([(4, 1), (3, 3)]),
    st.booleans(), st.sampled_from([None, 0.0, 0.3, -1.0]), st.sampled_from([STRIPS, sliding_window.FEW, TAPS]),
    st.sampled_from([1, 100, window_taps.PIECE]),
)  # fmt: skip
def test_any_window_of_any_layout(tokens, left, right, dilation, heads, heads_behind, scale, few, piece):
    options = dict(left=left, right=right, dilation=dilation, scale=scale)
    drawn = leaves(tokens, batch=2, heads=heads[0], kv_heads=heads[1], width=5, features=7)
    if heads_behind:  # (batch, tokens, heads, width) in memory
        drawn = [t.detach().transpose(1, 2).contiguous().transpose(1, 2).requires_grad_() for t in drawn]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sliding_window, "FEW", few)
        patch.setattr(window_taps, "PIECE", piece)
        got = with_gradients(partial(sliding_attention, **options), drawn)
    assert_same(got, with_gradients(partial(in_a_table, **options), drawn), 1e-10)


def test_without_heads_and_with_many_batch_axes():
    window = dict(left=3, right=1)
    for batch in ((), (2, 3, 2)):
        drawn = draw(*(((*batch, 50, 4),) * 3))
        got = sliding_attention(*drawn, **window)
        places = torch.arange(50)
        seen = ((places - places[:, None]) >= -3) & ((places - places[:, None]) <= 1)
        assert torch.allclose(got, naive(*drawn, seen)[0], atol=1e-12)


def test_no_token_gives_no_output():
    drawn = leaves(0)
    got = with_gradients(partial(sliding_attention, left=2, right=2), drawn)
    assert [result.shape for result in got] == [(2, 4, 0, 6), *(leaf.shape for leaf in drawn)]


def test_gradcheck(form):
    drawn = leaves(37, batch=1, heads=2, kv_heads=1, width=3, features=2)
    assert torch.autograd.gradcheck(partial(sliding_attention, left=4, right=2), drawn)
    assert torch.autograd.gradcheck(partial(sliding_attention, left=2, right=3, dilation=3), drawn)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_errs_at_most_twice_as_much_as_the_table(dtype, form):
    drawn = leaves(150, width=32, features=32, dtype=dtype)
    for options in (dict(left=20, right=10), dict(left=4, right=4, dilation=5)):
        assert_within_the_budget(partial(sliding_attention, **options), partial(in_a_table, **options), drawn)


def test_the_same_bits_every_time(form):
    assert_same_bits_twice(partial(sliding_attention, left=9, right=30, dilation=2), leaves(300, dtype=torch.float32))


def test_nothing_beyond_the_ends_is_read(form):
    drawn = leaves(75)
    options = dict(left=6, right=40, dilation=2)
    got = with_gradients(partial(sliding_attention, **options), [inside_poison(leaf) for leaf in drawn])
    assert_same(got, with_gradients(partial(sliding_attention, **options), drawn), 1e-12)


def test_a_far_key_changes_nothing(form):
    query, key, value = leaves(200, dtype=torch.float32)
    before = sliding_attention(query, key, value, left=10, right=5)
    with torch.no_grad():
        key[:, :, 100] += 100
    changed = (sliding_attention(query, key, value, left=10, right=5) != before).any(dim=-1).any(dim=(0, 1))
    assert changed.nonzero().flatten().tolist() == list(range(95, 111))


def test_as_many_keys_as_go_tap_by_tap_and_one_more_are_right_in_both_forms(monkeypatch):
    drawn = leaves(150)
    for right in (sliding_window.FEW - 4, sliding_window.FEW - 3):
        window = partial(sliding_attention, left=3, right=right, dilation=2)
        found = []
        for few in (STRIPS, TAPS):
            monkeypatch.setattr(sliding_window, "FEW", few)
            found.append(with_gradients(window, drawn))
        assert_same(*found, 1e-12)


def test_few_keys_go_tap_by_tap_and_so_do_those_that_a_short_sequence_has(monkeypatch):
    taken = []

    def recorded(*arguments):
        taken.append(arguments[3:5])
        return window_taps.few_taps(*arguments)

    monkeypatch.setattr(sliding_window, "few_taps", recorded)
    few = sliding_window.FEW
    for tokens, left, dilation in ((100, few - 1, 1), (100, few, 1), (30, 100, 15), (4, 100, 1)):
        sliding_attention(*leaves(tokens), left=left, right=0, dilation=dilation)
    assert taken == [(few - 1, 0), (1, 0), (3, 0)]


def test_no_nan_leaks_out_of_a_window_of_a_few_keys():
    query, key, value = drawn = leaves(200)
    with torch.no_grad():
        key[:, :, 100], value[:, :, 100] = torch.nan, torch.inf
    output, *gradients = with_gradients(partial(sliding_attention, left=2, right=1, dilation=5), drawn)
    hit = torch.tensor([95, 100, 105, 110])  # whoever sees the key at 100
    for result, reached in ((output, hit), (gradients[0], hit), *((g, _seen_from(hit)) for g in gradients[1:])):
        wrong = (~result.isfinite()).any(dim=-1).any(dim=(0, 1))
        assert set(wrong.nonzero().flatten().tolist()) <= set(reached.tolist())
    assert not output[:, :, hit].isfinite().any()


def _seen_from(places):
    return (places[:, None] + torch.tensor([-10, -5, 0, 5])).flatten()


def test_a_gradient_that_is_one_number_for_all_places(form):
    drawn = leaves(60)
    options = dict(left=2, right=1, dilation=3)
    got, want = (torch.autograd.grad(way(*drawn, **options).sum(), drawn) for way in (sliding_attention, in_a_table))
    assert_same(got, want, 1e-10)


def test_a_window_of_three_keys_takes_far_less_than_a_copy_of_the_keys():
    drawn = leaves(1 << 15, batch=1, heads=4, kv_heads=4, width=32, features=32, dtype=torch.float32)
    window, copy = partial(sliding_attention, left=1, right=1, dilation=16), 4 * drawn[1].numel()
    grad = torch.ones_like(drawn[0])
    assert extra_memory(forward(window, *drawn)) < copy / 2
    assert extra_memory(forward_and_backward(window, *drawn, grad=grad)) < copy


@pytest.mark.parametrize("dilation", [1, 4])
def test_memory_is_linear(dilation):
    taken = []
    for tokens in (4096, 8192):
        drawn = leaves(tokens, batch=1, width=32, features=32, dtype=torch.float32)
        window = partial(sliding_attention, left=128, right=0, dilation=dilation)
        grad = torch.ones_like(drawn[0])
        taken.append(
            (extra_memory(forward(window, *drawn)), extra_memory(forward_and_backward(window, *drawn, grad=grad)))
        )
    for short, long in zip(*taken, strict=True):
        assert long <= 2.2 * short
        assert long < 8192 * 8192 * 4 / 4  # a table of one head has four times as many bytes


@pytest.mark.parametrize("tokens", [1, 40, 300])
def test_what_cuda_would_be_asked_sees_the_same(tokens):
    """FlexAttention with our blocks and our mask."""
    drawn = leaves(tokens, dtype=torch.float32)
    got = with_gradients(lambda *qkv: flex.attend(problem(*qkv), 30, 7, function=uncompiled), drawn)
    assert_same(got, with_gradients(partial(in_a_table, left=30, right=7), drawn), 2e-5)


def test_errors_say_what_to_do():
    query, key, value = leaves(10)
    with pytest.raises(ValueError, match="as many keys as queries, got 9 keys and 10 queries.*attention\\(\\) a mask"):
        sliding_attention(query, key[:, :, 1:], value[:, :, 1:], left=1, right=1)
    with pytest.raises(ValueError, match="left and right of 0 or more, got -1 and 2"):
        sliding_attention(query, key, value, left=-1, right=2)
    with pytest.raises(ValueError, match="dilation of 1 or more, got 0"):
        sliding_attention(query, key, value, left=1, right=2, dilation=0)
    with pytest.raises(ValueError, match="query and key of one width"):
        sliding_attention(query, key[..., 1:], value, left=1, right=2)


@pytest.mark.parametrize(("left", "right"), [(90, 0), (30, 60), (200, 200)])
def test_wide_windows_go_band_by_band(left, right, monkeypatch):
    monkeypatch.setattr("attnlab.fast.sliding_window.WIDE", 20)
    monkeypatch.setattr("attnlab.fast.bands.HEIGHT", 16)
    made = torch.Generator().manual_seed(0)
    shapes = [(2, 4, 100, 8), (2, 2, 100, 8), (2, 2, 100, 5)]
    tensors = [torch.randn(s, generator=made, dtype=torch.float64).requires_grad_() for s in shapes]
    distance = torch.arange(100) - torch.arange(100)[:, None]
    seen = (distance >= -left) & (distance <= right)
    got = sliding_attention(*tensors, left=left, right=right)
    want = attention(*tensors, seen, using="naive")
    torch.testing.assert_close(got, want)
    gradients = (torch.autograd.grad(output.sin().sum(), tensors) for output in (got, want))
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_memory_of_a_wide_window_is_linear_too():
    def peak(tokens):
        tensors = [torch.randn(1, 1, tokens, 16, requires_grad=True) for _ in range(3)]

        def both():
            output = sliding_attention(*tensors, left=tokens // 2, right=0)
            return [output.detach(), *torch.autograd.grad(output.sum(), tensors)]

        return extra_memory(both)

    assert peak(8192) < 2.5 * peak(4096)


def test_a_strided_last_axis_takes_no_more_memory_than_its_copy():
    def peak(tokens):
        turned = torch.randn(1, 1, 16, tokens).mT
        return extra_memory(lambda: [sliding_attention(turned, turned, turned, left=40, right=0)])

    assert peak(4096) < 2.5 * peak(2048)


@pytest.mark.parametrize("odd", [{"left": 1.5}, {"left": None}, {"dilation": 2.0}])
def test_windows_are_whole_numbers(odd):
    with pytest.raises(TypeError, match="Expected left, right and dilation as whole numbers"):
        sliding_attention(*[torch.zeros(8, 4)] * 3, **({"left": 1, "right": 1} | odd))
