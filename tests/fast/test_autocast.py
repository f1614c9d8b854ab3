"""Under autocast every function gives what it gives for tensors that were cast before, and in that dtype."""

import pytest
import torch

from attnlab import fast


def drawn(*shapes):
    made = torch.Generator().manual_seed(0)
    return [torch.randn(s, generator=made) for s in shapes]


ROW, SLOPES = [(1, 2, 40, 8)] * 3, [(2,)]
CASES = {
    "sliding, taps": (lambda *t: fast.sliding_attention(*t, left=1, right=1), ROW),
    "sliding, strips": (lambda *t: fast.sliding_attention(*t, left=20, right=20), ROW),
    "dilated": (lambda *t: fast.dilated_attention(*t, 2), [(1, 2, 9)] * 3 + [(2, 3)]),
    "neighbourhood": (lambda *t: fast.neighbourhood_attention(*t, window=(3,)), ROW),
    "alibi": (fast.alibi_attention, ROW + SLOPES),
    "packed": (lambda *t: fast.packed_attention(*t, fast.layout([4, 5])), [(9, 2, 8)] * 3),
    "squeeze": (fast.squeeze_excitation, [(1, 4, 5, 5), (2, 4), (4, 2)]),
    "channels": (fast.channel_attention, [(1, 4, 5, 5), (2, 4), (4, 2)]),
    "places": (fast.spatial_attention, [(1, 4, 5, 5), (1, 2, 3, 3)]),
    "cbam": (fast.cbam, [(1, 4, 5, 5), (2, 4), (4, 2), (1, 2, 3, 3)]),
}


@pytest.mark.parametrize("name", CASES)
def test_tensors_are_cast_on_the_way_in(name):
    function, shapes = CASES[name]
    tensors = drawn(*shapes)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = function(*tensors)
    want = function(*(tensor.bfloat16() for tensor in tensors))
    assert got.dtype == torch.bfloat16 and torch.equal(got, want)


def test_gradients_come_back_in_the_dtype_that_was_given():
    tensors = [tensor.requires_grad_() for tensor in drawn(*ROW)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = fast.sliding_attention(*tensors, left=1, right=1)
    output.sum().backward()
    assert all(tensor.grad.dtype == torch.float32 for tensor in tensors)
