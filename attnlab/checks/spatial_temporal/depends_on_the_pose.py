"""Bug hunt: a law that exposes attention which never learnt to look.

The bug is real, by reading: the released builder of P-I3D (Das et al., WACV 2019) creates both layers of its attention with
trainable=False, the last one zero at the beginning, and loads only layers named "lstm". Unless another script
replaces them, all three body parts weigh exactly one third, for every clip.
"""

from collections.abc import Callable
from functools import partial

import torch

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake
from attnlab.checks.laws import Law, says

WIDTH, PARTS, HIDDEN = 12, 3, 8
nought = partial(torch.allclose, torch.zeros(()), atol=1e-4)  # or no more than rounding


def reference(attend: Callable) -> bool:
    """Do the weights differ from pose to pose, and does the order of the batch not matter to them?"""
    pose = torch.randn(16, WIDTH)
    weights, turned = attend(pose), attend(pose.flip(0)).flip(0)
    return nought(turned - weights) and not nought(weights - weights[:1])


def draw(generator: torch.Generator) -> list[Case]:
    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    first, second, bias = normal(HIDDEN, WIDTH) / WIDTH**0.5, 2 * normal(PARTS, HIDDEN), normal(PARTS) + 0.2

    def scores(pose: torch.Tensor) -> torch.Tensor:
        return torch.tanh(pose @ first.mT) @ second.mT

    def trained(pose):
        return scores(pose).softmax(-1)

    def barely(pose):
        return (scores(pose) * 0.02).softmax(-1)

    def sharp(pose):
        return (scores(pose) * 200).softmax(-1)

    def gates(pose):
        return scores(pose).sigmoid()

    def by_the_last_number(pose):
        return (pose[:, -1:] * 3 * torch.tensor([1.0, 0.0, -1.0])).softmax(-1)

    def first_part_fixed(pose):
        rest = 2 / 3 * scores(pose)[:, :1].sigmoid()
        return torch.cat([torch.full_like(rest, 1 / 3), rest, 2 / 3 - rest], dim=-1)

    def a_third(pose):
        return pose.new_full((len(pose), PARTS), 1 / PARTS)

    def constant(pose):
        return torch.tensor([1.2, -0.3, 0.4]).softmax(-1).expand(len(pose), PARTS).clone()

    def rounding(pose):
        return a_third(pose) + 1e-7 * torch.rand(len(pose), PARTS)

    def noise(pose):
        return (bias + torch.randn(len(pose), PARTS)).softmax(-1)

    def one_for_all(pose):
        return trained(pose.mean(dim=0, keepdim=True) * 3).expand(len(pose), PARTS).clone()

    def by_place_in_the_batch(pose):
        place = torch.arange(len(pose), dtype=pose.dtype)[:, None]
        return torch.cos(place + torch.arange(PARTS)).softmax(-1)

    return [
        Case("trained", (trained,)),
        Case("trained a little", (barely,)),
        Case("very sharp", (sharp,)),
        Case("gates that sum to anything", (gates,)),
        Case("one coordinate of the pose decides", (by_the_last_number,)),
        Case("the first part is fixed, the others learn", (first_part_fixed,)),
        Case("frozen at one third", (a_third,)),
        Case("frozen at another constant", (constant,)),
        Case("one third and rounding errors", (rounding,)),
        Case("noise, as from a forgotten dropout", (noise,)),
        Case("weights of the mean pose for all", (one_for_all,)),
        Case("weights by the place in the batch", (by_place_in_the_batch,)),
    ]


def _turned(attend, pose):
    return torch.allclose(attend(pose), attend(pose.flip(0)).flip(0), atol=1e-4)


def _repeated(attend, pose):
    return torch.allclose(attend(pose), attend(pose), atol=1e-4)


def _nothing(attend, pose):
    return True


def _spread(attend, pose, level=1e-4):
    return bool(attend(pose).std(dim=0).max() > level)


def _over_parts(attend, pose):
    return bool(attend(pose).std(dim=-1).max() > 1e-4)


def _first_part(attend, pose):
    return bool(attend(pose)[:, 0].std() > 1e-4)


def _not_a_third(attend, pose):
    return not torch.allclose(attend(pose), torch.tensor(1 / 3), atol=1e-4)


def _two_batches(attend, pose):
    return not torch.allclose(attend(pose), attend(torch.randn(16, WIDTH)), atol=1e-4)


def _one_at_a_time(attend, pose):
    return bool(torch.cat([attend(one[None]) for one in pose]).std(dim=0).max() > 1e-4)


def _sums_too(attend, pose):
    weights = attend(pose)
    return _spread(attend, pose) and torch.allclose(weights.sum(-1), torch.ones(16), atol=1e-4)


