"""CBAM's gates do what loops do, have the sizes that are derived, and start as the authors' code starts."""

import math

import pytest
import torch
from torch import nn

from attnlab.reference.above_control import above_control, share_inside
from attnlab.reference.cbam import CBAM
from attnlab.reference.cbam_layouts import (
    ORDERS,
    CBAMLayout,
    ChannelAttention,
    SpatialAttention,
    official_cbam,
    start_as_the_authors,
    timm_cbam,
)
from attnlab.reference.channel_attention import channel_attention
from attnlab.reference.coordinate_attention import coordinate_attention
from attnlab.reference.counting import multiply_accumulates, parameter_count
from attnlab.reference.resnet import ResNet
from attnlab.reference.spatial_attention import spatial_attention

B, C, HIDDEN, Y, X = 2, 6, 3, 5, 9  # all different
SEEDS = (0, 1, 2)
WIDTHS = (256, 512, 1024, 2048)


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def agree(got, want):
    torch.testing.assert_close(got, torch.as_tensor(want, dtype=torch.float64), rtol=0, atol=1e-12)


def sigmoid(score):
    return 1 / (1 + math.exp(-score))


# ------------------------------------------------------------------ loops


def looped_channel_gate(features, reduce, expand):
    """features: channels of rows. Channel by channel, number by number."""

    def mlp(summary):
        hidden = [max(0.0, sum(w * s for w, s in zip(row, summary, strict=True))) for row in reduce]
        return [sum(w * h for w, h in zip(row, hidden, strict=True)) for row in expand]

    flat = [[value for row in channel for value in row] for channel in features]
    average, largest = [sum(values) / len(values) for values in flat], [max(values) for values in flat]
    return [[[sigmoid(a + m)]] for a, m in zip(mlp(average), mlp(largest), strict=True)]


def looped_spatial_gate(features, kernel):
    channels, height, width = len(features), len(features[0]), len(features[0][0])
    side = len(kernel[0])
    maps = [[[0.0] * width for _ in range(height)] for _ in range(2)]
    for y in range(height):
        for x in range(width):
            values = [features[c][y][x] for c in range(channels)]
            maps[0][y][x], maps[1][y][x] = sum(values) / channels, max(values)
    gate = [[0.0] * width for _ in range(height)]
    for y in range(height):
        for x in range(width):
            score = 0.0
            for m in range(2):
                for dy in range(side):
                    for dx in range(side):
                        at_y, at_x = y + dy - side // 2, x + dx - side // 2
                        if 0 <= at_y < height and 0 <= at_x < width:
                            score += kernel[m][dy][dx] * maps[m][at_y][at_x]
            gate[y][x] = sigmoid(score)
    return [gate]


def looped_product(gate, features):
    """A gate of one row and column, or of one channel, is read again and again."""
    return [
        [
            [
                value * gate[c % len(gate)][y % len(gate[c % len(gate)])][x % len(gate[c % len(gate)][0])]
                for x, value in enumerate(row)
            ]
            for y, row in enumerate(channel)
        ]
        for c, channel in enumerate(features)
    ]


def looped_coordinate_gates(features, shared, to_rows, to_columns):
    channels, height, width = len(features), len(features[0]), len(features[0][0])
    rows = [[sum(features[c][y]) / width for c in range(channels)] for y in range(height)]
    columns = [[sum(features[c][y][x] for y in range(height)) / height for c in range(channels)] for x in range(width)]

    def gate(summary, table):
        hidden = [sum(w * s for w, s in zip(row, summary, strict=True)) for row in shared]
        hidden = [h * min(max(h + 3, 0.0), 6.0) / 6 for h in hidden]
        return [sigmoid(sum(w * h for w, h in zip(row, hidden, strict=True))) for row in table]

    by_row, by_column = [gate(summary, to_rows) for summary in rows], [gate(summary, to_columns) for summary in columns]
    return [[[g[c]] for g in by_row] for c in range(channels)], [[[g[c] for g in by_column]] for c in range(channels)]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_channel_gate_is_what_loops_make(seed):
    features, reduce, expand = normal(seed, B, C, Y, X), normal(seed + 9, HIDDEN, C), normal(seed + 99, C, HIDDEN)
    want = [looped_channel_gate(item, reduce.tolist(), expand.tolist()) for item in features.tolist()]
    agree(channel_attention(features, reduce, expand), want)


