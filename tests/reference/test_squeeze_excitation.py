"""Squeeze-and-excitation and its relatives against loops, numbers by hand, published counts and libraries."""

import importlib
import math
import sys

import pytest
import torch
from jaxtyping import install_import_hook
from torch import nn

from attnlab.reference.counting import multiply_accumulates, parameter_count
from attnlab.reference.gate_cost import se_overhead, se_parameters
from attnlab.reference.resnet import ResNet
from attnlab.reference.squeeze_excitation import SqueezeExcitation

B, C, Y, X, HIDDEN = 2, 6, 5, 4, 3


def _with_checked_shapes(*names):
    names = [f"attnlab.reference.{name}" for name in names]
    before = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    with install_import_hook("attnlab.reference", "beartype.beartype"):
        fresh = [importlib.import_module(name) for name in names]
    for name in names:
        sys.modules.pop(name, None)
    sys.modules.update(before)
    return fresh


channel_, spatial_, concurrent_, efficient_, cost_ = _with_checked_shapes(
    "squeeze_excitation",
    "spatial_squeeze_excitation",
    "concurrent_squeeze_excitation",
    "efficient_channel_attention",
    "gate_cost",
)


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def agree(got, want):
    torch.testing.assert_close(got, torch.as_tensor(want, dtype=torch.float64), rtol=0, atol=1e-12)


# ---------------------------------------------------------------------- twins in plain Python


def sigmoid(score):
    return 1 / (1 + math.exp(-score))


def looped_squeeze(maps):
    return [sum(sum(row) for row in plane) / (len(plane) * len(plane[0])) for plane in maps]


def looped_layer(weights, biases, numbers):
    return [sum(w * n for w, n in zip(row, numbers, strict=True)) + b for row, b in zip(weights, biases, strict=True)]


def looped_excite(summary, down, up, down_bias, up_bias):
    hidden = [max(0.0, h) for h in looped_layer(down, down_bias, summary)]
    return [sigmoid(score) for score in looped_layer(up, up_bias, hidden)]


def looped_scale(maps, gates):
    return [[[gate * n for n in row] for row in plane] for plane, gate in zip(maps, gates, strict=True)]


def looped_spatial(maps, weight):
    gates = [
        [sigmoid(sum(w * plane[y][x] for w, plane in zip(weight, maps, strict=True))) for x in range(len(maps[0][0]))]
        for y in range(len(maps[0]))
    ]
    return [
        [[n * g for n, g in zip(*rows, strict=True)] for rows in zip(plane, gates, strict=True)] for plane in maps
    ], gates


@pytest.mark.parametrize("seed", range(5))
def test_squeeze_and_excite_are_their_loops(seed):
    features, down, up = normal(seed, B, C, Y, X), normal(10 + seed, HIDDEN, C), normal(20 + seed, C, HIDDEN)
    summary = channel_.squeeze(features)
    agree(summary, [looped_squeeze(maps) for maps in features.tolist()])
    none = [0.0] * HIDDEN, [0.0] * C
    want = [looped_excite(one, down.tolist(), up.tolist(), *none) for one in summary.tolist()]
    agree(channel_.excite(summary, down, up), want)


@pytest.mark.parametrize("bias", [True, False])
def test_the_layer_is_its_loop(bias):
    layer = channel_.SqueezeExcitation(C, 2, bias).double()
    features = normal(0, B, C, Y, X)
    down_bias, up_bias = [
        getattr(layer, name).bias.tolist() if bias else [0.0] * n for name, n in (("down", HIDDEN), ("up", C))
    ]
    want = []
    for maps in features.tolist():
        gates = looped_excite(
            looped_squeeze(maps), layer.down.weight.tolist(), layer.up.weight.tolist(), down_bias, up_bias
        )
        want.append(looped_scale(maps, gates))
    agree(layer(features).detach(), want)


def test_the_spatial_gate_is_its_loop():
    features, weight = normal(0, B, C, Y, X), normal(1, C)
    output, gates = spatial_.spatial_squeeze_excite(features, weight)
    for i, maps in enumerate(features.tolist()):
        want_output, want_gates = looped_spatial(maps, weight.tolist())
        agree(output[i], want_output)
        agree(gates[i], want_gates)


