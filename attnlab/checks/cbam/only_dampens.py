"""Bug hunt: a law that exposes a residual connection hidden in a gate.

The learner writes a function that takes a gating block and says whether it can only let less through. Its cases are
blocks: right ones, unusual ones that obey all the same, and ones with a bug.
"""

from collections.abc import Callable
from functools import lru_cache, partial

import torch

from attnlab.checks.cbam.channel_attention import flawed as channel_gate
from attnlab.checks.exercise import Case, Exercise, Mistake
from attnlab.checks.laws import Law, says, shapes_right
from attnlab.reference.spatial_attention import spatial_attention


def reference(block: Callable) -> bool:
    """Does every number come out with its own sign, or zero, and no larger than it went in?"""
    features = torch.randn(6, 6, 6, 6)
    output = block(features)
    return torch.allclose(output, output.clamp(features.clamp(max=0), features.clamp(min=0)))


@lru_cache(maxsize=32)
def _weights(channels: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The same for every block: channel 0 has a score below zero, channel 1 one above, and no gate is quite open."""
    generator = torch.Generator().manual_seed(channels)
    hidden = max(channels // 2, 2)
    reduce = torch.randn(hidden, channels, generator=generator) / channels**0.5
    expand = torch.randn(channels, hidden, generator=generator) / hidden**0.5
    reduce[0], expand[0], expand[1:2] = reduce[0].abs(), -expand[0].abs(), expand[1:2].abs()
    kernel = torch.randn(1, 2, 7, 7, generator=generator) / 7
    return reduce, expand, kernel


@torch.no_grad()
def gated(features: torch.Tensor, order: str = "channel, space", residual: bool = False, **channel) -> torch.Tensor:
    """CBAM for any number of channels; `channel` are switches of the gate over channels."""
    reduce, expand, kernel = (weights.to(features.dtype) for weights in _weights(features.shape[1]))

    def gate(name: str, seen: torch.Tensor) -> torch.Tensor:
        return channel_gate(seen, reduce, expand, **channel) if name == "channel" else spatial_attention(seen, kernel)

    output = features
    for name in order.replace("parallel", "channel, space").split(", "):
        output = gate(name, features if order == "parallel" else output) * output
    return output + features if residual else output


def _tanh(features):
    return gated(features, squash="tanh", order="channel")


def _far_below_zero(features):
    """Factors from -1 to 1, with a bias of -5."""
    return gated(features, squash="tanh", order="channel") - 5.0 * features


def _gate_added(features):
    """The gate is added to the features, not multiplied."""
    once = gated(features)
    return features + torch.where(features == 0, 0.5, once / torch.where(features == 0, 1.0, features))


def _mean_one(features):
    """Gates over places, rescaled so that their mean is one."""
    gate = gated(features.abs() + 1, order="space") / (features.abs() + 1)
    return features * gate / gate.mean(dim=(-2, -1), keepdim=True)


def _residual_in_one_channel(features):
    """The last channel gets its input added to a half of it: 1.5 whatever the weights, so that no rounding hides it."""
    return torch.cat([gated(features)[:, :-1], 1.5 * features[:, -1:]], dim=1)


def _residual_at_one_place(features):
    """The same at the last place of the map, in every channel."""
    output = gated(features)
    output[..., -1:, -1:] = 1.5 * features[..., -1:, -1:]
    return output


def _negative_ones_grow(features):
    """Damps what is positive, and doubles what is not."""
    return torch.where(features < 0, 2.0 * features, 0.5 * features)


RIGHT = {
    "the reference": gated,
    "right, gates over channels alone": partial(gated, order="channel"),
    "right, gates over places alone": partial(gated, order="space"),
}
OBEYS = {
    "places first": partial(gated, order="space, channel"),
    "both at once": partial(gated, order="parallel"),
    "average only": partial(gated, pools=("average",)),
    "all shut": lambda features: 0.0 * features,
    "all open": lambda features: features.clone(),
}
BUGS = {
    "the input added": partial(gated, residual=True),
    "the input added in one channel": _residual_in_one_channel,
    "the input added at one place": _residual_at_one_place,
    "negative numbers grow": _negative_ones_grow,
    "sigmoid on each": partial(gated, merge="gates", order="channel"),
    "no sigmoid": partial(gated, squash="none", order="channel"),
    "tanh": _tanh,
    "no sigmoid, and scores far below zero": _far_below_zero,
    "gate added, not multiplied": _gate_added,
    "gates rescaled to mean one": _mean_one,
}


def draw(generator: torch.Generator) -> list[Case]:
    """The cases are the same under every seed: what varies is inside the learner's own law."""
    return [Case(name, (implementation,)) for name, implementation in (RIGHT | OBEYS | BUGS).items()]


def flawed(block, *, inputs=torch.randn, sizes=(2, 8, 9, 11), judge="both bounds", negate=False):
    """A law about gates with one switch for each way of getting it wrong."""
    features = inputs(*sizes)
    return bool(JUDGES[judge](features, block(features))) != negate


JUDGES = {
    "both bounds": lambda f, o: (f * o >= 0).all() and (o.abs() <= f.abs() + 1e-6).all(),
    "size only": lambda f, o: (o.abs() <= f.abs() + 1e-6).all(),
    "sign only": lambda f, o: (f * o >= 0).all(),
    "strictly": lambda f, o: (f * o > 0).all() and (o.abs() < f.abs()).all(),
    "on average": lambda f, o: o.abs().mean() <= f.abs().mean() + 1e-6,
    "quarter": lambda f, o: abs((o / f).mean().item() - 0.25) < 0.15,
    "first channel": lambda f, o: (f * o >= 0)[:, 0].all() and (o.abs() <= f.abs() + 1e-6)[:, 0].all(),
    "first number": lambda f, o: bool((f * o >= 0)[0, 0, 0, 0] and (o.abs() <= f.abs() + 1e-6)[0, 0, 0, 0]),
    "signed": lambda f, o: (o <= f).all(),
    "somewhere": lambda f, o: ((f * o >= 0) & (o.abs() <= f.abs() + 1e-6)).any(),
}


def _asserts(block):
    assert reference(block)


def _for_each_number(block):
    features = torch.randn(2, 8, 9, 11)
    return block(features).abs() <= features.abs() + 1e-6


def _like_the_reference(implementation):
    features = torch.randn(2, 8, 9, 11)
    return torch.allclose(implementation(features), gated(features), atol=1e-4)


MISTAKES = (
    Mistake(
        "always true",
        "the law says yes to everything.",
        "A law that nothing can break says nothing. It may look only at shapes, use features that are all zero, or end\n"
        "with .any().",
        "compare what comes out with what went in, number by number.",
        lambda block: True,
    ),
    Mistake(
        "always false",
        "the law says no to everything, right blocks too.",
        "A law has to hold for the right ones first. A negative number that is damped becomes larger: -2 turns into\n"
        "-1, so output <= features fails there.",
        "compare sizes, output.abs() <= features.abs(), and signs apart from it.",
        lambda block: False,
    ),
    Mistake(
        "yes and no swapped",
        "the law returns True when it finds the bug.",
        "Ask it as: does the law hold? True for a right block, False for one with a bug.",
        "turn the answer round.",
        partial(flawed, negate=True),
    ),
    Mistake(
        "sizes only",
        "it compares sizes and never looks at signs.",
        "A gate below zero turns a feature's sign round. With a tanh no size grows, and still it is no gate.",
        "ask too that features * output is nowhere negative.",
        partial(flawed, judge="size only"),
    ),
    Mistake(
        "signs only",
        "it looks at signs and never at sizes.",
        "An added input keeps every sign. What it breaks is that nothing grows.",
        "ask too that output.abs() is nowhere above features.abs().",
        partial(flawed, judge="sign only"),
    ),
    Mistake(
        "strictly smaller",
        "it wants every number to be truly smaller, and none to be zero.",
        "A gate that is quite open, or quite shut, is a gate. The law says: not larger, and not the other sign.",
        "use <= and >=.",
        partial(flawed, judge="strictly"),
    ),
    Mistake(
        "on average",
        "it compares means.",
        "A block may let one channel grow while it damps the others, and on average nothing shows.",
        "compare number by number, and end with .all().",
        partial(flawed, judge="on average"),
    ),
    Mistake(
        "any for all",
        "it is content when the law holds for a single number.",
        ".any() asks whether there is one. A law has to hold everywhere.",
        "end with .all().",
        partial(flawed, judge="somewhere"),
    ),
    Mistake(
        "upper bound only",
        "it asks that nothing comes out above what went in, and takes no heed of signs.",
        "A negative number that is damped becomes larger: -2 turns into -1, and a right block fails.",
        "compare sizes, output.abs() <= features.abs(), and signs apart from it.",
        partial(flawed, judge="signed"),
    ),
    Mistake(
        "one channel looked at",
        "it looks at a single channel.",
        "The bug may sit in another one.",
        "compare all channels.",
        partial(flawed, judge="first channel"),
    ),
    Mistake(
        "one number looked at",
        "it looks at a single number.",
        "The bug may sit elsewhere.",
        "compare all numbers, and end with .all().",
        partial(flawed, judge="first number"),
    ),
    Mistake(
        "expects a quarter",
        "it asks whether a quarter comes through.",
        "0.5 times 0.5 is where an untrained CBAM starts. Trained gates, a lone gate or a shut one are gates too.",
        "ask for bounds, not for a value.",
        partial(flawed, judge="quarter"),
    ),
    Mistake(
        "positive features and an upper bound",
        "its features are all positive, and it looks at the upper bound only.",
        "A negative output is below every positive input, so a gate that turns signs round passes. And what is\n"
        "wrong for negative features is never seen.",
        "use torch.randn, and look at both bounds.",
        partial(flawed, inputs=lambda *s: torch.rand(*s) + 0.1, judge="signed"),
    ),
    Mistake(
        "positive features only",
        "its features are all positive.",
        "Both bounds are there, and what a block does to negative numbers is never seen.",
        "use torch.randn, which draws both signs.",
        partial(flawed, inputs=lambda *s: torch.rand(*s) + 0.1),
    ),
    Mistake(
        "compares with the reference",
        "it compares with a right block, weights and all.",
        "That asks every question at once: gates in another order, or one gate alone, fail too, though they only\n"
        "damp.",
        "compare what comes out with what went in.",
        _like_the_reference,
    ),
    Mistake(
        "asserts",
        "it asserts, and returns nothing.",
        "A law answers with True or False, so that it can be asked about many blocks in a row.",
        "return the truth value in place of the assert.",
        _asserts,
    ),
    Mistake(
        "an answer for each number",
        "it returns a truth value for each number.",
        "One question, one answer: the law holds when it holds everywhere.",
        "end with .all().",
        _for_each_number,
    ),
)


def _factors(block):
    features = torch.randn(3, 6, 7, 8)
    features = torch.where(features.abs() < 0.01, 0.5, features)
    factors = block(features) / features
    return bool((factors >= -1e-5).all() and (factors <= 1 + 1e-5).all())


def _loops(block):
    features = torch.randn(2, 5, 8, 7)
    for before, after in zip(features.flatten().tolist(), block(features).flatten().tolist(), strict=True):
        if not min(0.0, before) - 1e-5 <= after <= max(0.0, before) + 1e-5:
            return False
    return True


def _lost(block):
    """What was taken away has the sign of what went in, and is no more than that."""
    features = torch.randn(2, 8, 9, 7)
    output = block(features)
    return torch.equal((features - output).abs() + output.abs() <= features.abs() + 1e-5, torch.ones(2, 8, 9, 7).bool())


def _signs_and_sizes(block):
    features = torch.randn(4, 6, 9, 9, dtype=torch.float64)
    output = block(features)
    return bool((features * output >= 0).all() and (output.abs() <= features.abs() + 1e-6).all())


def _several_scales(block):
    for scale in (0.1, 1.0, 3.0):
        features = torch.randn(2, 8, 7, 9) * scale
        output = block(features)
        if (features * output).min() < 0 or (output.abs() - features.abs()).max() > 1e-5:
            return False
    return True


exposes = partial(says, False, fair="the reference")

only_dampens = Exercise(
    name="only_dampens",
    title="Bug hunt: a gate that cannot close",
    stars=3,
    importance=4,
    minutes=12,
    answer=reference,
    returns=("holds",),
    hunt=True,
    draw=draw,
    laws=(
        Law("answers yes or no", 1, "Does it return one truth value?", shapes_right()),
        Law("accepts the reference", 1, "Does it hold for the reference?", says(True, "the reference")),
        Law("accepts whatever is right", 1, "Does it hold for a gate alone?", says(True, *RIGHT)),
        Law(
            "asks one question only",
            1,
            "Does it hold for other orders, and for gates open or shut?",
            says(True, *OBEYS),
        ),
        Law("exposes the added input", 2, "Does it expose an added input?", exposes("the input added")),
        Law(
            "looks at every number",
            3,
            "Does it expose an input added in one channel only, or at one place?",
            exposes("the input added in one channel", "the input added at one place"),
        ),
        Law(
            "exposes what may grow",
            1,
            "Does it expose other ways to grow?",
            exposes("sigmoid on each", "gate added, not multiplied", "gates rescaled to mean one"),
        ),
        Law(
            "looks at negative numbers",
            1,
            "Does it expose a block that damps positive numbers only?",
            exposes("negative numbers grow"),
        ),
        Law(
            "exposes a turned sign",
            2,
            "Does it expose gates below zero?",
            exposes("no sigmoid", "tanh", "no sigmoid, and scores far below zero"),
        ),
    ),
    mistakes=MISTAKES,
    also_right={
        "factors": _factors,
        "loops": _loops,
        "what is lost": _lost,
        "signs and sizes": _signs_and_sizes,
        "several scales": _several_scales,
    },
    hints=(
        "Call the block of the cell above on random features, and print output / features. Between which numbers should that "
        "lie, and does it?",
        "The law is the one that check.CBAM called “gates let less through”. Features of both signs are needed: why?",
        "Three lines: features = torch.randn(...); output = block(features); and two questions, joined by `and`: are the signs "
        "kept, has nothing grown? Each ends with .all().",
        "A twin on another task, a law for a tax that may only take, and never more than all:\n"
        "    def only_takes(tax):\n"
        "        wages = torch.rand(100) * 5000\n"
        "        left = tax(wages)\n"
        "        return bool((left >= 0).all() and (left <= wages).all())",
    ),
)
