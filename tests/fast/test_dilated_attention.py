"""PDAN's dilated attention without the unfold is PDAN's with it: the torch form in pieces, and the Triton kernels."""

from functools import partial
from importlib import import_module

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from attnlab.fast import dilated_attention
from attnlab.fast.dilated_attention import taps_of
from tests.fast.gradients import (
    assert_same,
    assert_same_bits_twice,
    assert_within_the_budget,
    draw,
    inside_poison,
    with_gradients,
)
from tests.fast.memory import extra_memory, forward, forward_and_backward


def unfolded(query, key, value, relative, dilation):
    """As published: pad with zeros, unfold, add the relative term to the values, softmax over the taps."""
    reach = dilation * (relative.shape[1] // 2)
    key, value = (F.pad(t, (reach, reach)).unfold(2, 2 * reach + 1, 1)[..., ::dilation] for t in (key, value))
    weights = (query[..., None] * key).softmax(dim=-1)
    return (weights * (value + relative[:, None])).sum(dim=-1)


def leaves(tokens, *, batch=2, channels=3, taps=3, **options):
    return draw(*((batch, channels, tokens),) * 3, (channels, taps), **options)


def on_kernels(query, key, value, relative, dilation):
    """The kernels as one differentiable function, as on CUDA."""
    kernels = pytest.importorskip("attnlab.fast.dilated_kernels", reason="needs triton")

    class Kernels(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *tensors):
            output, lse = kernels.forward(*tensors, dilation, True)
            ctx.save_for_backward(*tensors, lse)
            return output

        @staticmethod
        def backward(ctx, grad):
            return kernels.backward(*ctx.saved_tensors, grad, dilation)

    return Kernels.apply(query, key, value, relative)


SIZES = [
    # tokens, taps, dilation
    (1, 3, 2),
    (5, 3, 9),
    (33, 1, 1),
    (50, 3, 4),
    (17, 5, 3),
    (40, 3, 16),
]
BOTH = pytest.mark.parametrize("way", [dilated_attention, on_kernels])


@BOTH
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("size", SIZES)
def test_output_and_gradients_are_those_of_the_unfolded_form(size, dtype, tolerance, way):
    tokens, taps, dilation = size
    drawn = leaves(tokens, taps=taps, dtype=dtype)
    want = with_gradients(partial(unfolded, dilation=dilation), drawn)
    assert_same(with_gradients(partial(way, dilation=dilation), drawn), want, tolerance)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 80), st.integers(0, 3), st.integers(1, 40), st.integers(1, 3), st.integers(1, 4), st.booleans())
def test_any_size_and_layout(tokens, reach, dilation, batch, channels, channels_last):
    drawn = leaves(tokens, batch=batch, channels=channels, taps=2 * reach + 1)
    if channels_last:  # (batch, tokens, channels) in memory
        first = [t.detach().mT.contiguous().mT.requires_grad_() for t in drawn[:3]]
        drawn = [*first, drawn[3]]
    want = with_gradients(partial(unfolded, dilation=dilation), drawn)
    assert_same(with_gradients(partial(dilated_attention, dilation=dilation), drawn), want, 1e-10)


def test_many_pieces_are_one_whole(monkeypatch):
    drawn = leaves(50, batch=3, channels=7)
    want = with_gradients(partial(dilated_attention, dilation=2), drawn)
    # import_module: in the package this name is the function
    monkeypatch.setattr(import_module("attnlab.fast.dilated_attention"), "PIECE", 110)  # two channels
    assert_same(with_gradients(partial(dilated_attention, dilation=2), drawn), want, 1e-12)


def test_each_tap_stands_where_it_should():
    """A key that stands out at place 10 is found from the places that have it as a tap, and from no other."""
    tokens, dilation = 24, 4
    query, value = torch.ones(1, 1, tokens), torch.zeros(1, 1, tokens)
    key, relative = torch.zeros(1, 1, tokens), torch.tensor([[1.0, 10.0, 100.0]])
    key[..., 10] = 50
    output = dilated_attention(query, key, value, relative, dilation)[0, 0]
    assert output[[14, 10, 6]].tolist() == [1, 10, 100]
    assert torch.allclose(output[[5, 7, 9, 11, 18]], torch.tensor(37.0))


def test_beyond_the_ends_stands_a_key_of_zero_with_the_relative_term_as_its_value():
    query, key, value = (torch.full((1, 1, 1), number) for number in (1.0, 2.0, 5.0))
    relative = torch.tensor([[1.0, 10.0, 100.0]])
    own = torch.tensor(2.0).exp()
    want = (1 + own * 15 + 100) / (2 + own)
    assert torch.allclose(dilated_attention(query, key, value, relative, 1), want)


def test_no_place_no_item_and_no_channel():
    for shape in ((2, 3, 0), (0, 3, 5), (2, 0, 5)):
        drawn = draw(shape, shape, shape, (shape[1], 3))
        got = with_gradients(partial(dilated_attention, dilation=2), drawn)
        assert got[0].shape == shape and not got[4].any()