def test_the_concurrent_gate_adds_the_two():
    layer = concurrent_.ConcurrentSqueezeExcitation(C, 2).double()
    features = normal(0, B, C, Y, X)
    gates = layer.channel.gates(features)[..., None, None] + spatial_.spatial_squeeze_excite(
        features, layer.spatial.weight
    )[1].unsqueeze(1)
    agree(layer(features).detach(), (features * gates).detach())


def test_efficient_channel_attention_is_its_loop():
    layer = efficient_.EfficientChannelAttention(C).double()
    features = normal(0, B, C, Y, X)
    taps = layer.mix.weight.flatten().tolist()
    half = len(taps) // 2
    for maps, got in zip(features.tolist(), layer(features).detach(), strict=True):
        padded = [0.0] * half + looped_squeeze(maps) + [0.0] * half
        gates = [sigmoid(sum(t * padded[c + i] for i, t in enumerate(taps))) for c in range(C)]
        agree(got, looped_scale(maps, gates))


# ---------------------------------------------------------------------- by hand


def test_two_channels_of_four_places_by_hand():
    features = torch.tensor([[[1.0, 3.0], [2.0, 2.0]], [[4.0, 0.0], [0.0, 0.0]]], dtype=torch.float64)
    summary = channel_.squeeze(features)
    agree(summary, [2.0, 1.0])
    down, up = torch.tensor([[1.0, -1.0]]).double(), torch.tensor([[1.0], [-1.0]]).double() * math.log(3)
    agree(channel_.excite(summary, down, up), [0.75, 0.25])  # hidden 1; sigmoid(ln 3) = 3/4


@pytest.mark.parametrize(("channels", "kernel"), [(48, 3), (96, 3), (192, 5), (384, 5)])
def test_the_kernel_of_efficient_channel_attention(channels, kernel):
    assert efficient_.kernel_for(channels) == kernel
    assert parameter_count(efficient_.EfficientChannelAttention(channels)) == kernel


# ---------------------------------------------------------------------- exact integers

RESNET_50 = torch.tensor([256, 512, 1024, 2048]), torch.tensor([3, 4, 6, 3])


def test_parameters_of_single_blocks_are_the_published_integers():
    assert cost_.se_parameters(RESNET_50[0], 16).tolist() == [8_464, 33_312, 132_160, 526_464]
    for channels, count in zip(RESNET_50[0].tolist(), se_parameters(RESNET_50[0], 16).tolist(), strict=True):
        assert parameter_count(SqueezeExcitation(channels)) == count


def test_a_narrow_layer_keeps_one_hidden_unit():
    assert parameter_count(SqueezeExcitation(8, 16)) == int(se_parameters(torch.tensor([8]), 16)) == 8 + 1 + 8 + 8


def test_what_each_stage_of_resnet_50_pays():
    parameters, products = cost_.se_overhead(*RESNET_50, 16)
    assert parameters.tolist() == [25_392, 133_248, 792_960, 1_579_392]
    assert int(products.sum()) == 2_514_944


@pytest.mark.parametrize(
    ("depth", "options", "count"),
    [
        (50, {}, 28_088_024),
        (50, {"bias": False}, 28_071_976),
        (101, {}, 49_326_872),
        (152, {}, 66_821_848),
    ],
)
def test_se_resnets_have_the_published_sizes(depth, options, count):
    with torch.device("meta"):
        assert parameter_count(ResNet(depth, gate=lambda channels: SqueezeExcitation(channels, **options))) == count


def test_leaving_the_last_stage_out_saves_most():
    with torch.device("meta"):
        plain, gated = ResNet(50), ResNet(50, gate=SqueezeExcitation, stages=(0, 1, 2))
        assert parameter_count(gated) - parameter_count(plain) == 951_600


