"""Exercise: a weight for each place of a map, from the summary of a skeleton."""

from functools import partial

import torch
import torch.nn.functional as F

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake, draw_sizes
from attnlab.checks.laws import Law, Seen
from attnlab.reference.joint_attention import joint_attention as reference


def draw(generator: torch.Generator) -> list[Case]:
    size = draw_sizes(generator, "batch", "width", "hidden", "y", "x")
    b, w, h, y, x = size.values()

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    pose = normal(b, w) + 0.5
    head = (normal(h, w) / w**0.5, 0.7 * normal(h), normal(y, x, h) * 1.5 / h**0.5, 0.7 * normal(y, x))
    open_everywhere = (*head[:2], head[2] * 0.1, torch.full((y, x), 9.0))
    return [
        Case("plain", (pose, *head)),
        Case("all places open", (pose, *open_everywhere)),
        Case("first item alone", (pose[:1], *head)),
        Case("no batch axis", (pose[0], *head)),
        Case("clips and persons", (torch.stack([pose, pose.flip(0)]), *head)),
        Case("large scores", (pose, *head[:2], head[2] * 400, head[3])),
        Case("float64", tuple(v.double() for v in (pose, *head))),
        Case("gradients", (pose, *head), gradients=True),
    ]


def each_place_for_itself(seen: Seen) -> str | None:
    """A bias of 9 opens every place; a softmax would have to share."""
    lowest = seen.output("all places open", "weights").min().item()
    if lowest > 0.9:
        return None
    return f"Every place was given a bias of 9, so all should be open; one has weight {lowest:.3g}. Do they compete?"


def between_zero_and_one(seen: Seen) -> str | None:
    for case in ("plain", "large scores"):
        weights = seen.output(case, "weights")
        low, high = weights.min().item(), weights.max().item()
        if not (low >= 0 and high <= 1):
            return f"A weight should lie between 0 and 1; they go from {low:.3g} to {high:.3g} (case: {case})."
    return None


def over_places(scores):
    return scores.flatten(start_dim=-2).softmax(-1).reshape(scores.shape)


def over_batch(scores):
    return scores.softmax(0)


def naive(scores):
    return scores.exp() / (1 + scores.exp())


def flawed(
    pose,
    hidden_weight,
    hidden_bias,
    place_weight,
    place_bias,
    *,
    inner=torch.tanh,
    outer=torch.sigmoid,
    first_bias=1.0,
    second_bias=1.0,
    turned=False,
    x_first=False,
    split_as=None,
    cut=False,
    in_place=False,
    single=False,
    batch_mean=False,
):
    """The head with one switch for each way of getting it wrong; with none set it is right."""
    if in_place:
        pose *= 2
        pose = pose / 2
    if batch_mean and pose.ndim > 1:
        pose = pose - pose.mean(dim=0, keepdim=True)
    hidden = inner(pose @ hidden_weight.mT + first_bias * hidden_bias)
    if single:
        hidden = torch.tanh(pose.float() @ hidden_weight.float().mT + hidden_bias.float()).to(pose.dtype)
    y, x = place_bias.shape
    if turned:  # columns read where rows are
        places = place_weight.transpose(0, 1).reshape(y, x, -1)
    else:
        places = place_weight
    scores = torch.einsum("...h,yxh->...yx", hidden, places) + second_bias * place_bias
    weights = outer(scores)
    weights = weights.mT if x_first else weights
    if split_as == "x, y":  # one list of places, cut into rows as long as a column
        weights = weights.flatten(start_dim=-2).unflatten(-1, (x, y)).mT
    return weights.detach() if cut else weights


