"""Exercise: one number for each channel, the mean of its map."""

from functools import partial

import torch
import torch.nn.functional as F

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake, draw_sizes, uncontiguous
from attnlab.checks.laws import Law, Seen, close
from attnlab.reference.squeeze_excitation import squeeze as reference


def draw(generator: torch.Generator) -> list[Case]:
    b, c, y, x, t = draw_sizes(generator, "batch", "channels", "y", "x", "time").values()
    features = torch.randn(b, c, y, x, generator=generator) + torch.randn(c, 1, 1, generator=generator)
    order = torch.randperm(y * x, generator=generator)
    return [
        Case("plain", (features,)),
        Case("places shuffled", (features.flatten(-2)[..., order].reshape(features.shape),)),
        Case("every place four times", (features.repeat_interleave(2, -1).repeat_interleave(2, -2),)),
        Case("after a ReLU", (features.relu(),)),
        Case("no batch axis", (features[0],)),
        Case("frames of clips", (torch.randn(t, b, c, y, x, generator=generator),)),
        Case("one place", (features[..., :1, :1],)),
        Case("first item alone", (features[:1],)),
        Case("other memory layout", (uncontiguous(features),)),
        Case("float64", (features.double(),)),
        Case("gradients", (features,), gradients=True),
    ]


def places_are_alike(seen: Seen) -> str | None:
    if close(seen.output("places shuffled", "summary"), seen.output("plain", "summary")):
        return None
    return "The places of each map were shuffled, and the summary changed. A mean does not ask where a number stood."


def size_does_not_matter(seen: Seen) -> str | None:
    if close(seen.output("every place four times", "summary"), seen.output("plain", "summary")):
        return None
    return "The map was made twice as tall and twice as wide by repeating its numbers, and the summary changed."


def _mean(features):
    return features.mean(dim=(-2, -1))


def _of_batch(features):
    means = _mean(features)
    return means.mean(dim=0, keepdim=True).expand_as(means) if means.ndim > 1 else means


def _of_item(features):
    return features.mean(dim=(-3, -2, -1))[..., None].expand(features.shape[:-2])


def _mixed_up(features):
    *leading, c, y, x = features.shape
    return features.reshape(*leading, y * x, c).mean(dim=-2)


def _of_what_is_on(features):
    on = features != 0
    return features.sum(dim=(-2, -1)) / on.sum(dim=(-2, -1)).clamp(min=1)


WAYS = {
    "mean": _mean,
    "over channels": lambda features: features.mean(dim=-3),
    "over channels and y": lambda features: features.mean(dim=(-3, -2)),
    "over everything": lambda features: features.mean(),
    "over y": lambda features: features.mean(dim=-2),
    "over x": lambda features: features.mean(dim=-1),
    "sum": lambda features: features.sum(dim=(-2, -1)),
    "largest": lambda features: features.amax(dim=(-2, -1)),
    "batch": _of_batch,
    "item": _of_item,
    "reshape": _mixed_up,
    "corner": lambda features: features[..., 0, 0] + 0.0,
    "what is on": _of_what_is_on,
    "sizes": lambda features: _mean(features.abs()),
    "spread": lambda features: features.square().mean(dim=(-2, -1)).sqrt(),
    "by channels": lambda features: features.sum(dim=(-2, -1)) / features.shape[-3],
    "from the front": lambda features: features.mean(dim=(2, 3)),
    "axis 1": lambda features: features.mean(dim=1),
}


def flawed(features, *, way="mean", keep=False, cut=False, narrow=False):
    """The squeeze with one switch for each way of getting it wrong."""
    dtype = features.dtype
    summary = WAYS[way](features.float() if narrow else features).to(dtype)
    summary = summary.detach() if cut else summary
    return summary[..., None, None] if keep else summary