@pytest.mark.parametrize("side", [1, 3, 7])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_spatial_gate_is_what_loops_make(seed, side):
    features, kernel = normal(seed, B, C, Y, X), normal(seed + 9, 1, 2, side, side) / side
    want = [looped_spatial_gate(item, kernel[0].tolist()) for item in features.tolist()]
    agree(spatial_attention(features, kernel), want)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_block_is_one_gate_after_the_other_in_loops(seed):
    torch.manual_seed(seed)
    block, features = CBAM(C, 2).double(), normal(seed, B, C, Y, X)
    reduce, expand, kernel = (layer.weight.tolist() for layer in (block.reduce, block.expand, block.conv))
    want = []
    for item in features.tolist():
        passed = looped_product(looped_channel_gate(item, reduce, expand), item)
        want.append(looped_product(looped_spatial_gate(passed, kernel[0]), passed))
    agree(block(features).detach(), want)


@pytest.mark.parametrize("seed", SEEDS)
def test_coordinate_gates_are_what_loops_make(seed):
    features = normal(seed, B, C, Y, X)
    weights = normal(seed + 1, HIDDEN, C) * 3, normal(seed + 2, C, HIDDEN), normal(seed + 3, C, HIDDEN)
    want = [looped_coordinate_gates(item, *(w.tolist() for w in weights)) for item in features.tolist()]
    for side, got in enumerate(coordinate_attention(features, *weights)):
        agree(got, [item[side] for item in want])


def looped_score(gate, inside, control):
    def mass(values):
        within = everything = 0.0
        for row, marks in zip(values, inside, strict=True):
            for value, marked in zip(row, marks, strict=True):
                everything += value
                within += value if marked else 0.0
        return within / everything

    return mass(gate) - mass(control)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_score_against_a_control_is_what_loops_make(seed):
    gate, control, inside = normal(seed, B, Y, X).abs(), normal(seed + 1, B, Y, X).abs(), normal(seed + 2, B, Y, X) > 0
    tables = [tensor.tolist() for tensor in (gate, inside, control)]
    agree(above_control(gate, inside, control), [looped_score(*item) for item in zip(*tables, strict=True)])
    flat = [[[1.0] * X] * Y] * B
    agree(above_control(gate, inside), [looped_score(*item) for item in zip(*tables[:2], flat, strict=True)])


# ------------------------------------------------------------------ by hand


def test_a_channel_by_hand():
    """Values 0, 2, 4, 2: mean 2, largest 4. Hidden: 2 and 4; times ln(3)/6 and summed: ln 3, a gate of 3/4."""
    features = torch.tensor([[[[0.0, 2.0], [4.0, 2.0]]]], dtype=torch.float64)
    one, third = torch.ones(1, 1, dtype=torch.float64), torch.full((1, 1), math.log(3) / 6, dtype=torch.float64)
    agree(channel_attention(features, one, third), [[[[0.75]]]])


def test_a_negative_summary_is_cut_by_the_relu_before_the_sum():
    """Mean -1, largest 1: the ReLU takes the mean's -1 away, and the score is 0 + ln 3, not 0."""
    features = torch.tensor([[[[-3.0, 1.0]]]], dtype=torch.float64)
    one, weight = torch.ones(1, 1, dtype=torch.float64), torch.full((1, 1), math.log(3), dtype=torch.float64)
    agree(channel_attention(features, one, weight), [[[[0.75]]]])


def test_a_place_by_hand():
    """Two channels, 1 and 3 at one place: mean 2, largest 3; a 1 x 1 kernel (2, -1) gives 1."""
    features = torch.tensor([1.0, 3.0], dtype=torch.float64)[None, :, None, None]
    kernel = torch.tensor([2.0, -1.0], dtype=torch.float64)[None, :, None, None]
    agree(spatial_attention(features, kernel), [[[[sigmoid(1)]]]])


