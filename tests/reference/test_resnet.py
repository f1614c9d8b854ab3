"""ResNets have the sizes that were published, and a gate sits on the branch, before the addition."""

import pytest
import torch
from torch import nn

from attnlab.reference.counting import multiply_accumulates, parameter_count
from attnlab.reference.resnet import ResNet

# depth -> parameters, as timm counts them
PUBLISHED = {18: 11_689_512, 50: 25_557_032, 101: 44_549_160, 152: 60_192_808}


@pytest.mark.parametrize("depth", PUBLISHED)
def test_parameters_are_the_published_number(depth):
    with torch.device("meta"):
        assert parameter_count(ResNet(depth)) == PUBLISHED[depth]


@pytest.mark.parametrize(("in_first", "giga"), [(True, 3.858), (False, 4.089)])
def test_the_cost_of_resnet_50_depends_on_which_convolution_halves_the_map(in_first, giga):
    with torch.device("meta"):
        network = ResNet(50, stride_in_first=in_first).eval()
        assert multiply_accumulates(network, torch.empty(1, 3, 224, 224)) / 1e9 == pytest.approx(giga, abs=5e-4)


class Closed(nn.Module):
    """A gate that lets nothing through."""

    def __init__(self, channels: int):
        super().__init__()

    def forward(self, features):
        return 0 * features


def test_a_closed_gate_leaves_the_shortcut():
    block = ResNet(18, classes=5, gate=Closed).eval().blocks[1]
    features = torch.randn(2, 64, 7, 6).relu()
    assert torch.equal(block(features), features)


def test_gates_stand_only_in_the_stages_that_are_asked_for():
    network = ResNet(18, classes=5, gate=Closed, stages=(1,))
    assert [isinstance(block.gate, Closed) for block in network.blocks] == [False] * 2 + [True] * 2 + [False] * 4


def test_an_unknown_depth_is_told_what_there_is():
    with pytest.raises(ValueError, match="18, 34, 50, 101, 152, got 51"):
        ResNet(51)


def test_a_count_by_hand():
    layers = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1, groups=1), nn.Flatten(), nn.Linear(3 * 4 * 5, 7))
    assert multiply_accumulates(layers, torch.zeros(1, 2, 4, 5)) == 3 * 2 * 9 * 4 * 5 + 3 * 4 * 5 * 7
    grouped = nn.Conv1d(4, 6, 5, groups=2)
    assert multiply_accumulates(grouped, torch.zeros(1, 4, 9)) == 6 * (4 // 2) * 5 * 5
