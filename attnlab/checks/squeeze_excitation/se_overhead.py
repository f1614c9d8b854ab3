"""Exercise (stretch): what squeeze-and-excitation adds to a whole network, stage by stage."""

from functools import partial

import torch

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake
from attnlab.checks.laws import Law, Question, Seen
from attnlab.reference.gate_cost import se_overhead as reference
from attnlab.reference.gate_cost import se_parameters


def draw(generator: torch.Generator) -> list[Case]:
    widths = torch.randint(20, 200, (5,), generator=generator) * 4 + 3
    blocks = torch.randperm(8, generator=generator)[:5] + 2
    reduction = int(torch.randint(5, 12, (), generator=generator))
    return [
        Case("ResNet-50", (torch.tensor([256, 512, 1024, 2048]), torch.tensor([3, 4, 6, 3]), 16)),
        Case("another network", (widths, blocks, reduction)),
        Case("narrow", (torch.randperm(4, generator=generator)[:3] + 2, torch.tensor([4, 2, 7]), 16)),
    ]


def counts(name: str, *cases: str) -> Question:
    def holds(seen: Seen) -> str | None:
        for case in cases:
            got, want = seen.output(case, name), seen.expected(case, name)
            for stage, (mine, theirs) in enumerate(zip(got.tolist(), want.tolist(), strict=True)):
                if mine != theirs:
                    return f"{name.replace('_', ' ')} of stage {stage}: you count {mine:,}, it is {theirs:,} ({case})."
        return None

    return holds


def flawed(
    channels,
    blocks,
    reduction,
    *,
    times="blocks",
    layers=2,
    least=1,
    macs="products",
    bias=True,
    hidden_of=lambda c, r: c // r,
    kind=torch.int64,
    order=1,
    total=False,
):
    """The bill with one switch for each way of getting it wrong."""
    hidden = hidden_of(channels, reduction).clamp(min=least)
    often = {"blocks": blocks, "once": torch.ones_like(blocks), "squared": blocks**2}[times]
    products = layers * channels * hidden
    parameters = often * (products + (hidden + channels if bias else 0))
    cost = {
        "products": products,
        "with biases": products + hidden + channels,
        "with scaling": products + channels,
        "operations": 2 * products,
    }[macs] * often
    result = (parameters, cost)[::order]
    if total:
        result = tuple(part.cumsum(0) for part in result)
    return tuple(part.to(kind) for part in result)


MISTAKES = (
    Mistake(
        "blocks forgotten",
        "each stage is counted as one block.",
        "Every block of a stage has a layer of its own.",
        "multiply with the number of blocks.",
        partial(flawed, times="once"),
    ),
    Mistake(
        "blocks twice",
        "the number of blocks comes in twice.",
        "A stage of N blocks has N layers.",
        "multiply with the number of blocks once.",
        partial(flawed, times="squared"),
    ),
    Mistake(
        "one matrix",
        "one of the two matrices is counted.",
        "There are two, down and up.",
        "count 2 * channels * hidden.",
        partial(flawed, layers=1),
    ),
    Mistake(
        "biases as multiplications",
        "the biases are counted as multiply-accumulates.",
        "A bias is added and multiplies nothing; papers count products.",
        "count 2 * channels * hidden for a block.",
        partial(flawed, macs="with biases"),
    ),
    Mistake(
        "scaling counted",
        "one product more a channel is counted.",
        "The scaling is a product for every place of the map, not of a layer; as usual in papers it is left out.",
        "count the two layers only.",
        partial(flawed, macs="with scaling"),
    ),
    Mistake(
        "operations, not multiply-accumulates",
        "a multiplication and an addition are counted as two.",
        "Papers on vision say FLOPs and mean multiply-accumulates, counted once: the factor of 2 that everybody meets once.",
        "leave out the second factor 2.",
        partial(flawed, macs="operations"),
    ),
    Mistake(
        "no biases",
        "the parameters lack the biases.",
        "The released networks have them; your se_parameters counts them with its default.",
        "add hidden + channels for each block.",
        partial(flawed, bias=False),
    ),
    Mistake(
        "hidden width may be zero",
        "channels below the reduction leave a hidden width of 0.",
        "The narrowest layer has 1 hidden unit.",
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
        "floats",
        "the counts are floats.",
        "A single slash divides into floats; whole numbers stay exact.",
        "use // for the hidden width.",
        partial(flawed, kind=torch.float32),
    ),
    Mistake(
        "exchanged",
        "the two results have changed places.",
        "Asked are parameters first, then multiply-accumulates.",
        "return (parameters, multiply_accumulates).",
        partial(flawed, order=-1),
    ),
    Mistake(
        "added up on the way",
        "each stage has the sum of all before it.",
        "Asked is what each stage pays for itself.",
        "leave out .cumsum().",
        partial(flawed, total=True),
    ),
)


