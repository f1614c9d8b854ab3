"""The Triton kernels, in the interpreter (or on a GPU, where there is one): forward, and every gradient."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("triton")

from attnlab.fast import attention, triton_attention
from tests.fast.gradients import assert_within_the_budget
from tests.fast.problems import (
    assert_like_naive,
    draw,
    draw_mask,
    naive_output,
    outputs_and_gradients,
)

SIZES = [(1, 1), (2, 40), (17, 16), (16, 17), (33, 20), (20, 33)]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("queries", "keys"), SIZES)
def test_lengths_that_fit_no_tile(queries, keys, causal):
    assert_like_naive("triton", draw(queries, keys, batch=(2, 3), width=16), 1e-10, causal=causal)


@pytest.mark.parametrize(("width", "features"), [(16, 16), (24, 40), (80, 80), (1, 2), (256, 16)])
def test_widths_that_are_no_power_of_two(width, features):
    assert_like_naive("triton", draw(18, 20, batch=(1, 2), width=width, features=features), 1e-10)


@pytest.mark.parametrize("shape", [(2, 4, 20, 22), (4, 20, 22), (2, 1, 20, 22), (1, 1, 1, 22), (2, 1, 20, 1)])
@pytest.mark.parametrize("causal", [False, True])
def test_masks_however_they_broadcast(shape, causal):
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(0)) > 0.4
    assert_like_naive("triton", draw(20, 22), 1e-10, mask=mask, causal=causal)


@pytest.mark.parametrize("shape", [(2, 4, 20, 22), (4, 20, 22), (2, 1, 20, 22), (1, 1, 1, 22), (2, 1, 20, 1)])
def test_a_bias_and_its_gradient_however_it_broadcasts(shape):
    bias = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert_like_naive("triton", draw(20, 22), 1e-10, bias=bias, mask=draw_mask(20, 22), causal=True, scale=-0.3)


@pytest.mark.parametrize("kv_heads", [1, 2])
def test_heads_that_share_keys(kv_heads):
    leaves = draw(18, 20, kv_heads=kv_heads)
    got = outputs_and_gradients(lambda: attention(*leaves, causal=True, using="triton"), *leaves)
    want = outputs_and_gradients(lambda: naive_output(*leaves, causal=True), *leaves)
    for mine, theirs in zip(got, want, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-10)


@pytest.mark.parametrize("scale", [0.0, 1.0, -2.0])
def test_any_scale(scale):
    assert_like_naive("triton", draw(18, 20, batch=(1, 1)), 1e-10, scale=scale, mask=draw_mask(18, 20))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("causal", [False, True])
def test_low_precision_stays_within_twice_the_naive_error(dtype, causal):
    leaves = draw(70, 70, batch=(1, 2), width=64, kv_heads=1, dtype=dtype)
    assert_within_the_budget(
        lambda *t: attention(*t, causal=causal, using="triton"), lambda *t: naive_output(*t, causal=causal), leaves
    )


@given(
    st.integers(1, 36), st.integers(1, 36), st.sampled_from([1, 5, 16]), st.sampled_from([1, 2, 4]),
    st.booleans(), st.booleans(), st.booleans(), st.integers(0, 10**6),
)  # fmt: skip
@settings(max_examples=15, deadline=None)
def test_any_shape_mask_and_layout(queries, keys, width, kv_heads, causal, masked, turned, seed):
    leaves = draw(queries, keys, batch=(2, 4), width=width, kv_heads=kv_heads, seed=seed)
    mask = draw_mask(4, queries, keys, seed=seed) if masked and queries > 1 else None
    given_leaves = leaves
    if turned:
        given_leaves = tuple(t.transpose(1, 2).contiguous().transpose(1, 2) for t in leaves)
    want = outputs_and_gradients(lambda: naive_output(*leaves, mask=mask, causal=causal), *leaves)
    got = outputs_and_gradients(lambda: attention(*given_leaves, mask, causal=causal, using="triton"), *leaves)
    for mine, theirs in zip(got, want, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-9)


def test_the_gradients_are_those_of_finite_differences():
    query, key, value = draw(3, 18, batch=(1, 2), width=4, kv_heads=1)
    bias = torch.randn(2, 3, 18, dtype=torch.float64).requires_grad_()

    def both(query, key, value, bias):
        return attention(query, key, value, causal=True, bias=bias, return_lse=True, using="triton")

    assert torch.autograd.gradcheck(both, (query, key, value, bias), fast_mode=True)


def test_the_last_axis_may_be_strided():
    query, key, value = (t.detach().mT.contiguous().mT.requires_grad_() for t in draw(18, 20, batch=(1, 2)))
    assert query.stride(-1) != 1
    assert_like_naive("triton", (query, key, value), 1e-10)


def test_every_run_gives_the_same_bits():
    leaves = draw(40, 40, batch=(1, 4), width=16, kv_heads=2, dtype=torch.float32)
    first, second = (
        outputs_and_gradients(lambda: attention(*leaves, causal=True, using="triton"), *leaves) for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("width", [16, 40])
def test_descriptors_and_addresses_give_the_same_bits(width, causal, monkeypatch):
    leaves = draw(37, 41, batch=(2, 4), kv_heads=2, width=width, dtype=torch.float32)
    asked = []

    def answers(can):
        def describable(tensor):
            asked.append((can, really(tensor)))
            return can

        monkeypatch.setattr(triton_attention, "_describable", describable)
        return outputs_and_gradients(lambda: attention(*leaves, causal=causal, using="triton"), *leaves)

    really = triton_attention._describable
    for mine, theirs in zip(answers(True), answers(False), strict=True):
        assert torch.equal(mine, theirs)
    assert {can for can, _ in asked} == {True, False} and all(possible for _, possible in asked)


def test_descriptors_stand_for_rows_at_multiples_of_sixteen_bytes():
    whole = torch.zeros(2, 40, 3, 24, dtype=torch.float16)
    describable = triton_attention._describable
    assert describable(whole) and describable(whole.transpose(1, 2)) and describable(whole[:, 3:30, :, 8:])
    assert not describable(whole[..., 1:17])  # begins at an odd place
    assert not describable(torch.zeros(2, 3, 40, 12, dtype=torch.float16))  # rows of 24 bytes
    assert not describable(whole[:, :, :1].expand(2, 40, 3, 24))  # all rows are one
    assert not describable(torch.zeros(1, 1, 1, 12, dtype=torch.float16))  # a descriptor names the step of a single row
    assert describable(torch.zeros(1, 3, 5, 24, dtype=torch.float16)[:, :, :1])  # rows of 48 bytes, one of five


@pytest.mark.parametrize("behind", [8, 9])  # with 8, rows begin at multiples of 16 bytes, and descriptors are used
def test_nothing_is_read_behind_the_end(behind):
    """The tensors are the front of larger ones, and what lies behind is NaN: in tokens, width, mask and bias."""

    def cut(*shape):
        whole = torch.full([size + behind for size in shape], float("nan"), dtype=torch.float32)
        part = whole[tuple(slice(size) for size in shape)]
        return part.copy_(torch.randn(shape, generator=torch.Generator().manual_seed(len(shape) + shape[-2])))

    leaves = [cut(2, 2, 19, 12).requires_grad_(), *(cut(2, 2, 21, 12).requires_grad_() for _ in range(2))]
    bias = cut(2, 19, 21)
    for tensor in outputs_and_gradients(
        lambda: attention(*leaves, causal=True, bias=bias, return_lse=True, using="triton"), *leaves
    ):
        assert tensor.isfinite().all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_what_is_no_number_shows_where_torch_shows_it(bad, which):
    leaves = [t.detach().float() for t in draw(18, 20, batch=(1, 1), width=16)]
    leaves[which][0, 0, 3, 1] = bad
    want = torch.nn.functional.scaled_dot_product_attention(*leaves)
    got = attention(*leaves, using="triton")
    assert torch.equal(got.isnan(), want.isnan())
    assert torch.allclose(got, want, atol=1e-5, equal_nan=True)


def test_large_scores_do_not_overflow():
    query, key, value = (t.detach().float() for t in draw(4, 40, batch=(1, 1)))
    key[..., 3, :] *= 1000
    assert attention(query, key, value, using="triton").isfinite().all()


def test_no_key_at_all():
    leaves = draw(5, 0, batch=(1, 2))
    output, lse = attention(*leaves, using="triton", return_lse=True)
    assert not output.any() and (lse == -torch.inf).all()
    assert not torch.autograd.grad(output.sum(), leaves[0])[0].any()


def test_rows_of_the_scores_gradient_sum_to_nothing():
    """A constant added to all keys changes no weight: the gradients of the keys sum to zero, whatever is masked."""
    query, key, value = draw(18, 20, batch=(1, 2))
    output = attention(query, key, value, draw_mask(18, 20), using="triton")
    (gradient,) = torch.autograd.grad(output.sin().sum(), key)
    assert gradient.sum(dim=-2).abs().max() < 1e-12
