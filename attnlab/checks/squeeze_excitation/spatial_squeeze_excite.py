"""Exercise (stretch): the gate turned round, one number for each place."""

from functools import partial

import torch
import torch.nn.functional as F

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake, draw_sizes, uncontiguous
from attnlab.checks.laws import Law, Seen, close
from attnlab.reference.spatial_squeeze_excitation import spatial_squeeze_excite as reference


def draw(generator: torch.Generator) -> list[Case]:
    b, c, y, x = draw_sizes(generator, "batch", "channels", "y", "x").values()
    features = torch.randn(b, c, y, x, generator=generator)
    weight = torch.randn(c, generator=generator) + 0.5
    far = features.clone()
    far[..., -1, -1] += 2.0
    return [
        Case("plain", (features, weight)),
        Case("the last place changed", (far, weight)),
        Case("no batch axis", (features[0], weight)),
        Case("first item alone", (features[:1], weight)),
        Case("other memory layout", (uncontiguous(features), weight)),
        Case("float64", (features.double(), weight.double())),
        Case("gradients", (features, weight), gradients=True),
    ]


def places_do_not_compete(seen: Seen) -> str | None:
    before, after = (seen.output(case, "gates").flatten(-2)[..., :-1] for case in ("plain", "the last place changed"))
    return None if close(after, before) else "Only the last place was changed, and the gates of other places moved."


def one_gate_a_place(seen: Seen) -> str | None:
    ratios = seen.output("plain", "output") / seen.cases["plain"].inputs[0]
    if (ratios - seen.output("plain", "gates")[:, None]).abs().max() < 1e-3:
        return None
    return "Output divided by input is not your own gate of that place, for every channel."


def _weighed(features, weight):
    return torch.einsum("...cyx,c->...yx", features, weight)


SQUEEZE = {
    "weighed": _weighed,
    "mean": lambda features, weight: features.mean(dim=-3),
    "largest": lambda features, weight: (features * weight[:, None, None]).amax(dim=-3),
    "weighed mean": lambda features, weight: _weighed(features, weight) / len(weight),
    "whole map": lambda features, weight: (
        _weighed(features, weight).mean(dim=(-2, -1), keepdim=True).expand(*features.shape[:-3], *features.shape[-2:])
    ),
    "over the batch": lambda features, weight: (
        _weighed(features, weight)
        if features.ndim == 3
        else _weighed(features, weight).mean(dim=0, keepdim=True).expand(len(features), -1, -1)
    ),
}
END = {
    "sigmoid": torch.sigmoid,
    "nothing": lambda scores: scores,
    "softmax": lambda scores: scores.flatten(-2).softmax(dim=-1).reshape(scores.shape),
    "relu, sigmoid": lambda scores: scores.relu().sigmoid(),
    "tanh": torch.tanh,
}
JOIN = {
    "times": lambda features, gates: features * gates,
    "plus": lambda features, gates: features + gates,
    "and itself": lambda features, gates: features + features * gates,
    "untouched": lambda features, gates: features + 0 * gates,
}


def flawed(
    features,
    weight,
    *,
    squeeze="weighed",
    end="sigmoid",
    join="times",
    cut=False,
    narrow=False,
    scores=False,
    axis=False,
):
    """The spatial gate with one switch for each way of getting it wrong."""
    dtype = features.dtype
    if narrow:
        features, weight = features.float(), weight.float()
    raw = SQUEEZE[squeeze](features, weight)
    gates = END[end](raw)
    gates = gates.detach() if cut else gates
    output = JOIN[join](features, gates[..., None, :, :])
    second = (raw if scores else gates).to(dtype)
    return output.to(dtype), second.unsqueeze(-3) if axis else second


