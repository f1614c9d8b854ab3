"""Exercise: the gate over places, from a convolution over two maps."""

from functools import partial

import torch
import torch.nn.functional as F

from attnlab.checks import laws
from attnlab.checks.cbam.channel_attention import between_zero_and_one
from attnlab.checks.exercise import Case, Exercise, Mistake, draw_sizes, uncontiguous
from attnlab.checks.laws import Law, Seen, close
from attnlab.reference.spatial_attention import spatial_attention as reference


def draw(generator: torch.Generator) -> list[Case]:
    b, c, y, x = draw_sizes(generator, "batch", "channels", "y", "x").values()
    y, x = y + 4, x + 4  # room for a window

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    features = normal(b, c, y, x)
    features[:, 0, 0, 0], features[:, :, -1, -1] = (
        -4.0,
        3.0 + torch.rand(b, c, generator=generator),
    )  # scores of both signs are sure to come
    small, seven = normal(1, 2, 3, 3) / 3, normal(1, 2, 7, 7) / 7
    point = torch.tensor([1.0, 0.5])[None, :, None, None] + torch.rand(1, 2, 1, 1, generator=generator)
    order = torch.arange(c).roll(1)
    return [
        Case("plain", (features, small)),
        Case("channels shuffled", (features[:, order], small)),
        Case("7 by 7 window", (features, seven)),
        Case("7 by 7 window on a map of 7 by 7", (normal(b, c, 7, 7), seven)),
        Case("window of one place", (features, point)),
        Case("one channel", (features[:, :1], small)),
        Case("first item alone", (features[:1], small)),
        Case("large features", (1e4 * (1 + features.abs()), small.abs())),
        Case("float64", (features.double(), small.double())),
        Case("other memory layout", (uncontiguous(features), uncontiguous(small))),
        Case("gradients", (features, small), gradients=True),
    ]


def which_channel_does_not_matter(seen: Seen) -> str | None:
    if close(seen.output("channels shuffled", "gate"), seen.output("plain", "gate")):
        return None
    return "The channels changed places, and the gate over places changed."