MISTAKES = (
    Mistake(
        "softmax over the places",
        "the places share one unit, by a softmax over the map.",
        "The published head has a sigmoid: two hands may matter at once. With a softmax over y * x places each weight is\n"
        "about 1 / (y * x), and this branch is that much smaller than the features it weighs.",
        "put torch.sigmoid around the scores.",
        partial(flawed, outer=over_places),
    ),
    Mistake(
        "softmax over x",
        "the softmax runs over the last axis, x.",
        "Then each row of the map has to spend one unit, also rows where nothing happens.",
        "put torch.sigmoid around the scores: a place does not compete with its row.",
        partial(flawed, outer=partial(torch.softmax, dim=-1)),
    ),
    Mistake(
        "softmax over the batch",
        "a softmax runs over the first axis.",
        "The first axis is the batch: clips that have nothing to do with each other would share their attention.",
        "use torch.sigmoid, which looks at one number only.",
        partial(flawed, outer=over_batch),
    ),
    Mistake(
        "no sigmoid",
        "the scores are returned as they are.",
        "A score may be negative or large. A weight of -3 would turn the sign of what it weighs.",
        "put torch.sigmoid around the scores.",
        partial(flawed, outer=lambda scores: scores),
    ),
    Mistake(
        "tanh at the end",
        "the last step is a tanh.",
        "tanh goes from -1 to 1, so closed places would be subtracted. A gate goes from 0 to 1.",
        "use tanh inside and sigmoid at the end.",
        partial(flawed, outer=torch.tanh),
    ),
    Mistake(
        "sigmoid inside",
        "the hidden layer has the sigmoid too.",
        "All hidden units are then positive. The published head has tanh there, which is centred on zero.",
        "use torch.tanh for the hidden layer.",
        partial(flawed, inner=torch.sigmoid),
    ),
    Mistake(
        "relu inside",
        "the hidden layer has a ReLU.",
        "That is the choice of squeeze-and-excitation. This head was published with tanh.",
        "use torch.tanh for the hidden layer.",
        partial(flawed, inner=torch.relu),
    ),
    Mistake(
        "no tanh",
        "nothing stands between the two linear maps.",
        "Two linear maps in a row are one linear map: the hidden layer does nothing that one matrix could not.",
        "put torch.tanh around the first map.",
        partial(flawed, inner=lambda hidden: hidden),
    ),
    Mistake(
        "no hidden bias",
        "the first bias is left out.",
        "Each hidden unit has a threshold of its own; without it all of them sit at zero for a pose of zeros.",
        "add hidden_bias before the tanh.",
        partial(flawed, first_bias=0.0),
    ),
    Mistake(
        "no place bias",
        "the second bias is left out.",
        "It says how open a place is before the skeleton has said anything.",
        "add place_bias before the sigmoid.",
        partial(flawed, second_bias=0.0),
    ),
    Mistake(
        "rows and columns turned",
        "the weights of the places are read in the wrong order: x first.",
        "With as many rows as columns, 7 by 7 in the paper, no shape gives it away, and every weight lands in another cell.",
        "keep place_weight's order, y then x; no view or reshape that turns them.",
        partial(flawed, turned=True),
    ),
    Mistake(
        "x before y",
        "the map comes out as (x, y).",
        "A flat list of places was unfolded the wrong way round, or the axes were exchanged at the end. At 7 by 7 nobody\n"
        "would see it before the map lies over a picture.",
        "return (..., y, x), in the order of place_weight.",
        partial(flawed, x_first=True),
    ),
    Mistake(
        "rows as long as columns",
        "a flat list of places is cut into (x, y), and then turned.",
        "The shape comes out right, and every weight lies in another cell. At 7 by 7 nothing gives it away.",
        "cut it into (y, x), the order of place_weight; nothing has to be turned then.",
        partial(flawed, split_as="x, y"),
    ),
    Mistake(
        "batch mean taken off",
        "the mean pose of the batch is subtracted first.",
        "Then a clip's weights depend on which other clips stand in its batch, and a clip alone gets a pose of zeros.",
        "use the pose as it comes.",
        partial(flawed, batch_mean=True),
    ),
    Mistake(
        "overflow",
        "the sigmoid is written as exp(s) / (1 + exp(s)).",
        "exp(89) is beyond float32, and infinity over infinity is NaN.",
        "use torch.sigmoid, or 1 / (1 + exp(-s)).",
        partial(flawed, outer=naive),
    ),
    Mistake(
        "in float32 inside",
        "the pose is turned into float32 on the way.",
        "Whoever computes in float64, to check a gradient for instance, gets back seven digits only.",
        "leave out .float(); the parameters have the pose's dtype already.",
        partial(flawed, single=True),
    ),
    Mistake(
        "graph is cut",
        "the weights are detached from the graph.",
        "The numbers are right, but where to look can never be learnt.",
        "leave out .detach(), .data and no_grad().",
        partial(flawed, cut=True),
    ),
    Mistake(
        "changes the pose",
        "the pose is scaled in place.",
        "frame_attention needs the same pose afterwards, and would get another one.",
        "write pose = pose * ..., or leave it as it is.",
        partial(flawed, in_place=True),
    ),
)


