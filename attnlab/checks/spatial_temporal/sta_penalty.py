"""Stretch: what STA-LSTM adds to its loss."""

from functools import partial

import torch

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake, draw_sizes
from attnlab.checks.laws import Law, Seen
from attnlab.reference.sta_lstm import sta_penalty as reference


def draw(generator: torch.Generator) -> list[Case]:
    size = draw_sizes(generator, "batch", "t", "joints")
    size["joints"] = size["joints"] if size["joints"] > 2 else 10
    b, t, k = size.values()
    joints = (2 * torch.randn(b, t, k, generator=generator)).softmax(-1)
    frames = torch.randn(b, t, generator=generator) + 0.3
    frames[:, 0] = -0.8
    one_joint = torch.zeros(b, t, k).index_fill(-1, torch.tensor([1]), 1.0)
    return [
        Case("plain", (joints, frames, 0.7, 0.3)),
        Case("joints only", (joints, frames, 1.0, 0.0)),
        Case("frames only", (joints, frames, 0.0, 1.0)),
        Case("all joints alike", (torch.full((b, t, k), 1 / k), frames * 0, 1.0, 1.0)),
        Case("one joint for ever", (one_joint, frames * 0, 1.0, 1.0)),
        Case("first item alone", (joints[:1], frames[:1], 0.7, 0.3)),
        Case("no batch axis", (joints[0], frames[0], 0.7, 0.3)),
        Case("float64", (joints.double(), frames.double(), 0.7, 0.3)),
        Case("gradients", (joints, frames, 0.7, 0.3), gradients=True),
    ]


def neglect_costs(seen: Seen) -> str | None:
    even, one = (seen.output(case, "penalty").max().item() for case in ("all joints alike", "one joint for ever"))
    return (
        None if one > even + 0.01 else f"One joint for ever costs {one:.3g}, all alike {even:.3g}: it should cost more."
    )


def flawed(
    joints,
    frames,
    joint_rate,
    frame_rate,
    *,
    over_time=lambda joints: joints.mean(dim=-2),
    cost=lambda seen: (1 - seen).square(),
    together=lambda cost: cost.sum(dim=-1),
    gates=lambda frames: frames.abs().mean(dim=-1),
    swapped=False,
    finish=lambda penalty: penalty,
    in_place=False,
):
    """Both terms with one switch for each way of getting them wrong."""
    if in_place:
        frames.data.abs_()
    if swapped:
        joint_rate, frame_rate = frame_rate, joint_rate
    return finish(joint_rate * together(cost(over_time(joints))) + frame_rate * gates(frames))


MISTAKES = (
    Mistake(
        "sum over time",
        "the weights of a joint are summed over time.",
        "A sum grows with the clip: a joint would have to weigh 1 in all of it together, not on average.",
        "take the mean over t.",
        partial(flawed, over_time=lambda joints: joints.sum(dim=-2)),
    ),
    Mistake(
        "mean over the joints",
        "the weights are averaged over the joints.",
        "They sum to one over the joints, so that mean is 1 / K whatever they are: nothing is penalised.",
        "take the mean over t, the axis in front of the joints.",
        partial(flawed, over_time=lambda joints: joints.mean(dim=-1)),
    ),
    Mistake(
        "squares first",
        "each frame is squared before the mean.",
        "Then every frame has to look at every joint. A joint may be ignored for a while, only not for ever.",
        "take the mean over t first, and square afterwards.",
        partial(flawed, over_time=lambda joints: 1 - (1 - joints).square().mean(dim=-2).sqrt()),
    ),
    Mistake(
        "no square",
        "the distance from 1 is not squared.",
        "Unsquared, the sum over the joints is K - 1 whatever the weights are, since they sum to one.",
        "square (1 - mean).",
        partial(flawed, cost=lambda seen: 1 - seen),
    ),
    Mistake(
        "square of the weights",
        "the mean itself is squared, not its distance from 1.",
        "Then a joint that is looked at costs, in place of one that is not.",
        "square (1 - mean).",
        partial(flawed, cost=lambda seen: seen.square()),
    ),
    Mistake(
        "mean over what joints cost",
        "the costs of the joints are averaged.",
        "The term is a sum over the joints.",
        "use sum over the last axis.",
        partial(flawed, together=lambda cost: cost.mean(dim=-1)),
    ),
    Mistake(
        "worst joint",
        "only the most neglected joint counts.",
        "The term is a sum over the joints.",
        "use sum over the last axis.",
        partial(flawed, together=lambda cost: cost.amax(dim=-1)),
    ),
    Mistake(
        "gates are summed",
        "the gates of the frames are summed.",
        "The rate is divided by T: a mean, so that long clips do not cost more.",
        "take the mean over t.",
        partial(flawed, gates=lambda frames: frames.abs().sum(dim=-1)),
    ),
    Mistake(
        "gates without absolute value",
        "the gates enter with their sign.",
        "A gate below zero would then be rewarded.",
        "take abs() before the mean.",
        partial(flawed, gates=lambda frames: frames.mean(dim=-1)),
    ),
    Mistake(
        "gates are squared",
        "the gates are squared.",
        "The term is the absolute value, which lets gates go all the way to zero.",
        "use abs().",
        partial(flawed, gates=lambda frames: frames.square().mean(dim=-1)),
    ),
    Mistake(
        "gates under a root",
        "the norm of the gates is taken.",
        "The term is the mean of the absolute values.",
        "use abs() and mean.",
        partial(flawed, gates=lambda frames: frames.norm(dim=-1)),
    ),
    Mistake(
        "rates exchanged",
        "the two rates have changed places.",
        "The first belongs to the joints, the second to the frames.",
        "multiply the joints' term by joint_rate.",
        partial(flawed, swapped=True),
    ),
    Mistake(
        "mean over the batch",
        "one number is returned for the batch.",
        "A penalty for each clip can be averaged later, or looked at.",
        "keep the axes in front.",
        partial(flawed, finish=lambda penalty: penalty.mean()),
    ),
    Mistake(
        "graph is cut",
        "the penalty is detached from the graph.",
        "Then it changes a number in the log, and nothing in the network.",
        "leave out .detach() and .item().",
        partial(flawed, finish=lambda penalty: penalty.detach()),
    ),
    Mistake(
        "changes the gates",
        "the absolute value is taken in place.",
        "The caller's gates are others afterwards.",
        "use abs(), not abs_().",
        partial(flawed, in_place=True),
    ),
)