def flawed(
    features,
    kernel,
    *,
    average="mean",
    largest="max",
    maps=("average", "largest"),
    padding="half",
    mode="constant",
    flip="none",
    merge="maps",
    squash="sigmoid",
    over_batch=False,
    cut=False,
    in_place=False,
    in_float32=False,
    returned="gate",
):
    """The spatial gate with one switch for each way of getting it wrong; with none set it is right."""
    given = features
    if in_float32:
        features, kernel = features.float(), kernel.float()
    found = {"average": AVERAGE[average](features), "largest": LARGEST[largest](features)}
    if over_batch:
        found = {name: m.mean(dim=0, keepdim=True).expand_as(m) for name, m in found.items()}
    found = [found[name] for name in maps]
    found = [m.expand(-1, -1, *features.shape[2:]) for m in found] if average == "over all" else found
    kernel = {"none": kernel, "both ways": kernel.flip(-1, -2), "transposed": kernel.mT}[flip]
    side = {"half": kernel.shape[-1] // 2, "none": 0, "three": 3}[padding]

    def looked(stack, window):
        return F.conv2d(F.pad(stack, (side, side, side, side), mode=mode), window)

    if merge == "gates":
        gate = sum(SQUASH[squash](looked(m, kernel[:, i : i + 1])) for i, m in enumerate(found))
    else:
        gate = SQUASH[squash](looked(torch.cat(found, dim=1), kernel))
    gate = gate.to(given.dtype)
    gate = gate.detach() if cut else gate
    if in_place:
        given *= gate
    if returned == "features":
        return gate * given
    return gate[:, 0] if returned == "flat" else gate


AVERAGE = {
    "mean": lambda f: f.mean(dim=1, keepdim=True),
    "sum": lambda f: f.sum(dim=1, keepdim=True),
    "over places": lambda f: f.mean(dim=(-2, -1), keepdim=True),
    "over all": lambda f: f.mean(dim=(1, 2, 3), keepdim=True),
}
LARGEST = {
    "max": lambda f: f.amax(dim=1, keepdim=True),
    "size": lambda f: f.abs().amax(dim=1, keepdim=True),
    "first": lambda f: f[:, :1],
    "over places": lambda f: f.amax(dim=(-2, -1), keepdim=True),
    "over all": lambda f: f.amax(dim=(1, 2, 3), keepdim=True),
    "which": lambda f: f.max(dim=1, keepdim=True).indices.to(f.dtype),
}
SQUASH = {
    "sigmoid": torch.sigmoid,
    "none": lambda scores: scores,
    "twice": lambda scores: scores.sigmoid().sigmoid(),
    "softmax": lambda scores: scores.flatten(1).softmax(dim=1).reshape(scores.shape),
    "overflow": lambda scores: scores.exp() / (1 + scores.exp()),
}

MISTAKES = (
    Mistake(
        "maximum first",
        "the maximum is the first map and the mean the second.",
        "So it is in the authors' code; the paper and timm put the mean first. A network trained from scratch does\n"
        "not care, but loaded weights meet the wrong maps.",
        "put the mean first: [mean, max].",
        partial(flawed, maps=("largest", "average")),
    ),
    Mistake(
        "mean twice",
        "both maps are the mean.",
        "A place at which one channel fires and all others are silent has a small mean. The maximum sees it.",
        "take features.amax(dim=1) for the second map.",
        partial(flawed, maps=("average", "average")),
    ),
    Mistake(
        "maximum twice",
        "both maps are the maximum.",
        "One channel then speaks for a place, whatever the others say.",
        "take features.mean(dim=1) for the first map.",
        partial(flawed, maps=("largest", "largest")),
    ),
    Mistake(
        "sum over channels",
        "the channels are added up, not averaged.",
        "The sum grows with the number of channels, so the same window would see other numbers in every stage of a\n"
        "network.",
        "use .mean(dim=1).",
        partial(flawed, average="sum"),
    ),
    Mistake(
        "first channel",
        "the second map is the first channel, not the largest of all.",
        "features[:, :1] picks a channel by its number. The gate should not depend on the order of the channels.",
        "use .amax(dim=1, keepdim=True).",
        partial(flawed, largest="first"),
    ),
    Mistake(
        "largest size",
        "the sign is dropped before the maximum is taken.",
        "A place that is far below zero in one channel would look like one that is far above.",
        "take the maximum of the features as they are.",
        partial(flawed, largest="size"),
    ),
    Mistake(
        "number of the channel",
        "the second map holds which channel is largest, not how large it is.",
        "max(dim=1) returns values and places. The number of a channel is a name, and the window would compute with it.",
        "use .amax(dim=1), or .max(dim=1).values.",
        partial(flawed, largest="which"),
    ),
    Mistake(
        "one summary for the whole picture",
        "the maps are pooled over channels and places, and spread out again.",
        "Then every place looks alike to the window, but for the border. What goes away is the axis of the channels only.",
        "pool over dim=1.",
        partial(flawed, average="over all", largest="over all"),
    ),
    Mistake(
        "summed up over places",
        "the maps are pooled over the places, not over the channels.",
        "That is the summary of the channel gate. Here a number is wanted for every place: what goes away is the\n"
        "axis of the channels.",
        "pool over dim=1.",
        lambda features, kernel: flawed(features, kernel, average="over places", largest="over places"),
    ),
    Mistake(
        "no padding",
        "the convolution has no padding.",
        "The map loses a window's width. On a map of 7 by 7 a window of 7 leaves one number, and that multiplies with\n"
        "everything: no error, and no gate over places.",
        "pad by kernel.shape[-1] // 2.",
        partial(flawed, padding="none"),
    ),
    Mistake(
        "padding of three",
        "the padding is 3, whatever the window.",
        "3 is right for a window of 7. For a window of 3 the map grows by four.",
        "pad by kernel.shape[-1] // 2.",
        partial(flawed, padding="three"),
    ),
    Mistake(
        "border repeated",
        "the border is padded with its own values.",
        "Zeros stand around the map here, as nn.Conv2d does it unless told otherwise. Loaded weights expect them.",
        "use conv2d(..., padding=kernel.shape[-1] // 2).",
        partial(flawed, mode="replicate"),
    ),
    Mistake(
        "window turned over",
        "the window is turned over before it is used.",
        "In mathematics a convolution does so. In deep learning the word means cross-correlation: the window as it\n"
        "is.",
        "give the kernel to conv2d as it comes.",
        partial(flawed, flip="both ways"),
    ),
    Mistake(
        "window transposed",
        "the window's rows and columns are exchanged.",
        "A window that looks for upright edges then looks for level ones.",
        "give the kernel to conv2d as it comes.",
        partial(flawed, flip="transposed"),
    ),
    Mistake(
        "sigmoid on each",
        "each map gets a gate of its own, and the two gates are added.",
        "The sum lies between 0 and 2. One convolution over both maps weighs them against each other, before one\n"
        "sigmoid.",
        "concatenate the two maps along the channel axis and convolve once.",
        partial(flawed, merge="gates"),
    ),
    Mistake(
        "no sigmoid",
        "the scores are returned.",
        "A score may be negative or far above 1. As a gate it would turn signs round and blow features up.",
        "end with a sigmoid.",
        partial(flawed, squash="none"),
    ),
    Mistake(
        "sigmoid twice",
        "the sigmoid is taken twice.",
        "The second one gets numbers between 0 and 1, and gives numbers between 0.5 and 0.73: no place can be shut.",
        "take one sigmoid.",
        partial(flawed, squash="twice"),
    ),
    Mistake(
        "softmax over places",
        "a softmax shares one unit out among the places.",
        "Places need not compete for it. On a map of 56 by 56 a fair share would be 1/3136: the features would\n"
        "all but vanish.",
        "give each place a sigmoid of its own.",
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
        "mean over the batch",
        "the maps are averaged over the batch.",
        "Then all pictures of a batch share one gate, wherever their things stand.",
        "pool over the channels only.",
        partial(flawed, over_batch=True),
    ),
    Mistake(
        "returns the gated features",
        "the features times the gate are returned.",
        "The exercise asks for the gate alone, (b, 1, y, x). CBAM will multiply.",
        "return the gate.",
        partial(flawed, returned="features"),
    ),
    Mistake(
        "gate without its channel axis",
        "the gate has the shape (b, y, x).",
        "Multiplied with features (b, c, y, x) its batch axis would meet the channels: an error, or, where the sizes\n"
        "happen to fit, pictures that gate each other's channels.",
        "keep an axis of length one: (b, 1, y, x).",
        partial(flawed, returned="flat"),
    ),
    Mistake(
        "graph is cut",
        "the gate is detached from the graph.",
        "The numbers are right, but the window cannot learn.",
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


def _keepdim(features, kernel):
    maps = torch.cat([features.mean(1, keepdim=True), features.max(1, keepdim=True).values], dim=1)
    return torch.sigmoid(F.conv2d(maps, kernel, padding="same"))


def _two_convolutions(features, kernel):
    """A convolution is linear: one for each map, and the scores are added."""
    side = kernel.shape[-1] // 2
    of_mean = F.conv2d(features.mean(dim=1, keepdim=True), kernel[:, :1], padding=side)
    return (of_mean + F.conv2d(features.amax(dim=1, keepdim=True), kernel[:, 1:], padding=side)).sigmoid()


def _unfolded(features, kernel):
    b, _, y, x = features.shape
    maps = torch.stack([features.mean(1), features.amax(1)], 1)
    patches = F.unfold(maps, kernel.shape[-2:], padding=kernel.shape[-1] // 2)
    return torch.sigmoid(kernel.flatten()[None] @ patches).reshape(b, 1, y, x)


def _shifted(features, kernel):
    """Place by place of the window: the maps, shifted and added."""
    _, _, y, x = features.shape
    side = kernel.shape[-1]
    maps = F.pad(torch.stack([features.sum(1) / features.shape[1], features.amax(1)], 1), [side // 2] * 4)
    scores = 0
    for dy in range(side):
        for dx in range(side):
            scores = scores + (kernel[:, :, dy, dx, None, None] * maps[:, :, dy : dy + y, dx : dx + x]).sum(
                1, keepdim=True
            )
    return 1 / (1 + torch.exp(-scores))


def _in_float64(features, kernel):
    return reference(features.double(), kernel.double()).to(features.dtype)


spatial_attention = Exercise(
    name="spatial_attention",
    title="A gate over places",
    stars=2,
    importance=4,
    minutes=12,
    answer=reference,
    returns=("gate",),
    draw=draw,
    laws=(
        laws.RIGHT_SHAPES,
        Law("between zero and one", 1, "Is every gate between 0 and 1?", between_zero_and_one("window of one place")),
        Law(
            "right numbers",
            3,
            "Is the gate the reference's?",
            laws.equals_reference("plain", "window of one place", "one channel", "float64", "other memory layout"),
        ),
        Law(
            "right numbers at 7 by 7",
            1,
            "Is it right with the paper's window, on any map?",
            laws.equals_reference("7 by 7 window", "7 by 7 window on a map of 7 by 7"),
        ),
        Law(
            "which channel does not matter",
            1,
            "Is the gate blind to the channels' order?",
            which_channel_does_not_matter,
        ),
        Law("large features stay finite", 1, "Are large features no problem?", laws.stays_finite("large features")),
        laws.ITEMS_APART,
        laws.GRADIENT,
        laws.INPUTS_KEPT,
        laws.FLOAT64,
    ),
    mistakes=MISTAKES,
    also_right={
        "keepdim and padding same": _keepdim,
        "two convolutions": _two_convolutions,
        "unfolded": _unfolded,
        "shifted and added": _shifted,
        "in float64 inside": _in_float64,
    },
    hints=(
        "Print the shapes of your two maps and of what comes out. Which axis of the features is gone, and has the map kept "
        "its size?",
        "“Right numbers at 7 by 7” alone fails when the padding does not fit the window; “which channel does not matter” when a "
        "map takes one channel for all.",
        "Two lines: stack mean and amax over dim=1 into (b, 2, y, x), mean first; F.conv2d with padding=kernel.shape[-1] // 2, "
        "and a sigmoid.",
        "A twin on another task, where in a song it is loud, from all its instruments (b, instruments, time):\n"
        "    curves = torch.stack([song.mean(dim=1), song.amax(dim=1)], dim=1)\n"
        "    loud = F.conv1d(curves, window, padding=window.shape[-1] // 2).sigmoid()",
    ),
)