def _flat(pose, hidden_weight, hidden_bias, place_weight, place_bias):
    hidden = F.linear(pose, hidden_weight, hidden_bias).tanh()
    scores = F.linear(hidden, place_weight.flatten(end_dim=1), place_bias.flatten())
    return scores.unflatten(-1, tuple(place_bias.shape)).sigmoid()


def _place_by_place(pose, hidden_weight, hidden_bias, place_weight, place_bias):
    hidden = torch.tanh(pose @ hidden_weight.T + hidden_bias)
    rows = [torch.stack([(hidden * w).sum(-1) + b for w, b in zip(*row, strict=True)], dim=-1)
            for row in zip(place_weight, place_bias, strict=True)]  # fmt: skip
    return torch.sigmoid(torch.stack(rows, dim=-2))


def _by_tanh(pose, hidden_weight, hidden_bias, place_weight, place_bias):
    hidden = torch.tanh(torch.einsum("...w,hw->...h", pose, hidden_weight) + hidden_bias)
    scores = (hidden[..., None, None, :] * place_weight).sum(-1) + place_bias
    return (1 + torch.tanh(scores / 2)) / 2


def _in_float64(pose, *head):
    return reference(pose.double(), *(p.double() for p in head)).to(pose.dtype)


def _reciprocal(pose, hidden_weight, hidden_bias, place_weight, place_bias):
    hidden = torch.tanh(torch.matmul(pose, hidden_weight.t()).add(hidden_bias))
    return 1 / (1 + torch.exp(-(torch.tensordot(hidden, place_weight, dims=([-1], [-1])) + place_bias)))


joint_attention = Exercise(
    name="joint_attention",
    title="Where to look",
    stars=2,
    importance=4,
    minutes=10,
    answer=reference,
    returns=("weights",),
    draw=draw,
    laws=(
        laws.RIGHT_SHAPES,
        Law("between 0 and 1", 1, "Does every weight lie between 0 and 1?", between_zero_and_one),
        Law("each place for itself", 2, "Can all places be open at once?", each_place_for_itself),
        Law(
            "right numbers",
            3,
            "Are the weights the reference's?",
            laws.equals_reference("plain", "no batch axis", "clips and persons"),
        ),
        Law("large scores stay finite", 1, "Are large scores no problem?", laws.stays_finite("large scores")),
        laws.ITEMS_APART,
        laws.GRADIENT,
        laws.INPUTS_KEPT,
        laws.FLOAT64,
    ),
    mistakes=MISTAKES,
    also_right={
        "flattened": _flat,
        "place by place": _place_by_place,
        "sigmoid by tanh": _by_tanh,
        "in float64 inside": _in_float64,
        "reciprocal": _reciprocal,
    },
    hints=(
        "Print the weights of one clip. Do they lie between 0 and 1? What do they sum to, and should they?",
        "“Each place for itself” fails when places compete. “Right numbers” fails alone when a bias or a tanh is missing, "
        "or when y and x have changed places.",
        "Two lines: hidden = tanh(pose times hidden_weight turned, plus hidden_bias); then a sum over the hidden axis for "
        'every (y, x), plus place_bias, inside a sigmoid. torch.einsum("...h,yxh->...yx", ...) is that sum.',
        "A twin on another task, which lamps (floor, room) to light for a mood:\n"
        "    feeling = torch.tanh(mood @ to_feeling.mT + habit)\n"
        '    light = torch.sigmoid(torch.einsum("...f,krf->...kr", feeling, lamp_weight) + lamp_bias)',
    ),
)