def _random():
    return torch.randn(16, WIDTH)


def _all_ones():
    return torch.ones(16, WIDTH)


def _first_number_only():
    return torch.cat([torch.randn(16, 1), torch.zeros(16, WIDTH - 1)], dim=1)


def flawed(attend, *, poses=_random, differs=_spread, same=_turned, negate=False):
    """The law with one switch for each way of getting it wrong."""
    pose = poses()
    held = differs(attend, pose) and same(attend, pose)
    return held != negate


def _asserts(attend):
    assert reference(attend)


def _for_each_part(attend):
    return attend(torch.randn(16, WIDTH)).std(dim=0) > 1e-4


MISTAKES = (
    Mistake(
        "always true",
        "the law says yes to everything.",
        "A law that nothing can break says nothing.",
        "make sure that it compares the weights of different poses.",
        lambda attend: True,
    ),
    Mistake(
        "always false",
        "the law says no to everything.",
        "A law has to hold for what is right. A batch of one pose has no spread, and poses that are alike get weights that are\n"
        "alike.",
        "draw a batch of different poses, such as torch.randn(16, 12).",
        lambda attend: False,
    ),
    Mistake(
        "yes and no swapped",
        "the law returns True when it finds the bug.",
        "Ask it as: do the weights depend on the pose? True for an attention that looks.",
        "turn the answer round.",
        partial(flawed, negate=True),
    ),
    Mistake(
        "spread only",
        "any spread of the weights counts.",
        "Noise spreads too, and so do weights that hang on the place in the batch. They differ, but not because of the pose.",
        "ask a second time with the same poses in another order: the weights should have moved along.",
        partial(flawed, same=_nothing),
    ),
    Mistake(
        "same order again",
        "it repeats the call, with the poses in the same order.",
        "That exposes noise, but not weights that hang on the place in the batch.",
        "turn the batch round the second time, pose.flip(0), and turn the weights back.",
        partial(flawed, same=_repeated),
    ),
    Mistake(
        "no tolerance",
        "any difference counts, however small.",
        "Rounding makes constant weights differ in the seventh digit.",
        "ask for a spread above 1e-4.",
        partial(flawed, differs=partial(_spread, level=0.0)),
    ),
    Mistake(
        "wants much",
        "it asks for a large spread.",
        "An attention that has learnt for ten steps depends on the pose already, a little.",
        "lower the level; 1e-4 is far above rounding.",
        partial(flawed, differs=partial(_spread, level=0.1)),
    ),
    Mistake(
        "compares with one third",
        "it asks whether the weights are one third.",
        "A frozen layer that was not zero at the beginning gives other constants. Not the value is the bug: that it never changes.",
        "compare the weights of different poses with each other.",
        partial(flawed, differs=_not_a_third, same=_nothing),
    ),
    Mistake(
        "spread over the parts",
        "it asks whether the parts differ from each other.",
        "Weights of 0.6, 0.3 and 0.1 for every clip differ, and still never look at the pose.",
        "take the spread over the batch, dim=0.",
        partial(flawed, differs=_over_parts),
    ),
    Mistake(
        "two batches",
        "it compares one batch of poses with another one.",
        "Weights made from the mean of the batch differ from batch to batch, and are the same for all clips in it.",
        "compare poses within one batch.",
        partial(flawed, differs=_two_batches, same=_nothing),
    ),
    Mistake(
        "one pose at a time",
        "it asks for one pose at a time.",
        "In a batch of one, the mean of the batch is the pose itself: what mixes clips looks right there.",
        "give all poses in one batch.",
        partial(flawed, differs=_one_at_a_time),
    ),
    Mistake(
        "poses all alike",
        "its poses are all alike.",
        "Then right weights are alike too, and only noise differs.",
        "draw random poses.",
        partial(flawed, poses=_all_ones, same=_nothing),
    ),
    Mistake(
        "one number varied",
        "only one number of the pose is varied.",
        "An attention may look at another one.",
        "let the whole pose vary.",
        partial(flawed, poses=_first_number_only),
    ),
    Mistake(
        "first part only",
        "it looks at the weights of the first part.",
        "That one may be fixed while the others share out the rest.",
        "look at the largest spread of all parts.",
        partial(flawed, differs=_first_part),
    ),
    Mistake(
        "sums too",
        "it asks also whether the weights sum to one.",
        "That is another law. Gates depend on the pose and sum to anything; a law that asks one thing names the mistake.",
        "look at differences between poses only.",
        partial(flawed, differs=_sums_too),
    ),
    Mistake(
        "asserts",
        "it asserts, and returns nothing.",
        "A law answers with True or False, so that it can be asked about many implementations in a row.",
        "return the truth value in place of the assert.",
        _asserts,
    ),
    Mistake(
        "an answer for each part",
        "it returns a truth value for each part.",
        "One question, one answer: the weights depend on the pose if one of them does.",
        "end with .any(), or take the largest spread.",
        _for_each_part,
    ),
)


