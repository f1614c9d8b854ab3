"""Exercise: the gate over channels, from one MLP over two summaries."""

from functools import partial

import torch

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake, draw_sizes, uncontiguous
from attnlab.checks.laws import Law, Question, Seen, close
from attnlab.reference.channel_attention import channel_attention as reference


def signed(weights: torch.Tensor) -> torch.Tensor:
    """The first row positive and the second negative, so that scores of both signs are sure to come."""
    weights = weights.clone()
    weights[0], weights[1] = weights[0].abs() + 0.2, -weights[1].abs() - 0.2
    return weights


def draw(generator: torch.Generator) -> list[Case]:
    b, c, hidden, y, x = draw_sizes(generator, "batch", "channels", "hidden", "y", "x").values()

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    features = normal(b, c, y, x)
    features[:, :, 0, 0] = 1.0 + torch.rand(b, c, generator=generator)  # every channel has a largest value above 0,
    features[:, :, -1, -1] = -2.5 - torch.rand(b, c, generator=generator)  # and a larger one below
    weights = signed(normal(hidden, c)) / c**0.5, signed(normal(c, hidden)) / hidden**0.5
    order = torch.randperm(y * x, generator=generator)
    moved = features.flatten(2)[..., order].reshape(b, c, y, x)
    return [
        Case("plain", (features, *weights)),
        Case("places shuffled", (moved, *weights)),
        Case("one place", (features[:, :, :1, :1], *weights)),
        Case("first item alone", (features[:1], *weights)),
        Case("large features", (1e4 * (1 + features.abs()), *(w.abs() for w in weights))),
        Case("float64", (features.double(), *(w.double() for w in weights))),
        Case("other memory layout", (uncontiguous(features), *map(uncontiguous, weights))),
        Case("gradients", (features, *weights), gradients=True),
    ]


def between_zero_and_one(case: str, of: str = "gate") -> Question:
    def holds(seen: Seen) -> str | None:
        gate = seen.output(case, of)
        if gate.min() >= 0 and gate.max() <= 1:
            return None
        return f"The gate runs from {gate.min().item():.3g} to {gate.max().item():.3g}; it should lie between 0 and 1."

    return holds


def where_does_not_matter(seen: Seen) -> str | None:
    if close(seen.output("places shuffled", "gate"), seen.output("plain", "gate")):
        return None
    return "The places of the map were shuffled, and the gate over channels changed."


def flawed(
    features,
    reduce,
    expand,
    *,
    average="mean",
    largest="max",
    pools=("average", "largest"),
    merge="scores",
    half=False,
    relu=True,
    relu_at_end=False,
    squash="sigmoid",
    over_batch=False,
    cut=False,
    in_place=False,
    in_float32=False,
    returned="gate",
):
    """The channel gate with one switch for each way of getting it wrong; with none set it is right."""
    given = features
    if in_float32:
        features, reduce, expand = features.float(), reduce.float(), expand.float()
    summaries = {"average": AVERAGE[average](features), "largest": LARGEST[largest](features)}
    if over_batch:
        summaries = {name: s.mean(dim=0, keepdim=True).expand_as(s) for name, s in summaries.items()}
    summaries = [summaries[name] for name in pools]

    def mlp(summary):
        hidden = summary @ reduce.mT
        scores = (hidden.relu() if relu else hidden) @ expand.mT
        return scores.relu() if relu_at_end else scores

    if merge == "summaries":
        gate = SQUASH[squash](mlp(sum(summaries)))
    elif merge == "gates":
        gate = sum(SQUASH[squash](mlp(s)) for s in summaries)
    else:
        gate = SQUASH[squash](sum(mlp(s) for s in summaries) / (2 if half else 1))
    gate = gate[:, :, None, None].to(given.dtype)
    gate = gate.detach() if cut else gate
    if in_place:
        given *= gate
    if returned == "features":
        return gate * given
    return gate[:, :, 0, 0] if returned == "flat" else gate


AVERAGE = {"mean": lambda f: f.mean(dim=(-2, -1)), "sum": lambda f: f.sum(dim=(-2, -1))}
LARGEST = {
    "max": lambda f: f.amax(dim=(-2, -1)),
    "of row means": lambda f: f.mean(dim=-1).amax(dim=-1),
    "size": lambda f: f.abs().amax(dim=(-2, -1)),
}
SQUASH = {
    "sigmoid": torch.sigmoid,
    "none": lambda scores: scores,
    "softmax": lambda scores: scores.softmax(dim=1),
    "overflow": lambda scores: scores.exp() / (1 + scores.exp()),
    "tanh": torch.tanh,
}