MISTAKES = (
    Mistake(
        "plain mean over channels",
        "the channels are averaged and the weight is not used.",
        "Which channels speak for a place is what this layer learns; a mean gives all the same say. (CBAM in lesson 03\n"
        "does begin with a mean.)",
        "weigh the channels: sum over c of weight times feature.",
        partial(flawed, squeeze="mean"),
    ),
    Mistake(
        "largest weighed channel",
        "the largest weighed channel is taken.",
        "A 1x1 convolution adds the weighed channels up.",
        "sum over the channels.",
        partial(flawed, squeeze="largest"),
    ),
    Mistake(
        "weighed mean",
        "the weighed channels are averaged.",
        "A 1x1 convolution adds up; dividing by the number of channels makes all gates alike.",
        "sum over the channels.",
        partial(flawed, squeeze="weighed mean"),
    ),
    Mistake(
        "squeezes the places as well",
        "the scores are averaged over y and x.",
        "Then all places have one gate, and a gate for places says nothing about places.",
        "keep y and x.",
        partial(flawed, squeeze="whole map"),
    ),
    Mistake(
        "squeezes the batch",
        "the scores are averaged over the batch.",
        "Then all pictures are gated at the same places.",
        "leave the axes in front alone.",
        partial(flawed, squeeze="over the batch"),
    ),
    Mistake(
        "no sigmoid",
        "the scores are the gates.",
        "They may be negative or large; a gate lies between shut and open.",
        "end with a sigmoid.",
        partial(flawed, end="nothing"),
    ),
    Mistake(
        "softmax over places",
        "the gates come from a softmax over the places.",
        "That is attention: places share one unit. A gate looks at each place alone.",
        "use a sigmoid.",
        partial(flawed, end="softmax"),
    ),
    Mistake(
        "ReLU before the sigmoid",
        "a ReLU stands before the sigmoid.",
        "No gate is below 0.5 then.",
        "leave the ReLU out.",
        partial(flawed, end="relu, sigmoid"),
    ),
    Mistake(
        "tanh",
        "the gates come out of a tanh.",
        "A place could be turned upside down.",
        "use a sigmoid.",
        partial(flawed, end="tanh"),
    ),
    Mistake(
        "adds the gate",
        "the gates are added to the features.",
        "A gate turns up and down; it multiplies.",
        "multiply.",
        partial(flawed, join="plus"),
    ),
    Mistake(
        "adds the input again",
        "the input is added to what was gated.",
        "That is a gate of 1 to 2: nothing can be shut.",
        "return features times gates.",
        partial(flawed, join="and itself"),
    ),
    Mistake(
        "gates are not used",
        "the features come out as they came in.",
        "The gates are right and are not multiplied with the features.",
        "return features * gates[..., None, :, :] first.",
        partial(flawed, join="untouched"),
    ),
    Mistake(
        "returns the scores",
        "the second thing returned is the scores.",
        "The gates are what comes out of the sigmoid.",
        "return (output, gates).",
        partial(flawed, scores=True),
    ),
    Mistake(
        "channel axis kept",
        "the gates have a channel axis of size one.",
        "It is needed for the product, and left out of what is returned: one gate a place, (..., y, x).",
        "put the axis in where you multiply: gates[..., None, :, :].",
        partial(flawed, axis=True),
    ),
    Mistake(
        "graph is cut",
        "the gates are detached from the graph.",
        "The numbers are right, but the weight cannot learn.",
        "leave out .detach(), .data and no_grad().",
        partial(flawed, cut=True),
    ),
    Mistake(
        "computes in float32",
        "it turns its inputs to float32 first.",
        "What is given in float64 should be computed in float64.",
        "leave out .float().",
        partial(flawed, narrow=True),
    ),
)


def _place_by_place(features, weight):
    y, x = features.shape[-2:]
    rows = [torch.stack([(features[..., i, j] * weight).sum(-1) for j in range(x)], dim=-1) for i in range(y)]
    gates = 1 / (1 + torch.exp(-torch.stack(rows, dim=-2)))
    return features * gates.unsqueeze(-3), gates


def _convolution(features, weight):
    kernel = weight.reshape(1, -1, 1, 1)
    maps = features if features.ndim == 4 else features[None]
    gates = F.conv2d(maps, kernel).sigmoid()
    output = maps * gates
    return (output, gates[:, 0]) if features.ndim == 4 else (output[0], gates[0, 0])


def _moved(features, weight):
    gates = torch.sigmoid(features.movedim(-3, -1) @ weight)
    return features * gates[..., None, :, :], gates


def _summed(features, weight):
    gates = (features * weight[:, None, None]).sum(dim=-3).sigmoid()
    return torch.einsum("...cyx,...yx->...cyx", features, gates), gates


def _flat(features, weight):
    scores = (weight @ features.flatten(-2)).reshape(*features.shape[:-3], *features.shape[-2:])
    gates = (1 + torch.tanh(scores / 2)) / 2
    return features * gates.unsqueeze(-3), gates


spatial_squeeze_excite = Exercise(
    name="spatial_squeeze_excite",
    title="The other way round: gate the places",
    stars=2,
    importance=3,
    minutes=10,
    stretch=True,
    answer=reference,
    returns=("output", "gates"),
    draw=draw,
    laws=(
        laws.RIGHT_SHAPES,
        Law(
            "right numbers",
            2,
            "Are they the reference's?",
            laws.equals_reference("plain", "no batch axis", "other memory layout"),
        ),
        Law("one gate for each place", 1, "Is output divided by input your own gate?", one_gate_a_place),
        Law("places do not compete", 1, "Has each place a gate of its own?", places_do_not_compete),
        laws.ITEMS_APART,
        laws.GRADIENT,
        laws.FLOAT64,
    ),
    mistakes=MISTAKES,
    also_right={
        "place by place": _place_by_place,
        "a 1x1 convolution": _convolution,
        "axes moved": _moved,
        "summed": _summed,
        "flattened": _flat,
    },
    hints=(
        "For 3 channels on a map of 4 by 5: how many gates are there, and how many numbers does each one look at?",
        "“Places do not compete” leaves one function for the end; “right numbers” wants every channel weighed by its own "
        "number.",
        "Sum over c of weight[c] * features[..., c, :, :]; a sigmoid; then gates[..., None, :, :] fits in front of y and x.",
        "A twin on another task, how much each pupil of a class may speak by grades in several subjects:\n"
        "    may_speak = torch.einsum('...sp,s->...p', grades, importance).sigmoid()\n"
        "    heard = loudness * may_speak[..., None, :]",
    ),
)
