"""Where gradients flow once, a second derivative is an error, however it is asked for."""

import pytest
import torch

from attnlab import fast


def drawn(*shapes):
    made = torch.Generator().manual_seed(0)
    return [torch.randn(s, generator=made, dtype=torch.float64).requires_grad_() for s in shapes]


ROW = [(1, 2, 9, 8)] * 3
GATE = [(1, 4, 5, 5), (2, 4), (4, 2)]
CASES = {
    "kernels": (lambda *t: fast.attention(*t, using="triton"), ROW),
    "bands": (lambda *t: fast.attention(*t, torch.arange(9) < 7, causal=True), ROW),
    "two parts": (lambda *t: fast.attention(*t, causal=True), [(1, 2, 4, 8), *ROW[1:]]),
    "taps": (lambda *t: fast.sliding_attention(*t, left=1, right=1), ROW),
    "neighbourhood": (lambda *t: fast.neighbourhood_attention(*t, window=(3,)), ROW),
    "dilated": (lambda *t: fast.dilated_attention(*t, 2), [(1, 2, 9)] * 3 + [(2, 3)]),
    "gates in tiles": (lambda *t: fast.squeeze_excitation(*t, using="tiled"), GATE),
    "gates on kernels": (lambda *t: fast.squeeze_excitation(*t, using="triton"), GATE),
}


@pytest.mark.parametrize("name", CASES)
def test_a_second_derivative_is_an_error(name):
    if "kernels" in name:
        pytest.importorskip("triton")
    function, shapes = CASES[name]
    leaves = drawn(*shapes)
    (gradient,) = torch.autograd.grad(function(*leaves).square().sum(), leaves[0], create_graph=True)
    with pytest.raises(RuntimeError, match="Expected one derivative"):
        gradient.sum().backward()
    output = function(*leaves)
    (gradient,) = torch.autograd.grad(output.square().sum(), leaves[0], create_graph=True)
    with pytest.raises(RuntimeError, match="Expected one derivative"):  # torch's own decorator lets this one pass
        torch.autograd.grad(output.sum() + gradient.square().sum(), leaves[0])


def test_the_first_derivative_is_the_same_with_a_graph_and_without():
    leaves = drawn(*ROW)

    def gradients(**how):
        return torch.autograd.grad(fast.sliding_attention(*leaves, left=1, right=1).square().sum(), leaves, **how)

    for with_graph, without in zip(gradients(create_graph=True), gradients(), strict=True):
        assert torch.equal(with_graph, without)
