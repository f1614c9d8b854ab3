"""A skeleton's movement summed up in one vector: three LSTM layers, of which the last hands over only its final state.

    i, f, g, o = W x_t + U h_{t-1} + b,   c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g),   h_t = sigmoid(o) tanh(c_t)

Das et al. 2019 (Toyota Smarthome): 39 numbers a frame (13 joints in space), 512 units, three layers; read in a third
party's code, where it is first trained as a classifier of its own, then frozen and cut here.
One bias for each gate, as in Keras; torch.nn.LSTM adds a second one, 3 * 4 * 512 = 6,144 numbers more that do the same.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class LstmLayer(nn.Module):
    """4 * units * (features + units + 1) parameters. The gates lie in torch's order: input, forget, cell, output."""

    def __init__(self, features: int, units: int):
        super().__init__()
        reach = units**-0.5
        self.from_input = nn.Parameter(torch.empty(4 * units, features).uniform_(-reach, reach))
        self.from_state = nn.Parameter(torch.empty(4 * units, units).uniform_(-reach, reach))
        self.bias = nn.Parameter(torch.zeros(4 * units))

    def forward(self, sequence: Float[Tensor, "*batch t features"]) -> Float[Tensor, "*batch t units"]:
        """The state after each frame."""
        state = cell = sequence.new_zeros(*sequence.shape[:-2], self.from_state.shape[1])
        states = []
        for now in (sequence @ self.from_input.mT + self.bias).unbind(dim=-2):
            enter, keep, new, show = (now + state @ self.from_state.mT).chunk(4, dim=-1)
            cell = keep.sigmoid() * cell + enter.sigmoid() * new.tanh()
            state = show.sigmoid() * cell.tanh()
            states.append(state)
        return torch.stack(states, dim=-2)


class PoseNetwork(nn.Module):
    """With the published sizes 5,328,896 parameters."""

    def __init__(self, features: int = 39, units: int = 512, layers: int = 3):
        super().__init__()
        self.layers = nn.ModuleList(LstmLayer(features if i == 0 else units, units) for i in range(layers))

    def forward(self, skeletons: Float[Tensor, "*batch t features"]) -> Float[Tensor, "*batch units"]:
        """All coordinates of all joints, frame by frame, in; one vector for the clip out."""
        for layer in self.layers:
            skeletons = layer(skeletons)
        return skeletons[..., -1, :]
