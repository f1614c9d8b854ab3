"""Gates are known by their use: a sigmoid, one along some axes, that multiplies features."""

import capture_models as own
import pytest
import torch
from torch import nn

from attnlab.capture import capture


def picture():
    return torch.randn(2, 8, 5, 6)


@pytest.mark.parametrize(
    "make",
    [own.SqueezeExcite, lambda: own.SqueezeExcite("einsum"), lambda: own.SqueezeExcite("index"), own.ConvSqueezeExcite]
    + [own.EfficientChannel],
    ids=["expanded", "einsum", "indexed", "1 x 1 convolutions and hard sigmoid", "efficient channel attention"],
)
def test_channel_gates(make):
    model, x = make(), picture()
    plain, trace = model(x), capture(model, x)
    assert torch.equal(plain, trace.output)
    [site] = trace.sites
    assert (site.kind, site.over) == ("gate", "channel")
    assert torch.equal(site.weights, model.gate.reshape(2, 8))
    record = trace.record()
    assert record.shape == (1, 1, 2, 8) and record.query_names == ("input 0", "input 1")


def test_cbam_gates_channels_and_places_each_under_the_module_that_made_it():
    model, x = own.Cbam(), picture()
    trace = capture(model, x)
    assert [(site.where, site.over) for site in trace.sites] == [("channel", "channel"), ("space", "space")]
    assert trace.unread == []  # the modules are called attention; their gates were used further out
    space = trace.record(where="space")
    assert (space.over, space.key_grid.y, space.key_grid.x) == ("space", 5, 6)
    assert torch.equal(torch.from_numpy(space.weights.copy()).view(2, 5, 6), model.space.gate[:, 0])


def test_several_blocks_become_layers():
    model = nn.Sequential(own.SqueezeExcite(), own.SqueezeExcite())
    record = capture(model, picture()).record(kind="gate", labels=list("abcdefgh"))
    assert record.shape == (2, 1, 2, 8) and record.source == ("0", "1")
    assert record.key_names == tuple("abcdefgh")


def test_signals_have_gates_over_channels_and_over_time():
    trace = capture(own.TwoOverTime(), torch.randn(2, 8, 5))
    assert [(site.over, tuple(site.weights.shape)) for site in trace.sites] == [("channel", (2, 8)), ("time", (2, 5))]


@pytest.mark.parametrize(
    "shape, over", [((2, 8, 1, 1, 1), "channel"), ((2, 1, 3, 1, 1), "time"), ((2, 1, 1, 5, 6), "space")]
)
def test_clips_have_gates_over_channels_frames_and_places(shape, over):
    clip, scores = torch.randn(2, 8, 3, 5, 6), torch.randn(shape)
    [site] = capture(lambda x, s: x * s.sigmoid(), clip, scores).sites
    assert site.over == over


def test_a_gate_in_space_time():
    clip, scores = torch.randn(2, 8, 3, 5, 6), torch.randn(2, 1, 3, 5, 6)
    trace = capture(lambda x, s: x * s.sigmoid(), clip, scores)
    assert trace.record().key_grid.t == 3


def test_where_channels_and_moments_cannot_be_told_it_says_so():
    trace = capture(_Unclear(), torch.randn(2, 8, 5))
    assert trace.sites == [] and "channels or moments?" in str(trace)


class _Unclear(nn.Module):
    def forward(self, x):
        return x * x.mean(-1, keepdim=True).sigmoid()


def test_recurrent_cells_routers_classes_and_gated_units_are_not_reported():
    trace = capture(own.Decoys(), torch.randint(0, 9, (2, 5)))
    assert trace.sites == [] and trace.unread == []
    assert "outputs of a Linear layer" in str(trace)


def test_a_probability_times_a_probability_is_no_gate():
    def detector(there, which):
        return there.sigmoid() * which.sigmoid()

    assert capture(detector, torch.randn(2, 1, 5, 6), torch.randn(2, 8, 5, 6)).sites == []