def test_coordinate_gates_by_hand():
    """One channel, rows of mean 3 and 0: h-swish(3) = 3, h-swish(0) = 0. Columns of mean 1 and 2: 2/3 and 5/3."""
    features = torch.tensor([[[[2.0, 4.0], [0.0, 0.0]]]], dtype=torch.float64)
    one = torch.ones(1, 1, dtype=torch.float64)
    rows, columns = coordinate_attention(features, one, one, one)
    agree(rows, [[[[sigmoid(3)], [0.5]]]])
    agree(columns, [[[[sigmoid(2 / 3), sigmoid(5 / 3)]]]])


def test_three_quarters_of_the_mass_on_half_of_the_area_is_a_quarter_above_control():
    gate = torch.tensor([[3.0, 1.0], [3.0, 1.0]], dtype=torch.float64)
    inside = torch.tensor([[True, False], [True, False]])
    agree(share_inside(gate, inside), 0.75)
    agree(above_control(gate, inside), 0.25)
    agree(above_control(gate, inside, control=gate.flip(1)), 0.5)


# ------------------------------------------------------------------ exact integers


@pytest.mark.parametrize(("width", "count"), list(zip(WIDTHS, (8_564, 33_412, 132_260, 526_564), strict=True)))
def test_parameters_of_the_authors_block(width, count):
    with torch.device("meta"):
        assert parameter_count(official_cbam(width)) == count


@pytest.mark.parametrize(("width", "count"), list(zip(WIDTHS, (8_292, 32_868, 131_172, 524_388), strict=True)))
def test_parameters_of_timms_block(width, count):
    with torch.device("meta"):
        assert parameter_count(timm_cbam(width)) == count
        assert parameter_count(CBAM(width)) == count - 2  # the batch norm's two


@pytest.mark.parametrize(
    ("depth", "gate", "count"),
    [(50, official_cbam, 28_089_624), (50, timm_cbam, 28_073_576), (18, official_cbam, 11_779_392)],
)
def test_parameters_of_resnets_with_cbam(depth, gate, count):
    with torch.device("meta"):
        assert parameter_count(ResNet(depth, gate=gate)) == count