MISTAKES = (
    Mistake(
        "average only",
        "the mean alone is summed up, and the largest value is not used.",
        "That is squeeze-and-excitation. A small bright thing hardly moves the mean of its channel; the largest\n"
        "value sees it.",
        "put features.amax(dim=(-2, -1)) through the same MLP and add the two scores.",
        partial(flawed, pools=("average",)),
    ),
    Mistake(
        "maximum only",
        "the largest value alone is used.",
        "One place then speaks for the whole channel. The paper uses both summaries, and found both better than one.",
        "put features.mean(dim=(-2, -1)) through the same MLP and add the two scores.",
        partial(flawed, pools=("largest",)),
    ),
    Mistake(
        "sigmoid on each",
        "each summary gets a sigmoid of its own, and the two gates are added.",
        "The sum of two sigmoids lies between 0 and 2, and is about 1 at the start: a gate that lets everything\n"
        "through, or doubles it.",
        "add the two scores first, then take one sigmoid.",
        partial(flawed, merge="gates"),
    ),
    Mistake(
        "summed before the MLP",
        "mean and largest value are added, and the sum goes through the MLP once.",
        "Because of the ReLU inside, MLP(a) + MLP(m) is not MLP(a + m). Added first, the two summaries cannot be told\n"
        "apart any more.",
        "call the MLP twice, once for each summary, and add what comes out.",
        partial(flawed, merge="summaries"),
    ),
    Mistake(
        "mean of the two",
        "the two scores are averaged, not added.",
        "Half of each score: the gate stays nearer to 0.5 than the formula says, and loaded weights mean something\n"
        "else.",
        "add the two scores, without dividing.",
        partial(flawed, half=True),
    ),
    Mistake(
        "no ReLU",
        "there is no ReLU between the two layers.",
        "Two linear layers in a row are one linear layer; nothing is left of the bottleneck but its lower rank.",
        "write (summary @ reduce.mT).relu() @ expand.mT.",
        partial(flawed, relu=False),
    ),
    Mistake(
        "ReLU at the end",
        "there is a ReLU after the second layer too.",
        "The scores are then never negative, so no gate can fall below 0.5: the block can keep a channel, and hardly\n"
        "close one.",
        "keep the ReLU after `reduce` only.",
        partial(flawed, relu_at_end=True),
    ),
    Mistake(
        "no sigmoid",
        "the scores are returned.",
        "A score may be negative or far above 1. As a gate it would turn signs round and blow features up.",
        "end with a sigmoid.",
        partial(flawed, squash="none"),
    ),
    Mistake(
        "tanh",
        "a tanh stands where the sigmoid should.",
        "Its values run from -1 to 1: a gate of -1 turns a channel's sign round, and a score of 0 closes it.",
        "use .sigmoid().",
        partial(flawed, squash="tanh"),
    ),
    Mistake(
        "softmax over channels",
        "a softmax shares one unit out among the channels.",
        "Channels need not compete: several may matter at once. With many channels every weight would be close to\n"
        "zero, and so would the features.",
        "give each channel a sigmoid of its own.",
        partial(flawed, squash="softmax"),
    ),
    Mistake(
        "overflow",
        "the sigmoid is written as exp(s) / (1 + exp(s)).",
        "exp(89) is beyond float32, and infinity over infinity is NaN. 1 / (1 + exp(-s)) is safe.",
        "call torch.sigmoid.",
        partial(flawed, squash="overflow"),
    ),
    Mistake(
        "sum over places",
        "the values of a channel are added up, not averaged.",
        "The sum grows with the size of the map, so the gate would depend on the resolution of the picture.",
        "use .mean(dim=(-2, -1)).",
        partial(flawed, average="sum"),
    ),
    Mistake(
        "largest row",
        "it averages each row first and takes the largest of these means.",
        "The largest value is wanted of all places of the channel, wherever it stands. Mean and maximum do not\n"
        "commute.",
        "take .amax(dim=(-2, -1)), over both axes at once.",
        partial(flawed, largest="of row means"),
    ),
    Mistake(
        "largest size",
        "the sign is dropped before the largest value is taken.",
        "A channel that is far below zero somewhere would look like one that is far above.",
        "take the maximum of the features as they are.",
        partial(flawed, largest="size"),
    ),
    Mistake(
        "mean over the batch",
        "the summaries are averaged over the batch.",
        "Then all pictures of a batch share one gate, and a picture's result depends on its neighbours.",
        "summarise over the last two axes only.",
        partial(flawed, over_batch=True),
    ),
    Mistake(
        "returns the gated features",
        "the features times the gate are returned.",
        "The exercise asks for the gate alone, (b, c, 1, 1). CBAM will multiply.",
        "return the gate.",
        partial(flawed, returned="features"),
    ),
    Mistake(
        "gate without its two axes",
        "the gate has the shape (b, c).",
        "Multiplied with features (b, c, y, x) it would meet the last two axes: an error, or, where the sizes happen\n"
        "to fit, channels that gate columns.",
        "give it two axes of length one: [:, :, None, None].",
        partial(flawed, returned="flat"),
    ),
    Mistake(
        "graph is cut",
        "the gate is detached from the graph.",
        "The numbers are right, but neither layer of the MLP can learn.",
        "leave out .detach(), .data and no_grad().",
        partial(flawed, cut=True),
    ),
    Mistake(
        "gates in place",
        "the features are multiplied in place on the way.",
        "`features *= gate` writes into the caller's tensor: called twice, it gates twice.",
        "compute the gate, and leave the features alone.",
        partial(flawed, in_place=True),
    ),
    Mistake(
        "float32 inside",
        "everything is turned into float32 on the way.",
        "Whoever computes in float64 gets float32's accuracy, and does not see it.",
        "leave the dtype as it comes.",
        partial(flawed, in_float32=True),
    ),
)


