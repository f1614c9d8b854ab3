"""The references of lesson 04: loop twins, numbers by hand, published sizes, a library's LSTM, and what must hold."""

import importlib
import math
import sys

import pytest
import torch
from jaxtyping import install_import_hook
from torch import nn

NAMES = ("softmax", "pose_network", "joint_attention", "frame_attention", "separable_attention")
NAMES += ("space_time_attention", "part_attention", "sta_lstm", "pointing_game", "body_regions")


def _with_checked_shapes():
    """Copies whose signatures are held against every call; what others imported stays as it is."""
    full = [f"attnlab.reference.{name}" for name in NAMES]
    before = {name: sys.modules.pop(name) for name in full if name in sys.modules}
    with install_import_hook("attnlab.reference", "beartype.beartype"):
        fresh = dict(zip(NAMES, map(importlib.import_module, full), strict=True))
    for name in full:
        sys.modules.pop(name, None)
    sys.modules.update(before)
    return fresh


MODULES = _with_checked_shapes()
PoseNetwork, LstmLayer = MODULES["pose_network"].PoseNetwork, MODULES["pose_network"].LstmLayer
joint_attention, JointAttention = MODULES["joint_attention"].joint_attention, MODULES["joint_attention"].JointAttention
frame_attention, FrameAttention = MODULES["frame_attention"].frame_attention, MODULES["frame_attention"].FrameAttention
separable = MODULES["separable_attention"]
space_time_attention = MODULES["space_time_attention"].space_time_attention
part_attention, PartWeights = MODULES["part_attention"].part_attention, MODULES["part_attention"].PartWeights
sta, game = MODULES["sta_lstm"], MODULES["pointing_game"]
body_regions = MODULES["body_regions"].body_regions

B, T, Y, X, C, W, H = 2, 4, 3, 5, 6, 7, 8  # all different
SEEDS = (0, 1, 2)


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def agree(got, want):
    torch.testing.assert_close(got, torch.as_tensor(want, dtype=got.dtype), rtol=0, atol=1e-12)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def sigmoid(number):
    return 1 / (1 + math.exp(-number))


def hidden_units(pose, weight, bias):
    return [
        math.tanh(sum(w * p for w, p in zip(row, pose, strict=True)) + b) for row, b in zip(weight, bias, strict=True)
    ]


def scores(hidden, weight, bias):
    return [sum(w * h for w, h in zip(row, hidden, strict=True)) + b for row, b in zip(weight, bias, strict=True)]


# ---------------------------------------------------------------------------------------------- loop twins


@pytest.mark.parametrize("seed", SEEDS)
def test_joint_attention_opens_each_place_for_itself(seed):
    pose, w1, b1 = normal(seed, B, W), normal(seed + 1, H, W), normal(seed + 2, H)
    w2, b2 = normal(seed + 3, Y, X, H), normal(seed + 4, Y, X)
    want = [
        [
            [
                sigmoid(scores(hidden_units(p, w1.tolist(), b1.tolist()), [w2[y, x].tolist()], [b2[y, x].item()])[0])
                for x in range(X)
            ]
            for y in range(Y)
        ]
        for p in pose.tolist()
    ]
    agree(joint_attention(pose, w1, b1, w2, b2), want)


@pytest.mark.parametrize("seed", SEEDS)
def test_frame_attention_shares_one_unit_out(seed):
    pose, w1, b1, w2, b2 = (normal(seed + i, *s) for i, s in enumerate(((B, W), (H, W), (H,), (T, H), (T,))))
    want = []
    for p in pose.tolist():
        powers = [math.exp(s) for s in scores(hidden_units(p, w1.tolist(), b1.tolist()), w2.tolist(), b2.tolist())]
        want.append([power / sum(powers) for power in powers])
    agree(frame_attention(pose, w1, b1, w2, b2), want)


@pytest.mark.parametrize("seed", SEEDS)
def test_separable_attention_is_four_loops(seed):
    g, space, time = (
        normal(seed, B, T, Y, X, C),
        normal(seed + 1, B, Y, X).sigmoid(),
        normal(seed + 2, B, T).softmax(-1),
    )
    want = torch.zeros(B, T - 1, 2 * C, dtype=torch.float64)
    for b in range(B):
        for step in range(T - 1):
            for t in (step, step + 1):
                for y in range(Y):
                    for x in range(X):
                        for c in range(C):
                            want[b, step, c] += space[b, y, x] * g[b, t, y, x, c] / (2 * Y * X)
                            want[b, step, C + c] += time[b, t] * g[b, t, y, x, c] / (2 * Y * X)
    agree(separable.separable_attention(g, space, time), want)


@pytest.mark.parametrize("seed", SEEDS)
def test_separable_attention_is_the_published_pooling(seed):
    """The mean over a window of (2, y, x) with stride 1, by torch's own pooling, channels first."""
    g, space, time = normal(seed, B, T, Y, X, C), normal(seed + 1, B, Y, X), normal(seed + 2, B, T)
    maps = (g * space[:, None, :, :, None], g * time[:, :, None, None, None])
    pooled = [nn.functional.avg_pool3d(m.movedim(-1, 1), (2, Y, X), stride=1)[..., 0, 0].mT for m in maps]
    agree(separable.separable_attention(g, space, time), torch.cat(pooled, dim=-1))


