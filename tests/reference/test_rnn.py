"""The plain RNN: loops, hand-worked numbers, torch's own, and how its memory dies."""

import math

import pytest
import rnn_loops
import torch
from rnn_checked import rnn
from torch import nn

B, T, D, H = 2, 5, 3, 4


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def agree(got, want):
    torch.testing.assert_close(got, torch.as_tensor(want, dtype=got.dtype), rtol=0, atol=1e-12)


def drawn(seed):
    return normal(seed, B, T, D), normal(seed + 1, B, H), normal(seed + 2, H, D), normal(seed + 3, H, H), normal(9, H)


@pytest.mark.parametrize("seed", [0, 10, 20])
def test_states_are_those_of_the_loops(seed):
    inputs, state, *weights = drawn(seed)
    tables = [weight.tolist() for weight in weights]
    want = [rnn_loops.rnn_forward(inputs[i].tolist(), state[i].tolist(), *tables) for i in range(B)]
    agree(rnn.rnn_forward(inputs, state, *weights), want)


def test_states_are_those_of_torch_with_the_same_weights():
    inputs, state, from_input, from_state, bias = drawn(0)
    library = nn.RNN(D, H, batch_first=True).double()
    zero = torch.zeros(H)
    library.load_state_dict(
        {"weight_ih_l0": from_input, "weight_hh_l0": from_state, "bias_ih_l0": bias, "bias_hh_l0": zero}
    )
    agree(rnn.rnn_forward(inputs, state, from_input, from_state, bias), library(inputs, state[None])[0].detach())


def test_one_unit_by_hand():
    """From 0, inputs ln 2 and 0, all weights one: tanh(ln 2) = 3/5, then tanh(3/5)."""
    one = torch.ones(1, 1, dtype=torch.float64)
    inputs = torch.tensor([[math.log(2)], [0.0]], dtype=torch.float64)
    states = rnn.rnn_forward(inputs, torch.zeros(1).double(), one, one, torch.zeros(1).double())
    agree(states[:, 0], [0.6, math.tanh(0.6)])


def test_the_jacobian_is_that_of_autograd():
    inputs, state, *weights = drawn(0)
    states = rnn.rnn_forward(inputs, state, *weights)
    for i in range(B):
        want = torch.autograd.functional.jacobian(
            lambda first, i=i: rnn.rnn_forward(inputs[i], first, *weights)[-1], state[i]
        )
        agree(rnn.state_jacobian(states, weights[1])[i], want)


# Spectral radius -> median norm of dh_T / dh_0 at T = 1, 10, 25, 50, 100; measured once with NumPy, fact sheet 1.5.
MEASURED = {0.8: (1.3, 3.1e-2, 2.5e-5, 1.7e-10, 6e-21), 1.2: (2.0, 0.98, 8.2e-2, 9.4e-4, 1.3e-7)}


@pytest.mark.parametrize("radius", MEASURED)
def test_the_gradient_to_the_start_dies_with_the_length_as_measured(radius):
    """64 units, input noise 0.5, 20 seeds. Seeds differ by orders of magnitude, so the exponent is compared."""
    norms = []
    for seed in range(20):
        from_state = normal(seed, 64, 64) / 8
        from_state = from_state * radius / torch.linalg.eigvals(from_state).abs().max()
        noise = 0.5 * normal(seed + 100, 100, 64)
        eye, zero = torch.eye(64, dtype=torch.float64), torch.zeros(64, dtype=torch.float64)
        states = rnn.rnn_forward(noise, zero, eye, from_state, zero)
        norms.append(
            [
                float(torch.linalg.matrix_norm(rnn.state_jacobian(states[:t], from_state), 2))
                for t in (1, 10, 25, 50, 100)
            ]
        )
    medians = torch.tensor(norms).median(dim=0).values
    for got, want in zip(medians.tolist(), MEASURED[radius], strict=True):
        assert math.log10(got) == pytest.approx(math.log10(want), abs=0.15 + 0.08 * abs(math.log10(want)))
