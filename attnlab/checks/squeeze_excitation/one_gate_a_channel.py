"""Bug hunt: a law that exposes a gate which was not computed from the whole map.

The bug is real, twice. In xiaolai-sqlai/mobilenetv3, issue 12 (2019), the pooling is made in the constructor and never
called. In KichangKim/DeepDanbooru, issue 55 (2022, repaired a day later), its result is overwritten in the next line.
Either way a gate is computed at every place. A gate squeezed over the channels, not the places, fails the same law.

The learner writes a function that takes a layer and says whether it obeys the law. Its cases are layers: right ones,
unusual ones that obey all the same, and ones with a bug. They take features of any number of channels.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake
from attnlab.checks.laws import Law, says


def reference(layer: Callable) -> bool:
    """Is every channel of every picture multiplied by one number, the same in all places of its map?"""
    features = torch.randn((2, 6, 5, 4))
    ratios = (layer(features) / features).flatten(start_dim=2)
    return bool((ratios.amax(dim=-1) - ratios.amin(dim=-1)).max() < 1e-3)


def _matrices(channels: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights of a layer for so many channels, the same at every call."""
    generator = torch.Generator().manual_seed(channels)
    hidden = max(2, channels // 2)
    down, up = (torch.randn(size, generator=generator) for size in ((hidden, channels), (channels, hidden)))
    return down / channels**0.5, 3 * up / hidden**0.5


def gated(
    features,
    *,
    pool=lambda features: features.mean(dim=(-2, -1), keepdim=True),
    end=torch.sigmoid,
    join=lambda features, gates: features * gates,
):
    """Squeeze-and-excitation with one switch for each way of building it."""
    down, up = (matrix.to(features.dtype) for matrix in _matrices(features.shape[-3]))
    summary = pool(features).movedim(-3, -1)
    gates = end((summary @ down.mT + 0.1).relu() @ up.mT).movedim(-1, -3)
    return join(features, gates)


def _by_convolutions(features):
    down, up = (matrix.to(features.dtype) for matrix in _matrices(features.shape[-3]))
    summary = F.adaptive_avg_pool2d(features, 1)
    hidden = F.conv2d(summary, down[..., None, None]).relu()
    return features * F.conv2d(hidden, up[..., None, None]).sigmoid()


def _in_float64(features):
    return gated(features.double()).to(features.dtype)


def _channels_squeezed(features):
    weight = torch.linspace(-2, 2, features.shape[-3])[:, None, None]
    return features * (features * weight).mean(dim=-3, keepdim=True).sigmoid()


def _window(features):
    return F.avg_pool2d(features, 3, stride=1, padding=1)


def _first_right(features):
    """Right for channel 0, the others gated place by place."""
    output = gated(features, pool=lambda whole: whole)
    return torch.cat([gated(features)[..., :1, :, :], output[..., 1:, :, :]], dim=-3)


def _first_picture_right(features):
    """Right for picture 0, the others gated place by place."""
    return torch.cat([gated(features)[:1], gated(features, pool=lambda whole: whole)[1:]])


def _inside_wrong(features):
    """One gate a channel but for one place, away from the corners."""
    output = gated(features)
    output[..., 1, 1] = output[..., 1, 1] / 2
    return output


RIGHT = {
    "the reference": gated,
    "right, with 1x1 convolutions": _by_convolutions,
    "right, in float64": _in_float64,
}
OBEYS = {
    "softmax in place of the sigmoid": partial(gated, end=lambda scores: scores.softmax(dim=-1)),
    "squeezed by a maximum": partial(gated, pool=lambda features: features.amax(dim=(-2, -1), keepdim=True)),
    "squeezed over the batch too": partial(
        gated, pool=lambda features: features.mean(dim=(0, -2, -1), keepdim=True).expand(len(features), -1, 1, 1)
    ),
    "the input added": partial(gated, join=lambda features, gates: features + features * gates),
}
BUGS = {
    "never squeezed": partial(gated, pool=lambda features: features),
    "channels squeezed": _channels_squeezed,
    "only y squeezed": partial(gated, pool=lambda features: features.mean(dim=-2, keepdim=True)),
    "only x squeezed": partial(gated, pool=lambda features: features.mean(dim=-1, keepdim=True)),
    "a window squeezed": partial(gated, pool=_window),
    "picture 0 right, the others not": _first_picture_right,
    "wrong in one place, not at a corner": _inside_wrong,
    "channel 0 right, the others not": _first_right,
}


def draw(generator: torch.Generator) -> list[Case]:
    """The cases are the same under every seed: what varies is inside the learner's own law."""
    return [Case(name, (implementation,)) for name, implementation in (RIGHT | OBEYS | BUGS).items()]


def flawed(layer, *, inputs=torch.randn, sizes=(2, 6, 5, 4), judge="map", negate=False, tolerance=1e-3):
    """A law about gates with one switch for each way of getting it wrong."""
    features = inputs(*sizes)
    held = JUDGES[judge](layer, features, layer(features), tolerance)
    return bool(held) != negate


def _spread(ratios, dim):
    return (ratios - ratios.mean(dim=dim, keepdim=True)).abs().max()


def _between(layer, features, output, tolerance):
    ratios = output / features
    return (ratios > -tolerance).all() and (ratios < 1 + tolerance).all()


def _like_the_reference(layer, features, output, tolerance):
    return torch.allclose(output, gated(features), atol=1e-4)


JUDGES = {
    "map": lambda layer, features, output, tolerance: _spread(output / features, (-2, -1)) < tolerance,
    "channels": lambda layer, features, output, tolerance: _spread(output / features, -3) < tolerance,
    "batch": lambda layer, features, output, tolerance: _spread(output / features, 0) < tolerance,
    "a row": lambda layer, features, output, tolerance: _spread((output / features)[..., :1, :], -1) < tolerance,
    "a column": lambda layer, features, output, tolerance: _spread((output / features)[..., :1], -2) < tolerance,
    "channel 0": lambda layer, features, output, tolerance: (
        _spread((output / features)[..., :1, :, :], (-2, -1)) < tolerance
    ),
    "picture 0": lambda layer, features, output, tolerance: _spread((output / features)[0], (-2, -1)) < tolerance,
    "two corners": lambda layer, features, output, tolerance: (
        ((output / features)[..., 0, 0] - (output / features)[..., -1, -1]).abs().max() < tolerance
    ),
    "exactly": lambda layer, features, output, tolerance: _spread(output / features, (-2, -1)) == 0,
    "output": lambda layer, features, output, tolerance: _spread(output, (-2, -1)) < tolerance,
    "difference": lambda layer, features, output, tolerance: _spread(output - features, (-2, -1)) < tolerance,
    "between": _between,
    "like the reference": _like_the_reference,
    "shape": lambda layer, features, output, tolerance: output.shape == features.shape,
}


def _asserts(layer):
    assert reference(layer)


def _for_each_channel(layer):
    features = torch.randn(2, 6, 5, 4)
    return (layer(features) / features).std(dim=(-2, -1)) < 1e-3


MISTAKES = (
    Mistake(
        "always true",
        "the law says yes to everything; it may look at shapes only, or have inputs that cannot tell.",
        "Every one of these layers keeps the shape. And where a map has one place, or all its places are alike, every\n"
        "gate is the same all over it.",
        "draw random maps of several places, and compare output divided by input between the places.",
        partial(flawed, judge="shape"),
    ),
    Mistake(
        "always false",
        "the law says no to everything, right layers too.",
        "A law has to hold for the right ones first; try it on your own layer.",
        "print output divided by input. Zeros in the input give NaN, and NaN is equal to nothing.",
        lambda layer: False,
    ),
    Mistake(
        "yes and no swapped",
        "the law returns True when it finds the bug.",
        "Ask it as: does the law hold? True for a right layer, False for a buggy one.",
        "turn the answer round.",
        partial(flawed, negate=True),
    ),
    Mistake(
        "compares the channels",
        "it wants all channels at a place to have the same gate.",
        "That is a gate for places. Here each channel has its own, and it is the places of a map that share it.",
        "compare over y and x.",
        partial(flawed, judge="channels"),
    ),
    Mistake(
        "compares the pictures",
        "it wants all pictures of the batch to have the same gates.",
        "Gates depend on the picture; only a squeeze over the batch makes them equal, and that is another bug.",
        "compare over y and x.",
        partial(flawed, judge="batch"),
    ),
    Mistake(
        "one row only",
        "it compares the places of a row only.",
        "A layer that pools over x and forgets y has one gate for each row: within a row all is well.",
        "compare all places of the map, over y and x.",
        partial(flawed, judge="a row"),
    ),
    Mistake(
        "one column only",
        "it compares the places of a column only.",
        "A layer that pools over y and forgets x has one gate for each column.",
        "compare all places of the map, over y and x.",
        partial(flawed, judge="a column"),
    ),
    Mistake(
        "channel 0 only",
        "it looks at one channel only.",
        "The law is about every channel; a bug may be in the others.",
        "compare within each map, and ask whether it holds for all.",
        partial(flawed, judge="channel 0"),
    ),
    Mistake(
        "picture 0 only",
        "it looks at one picture of the batch only.",
        "The law is about every channel of every picture; a bug may show in the others.",
        "compare within each map of the whole batch.",
        partial(flawed, judge="picture 0"),
    ),
    Mistake(
        "two corners only",
        "it compares the first place of a map with the last.",
        "Between them anything may happen.",
        "compare all places of the map, such as the largest ratio with the smallest.",
        partial(flawed, judge="two corners"),
    ),
    Mistake(
        "compares with the reference",
        "it compares with a right layer's output.",
        "That asks every question at once: a layer with a softmax fails too, though each channel has one gate. A law that\n"
        "asks one thing names the mistake.",
        "look at output divided by input only.",
        partial(flawed, judge="like the reference"),
    ),
    Mistake(
        "asks for 0 to 1",
        "it asks whether gates lie between 0 and 1.",
        "That is another law. A gate that was never squeezed lies between 0 and 1 as well.",
        "ask whether all places of a map have the same gate.",
        partial(flawed, judge="between"),
    ),
    Mistake(
        "asserts",
        "it asserts, and returns nothing.",
        "A law answers with True or False, so that it can be asked about many layers in a row.",
        "return the truth value in place of the assert.",
        _asserts,
    ),
    Mistake(
        "an answer for each channel",
        "it returns a truth value for each channel.",
        "One question, one answer: the law holds when it holds for all channels.",
        "end with .all().",
        _for_each_channel,
    ),
)


def _loops(layer):
    features = torch.rand(2, 4, 3, 5) + 0.5
    for before, after in zip(features, layer(features), strict=True):
        for plane, gated in zip(before, after, strict=True):
            gates = [g / f for g, f in zip(gated.flatten().tolist(), plane.flatten().tolist(), strict=True)]
            if max(gates) - min(gates) > 1e-3:
                return False
    return True


def _mirrored(layer):
    """Where every place of a map has the same ratio, moving the map by one place changes nothing."""
    features = torch.randn(2, 8, 3, 7)
    ratios = layer(features) / features
    return all(torch.allclose(ratios, ratios.roll(1, dims=axis), atol=1e-3) for axis in (-2, -1))


def _std(layer):
    features = torch.randn(3, 5, 4, 6).sign() + torch.rand(3, 5, 4, 6) / 2
    return (layer(features) / features).flatten(-2).std(-1).max().item() < 1e-3


def _proportional(layer):
    """Each gated map is a multiple of the map: their cosine is one, up to the sign."""
    features = torch.randn(2, 6, 5, 5)
    cosine = F.cosine_similarity(layer(features).flatten(-2), features.flatten(-2), dim=-1).abs()
    return bool((cosine > 1 - 1e-5).all())


one_gate_a_channel = Exercise(
    name="one_gate_a_channel",
    title="Bug hunt: what does the gate know?",
    stars=3,
    importance=4,
    minutes=12,
    answer=reference,
    returns=("holds",),
    hunt=True,
    draw=draw,
    laws=(
        Law("answers yes or no", 1, "Does it return one truth value?", laws.shapes_right()),
        Law(
            "accepts whatever is right",
            1,
            "Does it hold for right layers, written differently?",
            says(True, *RIGHT, of="layer"),
        ),
        Law("asks one question only", 1, "Does it hold where something else is wrong?", says(True, *OBEYS, of="layer")),
        Law(
            "exposes the real bug",
            2,
            "Does it expose a gate that was never squeezed?",
            says(False, "never squeezed", of="layer", fair="the reference"),
        ),
        Law(
            "exposes squeezed channels",
            1,
            "Does it expose the wrong axis?",
            says(False, "channels squeezed", of="layer", fair="the reference"),
        ),
        Law(
            "exposes half a squeeze",
            1,
            "Does it expose a mean over one axis, or over a window?",
            says(False, "only y squeezed", "only x squeezed", "a window squeezed", of="layer", fair="the reference"),
        ),
        Law(
            "looks at every picture",
            1,
            "Does it look further than picture 0?",
            says(False, "picture 0 right, the others not", of="layer", fair="the reference"),
        ),
        Law(
            "looks at every place",
            1,
            "Does it look further than the corners?",
            says(False, "wrong in one place, not at a corner", of="layer", fair="the reference"),
        ),
        Law(
            "looks at every channel",
            1,
            "Does it look further than channel 0?",
            says(False, [*BUGS][-1], of="layer", fair="the reference"),
        ),
    ),
    mistakes=MISTAKES,
    also_right={
        "loops": _loops,
        "rolled": _mirrored,
        "standard deviation": _std,
        "proportional maps": _proportional,
        "largest minus smallest": lambda layer: bool(
            (lambda r: (r.amax((-2, -1)) - r.amin((-2, -1))).max() < 1e-3)(
                layer(f := torch.randn(2, 7, 6, 4).exp()) / f
            )
        ),
    },
    hints=(
        "Put a random picture through the buggy layer of the cell above and print output / input for one channel. Which "
        "numbers should be equal?",
        "The law is the one that check.SqueezeExcitation called “one gate for each channel”. When would it hold for a "
        "wrong layer by accident? Choose inputs that forbid it.",
        "Three lines: random features with several channels and places, and no zeros; output divided by input; and whether "
        "the ratios of each map are all the same, up to 1e-3.",
        "A twin on another task, is every song of a playlist turned up by one volume for the whole song?\n"
        "    volume = played / recorded                       # (songs, seconds)\n"
        "    spread = volume.amax(dim=-1) - volume.amin(dim=-1)\n"
        "    return bool((spread < 1e-3).all())",
    ),
)