def test_taps_of_lists_places_and_their_keys():
    assert taps_of(3, 2, 5) == [
        (slice(2, 5), slice(0, 3)),
        (slice(0, 5), slice(0, 5)),
        (slice(0, 3), slice(2, 5)),
    ]


def test_gradcheck():
    assert torch.autograd.gradcheck(partial(dilated_attention, dilation=2), leaves(7, channels=2))


def test_gradcheck_of_the_kernels():
    pytest.importorskip("triton", reason="needs triton")
    assert torch.autograd.gradcheck(partial(on_kernels, dilation=2), leaves(7, channels=2), fast_mode=True)


@BOTH
def test_half_precision_errs_at_most_twice_as_much_as_the_unfolded_form(way):
    drawn = leaves(40, dtype=torch.float16)
    assert_within_the_budget(partial(way, dilation=3), partial(unfolded, dilation=3), drawn)


def test_bfloat16_errs_at_most_twice_as_much_as_the_unfolded_form():
    drawn = leaves(60, dtype=torch.bfloat16)
    assert_within_the_budget(partial(dilated_attention, dilation=3), partial(unfolded, dilation=3), drawn)


@BOTH
def test_the_same_bits_every_time(way):
    assert_same_bits_twice(partial(way, dilation=5), leaves(60, dtype=torch.float32))


@BOTH
def test_nothing_beyond_the_ends_is_read(way):
    drawn = leaves(37)
    want = with_gradients(partial(unfolded, dilation=4), drawn)
    poisoned = [*(inside_poison(leaf) for leaf in drawn[:3]), drawn[3]]
    assert_same(with_gradients(partial(way, dilation=4), poisoned), want, 1e-10)


def test_large_scores_do_not_overflow():
    drawn = leaves(20, dtype=torch.float32)
    output = dilated_attention(drawn[0] * 100, drawn[1] * 100, drawn[2], drawn[3], 2)
    assert output.isfinite().all()


def test_ten_times_less_memory_than_the_unfolded_form():
    """8,192 places and PDAN's three taps, beyond inputs and outputs."""
    drawn = leaves(8192, batch=1, channels=128, dtype=torch.float32)
    grad = torch.ones_like(drawn[0])
    ours, theirs = (
        (extra_memory(forward(way, *drawn)), extra_memory(forward_and_backward(way, *drawn, grad=grad)))
        for way in (partial(dilated_attention, dilation=16), partial(unfolded, dilation=16))
    )
    assert 10 * ours[0] <= theirs[0]
    assert 10 * ours[1] <= theirs[1]


def test_nothing_but_the_inputs_is_kept_for_the_backward():
    drawn = leaves(8192, batch=1, channels=512, dtype=torch.float32)
    grad = torch.ones_like(drawn[0])
    extra = extra_memory(forward_and_backward(partial(dilated_attention, dilation=1), *drawn, grad=grad))
    assert extra < 4 * drawn[0].numel()  # a number for each channel and place would be as much already


def test_a_nan_reaches_only_the_places_that_have_it_as_a_tap():
    drawn = leaves(24, batch=1)
    with torch.no_grad():
        drawn[1][..., 10] = torch.nan
    output, d_query, d_key, d_value, _ = with_gradients(partial(dilated_attention, dilation=4), drawn)
    wrong = [(~result.isfinite()).any(dim=1)[0].nonzero().flatten().tolist() for result in (output, d_query)]
    assert wrong == [[6, 10, 14]] * 2
    for result in (d_key, d_value):
        assert result[..., [*range(2), *range(3, 6), 7, 9, 11, 13, 15, *range(19, 24)]].isfinite().all()


def test_memory_is_linear():
    taken = []
    for tokens in (1 << 15, 1 << 16):
        drawn = leaves(tokens, batch=1, channels=32, dtype=torch.float32)
        way, grad = partial(dilated_attention, dilation=16), torch.ones_like(drawn[0])
        taken.append(extra_memory(forward_and_backward(way, *drawn, grad=grad)))
    assert taken[1] <= 2.2 * taken[0]


def test_errors_say_what_to_do():
    query, key, value, relative = leaves(10)
    with pytest.raises(ValueError, match="all of one shape \\(batch, channels, tokens\\), got query \\(2, 3, 10\\)"):
        dilated_attention(query, key[..., 1:], value, relative, 1)
    with pytest.raises(ValueError, match="shape \\(3, taps\\).*odd number of taps, got \\(3, 2\\)"):
        dilated_attention(query, key, value, relative[:, :2], 1)
    with pytest.raises(ValueError, match="dilation of 1 or more, got 0"):
        dilated_attention(query, key, value, relative, 0)
    with pytest.raises(TypeError, match="one floating dtype.*got torch.float32 on cpu, torch.float64 on cpu"):
        dilated_attention(query, key, value.float(), relative, 1)