def _pairs(attend):
    pose = torch.randn(20, WIDTH)
    order = torch.randperm(20)
    weights = attend(pose)
    moved = (weights[:, None] - weights).abs().amax() > 1e-4
    return bool(moved and (attend(pose[order]) - weights[order]).abs().max() < 1e-4)


def _loops(attend):
    pose = torch.randn(10, WIDTH)
    rows, again = attend(pose).tolist(), attend(pose.roll(3, dims=0)).roll(-3, dims=0).tolist()
    for row, other in zip(rows, again, strict=True):
        if any(abs(a - b) > 1e-3 for a, b in zip(row, other, strict=True)):
            return False
    return any(max(column) - min(column) > 1e-4 for column in zip(*rows, strict=True))


def _variance(attend):
    pose = torch.randn(32, WIDTH)
    together = attend(torch.cat([pose, pose.flip(0)]))
    same = torch.allclose(together[:32], together[32:].flip(0), atol=1e-4)
    return same and together.var(dim=0).sum().item() > 1e-8


def _numpy(attend):
    pose = torch.randn(12, WIDTH)
    weights, again = attend(pose).numpy(), attend(pose.flip(0)).numpy()[::-1]
    return bool(weights.ptp(axis=0).max() > 1e-4 if hasattr(weights, "ptp") else
                (weights.max(axis=0) - weights.min(axis=0)).max() > 1e-4) and bool(abs(weights - again).max() < 1e-4)  # fmt: skip


def _doubled(attend):
    """Each pose stands twice in the batch: twins get the same, others not."""
    pose = torch.randn(9, WIDTH)
    weights = attend(pose.repeat(2, 1))
    twins = (weights[:9] - weights[9:]).abs().max() < 1e-4
    return bool(twins and (weights[1:9] - weights[0]).abs().max() > 1e-4)


depends_on_the_pose = Exercise(
    name="depends_on_the_pose",
    title="Bug hunt: does it look at all?",
    stars=3,
    importance=4,
    minutes=12,
    answer=reference,
    returns=("holds",),
    hunt=True,
    draw=draw,
    laws=(
        Law("answers yes or no", 1, "Does it return one truth value?", laws.shapes_right()),
        Law("accepts a trained one", 1, "Does it hold for a trained attention?", says(True, "trained")),
        Law(
            "accepts a weak and a sharp one",
            1,
            "Does it hold for one trained a little, and for a very sharp one?",
            says(True, "trained a little", "very sharp"),
        ),
        Law(
            "asks one question only",
            1,
            "Does it hold for gates, for one coordinate, and where one part is fixed?",
            says(
                True,
                "gates that sum to anything",
                "one coordinate of the pose decides",
                "the first part is fixed, the others learn",
            ),
        ),
        Law("exposes the frozen one", 2, "Does it expose weights of one third?", says(False, "frozen at one third")),
        Law(
            "exposes other constants",
            1,
            "Does it expose another constant, and rounding errors?",
            says(False, "frozen at another constant", "one third and rounding errors"),
        ),
        Law(
            "exposes what is not the pose",
            2,
            "Does it expose noise, and weights by the place in the batch?",
            says(False, "noise, as from a forgotten dropout", "weights by the place in the batch"),
        ),
        Law(
            "exposes one for all",
            1,
            "Does it expose the same weights for all clips of a batch?",
            says(False, "weights of the mean pose for all"),
        ),
    ),
    mistakes=MISTAKES,
    also_right={
        "all pairs": _pairs,
        "loops": _loops,
        "variance": _variance,
        "NumPy at the end": _numpy,
        "twins in the batch": _doubled,
    },
    hints=(
        "Call the frozen attention of the cell above on 16 random poses, and print the weights. How much does a column vary? "
        "And for the one that learnt?",
        "Two things make the law: weights of different poses differ, and the same pose gets the same weights wherever it "
        "stands. Which one does the panel's law speak of?",
        "Draw pose = torch.randn(16, 12). The spread is attend(pose).std(dim=0).max(), above 1e-4. Then once more with "
        "pose.flip(0), turned back, and torch.allclose.",
        "A twin on another task, does a waiter listen to the order at all:\n"
        "    def listens(waiter):\n"
        "        orders = some_orders(16)\n"
        "        meals, again = waiter(orders), waiter(orders.flip(0)).flip(0)\n"
        "        return bool(meals.std(dim=0).max() > 1e-4) and torch.allclose(meals, again)",
    ),
)