@pytest.mark.parametrize("seed", SEEDS)
def test_one_softmax_over_space_and_time_sums_over_all_cells(seed):
    g, s = normal(seed, B, T, Y, X, C), normal(seed + 1, B, T, Y, X)
    output, weights = space_time_attention(g, s)
    for b in range(B):
        total = sum(math.exp(v) for v in s[b].flatten().tolist())
        want = [
            sum(
                math.exp(s[b, t, y, x].item()) / total * g[b, t, y, x, c].item()
                for t in range(T)
                for y in range(Y)
                for x in range(X)
            )
            for c in range(C)
        ]
        agree(output[b], want)
        agree(weights[b], [[[math.exp(v) / total for v in row] for row in table] for table in s[b].tolist()])


@pytest.mark.parametrize("seed", SEEDS)
def test_part_attention_adds_up_the_parts(seed):
    g, w = normal(seed, B, 3, T, Y, X, C), normal(seed + 1, B, 3).softmax(-1)
    want = torch.stack([sum(w[b, p] * g[b, p] for p in range(3)) for b in range(B)])
    agree(part_attention(g, w), want)


@pytest.mark.parametrize("seed", SEEDS)
def test_pointing_game_place_by_place(seed):
    weights, inside = normal(seed, B, Y, X), normal(seed + 1, B, Y, X) > 0
    for b in range(B):
        best = max((weights[b, y, x].item(), inside[b, y, x].item()) for y in range(Y) for x in range(X))
        agree(game.pointing_game(weights, inside)[b], float(best[1]))


@pytest.mark.parametrize("seed", SEEDS)
def test_body_regions_adds_joint_by_joint(seed):
    weights, region_of = normal(seed, B, T, 5), torch.tensor([2, 0, 2, 2, 0])
    want = torch.zeros(B, T, 4, dtype=torch.float64)
    for joint, region in enumerate(region_of.tolist()):
        want[..., region] += weights[..., joint]
    agree(body_regions(weights, region_of, 4), want)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_penalties_term_by_term(seed):
    space, time = normal(seed, B, Y, X).sigmoid(), normal(seed + 1, B, T).softmax(-1)
    want = [
        0.3 * math.sqrt(sum(a**2 for a in space[b].flatten().tolist()))
        + 0.7 * sum((1 - w) ** 2 for w in time[b].tolist())
        for b in range(B)
    ]
    agree(separable.separable_penalty(space, time, 0.3, 0.7), want)
    joints, frames = normal(seed, B, T, 5).softmax(-1), normal(seed + 1, B, T)
    want = []
    for b in range(B):
        seen = [sum(joints[b, t, k].item() for t in range(T)) / T for k in range(5)]
        gates = sum(abs(v) for v in frames[b].tolist()) / T
        want.append(0.3 * sum((1 - s) ** 2 for s in seen) + 0.7 * gates)
    agree(sta.sta_penalty(joints, frames, 0.3, 0.7), want)
    parameters = [normal(seed, 3, 2), normal(seed + 1, 4)]
    agree(sta.size_penalty(parameters, 0.1), 0.1 * sum(abs(v) for p in parameters for v in p.flatten().tolist()))


def test_lstm_gate_by_gate():
    layer, x = LstmLayer(2, 3).double(), normal(0, 4, 2)
    nn.init.normal_(layer.bias)
    w, u, b = (p.tolist() for p in (layer.from_input, layer.from_state, layer.bias))
    state, cell, want = [0.0] * 3, [0.0] * 3, []
    for frame in x.tolist():
        total = [scores(frame, [w[r]], [b[r]])[0] + scores(state, [u[r]], [0.0])[0] for r in range(12)]
        for k in range(3):
            cell[k] = sigmoid(total[3 + k]) * cell[k] + sigmoid(total[k]) * math.tanh(total[6 + k])
        state = [sigmoid(total[9 + k]) * math.tanh(cell[k]) for k in range(3)]
        want.append(state)
    agree(layer(x), want)


# ---------------------------------------------------------------------------------------------- against torch


def test_the_pose_network_is_torchs_lstm_with_the_second_bias_at_zero():
    ours, theirs = PoseNetwork(5, 6, 3).double(), nn.LSTM(5, 6, 3, batch_first=True).double()
    with torch.no_grad():
        for i, layer in enumerate(ours.layers):
            nn.init.normal_(layer.bias)
            getattr(theirs, f"weight_ih_l{i}").copy_(layer.from_input)
            getattr(theirs, f"weight_hh_l{i}").copy_(layer.from_state)
            getattr(theirs, f"bias_ih_l{i}").copy_(layer.bias)
            getattr(theirs, f"bias_hh_l{i}").zero_()
    x = normal(0, B, T, 5)
    agree(ours(x), theirs(x)[1][0][-1])


