"""Windows, distances and gates on a device: what they are on a CPU in float64, they are there."""

from functools import partial

import pytest
import torch

pytest.importorskip("triton")

from attnlab import fast
from tests.gpu.conftest import ON_GPU
from tests.gpu.problems import assert_right, draw

pytestmark = pytest.mark.gpu
DTYPES = [torch.float32, torch.float16]


def on_a_cpu(function):
    """The same function where it goes another way, which the other tests have shown to be right."""

    def call(*tensors):
        return function(*(tensor.cpu() for tensor in tensors)).to(tensors[0].device)

    return call


def assert_like_a_cpu(function, shapes, dtype) -> None:
    assert_right(function, on_a_cpu(function), draw(*shapes, dtype=dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dilation", [1, 16])
def test_dilated_by_channel(dtype, dilation):
    shapes = [(2, 32, 700)] * 3 + [(32, 3)]
    assert_like_a_cpu(lambda *tensors: fast.dilated_attention(*tensors, dilation), shapes, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("places", "window"), [((200,), (9,)), ((20, 17), (7, 7)), ((4, 9, 10), (3, 5, 5))])
def test_neighbourhoods(dtype, places, window):
    shapes = [(2, *places, 48), (2, *places, 48), (2, *places, 40)]
    assert_like_a_cpu(partial(fast.neighbourhood_attention, window=window), shapes, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("left", "right", "dilation"), [(64, 0, 1), (1, 1, 16), (30, 40, 3)])
def test_sliding_windows(dtype, left, right, dilation):
    if not ON_GPU and dtype != torch.float32:
        pytest.skip("there it is the same function")
    shapes = [(2, 4, 600, 64)] + [(2, 2, 600, 64)] * 2
    assert_like_a_cpu(partial(fast.sliding_attention, left=left, right=right, dilation=dilation), shapes, dtype)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("function", "parameters"), [(fast.alibi_attention, ()), (fast.relative_attention, (33,))])
def test_biases_by_distance(function, parameters, causal):
    shapes = [(2, 4, 300, 64)] * 3 + [(4, *parameters)]
    assert_like_a_cpu(partial(function, causal=causal), shapes, torch.float32)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("channels", "side"), [(64, 56), (512, 7), (100, 13)])
def test_gates(dtype, channels, side):
    features, hidden = (3, channels, side, side), max(channels // 16, 1)
    shapes = [features, (hidden, channels), (channels, hidden)]
    assert_like_a_cpu(fast.squeeze_excitation, shapes, dtype)
    assert_like_a_cpu(fast.channel_attention, shapes, dtype)
    assert_like_a_cpu(fast.spatial_attention, [features, (1, 2, 7, 7)], dtype)
    assert_like_a_cpu(fast.cbam, [*shapes, (1, 2, 7, 7)], dtype)