def test_two_mlps_would_cost_resnet_50_two_and_a_half_million_more():
    excess = sum(blocks * 2 * width**2 // 16 for blocks, width in zip((3, 4, 6, 3), WIDTHS, strict=True))
    assert excess == 2_514_944


def test_multiply_accumulates_of_a_block():
    """The MLP runs twice, on two summaries; the convolution makes y * x numbers out of 2 * 49 products each."""
    with torch.device("meta"):
        features = torch.empty(1, 256, 14, 11)
        assert multiply_accumulates(timm_cbam(256), features) == 2 * 2 * 256 * 16 + 98 * 14 * 11


# ------------------------------------------------------------------ properties


@pytest.mark.parametrize("seed", SEEDS)
def test_layers_and_functions_are_the_same_thing(seed):
    torch.manual_seed(seed)
    block, layout, features = CBAM(C, 2).double(), CBAMLayout(C, 2).double(), normal(seed, B, C, Y, X)
    layout.channel.reduce.weight, layout.channel.expand.weight = block.reduce.weight, block.expand.weight
    layout.space.conv.weight = block.conv.weight
    agree(layout(features), block(features))


def test_gates_lie_between_zero_and_one_and_the_output_is_never_larger_than_the_input():
    for order in ORDERS:
        features = normal(3, B, C, Y, X)
        output = CBAMLayout(C, 2, order=order).double()(features)
        ratio = output / features
        assert ratio.min() > 0 and ratio.max() < 1


def test_a_closed_channel_gate_takes_the_spatial_gate_its_input():
    """The spatial gate sees what the channel gate lets through: nothing gives 0.5 everywhere, whatever the kernel."""
    features = normal(0, B, C, Y, X).abs()
    layout = CBAMLayout(C, 2).double()
    nn.init.ones_(layout.channel.reduce.weight), nn.init.constant_(layout.channel.expand.weight, -9.0)
    channel = layout.channel(features)
    agree(layout.space(channel * features).detach(), torch.full((B, 1, Y, X), 0.5))
    parallel = CBAMLayout(C, 2, order="parallel").double()
    parallel.load_state_dict(layout.state_dict())
    assert (parallel(features) / (channel * features) - 0.5).abs().max() > 0.05


def test_every_order_is_its_own_function():
    features, outputs = normal(1, B, C, Y, X), []
    for order in ORDERS:
        torch.manual_seed(0)
        channel, space = ChannelAttention(C, 2).double(), SpatialAttention().double()
        layout = CBAMLayout(C, 2, order=order).double()
        for name, layer in (("channel", channel), ("space", space)):
            if hasattr(layout, name):
                setattr(layout, name, layer)
        outputs.append(layout(features))
    for i, one in enumerate(outputs):
        assert all((one - other).abs().max() > 1e-3 for other in outputs[:i])


def test_the_two_orders_of_the_maps_differ_with_the_same_weights():
    first, second = SpatialAttention(), SpatialAttention(max_first=True)
    second.load_state_dict(first.state_dict())
    features = torch.rand(B, C, Y, X)
    assert (first(features) - second(features)).abs().max() > 1e-3
    with torch.no_grad():
        second.conv.weight.copy_(first.conv.weight.flip(1))
    torch.testing.assert_close(first(features), second(features))


def test_an_unpadded_kernel_on_a_7_by_7_map_broadcasts_silently():
    """Why the padding is tested at this size: 7 - 7 + 1 is 1, and 1 multiplies with everything."""
    features = normal(0, B, C, 7, 7)
    gate = nn.functional.conv2d(features[:, :2], normal(1, 1, 2, 7, 7)).sigmoid()
    assert gate.shape == (B, 1, 1, 1) and (gate * features).shape == features.shape
    assert spatial_attention(features, normal(1, 1, 2, 7, 7)).shape == (B, 1, 7, 7)


def test_the_authors_start_gives_half_everywhere_and_the_convolution_no_gradient():
    torch.manual_seed(0)
    block = official_cbam(256)  # sixteen hidden units: not all of them are off
    start_as_the_authors(block)
    features = torch.rand(4, 256, 7, 6)
    assert block.space(features).eq(0.5).all()
    block(features).square().sum().backward()
    assert block.space.conv.weight.grad.eq(0).all() and block.space.norm.weight.grad.abs().item() > 0
    assert block.channel.expand.weight.grad.any()
    assert block.channel.reduce.bias.eq(0).all() and block.channel.expand.bias.eq(0).all()


def test_without_that_start_a_block_lets_about_a_quarter_through():
    torch.manual_seed(0)
    features = torch.rand(8, 64, 9, 11)
    assert (CBAM(64)(features) / features).mean().item() == pytest.approx(0.25, abs=0.05)


def test_the_channel_gate_is_blind_to_where_and_the_spatial_gate_to_which():
    features = normal(0, B, C, Y, X)
    places, channels = torch.randperm(Y * X), torch.randperm(C)
    moved = features.flatten(2)[..., places].reshape(B, C, Y, X)
    weights = normal(1, HIDDEN, C), normal(2, C, HIDDEN)
    agree(channel_attention(moved, *weights), channel_attention(features, *weights))
    kernel = normal(3, 1, 2, 7, 7)
    agree(spatial_attention(features[:, channels], kernel), spatial_attention(features, kernel))


def test_an_unknown_order_is_told_what_there_is():
    with pytest.raises(ValueError, match="channel, space; space, channel; parallel"):
        CBAMLayout(8, order="both")


@pytest.mark.parametrize("function", [channel_attention, spatial_attention, coordinate_attention])
def test_gradients_are_right(function):
    features = normal(0, 1, 4, 3, 2)
    weights = {
        channel_attention: (normal(1, 2, 4), normal(2, 4, 2)),
        spatial_attention: (normal(1, 1, 2, 3, 3),),
        coordinate_attention: (normal(1, 2, 4), normal(2, 4, 2), normal(3, 4, 2)),
    }[function]
    leaves = [tensor.requires_grad_() for tensor in (features, *weights)]
    assert torch.autograd.gradcheck(function, leaves)


def test_a_flat_gate_is_at_its_control_and_scale_does_not_matter():
    inside = torch.zeros(Y, X, dtype=torch.bool)
    inside[1:3, 2:7] = True
    agree(above_control(torch.full((B, Y, X), 0.3, dtype=torch.float64), inside), torch.zeros(B))
    gate = normal(0, B, Y, X).abs()
    agree(above_control(5 * gate, inside), above_control(gate, inside))