MISTAKES = (
    Mistake(
        "pools over channels",
        "it averages over the channels.",
        "That leaves a picture, one number for each place. The squeeze does the opposite: it forgets the places and\n"
        "keeps one number for each channel.",
        "average over the last two axes, y and x.",
        partial(flawed, way="over channels"),
    ),
    Mistake(
        "pools over axis 1",
        "it averages over axis 1, the channels of a batch of pictures.",
        "That leaves a picture, one number for each place; and where there is no batch, axis 1 is y. The squeeze forgets the\n"
        "places and keeps one number for each channel.",
        "average over the last two axes, dim=(-2, -1).",
        partial(flawed, way="axis 1"),
    ),
    Mistake(
        "pools over channels and y",
        "it averages over the channels and y, and leaves x.",
        "dim=(1, 2) of (b, c, y, x) does so: axis 0 is the batch, axis 1 the channels. What is left has no channel.",
        "average over the last two axes, dim=(-2, -1).",
        partial(flawed, way="over channels and y"),
    ),
    Mistake(
        "one number in all",
        "it averages over everything.",
        ".mean() without dim leaves a single number for the whole batch.",
        "say which axes: dim=(-2, -1).",
        partial(flawed, way="over everything"),
    ),
    Mistake(
        "pools over y only",
        "it averages over y and leaves x.",
        "A channel is then still a row of numbers. The summary is one number a channel, of the whole map.",
        "average over both, dim=(-2, -1).",
        partial(flawed, way="over y"),
    ),
    Mistake(
        "pools over x only",
        "it averages over x and leaves y.",
        "A channel is then still a column of numbers. The summary is one number a channel, of the whole map.",
        "average over both, dim=(-2, -1).",
        partial(flawed, way="over x"),
    ),
    Mistake(
        "sum, not mean",
        "it adds up, and does not divide by the number of places.",
        "Then a larger picture of the same thing has a larger summary, and a gate that was trained at one size is wrong\n"
        "at another.",
        "take the mean.",
        partial(flawed, way="sum"),
    ),
    Mistake(
        "divides by the channels",
        "it divides the sum by the number of channels.",
        "What is averaged are the places of one map. How many channels there are has nothing to do with it.",
        "divide by y times x, or call .mean.",
        partial(flawed, way="by channels"),
    ),
    Mistake(
        "maximum, not mean",
        "it takes the largest number of each map.",
        "The paper tried that (22.57 % error against 22.28 %). A maximum hangs on one place; CBAM in lesson 03 uses both.",
        "take the mean.",
        partial(flawed, way="largest"),
    ),
    Mistake(
        "over the batch too",
        "it averages over the batch as well.",
        "Then all pictures of a batch get the same gates, and what comes out for one depends on who else is there.",
        "average over the last two axes only.",
        partial(flawed, way="batch"),
    ),
    Mistake(
        "one number an item",
        "it averages over channels, y and x, so that all channels get the same number.",
        "The excitation is to compare channels: their summaries must differ.",
        "leave the channel axis out of dim.",
        partial(flawed, way="item"),
    ),
    Mistake(
        "bare reshape",
        "it reshapes (c, y, x) to (places, c) and averages the places.",
        "A reshape does not move axes: it cuts the same row of numbers into other pieces, so each column mixes channels.\n"
        "The shape is right, and the numbers are not.",
        "average over the last two axes as they are, or flatten them: features.flatten(-2).mean(-1).",
        partial(flawed, way="reshape"),
    ),
    Mistake(
        "the corner only",
        "it takes the number at one place.",
        "One place does not speak for the whole map; the gate is to know what is anywhere in the picture.",
        "take the mean over all places.",
        partial(flawed, way="corner"),
    ),
    Mistake(
        "only what is on",
        "it averages over the places that are not zero.",
        "How much of a map is silent is part of the message: a channel that fires in one corner should have a small summary.",
        "divide by all places, y times x.",
        partial(flawed, way="what is on"),
    ),
    Mistake(
        "mean of the sizes",
        "it averages absolute values.",
        "A mean has a sign. After a ReLU there is no difference; before it, or after a norm, there is.",
        "leave .abs() out.",
        partial(flawed, way="sizes"),
    ),
    Mistake(
        "root of the mean square",
        "it takes the root of the mean square.",
        "That is the energy of a map, which some later gates use. The squeeze is the plain mean.",
        "take the mean of the numbers themselves.",
        partial(flawed, way="spread"),
    ),
    Mistake(
        "axes counted from the front",
        "it names the axes 2 and 3, which are y and x only while there is exactly one axis in front of the channels.",
        "One picture (c, y, x) has no axis 3, and in a clip (t, b, c, y, x) axis 2 is the channels.",
        "count from the end: dim=(-2, -1).",
        partial(flawed, way="from the front"),
    ),
    Mistake(
        "axes kept",
        "y and x stay as axes of size one.",
        "nn.AdaptiveAvgPool2d(1) leaves them too. The excitation multiplies vectors: (b, c).",
        "leave keepdim out, or .flatten(-3) what the pooling gives.",
        partial(flawed, keep=True),
    ),
    Mistake(
        "graph is cut",
        "the summary is detached from the graph.",
        "The numbers are right, but no gradient flows through the gate to what made the features.",
        "leave out .detach(), .data and no_grad().",
        partial(flawed, cut=True),
    ),
    Mistake(
        "computes in float32",
        "it turns its input to float32 first.",
        "What is given in float64 should be averaged in float64: tests compare to the twelfth digit.",
        "leave out .float().",
        partial(flawed, narrow=True),
    ),
)