def _einsum(joints, frames, joint_rate, frame_rate):
    t = joints.shape[-2]
    neglect = 1 - torch.einsum("...tk->...k", joints) / t
    return joint_rate * torch.einsum("...k,...k->...", neglect, neglect) + frame_rate / t * frames.abs().sum(-1)


def _expanded(joints, frames, joint_rate, frame_rate):
    seen = joints.mean(-2)
    cost = joints.shape[-1] - 2 * seen.sum(-1) + (seen * seen).sum(-1)
    return joint_rate * cost + frame_rate * frames.abs().mean(-1)


def _norms(joints, frames, joint_rate, frame_rate):
    neglect = torch.linalg.vector_norm(joints.mean(-2) - 1, dim=-1) ** 2
    return joint_rate * neglect + frame_rate * torch.linalg.vector_norm(frames, ord=1, dim=-1) / frames.shape[-1]


def _joint_by_joint(joints, frames, joint_rate, frame_rate):
    total = frames.abs().mean(-1) * frame_rate
    for joint in joints.unbind(dim=-1):
        total = total + joint_rate * (1 - joint.mean(-1)) ** 2
    return total


def _two_sided(joints, frames, joint_rate, frame_rate):
    gates = (frames.clamp(min=0) + (-frames).clamp(min=0)).mean(-1)
    return joint_rate * (1 - joints.mean(-2)).pow(2).sum(-1) + frame_rate * gates


sta_penalty = Exercise(
    name="sta_penalty",
    title="No joint left alone",
    stars=2,
    importance=2,
    minutes=10,
    stretch=True,
    answer=reference,
    returns=("penalty",),
    draw=draw,
    laws=(
        laws.RIGHT_SHAPES,
        Law("right numbers", 2, "Are they the reference's?", laws.equals_reference("plain", "no batch axis")),
        Law("joints' term", 1, "Is the term of the joints right by itself?", laws.equals_reference("joints only")),
        Law("frames' term", 1, "Is the term of the frames right by itself?", laws.equals_reference("frames only")),
        Law("neglect costs", 1, "Does one joint for ever cost more than all alike?", neglect_costs),
        laws.ITEMS_APART,
        laws.GRADIENT,
        laws.INPUTS_KEPT,
    ),
    mistakes=MISTAKES,
    also_right={
        "einsum": _einsum,
        "expanded": _expanded,
        "norms": _norms,
        "joint by joint": _joint_by_joint,
        "two-sided": _two_sided,
    },
    hints=(
        "Which is worse for this term: all joints alike all the time, or one joint for ever? Try both by hand for K = 2.",
        "“Joints' term” and “frames' term” tell you which of the two is off.",
        "Joints: mean over t (dim=-2), 1 minus it, squared, summed over the joints. Frames: absolute values, mean over t.",
        "A twin on another task, a teacher who should ask every pupil now and then:\n"
        "    asked = calls.mean(dim=-2)                    # (lessons, pupils) -> (pupils,)\n"
        "    neglect = (1 - asked).square().sum(dim=-1)",
    ),
)
