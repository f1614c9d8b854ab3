"""Exercise: what one squeeze-and-excitation block costs, counted exactly."""

from functools import partial

import torch

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake
from attnlab.checks.laws import Law, Question, Seen
from attnlab.reference.gate_cost import se_parameters as reference

RESNET = (256, 512, 1024, 2048)


def draw(generator: torch.Generator) -> list[Case]:
    widths = torch.randint(20, 400, (5,), generator=generator) * 4 + 3  # odd, so that every rounding shows
    reduction = int(torch.randint(5, 12, (), generator=generator))
    narrow = torch.randperm(4, generator=generator)[:3] + 2  # below the reduction
    return [
        Case("ResNet-50", (torch.tensor(RESNET), 16)),
        Case("ResNet-50 without biases", (torch.tensor(RESNET), 16), {"bias": False}),
        Case("other widths", (widths, reduction)),
        Case("other widths without biases", (widths, reduction), {"bias": False}),
        Case("narrow", (narrow, 16)),
    ]


def counts(*cases: str) -> Question:
    def holds(seen: Seen) -> str | None:
        for case in cases:
            got, want = seen.output(case, "parameters"), seen.expected(case, "parameters")
            widths, reduction = seen.cases[case].inputs
            for channels, mine, theirs in zip(widths.tolist(), got.tolist(), want.tolist(), strict=True):
                if mine != theirs:
                    return f"{channels} channels, reduction {reduction}: you count {mine:,}, it is {theirs:,} ({case})."
        return None

    return holds


def flawed(
    channels,
    reduction,
    bias=True,
    *,
    hidden_of=lambda c, r: c // r,
    least=1,
    layers=2,
    biases="both",
    use_bias=True,
    power=1,
    kind=torch.int64,
    places=0,
    total=False,
    late=False,
):
    """The count with one switch for each way of getting it wrong."""
    hidden = hidden_of(channels, reduction).clamp(min=least)
    weights = layers * channels * hidden**power
    if late:
        weights = layers * channels * channels // reduction
    added = {"both": hidden + channels, "of the hidden": hidden, "of the channels": channels, "doubled": 2 * channels}
    count = weights + (added[biases] if bias or not use_bias else 0) + places * channels
    count = count.sum().expand(len(channels)) if total else count
    return count.to(kind)