def _in_loops(features):
    maps = features.reshape(-1, *features.shape[-2:])
    return torch.stack([one.sum() / one.numel() for one in maps]).reshape(features.shape[:-2])


squeeze = Exercise(
    name="squeeze",
    title="Squeeze: one number a channel",
    stars=1,
    importance=5,
    minutes=5,
    answer=reference,
    returns=("summary",),
    draw=draw,
    laws=(
        laws.RIGHT_SHAPES,
        Law(
            "right numbers",
            2,
            "Are they the reference's?",
            laws.equals_reference(
                "plain", "after a ReLU", "no batch axis", "frames of clips", "one place", "other memory layout"
            ),
        ),
        Law("places are alike", 1, "Does it not matter where in the map a number stands?", places_are_alike),
        Law("size does not matter", 1, "Does a larger picture of the same give the same?", size_does_not_matter),
        laws.ITEMS_APART,
        laws.GRADIENT,
        laws.FLOAT64,
    ),
    mistakes=MISTAKES,
    also_right={
        "flattened": lambda features: features.flatten(-2).mean(-1),
        "sum over count": lambda features: features.sum((-2, -1)) / (features.shape[-2] * features.shape[-1]),
        "one axis after the other": lambda features: features.mean(-1).mean(-1),
        "einsum": lambda features: torch.einsum("...yx->...", features) / features[..., :, :].shape[-2:].numel(),
        "library": lambda features: (
            F.adaptive_avg_pool2d(features.flatten(0, -4) if features.ndim > 4 else features, 1)
            .flatten(-3)
            .reshape(features.shape[:-2])
        ),
        "loops": _in_loops,
    },
    hints=(
        "Print the shape that comes out for 2 pictures of 3 channels, 4 tall and 5 wide. Which axes should be left?",
        "Look at the law that the panel names. “Size does not matter” fails for a sum, “places are alike” where numbers "
        "are picked or mixed up, “items stay apart” where the batch was averaged too.",
        "One line: a mean over two axes at once, counted from the end so that any axes may stand in front of them.",
        "A twin on another task, the mean brightness of each lesson's pages, (lessons, pages, rows, columns):\n"
        "    brightness = paper.mean(dim=(-2, -1))        # (lessons, pages)",
    ),
)