def _stage_by_stage(channels, blocks, reduction):
    parameters, products = [], []
    for c, n in zip(channels.tolist(), blocks.tolist(), strict=True):
        hidden = max(1, c // reduction)
        parameters.append(n * (c * hidden + hidden + hidden * c + c))
        products.append(n * 2 * c * hidden)
    return torch.tensor(parameters), torch.tensor(products)


def _parameters_less_biases(channels, blocks, reduction):
    return blocks * se_parameters(channels, reduction), blocks * se_parameters(channels, reduction, bias=False)


def _stacked(channels, blocks, reduction):
    hidden = torch.maximum(channels // reduction, torch.tensor(1))
    return tuple(blocks * torch.stack([2 * channels * hidden + hidden + channels, 2 * hidden * channels]))


def _einsum(channels, blocks, reduction):
    hidden = (channels // reduction).clamp(1)
    products = torch.einsum("s,s,s->s", channels, blocks, hidden) * 2
    return products + blocks * (hidden + channels), products


def _block_by_block(channels, blocks, reduction):
    hidden = channels.div(reduction, rounding_mode="floor").clamp(min=1)
    one = 2 * channels * hidden
    more = hidden + channels
    repeated = torch.stack([torch.repeat_interleave(part, blocks) for part in (one + more, one)])
    stage = torch.repeat_interleave(torch.arange(len(blocks)), blocks)
    return tuple(torch.zeros_like(one).index_add(0, stage, part) for part in repeated)


se_overhead = Exercise(
    name="se_overhead",
    title="The bill for a whole network",
    stars=2,
    importance=2,
    minutes=8,
    stretch=True,
    answer=reference,
    returns=("parameters", "multiply_accumulates"),
    draw=draw,
    laws=(
        Law("right shape and kind", 1, "Are there two integers for each stage?", laws.shapes_right()),
        Law("right parameters", 1, "Are the parameters exact?", counts("parameters", "ResNet-50", "another network")),
        Law(
            "right multiply-accumulates",
            1,
            "Are the multiply-accumulates exact?",
            counts("multiply_accumulates", "ResNet-50", "another network"),
        ),
        Law(
            "right where it is narrow",
            1,
            "Is there at least one hidden unit?",
            lambda seen: counts("parameters", "narrow")(seen) or counts("multiply_accumulates", "narrow")(seen),
        ),
    ),
    mistakes=MISTAKES,
    also_right={
        "stage by stage": _stage_by_stage,
        "parameters without biases": _parameters_less_biases,
        "stacked": _stacked,
        "einsum": _einsum,
        "block by block": _block_by_block,
    },
    hints=(
        "For one block of 32 channels and reduction 16, how many products does one picture need in the two layers?",
        "Which of the two results is wrong, by the law that the panel names? They differ in the biases alone.",
        "parameters: blocks * se_parameters(channels, reduction). The other: the same without biases, for each number of a "
        "matrix is used once a picture.",
        "A twin on another task, what all letters of a school weigh and how many stamps they need, class by class:\n"
        "    stamps = classes * 2 * pupils * speakers\n"
        "    weight = stamps * paper + classes * envelopes",
    ),
)
