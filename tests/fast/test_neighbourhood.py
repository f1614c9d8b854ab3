"""Neighbourhoods see what a mask of the whole table would show: the torch form in bands, and the Triton kernels."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attnlab.fast import neighbourhood_attention, sliding_attention
from attnlab.fast.ladder.naive import naive
from tests.fast.gradients import (
    assert_same,
    assert_same_bits_twice,
    assert_within_the_budget,
    draw,
    inside_poison,
    with_gradients,
)
from tests.fast.memory import extra_memory, forward, forward_and_backward


def in_a_table(query, key, value, *, window, dilation=None, scale=None):
    """Place by place: which others lie in the window, and what the equation says of them."""
    axes = len(window)
    sizes = query.shape[-1 - axes : -1]
    places = torch.cartesian_prod(*(torch.arange(size) for size in sizes)).view(-1, axes)
    distance = places - places[:, None]
    step = torch.tensor(dilation or (1,) * axes)
    seen = ((distance.abs() <= torch.tensor(window) // 2 * step) & (distance % step == 0)).all(dim=-1)
    flat = (t.flatten(-1 - axes, -2) for t in (query, key, value))
    return naive(*flat, seen, scale=scale)[0].view(*query.shape[:-1], value.shape[-1])


def on_kernels(query, key, value, *, window, dilation=None):
    """As on CUDA."""
    kernels = pytest.importorskip("attnlab.fast.neighbourhood_kernels", reason="needs triton")
    axes = len(window)
    folded = (t.reshape(-1, *t.shape[-1 - axes :]) for t in (query, key, value))
    output = kernels.neighbourhood(*folded, window, dilation or (1,) * axes, query.shape[-1] ** -0.5)
    return output.view(*query.shape[:-1], value.shape[-1])


def leaves(*places, batch=(2, 3), width=4, features=5, **options):
    return draw(*((*batch, *places, n) for n in (width, width, features)), **options)


MAPS = [
    # map, window, dilation
    ((150,), (7,), (1,)),
    ((150,), (7,), (3,)),
    ((9, 13), (3, 5), (1, 1)),
    ((20, 17), (5, 3), (2, 3)),
    ((3, 9, 6), (3, 3, 5), (1, 1, 1)),
    ((3, 9, 6), (3, 3, 5), (1, 2, 1)),
    ((2, 3), (9, 9), (1, 1)),
    ((1, 1), (3, 3), (2, 2)),
    ((40, 1), (3, 3), (1, 1)),
    ((5, 4), (3, 3), (1 << 40, 1)),
]
SMALL_MAPS = [
    ((21,), (5,), (2,)),
    ((7, 5), (3, 5), (1, 1)),
    ((5, 8), (3, 1), (2, 3)),
    ((2, 4, 3), (3, 1, 3), (1, 2, 1)),
]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 2e-5)])
@pytest.mark.parametrize("case", MAPS)
def test_output_and_gradients_are_those_of_the_table(case, dtype, tolerance):
    places, window, dilation = case
    drawn = leaves(*places, dtype=dtype)
    want = with_gradients(partial(in_a_table, window=window, dilation=dilation), drawn)
    assert_same(
        with_gradients(partial(neighbourhood_attention, window=window, dilation=dilation), drawn), want, tolerance
    )


@pytest.mark.parametrize("case", SMALL_MAPS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_kernels_do_what_the_torch_form_does(case, dtype, tolerance):
    places, window, dilation = case
    drawn = leaves(*places, batch=(2,) if dtype == torch.float64 else (), dtype=dtype)
    want = with_gradients(partial(neighbourhood_attention, window=window, dilation=dilation), drawn)
    assert_same(with_gradients(partial(on_kernels, window=window, dilation=dilation), drawn), want, tolerance)


@st.composite
def cases(draws):
    axes = draws(st.integers(1, 3))
    longest = {1: 150, 2: 20, 3: 9}[axes]
    numbers = [
        tuple(draws(st.integers(1, high)) for _ in range(axes)) for high in (longest, 4, 3)
    ]  # map, reach, dilation
    return numbers[0], tuple(2 * reach - 1 for reach in numbers[1]), numbers[2]


@settings(deadline=None, max_examples=40)
@given(cases(), st.booleans(), st.sampled_from([1, 70, 1 << 11]), st.sampled_from([None, 0.0, 0.3, -1.0]))
def test_any_map_window_layout_and_band(case, width_first, band, scale):
    places, window, dilation = case
    drawn = leaves(*places, batch=(3,))
    if width_first:  # (batch, width, *map) in memory, as a convolution has it
        drawn = [t.detach().movedim(-1, 1).contiguous().movedim(1, -1).requires_grad_() for t in drawn]
    want = with_gradients(partial(in_a_table, window=window, dilation=dilation, scale=scale), drawn)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("attnlab.fast.neighbourhood.BAND", band)
        options = dict(window=window, dilation=dilation, scale=scale)
        assert_same(with_gradients(partial(neighbourhood_attention, **options), drawn), want, 1e-10)


def test_a_row_is_a_sliding_window():
    drawn = leaves(80, features=4)
    want = with_gradients(partial(sliding_attention, left=3, right=3, dilation=2), drawn)
    assert_same(with_gradients(partial(neighbourhood_attention, window=(7,), dilation=2), drawn), want, 1e-10)


def test_a_window_of_one_gives_the_value():
    query, key, value = leaves(5, 6)
    assert torch.allclose(neighbourhood_attention(query, key, value, window=(1, 1)), value)


def test_at_an_edge_fewer_share_the_weight():
    """NATTEN would move the window inwards: there the corner of a map would see nine places, here it sees four."""
    ones = torch.ones(1, 6, 6, 2)
    places = torch.zeros(1, 6, 6, 36)
    places.view(1, 36, 36).copy_(torch.eye(36))
    weights = neighbourhood_attention(ones, ones, places, window=(3, 3))
    assert weights[0, 0, 0].count_nonzero() == 4 and torch.allclose(weights[0, 0, 0].max(), torch.tensor(1 / 4))
    assert weights[0, 0, 3].count_nonzero() == 6
    assert weights[0, 3, 3].count_nonzero() == 9


def test_no_place_gives_no_output():
    drawn = leaves(0, 4)
    got = with_gradients(partial(neighbourhood_attention, window=(3, 3)), drawn)
    assert [result.shape for result in got] == [(2, 3, 0, 4, 5), *(leaf.shape for leaf in drawn)]


def test_gradcheck():
    drawn = leaves(4, 5, batch=(1, 1), width=2, features=3)
    for dilation in ((1, 1), (2, 1)):
        call = partial(neighbourhood_attention, window=(3, 3), dilation=dilation)
        assert torch.autograd.gradcheck(call, drawn, fast_mode=True)  # in full it is most of this file's time


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_errs_at_most_twice_as_much_as_the_table(dtype):
    drawn = leaves(20, 15, width=32, features=32, dtype=dtype)
    assert_within_the_budget(partial(neighbourhood_attention, window=(5, 7)), partial(in_a_table, window=(5, 7)), drawn)


def test_kernels_in_half_precision_err_at_most_twice_as_much_as_the_table():
    drawn = leaves(6, 5, batch=(2, 1), width=20, features=24, dtype=torch.float16)
    assert_within_the_budget(partial(on_kernels, window=(3, 3)), partial(in_a_table, window=(3, 3)), drawn)


def test_the_same_bits_every_time():
    drawn = leaves(30, 20, dtype=torch.float32)
    assert_same_bits_twice(partial(neighbourhood_attention, window=(5, 3), dilation=2), drawn)
    drawn = leaves(6, 5, batch=(1, 1), dtype=torch.float32)
    assert_same_bits_twice(partial(on_kernels, window=(3, 3)), drawn)


@pytest.mark.parametrize("way", [neighbourhood_attention, on_kernels])
def test_nothing_outside_of_the_map_is_read(way):
    drawn = leaves(5, 7, batch=(2,))
    want = with_gradients(partial(in_a_table, window=(3, 3)), drawn)
    poisoned = [inside_poison(leaf) for leaf in drawn]
    assert_same(with_gradients(partial(way, window=(3, 3)), poisoned), want, 1e-10)


def test_memory_is_linear_and_far_from_the_unfolded_form():
    taken = []
    for rows in (64, 128):
        drawn = leaves(rows, 64, batch=(1, 4), width=32, features=32, dtype=torch.float32)
        way, grad = partial(neighbourhood_attention, window=(7, 7)), torch.ones_like(drawn[0])
        taken.append((extra_memory(forward(way, *drawn)), extra_memory(forward_and_backward(way, *drawn, grad=grad))))
    for short, long in zip(*taken, strict=True):
        assert long <= 2.2 * short
        assert long < 49 * drawn[0].numel() * 4 / 10  # keys unfolded would be 49 times the keys, and values again


def test_errors_say_what_to_do():
    query, key, value = leaves(6, 5)
    with pytest.raises(ValueError, match="one to three odd sizes, such as \\(7, 7\\), got \\(4, 3\\)"):
        neighbourhood_attention(query, key, value, window=(4, 3))
    with pytest.raises(ValueError, match="dilation of 1 or more for each of 2 axes, got \\(1, 0\\)"):
        neighbourhood_attention(query, key, value, window=(3, 3), dilation=(1, 0))
    with pytest.raises(ValueError, match="key and a value at each place of one map.*got query \\(2, 3, 6, 5, 4\\)"):
        neighbourhood_attention(query, key[:, :, 1:], value, window=(3, 3))
    with pytest.raises(ValueError, match="an axis for each of the window's 3 sizes and a width"):
        neighbourhood_attention(*(t[0, 0] for t in (query, key, value)), window=(3, 3, 3))
    with pytest.raises(TypeError, match="one floating dtype.*got torch.float32 on cpu, torch.float64 on cpu"):
        neighbourhood_attention(query, key, value.float(), window=(3, 3))


@pytest.mark.parametrize("odd", [{"window": 3}, {"window": (3.0,)}, {"window": (3,), "dilation": 2.0}])
def test_windows_are_tuples_of_whole_numbers(odd):
    with pytest.raises(TypeError, match="Expected"):
        neighbourhood_attention(*[torch.zeros(8, 4)] * 3, **odd)