# ---------------------------------------------------------------------------------------------- exact sizes


def test_published_sizes():
    assert count(JointAttention()) == 143_921
    assert count(FrameAttention()) == 133_384
    assert count(separable.SeparableAttention().classify) == 71_715
    with torch.device("meta"):
        assert count(PoseNetwork()) == 5_328_896
        assert count(nn.LSTM(39, 512, 3)) == 5_328_896 + 6_144


def test_the_penalty_on_time_by_hand():
    uniform, one = torch.full((8,), 1 / 8, dtype=torch.float64), torch.eye(8, dtype=torch.float64)[3]
    dark = torch.zeros(2, 3, dtype=torch.float64)
    agree(separable.separable_penalty(dark, uniform, 1.0, 1.0), 6.125)
    agree(separable.separable_penalty(dark, one, 1.0, 1.0), 7.0)
    agree(separable.separable_penalty(dark + 2, one, 1.0, 0.0), math.sqrt(24))


def test_the_neglect_of_joints_is_smallest_when_all_are_seen_as_often():
    even, one = torch.full((T, 5), 1 / 5), torch.eye(5)[2].expand(T, 5)
    nothing = torch.zeros(T)
    assert sta.sta_penalty(even, nothing, 1.0, 1.0) < sta.sta_penalty(one, nothing, 1.0, 1.0)


# ---------------------------------------------------------------------------------------------- what must hold


def test_a_softmax_shrinks_its_branch_and_a_sigmoid_does_not():
    """At t = 8 the mean of beta g is an eighth of the mean of g, whatever beta, if g does not change."""
    g = torch.ones(8, 3, 5, 2)
    pooled = separable.separable_attention(g, torch.full((3, 5), 0.5), torch.full((8,), 1 / 8))
    torch.testing.assert_close(pooled.mean(0), torch.tensor([0.5, 0.5, 0.125, 0.125]))


def test_the_two_branches_do_not_know_each_other():
    g, space, time = normal(0, B, T, Y, X, C), normal(1, B, Y, X), normal(2, B, T)
    before = separable.separable_attention(g, space, time)
    agree(separable.separable_attention(g, space, time + 1)[..., :C], before[..., :C])
    agree(separable.separable_attention(g, space + 1, time)[..., C:], before[..., C:])


def test_the_model_returns_scores_and_both_kinds_of_weights():
    model = separable.SeparableAttention(W, H, T, Y, X, C, 9).eval()
    classes, space, time = model(torch.randn(B, T, Y, X, C), torch.randn(B, W))
    assert classes.shape == (B, 9) and space.shape == (B, Y, X) and time.shape == (B, T)
    assert ((space > 0) & (space < 1)).all()
    torch.testing.assert_close(time.sum(-1), torch.ones(B))


def test_frozen_part_weights_stay_a_third_and_learnt_ones_begin_there():
    for frozen in (True, False):
        weights = PartWeights(W, frozen=frozen)
        pose = torch.randn(64, W)
        torch.testing.assert_close(weights(pose), torch.full((64, 3), 1 / 3), rtol=0, atol=1e-7)
        learnt = [p for p in weights.parameters() if p.requires_grad]
        assert len(learnt) == (0 if frozen else 4)
        for _ in range(2) if learnt else ():
            loss = (weights(pose)[:, 0] * pose[:, 0]).sum()
            for p, gradient in zip(learnt, torch.autograd.grad(loss, learnt), strict=True):
                p.data -= 0.1 * gradient
        spread = weights(pose).std(dim=0).max()
        assert (spread == 0) if frozen else (spread > 1e-3)


def test_a_map_without_opinion_scores_like_guessing():
    inside = torch.zeros(Y, X, dtype=torch.bool)
    inside[0, 0] = inside[1, 2] = inside[2, 4] = True
    agree(game.pointing_game(torch.ones(Y, X, dtype=torch.float64), inside), 3 / 15)


def test_map_scores_by_hand():
    weights = torch.tensor([[0.0, 4.0, 1.0], [3.0, 0.0, 0.0]], dtype=torch.float64)
    inside = torch.tensor([[True, True, False], [False, False, False]])
    agree(game.pointing_game(weights, inside), 1.0)
    agree(game.mass_inside(weights, inside), 0.5)
    agree(game.intersection_over_union(weights, inside), 1 / 3)  # chosen: 4 and 3; union: 3 places


def test_gradients_are_right():
    shapes = ((W,), (2, W), (2,), (T, 2), (T,))
    assert torch.autograd.gradcheck(frame_attention, [normal(i, *s).requires_grad_() for i, s in enumerate(shapes)])
    shapes = ((W,), (2, W), (2,), (Y, X, 2), (Y, X))
    assert torch.autograd.gradcheck(joint_attention, [normal(i, *s).requires_grad_() for i, s in enumerate(shapes)])
    inputs = [normal(i, *s).requires_grad_() for i, s in enumerate(((T, 2, 3, 2), (2, 3), (T,)))]
    assert torch.autograd.gradcheck(separable.separable_attention, inputs)
