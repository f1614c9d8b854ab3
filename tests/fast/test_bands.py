"""Two of causal, mask and bias, band by band on a CPU: the same as the naive form, without the table."""

import pytest
import torch

from attnlab.fast import attention, bands, cpu_flash, explain
from tests.fast.gradients import assert_within_the_budget, inside_poison
from tests.fast.memory import extra_memory, forward_and_backward
from tests.fast.problems import draw, draw_mask, naive_output, outputs_and_gradients


@pytest.fixture(autouse=True)
def low_bands(request, monkeypatch):
    """So that a few dozen tokens are more than one band, in tests that do not ask about memory."""
    if "memory" not in request.node.name:
        monkeypatch.setattr(bands, "HEIGHT", 16)


def assert_right(leaves, mask=None, bias=None, causal=True, **options):
    assert "a band of queries" in explain(*leaves, mask, causal=causal, bias=bias).why
    got = outputs_and_gradients(lambda: attention(*leaves, mask, causal=causal, bias=bias, **options), *leaves)

    def right():
        own = (*leaves, bias) if bias is not None else leaves
        return naive_output(*own, mask=mask, causal=causal, bias_last=bias is not None, **options)

    for mine, theirs in zip(got, outputs_and_gradients(right, *leaves), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("kv_heads", [4, 2])
@pytest.mark.parametrize(("queries", "keys"), [(40, 40), (33, 50), (50, 33), (2, 60), (60, 2)])
def test_it_is_the_naive_form_for_any_lengths(queries, keys, kv_heads):
    mask = draw_mask(2, 1, queries, keys)
    assert_right(draw(queries, keys, kv_heads=kv_heads, width=8), mask)


@pytest.mark.parametrize("shape", [(2, 4, 40, 45), (4, 40, 45), (2, 1, 1, 45), (2, 1, 40, 1), (45,)])
def test_masks_and_biases_however_they_broadcast(shape):
    made = torch.Generator().manual_seed(0)
    mask = torch.rand(shape, generator=made) > 0.4
    bias = torch.randn(shape, generator=made, dtype=torch.float64)
    leaves = draw(40, 45, width=8)
    assert_right(leaves, mask)
    assert_right(leaves, bias=bias)
    assert_right(leaves, mask, bias)
    assert_right(leaves, mask, bias, causal=False)


def test_other_widths_scales_and_layouts():
    leaves = [tensor.detach().mT.contiguous().mT.requires_grad_() for tensor in draw(40, 45, width=8, features=5)]
    assert leaves[0].stride(-1) != 1
    assert_right(leaves, draw_mask(40, 45), scale=-0.3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_stays_within_twice_the_naive_error(dtype):
    mask = draw_mask(40, 45)
    assert_within_the_budget(
        lambda *t: attention(*t, mask, causal=True),
        lambda *t: naive_output(*t, mask=mask, causal=True),
        list(draw(40, 45, dtype=dtype)),
    )


def test_what_is_not_seen_may_be_anything():
    leaves = [inside_poison(tensor) for tensor in draw(40, 40, width=8)]
    mask = torch.arange(40) < 30
    for tensor in outputs_and_gradients(lambda: attention(*leaves, mask, causal=True), *leaves):
        assert tensor.isfinite().all()


def test_memory_is_linear_in_the_tokens():
    def peak(tokens):
        leaves = draw(tokens, tokens, batch=(2, 1), width=16, dtype=torch.float32)
        mask, grad = (torch.arange(tokens) < tokens - 5).view(1, 1, 1, -1), torch.ones(2, 1, tokens, 16)
        return extra_memory(forward_and_backward(lambda *t: attention(*t, mask, causal=True), *leaves, grad=grad))

    assert peak(4096) < 2.2 * peak(2048)


def test_without_torchs_operators_it_goes_another_way(monkeypatch):
    leaves, mask = draw(20, 20, width=8), draw_mask(20, 20)
    want = attention(*leaves, mask, causal=True)
    monkeypatch.setattr(cpu_flash, "FORWARD", "_gone")
    assert "a band" not in explain(*leaves, mask, causal=True).why
    torch.testing.assert_close(attention(*leaves, mask, causal=True), want)


@pytest.mark.parametrize("shape", [(2, 4, 40, 45), (4, 40, 45), (2, 1, 1, 45), (4, 40, 1), (4, 1, 1), (45,)])
@pytest.mark.parametrize("causal", [False, True])
def test_a_bias_that_is_learnt_however_it_broadcasts(shape, causal):
    bias = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    leaves, mask = draw(40, 45, width=8, features=5), draw_mask(40, 45)
    for seen in (None, mask):
        assert "which give the bias its gradient" in explain(*leaves, seen, bias=bias, causal=causal).why
        results = [
            outputs_and_gradients(
                lambda u=u, s=seen: attention(*leaves, s, bias=bias, causal=causal, using=u), *leaves, bias
            )
            for u in (None, "naive")
        ]
        for mine, theirs in zip(*results, strict=True):
            torch.testing.assert_close(mine, theirs)