MISTAKES = (
    Mistake(
        "no biases",
        "the biases are not counted.",
        "Both layers have one: a number for each hidden unit, and one for each channel.",
        "add hidden + channels where bias is True.",
        lambda channels, reduction, bias=True: flawed(channels, reduction, bias=False),
    ),
    Mistake(
        "biases always",
        "the biases are counted also where there are none.",
        "bias=False is the paper's form, with 16,048 parameters less in ResNet-50.",
        "add the biases only where bias is True.",
        partial(flawed, use_bias=False),
    ),
    Mistake(
        "bias of the first layer only",
        "only the hidden units' biases are counted.",
        "The second layer has a bias too, one for each channel.",
        "add hidden + channels.",
        partial(flawed, biases="of the hidden"),
    ),
    Mistake(
        "bias of the second layer only",
        "only the channels' biases are counted.",
        "The first layer has a bias too, one for each hidden unit.",
        "add hidden + channels.",
        partial(flawed, biases="of the channels"),
    ),
    Mistake(
        "biases as wide as the channels",
        "both biases are counted as wide as the channels.",
        "A bias is as wide as what its layer puts out: the first puts out the hidden units.",
        "add hidden + channels.",
        partial(flawed, biases="doubled"),
    ),
    Mistake(
        "one matrix",
        "one matrix is counted.",
        "There are two: from the channels to the hidden units, and back.",
        "count 2 * channels * hidden.",
        partial(flawed, layers=1),
    ),
    Mistake(
        "three matrices",
        "a third matrix is counted.",
        "There are two, down and up; query, key and value belong to another lesson.",
        "count 2 * channels * hidden.",
        partial(flawed, layers=3),
    ),
    Mistake(
        "hidden width squared",
        "the hidden width comes in twice.",
        "A matrix has as many numbers as its inputs times its outputs: channels times hidden.",
        "count 2 * channels * hidden.",
        partial(flawed, power=2),
    ),
    Mistake(
        "hidden width may be zero",
        "channels below the reduction leave a hidden width of 0.",
        "Then there would be no layer. The narrowest one has 1 hidden unit.",
        "take at least 1: .clamp(min=1).",
        partial(flawed, least=0),
    ),
    Mistake(
        "rounded up",
        "the hidden width is rounded up.",
        "The layer that you have written rounds down.",
        "use channels // reduction.",
        partial(flawed, hidden_of=lambda c, r: -(-c // r)),
    ),
    Mistake(
        "rounded at the end",
        "the product 2 * channels * channels is divided by the reduction, and rounded then.",
        "The hidden width is a whole number before anything is multiplied with it. Where the reduction divides the\n"
        "channels, as in ResNet-50, nobody sees the difference.",
        "compute the hidden width first: channels // reduction.",
        partial(flawed, late=True),
    ),
    Mistake(
        "a multiple of 8",
        "the hidden width is rounded to a multiple of 8.",
        "timm's newer layer does so. For ResNet-50 it is the same, for other widths it is not.",
        "use channels // reduction.",
        partial(flawed, hidden_of=lambda c, r: ((c // r + 4) // 8 * 8).clamp(min=8)),
    ),
    Mistake(
        "the reduction is the width",
        "the reduction is taken for the hidden width.",
        "The reduction says how many times fewer the hidden units are than the channels.",
        "use channels // reduction.",
        partial(flawed, hidden_of=lambda c, r: torch.full_like(c, r)),
    ),
    Mistake(
        "floats",
        "the counts are floats.",
        "A single slash divides into floats. Nobody has half a parameter, and above 16 million float32 skips numbers.",
        "use // for the hidden width.",
        partial(flawed, kind=torch.float32),
    ),
    Mistake(
        "the gates counted too",
        "one number more a channel is counted.",
        "The gates are computed anew for each picture. They are not parameters, as the weights of attention are not.",
        "count the two layers only.",
        partial(flawed, places=1),
    ),
    Mistake(
        "one sum for all",
        "all blocks are added up.",
        "Asked is one count for each width; whoever needs the sum takes it.",
        "leave out .sum().",
        partial(flawed, total=True),
    ),
)


def _of_a_layer(channels, reduction, bias=True):
    made = []
    for c in channels.tolist():
        hidden = max(1, c // reduction)
        shapes = [(hidden, c), (c, hidden), *([(hidden,), (c,)] if bias else [])]
        made.append(sum(torch.Size(shape).numel() for shape in shapes))
    return torch.tensor(made)


def _on_meta(channels, reduction, bias=True):
    with torch.device("meta"):
        counted = []
        for c in channels.tolist():
            h = max(1, c // reduction)
            layers = torch.nn.Linear(c, h, bias), torch.nn.Linear(h, c, bias)
            counted.append(sum(p.numel() for layer in layers for p in layer.parameters()))
    return torch.tensor(counted)


se_parameters = Exercise(
    name="se_parameters",
    title="Count the parameters",
    stars=2,
    importance=3,
    minutes=8,
    answer=reference,
    returns=("parameters",),
    draw=draw,
    laws=(
        Law("right shape and kind", 1, "Is there one integer for each width?", laws.shapes_right()),
        Law("right with biases", 2, "Are the counts exact with biases?", counts("ResNet-50", "other widths")),
        Law(
            "right without biases",
            1,
            "Are the counts exact without biases?",
            counts("ResNet-50 without biases", "other widths without biases"),
        ),
        Law("right where it is narrow", 1, "Is there at least one hidden unit?", counts("narrow")),
    ),
    mistakes=MISTAKES,
    also_right={
        "shapes, one by one": _of_a_layer,
        "layers on the meta device": _on_meta,
        "factored": lambda channels, reduction, bias=True: (
            channels * (2 * (channels // reduction).clamp(min=1) + bias) + bias * (channels // reduction).clamp(min=1)
        ),
        "maximum": lambda channels, reduction, bias=True: (
            (h := torch.maximum(channels // reduction, torch.ones_like(channels))) * channels * 2
            + int(bias) * (h + channels)
        ),
        "floor division by the library": lambda channels, reduction, bias=True: (
            (h := channels.div(reduction, rounding_mode="floor").clamp(1)) * 2 * channels
            + (h + channels if bias else torch.zeros_like(h))
        ),
    },
    hints=(
        "Count by hand for 32 channels and reduction 16: how many numbers have the two matrices, how many the two biases?",
        "The laws part it: with biases, without, and narrow. Which one fails? The panel names one width with both numbers.",
        "First the hidden width, an integer and at least 1; then inputs times outputs for each matrix; then, if asked for, "
        "a bias as wide as each layer's output.",
        "A twin on another task, a school of `n` pupils that elects one speaker in `r`, who all write to all and back:\n"
        "    speakers = (n // r).clamp(min=1)\n"
        "    letters = 2 * n * speakers",
    ),
)
