"""New queries over a longer past, in two calls of torch's kernel: the same as the naive form, without the table."""

import pytest
import torch

from attnlab.fast import attention, cpu_flash, explain
from attnlab.fast.ladder.naive import naive


def tensors(queries, keys, heads=4, kv_heads=4, width=8, dtype=torch.float64, seed=0):
    """query, key, value, and what comes back to the output."""
    made = torch.Generator().manual_seed(seed)
    shapes = [(2, heads, queries, width), *[(2, kv_heads, keys, width)] * 2, (2, heads, queries, width)]
    query, key, value, grad = (torch.randn(shape, generator=made).to(dtype) for shape in shapes)
    return [tensor.requires_grad_() for tensor in (query, key, value)], grad


def results(function, inputs, grad):
    output = function(*inputs)
    return [output, *torch.autograd.grad(output, inputs, grad)]


@pytest.mark.parametrize("kv_heads", [4, 2])
@pytest.mark.parametrize(("queries", "keys"), [(16, 32), (17, 40), (33, 50), (70, 300)])
def test_it_is_the_naive_form_forward_and_backward(queries, keys, kv_heads):
    inputs, grad = tensors(queries, keys, kv_heads=kv_heads)
    assert explain(*inputs, causal=True).using == "sdpa" and "the past" in explain(*inputs, causal=True).why
    got = results(lambda *t: attention(*t, causal=True), inputs, grad)
    right = results(lambda *t: attention(*t, causal=True, using="naive"), inputs, grad)
    for mine, theirs in zip(got, right, strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_stays_within_twice_the_naive_error(dtype):
    inputs, grad = tensors(60, 150, dtype=dtype)
    got = results(lambda *t: attention(*t, causal=True), inputs, grad)
    low = results(lambda *t: naive(*t, causal=True)[0], inputs, grad)
    exact = [tensor.detach().double().requires_grad_() for tensor in inputs]
    right = results(lambda *t: naive(*t, causal=True)[0], exact, grad.double())
    for mine, theirs, truth in zip(got, low, right, strict=True):
        assert (mine - truth).abs().max() <= 2 * (theirs - truth).abs().max() + 1e-5


def test_any_layout_and_a_gradient_that_is_one_number_repeated():
    inputs, _ = tensors(16, 33)
    turned = [tensor.detach().mT.contiguous().mT.requires_grad_() for tensor in inputs]
    assert turned[0].stride(-1) != 1
    got, right = (attention(*those, causal=True) for those in (turned, inputs))
    torch.testing.assert_close(got, right)
    for mine, theirs in zip(
        torch.autograd.grad(got.sum(), turned), torch.autograd.grad(right.sum(), inputs), strict=True
    ):
        torch.testing.assert_close(mine, theirs)


def test_values_of_another_width_and_a_scale_of_ones_own():
    (query, key, value), _ = tensors(17, 40)
    value = value[..., :3]
    got = attention(query, key, value, causal=True, scale=-0.3)
    torch.testing.assert_close(got, naive(query, key, value, causal=True, scale=-0.3)[0])


def test_a_single_query_sees_everything_and_needs_no_mask():
    (query, key, value), _ = tensors(1, 9)
    assert explain(query, key, value, causal=True).why.startswith("torch's function expresses it")
    torch.testing.assert_close(attention(query, key, value, causal=True), attention(query, key, value))


def test_without_torchs_operator_the_tiled_form_takes_over(monkeypatch):
    monkeypatch.setattr(cpu_flash, "FORWARD", "_gone")
    (query, key, value), _ = tensors(17, 40)
    assert explain(query, key, value, causal=True).using == "tiled"
    torch.testing.assert_close(attention(query, key, value, causal=True), naive(query, key, value, causal=True)[0])


@pytest.mark.parametrize(("queries", "keys"), [(2, 17), (8, 20), (15, 30), (16, 32), (40, 60)])
def test_a_nan_in_a_query_shows(queries, keys):
    """torch's kernel makes zeros of it where a part has fewer than 16 keys: such problems go another way."""
    (query, key, value), _ = tensors(queries, keys, dtype=torch.float32)
    query = query.detach().clone()
    query[:, :, -1] = torch.nan
    output = attention(query, key, value, causal=True)
    assert output[:, :, -1].isnan().all() and output[:, :, :-1].isfinite().all()