def _stacked(features, reduce, expand):
    summaries = torch.stack([features.mean(dim=(2, 3)), features.amax(dim=(2, 3))])  # (2, b, c)
    scores = torch.einsum("ch,sbh->sbc", expand, torch.einsum("hc,sbc->sbh", reduce, summaries).clamp(min=0))
    return torch.sigmoid(scores.sum(dim=0)).unflatten(1, (-1, 1, 1))


def _pooling(features, reduce, expand):
    def mlp(summary):
        hidden = torch.nn.functional.conv2d(summary, reduce[:, :, None, None])
        return torch.nn.functional.conv2d(torch.relu(hidden), expand[:, :, None, None])

    average = torch.nn.functional.adaptive_avg_pool2d(features, 1)
    largest = torch.nn.functional.adaptive_max_pool2d(features, 1)
    return torch.sigmoid(mlp(average) + mlp(largest))


def _hidden_added(features, reduce, expand):
    """The last layer is linear, so what is hidden may be added before it."""
    flat = features.flatten(2)
    hidden = (flat.mean(-1) @ reduce.mT).relu() + (flat.max(-1).values @ reduce.mT).relu()
    return (hidden @ expand.mT).sigmoid().view(*features.shape[:2], 1, 1)


def _item_by_item(features, reduce, expand):
    gates = []
    for item in features:
        summaries = torch.stack([item.flatten(1).mean(1), item.flatten(1).max(1)[0]], dim=1)
        gates.append(torch.sigmoid((expand @ (reduce @ summaries).relu()).sum(1)))
    return torch.stack(gates)[..., None, None]


def _in_float64(features, reduce, expand):
    return reference(features.double(), reduce.double(), expand.double()).to(features.dtype)


channel_attention = Exercise(
    name="channel_attention",
    title="A gate over channels",
    stars=2,
    importance=4,
    minutes=12,
    answer=reference,
    returns=("gate",),
    draw=draw,
    laws=(
        laws.RIGHT_SHAPES,
        Law("between zero and one", 1, "Is every gate between 0 and 1?", between_zero_and_one("plain")),
        Law(
            "right numbers",
            3,
            "Is the gate the reference's?",
            laws.equals_reference("plain", "one place", "float64", "other memory layout"),
        ),
        Law("where does not matter", 1, "Is the gate blind to where things stand?", where_does_not_matter),
        Law("large features stay finite", 1, "Are large features no problem?", laws.stays_finite("large features")),
        laws.ITEMS_APART,
        laws.GRADIENT,
        laws.INPUTS_KEPT,
        laws.FLOAT64,
    ),
    mistakes=MISTAKES,
    also_right={
        "stacked, with einsum": _stacked,
        "pooling layers and 1 x 1 convolutions": _pooling,
        "hidden numbers added": _hidden_added,
        "item by item": _item_by_item,
        "in float64 inside": _in_float64,
    },
    hints=(
        "Give it features that are the same everywhere. Then mean and largest value are equal: what should the gate be, in "
        "terms of one MLP?",
        "“Between zero and one” fails when sigmoids are added; “where does not matter” when a summary does not run over both "
        "axes of the map. “Right numbers” alone: is the ReLU where it belongs, and is the MLP called twice?",
        "Three lines: the two summaries, over dim=(-2, -1); the sum of two calls of the MLP; sigmoid, with [:, :, None, None].",
        "A twin on another task, a choir's volume from its singers' mean and loudest voice:\n"
        "    def judge(voice):\n"
        "        return (voice @ listen.mT).relu() @ decide.mT\n"
        "    volume = (judge(choir.mean(dim=1)) + judge(choir.amax(dim=1))).sigmoid()",
    ),
)