@pytest.mark.parametrize("reduction_and_millions", [(2, 45.68), (4, 35.62), (8, 30.59), (16, 28.07), (32, 26.81)])
def test_sizes_without_biases_for_each_reduction(reduction_and_millions):
    reduction, millions = reduction_and_millions
    with torch.device("meta"):
        network = ResNet(50, gate=lambda channels: SqueezeExcitation(channels, reduction, bias=False))
    assert parameter_count(network) / 1e6 == pytest.approx(millions, abs=0.006)


@pytest.mark.parametrize(("in_first", "giga"), [(True, 3.858), (False, 4.089)])
def test_the_gates_cost_nearly_no_multiplications(in_first, giga):
    with torch.device("meta"):
        image = torch.empty(1, 3, 224, 224)
        plain, gated = (ResNet(50, gate=g, stride_in_first=in_first).eval() for g in (None, SqueezeExcitation))
        costs = multiply_accumulates(plain, image), multiply_accumulates(gated, image)
    assert costs[0] / 1e9 == pytest.approx(giga, abs=5e-4)
    assert costs[1] - costs[0] == int(se_overhead(*RESNET_50, 16)[1].sum())


# ---------------------------------------------------------------------- properties


def test_gates_are_near_a_half_before_training_and_differ_a_little_between_inputs():
    torch.manual_seed(0)
    gates = SqueezeExcitation(64).gates(torch.randn(32, 64, 8, 9).relu())
    assert gates.mean().item() == pytest.approx(0.5, abs=0.05)
    assert 0 < gates.std(dim=0).mean() < 0.02


def test_gates_do_not_ask_where():
    layer, features = channel_.SqueezeExcitation(C, 2).double(), normal(0, B, C, Y, X)
    order = torch.randperm(Y * X, generator=torch.Generator().manual_seed(0))
    shuffled = features.flatten(-2)[..., order].reshape(features.shape)
    agree(layer.gates(shuffled).detach(), layer.gates(features).detach())


def test_gradients_are_right():
    layer = SqueezeExcitation(4, 2).double()
    assert torch.autograd.gradcheck(layer, normal(0, 2, 4, 3, 2).requires_grad_())
    assert torch.autograd.gradcheck(
        spatial_.spatial_squeeze_excite, (normal(0, 2, 4, 3, 2).requires_grad_(), normal(1, 4).requires_grad_())
    )


def test_a_spatial_gate_has_a_number_for_each_channel():
    assert parameter_count(spatial_.SpatialSqueezeExcitation(C)) == C
    layer = spatial_.SpatialSqueezeExcitation(C).double()
    features = normal(0, B, C, Y, X)
    agree(layer(features).detach(), spatial_.spatial_squeeze_excite(features, layer.weight)[0].detach())


# ---------------------------------------------------------------------- libraries


def load(target, layer):
    """The layer's numbers into a library's two 1x1 convolutions."""
    first, second = (module for module in target.modules() if isinstance(module, nn.Conv2d))
    for convolution, linear in ((first, layer.down), (second, layer.up)):
        convolution.weight.data = linear.weight.detach()[..., None, None]
        convolution.bias.data = linear.bias.detach()


def test_regnet_of_transformers_has_the_same_layer():
    regnet = pytest.importorskip("transformers.models.regnet.modeling_regnet")
    layer, features = SqueezeExcitation(C, 2).double(), normal(0, B, C, Y, X)
    theirs = regnet.RegNetSELayer(C, HIDDEN).double()
    load(theirs, layer)
    agree(layer(features).detach(), theirs(features).detach())


def test_efficientnet_of_transformers_has_the_same_layer_with_another_activation():
    efficientnet = pytest.importorskip("transformers.models.efficientnet.modeling_efficientnet")
    config = efficientnet.EfficientNetConfig(squeeze_expansion_ratio=0.5, hidden_act="relu")
    theirs = efficientnet.EfficientNetSqueezeExciteLayer(config, in_dim=C, expand_dim=C).double()
    layer, features = SqueezeExcitation(C, 2).double(), normal(0, B, C, Y, X)
    load(theirs, layer)
    agree(layer(features).detach(), theirs(features).detach())
