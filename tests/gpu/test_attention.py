"""Attention on a device: each dtype, width and mask, every choice of tiles, packed, long, and the same bits twice."""

from functools import partial

import pytest
import torch

pytest.importorskip("triton")

from triton.runtime.errors import OutOfResources

from attnlab.fast import attention, explain, layout, packed_attention, triton_attention
from attnlab.fast.ladder.naive import naive
from tests.gpu.conftest import DEVICE, ON_GPU
from tests.gpu.problems import assert_right, draw, with_gradients

pytestmark = pytest.mark.gpu
HALF = [torch.float16, torch.bfloat16] if ON_GPU else [torch.float16]  # the interpreter has no bfloat16 products


def textbook(query, key, value, bias=None, mask=None, causal=False):
    group = query.shape[-3] // key.shape[-3]
    key, value = (tensor.repeat_interleave(group, dim=-3) for tensor in (key, value))
    return naive(query, key, value, mask, causal=causal, bias=bias)[0]


@pytest.mark.parametrize("dtype", [torch.float32, *HALF])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("queries", "keys"), [(1, 33), (130, 130), (70, 300), (1025, 1100)])
@pytest.mark.parametrize("width", [16, 40, 64, 80, 128, 256])
def test_every_dtype_length_and_width(dtype, causal, queries, keys, width):
    if not ON_GPU and (queries > 130 or width > 80):
        pytest.skip("too long for the interpreter")
    leaves = draw((2, 4, queries, width), *[(2, 2, keys, width)] * 2, dtype=dtype)
    if ON_GPU:
        assert explain(*leaves, causal=causal).using == "triton"
    assert_right(partial(attention, causal=causal, using="triton"), partial(textbook, causal=causal), leaves)


@pytest.mark.parametrize("dtype", [torch.float32, *HALF])
def test_a_mask_a_bias_and_its_gradient(dtype):
    leaves = draw((2, 4, 90, 64), *[(2, 4, 110, 64)] * 2, (4, 90, 110), dtype=dtype)
    mask = (torch.rand(2, 1, 90, 110, generator=torch.Generator().manual_seed(1)) > 0.4).to(DEVICE)
    mask[:, :, 1] = False  # a query that sees nothing

    def ours(query, key, value, bias):
        return attention(query, key, value, mask, bias=bias, causal=True, using="triton")

    assert_right(ours, partial(textbook, mask=mask, causal=True), leaves)


KERNELS = [(name, choice) for name, choices in triton_attention.CHOICES.items() for choice in choices]


@pytest.mark.parametrize(("name", "choice"), KERNELS)
@pytest.mark.parametrize("width", [64, 128, 256])
@pytest.mark.parametrize("causal", [False, True])
def test_every_choice_of_tiles(name, choice, width, causal, monkeypatch):
    """The tuner takes whichever is fastest, so each of them has to be right."""
    if not ON_GPU and (width, causal) != (64, True):
        pytest.skip("the interpreter has tiles of its own")
    monkeypatch.setitem(triton_attention.CHOICES, name, [choice])
    monkeypatch.setattr(triton_attention, "_tuned", triton_attention._tuned.__wrapped__)
    leaves = draw((1, 2, 300, width), *[(1, 2, 333, width)] * 2, dtype=torch.float16)
    try:
        assert_right(partial(attention, causal=causal, using="triton"), partial(textbook, causal=causal), leaves)
    except OutOfResources:
        pytest.skip("does not fit, and the tuner leaves it out")


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dtype", HALF)
def test_packed_sequences_are_those_one_by_one(causal, dtype):
    lengths = [70, 0, 1, 257, 33] if ON_GPU else [20, 0, 1, 33]
    where = layout(lengths, max(lengths), DEVICE)
    leaves = draw(*[(sum(lengths), 4, 64)] * 3, dtype=dtype)

    def one_by_one(*tensors):
        parts = zip(*(tensor.transpose(0, 1).split(lengths, dim=1) for tensor in tensors), strict=True)
        return torch.cat([textbook(*part, causal=causal) for part in parts], dim=1).transpose(0, 1)

    assert_right(lambda *tensors: packed_attention(*tensors, where, causal=causal), one_by_one, leaves)


def test_the_same_bits_every_time():
    leaves = draw((2, 4, 500, 64), *[(2, 2, 500, 64)] * 2, dtype=torch.float16)
    call = partial(attention, causal=True, using="triton")
    for first, second in zip(with_gradients(call, leaves), with_gradients(call, leaves), strict=True):
        assert torch.equal(first, second)


def test_nothing_is_read_behind_the_end():
    """For compute-sanitizer too: tensors that end where their memory ends, or in the middle of NaN."""
    tensors = []
    for tokens in (77, 91, 91):
        whole = torch.full((1, 2, tokens + 8, 64), torch.nan, device=DEVICE, dtype=torch.float16)
        whole[:, :, :tokens] = torch.randn(tokens, 64)
        tensors.append(whole[:, :, :tokens].requires_grad_())
    for result in with_gradients(partial(attention, causal=True, using="triton"), tensors):
        assert result.isfinite().all()


@pytest.mark.skipif(not ON_GPU, reason="needs gigabytes")
def test_more_numbers_than_an_int_counts():
    """2^31 and more in each tensor: the last head has to be right too."""
    shape = (70, 16, 16384, 128)
    query, key, value = (torch.randn(shape, device=DEVICE, dtype=torch.bfloat16) for _ in range(3))
    last = [tensor[-1:, -1:, :2048] for tensor in (query, key, value)]
    whole = attention(query[..., :2048, :], key[..., :2048, :], value[..., :2048, :], using="triton")
    torch.testing.assert_close(whole[-1:, -1:].float(), naive(*(t.float() for t in last))[0], atol=2e-2, rtol=2e-2)


@pytest.mark.skipif(not ON_GPU, reason="counts the device's memory")
def test_memory_is_linear_in_the_tokens():
    def peak(tokens):
        leaves = draw(*[(1, 2, tokens, 64)] * 3, dtype=torch.float16)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        with_gradients(partial(attention, causal=True), leaves)
        return torch.cuda.max_memory_allocated() - before

    peak(4096)  # what tuning takes is not counted
    assert peak(32768) < 9 * peak(4096)
