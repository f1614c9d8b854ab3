"""The plain recurrent network of Elman, and how much of its first state is left at the end.

    h_t = tanh(W_x x_t + W_h h_{t-1} + b)                          Elman 1990, "Finding structure in time"
    dh_T / dh_0 = product over t = T ... 1 of diag(1 - h_t^2) W_h  (the chain rule)

Hochreiter 1991 and Bengio et al. 1994 saw what follows: each factor shrinks or stretches, so the product dies or
explodes with the length.
Departs from Elman: tanh where he had the logistic function, as in torch.nn.RNN, and one bias where torch has two.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def rnn_step(
    token: Float[Tensor, "*batch width"],
    state: Float[Tensor, "*batch hidden"],
    from_input: Float[Tensor, "hidden width"],
    from_state: Float[Tensor, "hidden hidden"],
    bias: Float[Tensor, "hidden"],
) -> Float[Tensor, "*batch hidden"]:
    """The next state."""
    return torch.tanh(token @ from_input.mT + state @ from_state.mT + bias)


def rnn_forward(
    inputs: Float[Tensor, "*batch time width"],
    state: Float[Tensor, "*batch hidden"],
    from_input: Float[Tensor, "hidden width"],
    from_state: Float[Tensor, "hidden hidden"],
    bias: Float[Tensor, "hidden"],
) -> Float[Tensor, "*batch time hidden"]:
    """All states, one for each input, beginning from `state`."""
    states = []
    for token in inputs.unbind(dim=-2):
        state = rnn_step(token, state, from_input, from_state, bias)
        states.append(state)
    return torch.stack(states, dim=-2)


def state_jacobian(
    states: Float[Tensor, "*batch time hidden"], from_state: Float[Tensor, "hidden hidden"]
) -> Float[Tensor, "*batch hidden hidden"]:
    """The derivative of the last state by the one before the first input: rows are outputs, columns inputs."""
    product = torch.eye(from_state.shape[-1], dtype=states.dtype, device=states.device)
    for state in states.unbind(dim=-2):
        product = (1 - state.square()).unsqueeze(-1) * (from_state @ product)
    return product
