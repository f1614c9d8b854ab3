"""How much more of a map lies inside a region than a control has there.

    score = mass(gate) - mass(control),   mass(m) = sum of m inside / sum of m

Without a control the map is held against a flat one, whose mass inside is the share of the area. A score of 0
says: no better than the control, whatever the picture looks like.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def above_control(
    gate: Float[Tensor, "*batch y x"],
    inside: Bool[Tensor, "*#batch y x"],
    control: Float[Tensor, "*batch y x"] | None = None,
) -> Float[Tensor, "*batch"]:
    """Between -1 and 1, for each map. Maps are not negative; their scale does not matter."""
    if control is None:
        control = torch.ones_like(gate)
    return share_inside(gate, inside) - share_inside(control, inside)


def share_inside(values: Float[Tensor, "*batch y x"], inside: Bool[Tensor, "*#batch y x"]) -> Float[Tensor, "*batch"]:
    """Which part of a map's mass lies inside."""
    return (values * inside).sum(dim=(-2, -1)) / values.sum(dim=(-2, -1))
