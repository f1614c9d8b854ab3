"""Stretch exercise: entropy, how many keys a query really looks at."""

from functools import partial

import torch

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake, draw_sizes, uncontiguous
from attnlab.checks.laws import Law, Seen
from attnlab.reference.entropy import entropy as reference


def draw(generator: torch.Generator) -> list[Case]:
    size = draw_sizes(generator, "batch", "queries", "keys")
    size["keys"] += 9  # neither 2 nor 10 keys: a division by log(keys) would be bits, or base ten
    scores = torch.randn(*size.values(), generator=generator) * 1.5
    weights, k = scores.softmax(-1), size["keys"]
    some_zero = scores.index_fill(-1, torch.tensor([0]), -torch.inf).softmax(-1)
    one_hot = torch.eye(k)[torch.randint(k, tuple(weights.shape[:2]), generator=generator)]
    return [
        Case("plain", (weights,)),
        Case("one row", (weights[0, 0],)),
        Case("some weights are zero", (some_zero,)),
        Case("one key has all the weight", (one_hot,)),
        Case("all weights alike", (torch.full_like(weights, 1 / k),)),
        Case("float64", (weights.double(),)),
        Case("other memory layout", (uncontiguous(weights),)),
        Case("gradients", (weights,), gradients=True),
    ]


def never_negative(seen: Seen) -> str | None:
    lowest = seen.output("plain", "output").min().item()
    return None if lowest >= 0 else f"An entropy is never negative; one is {lowest:.4g}."


LAWS = (
    Law("right shapes", 1, "Is there one number for each row?", laws.shapes_right()),
    Law(
        "right numbers",
        2,
        "Are they the reference's?",
        laws.equals_reference("plain", "one row", "other memory layout", "float64"),
    ),
    Law(
        "zero adds nothing",
        2,
        "Does a weight of zero add nothing, and not NaN?",
        laws.equals_reference("some weights are zero", "one key has all the weight"),
    ),
    Law(
        "alike gives log(keys)",
        1,
        "Is it log(keys) when all weights are alike?",
        laws.equals_reference("all weights alike"),
    ),
    Law("never negative", 1, "Is it zero or more?", never_negative),
    Law("gradient reaches the weights", 1, "Can it be trained through?", laws.gradients_reach("gradients")),
    Law("inputs stay as they were", 1, "Does it leave its input alone?", laws.inputs_unchanged()),
    laws.FLOAT64,
)


def flawed(
    weights,
    *,
    sign=-1,
    log=torch.log,
    zero="entr",
    axis=-1,
    over=torch.sum,
    times="weights",
    end=None,
    in_place=False,
    half_size=False,
):
    """Entropy with one switch for each way of getting it wrong; with none set it is right."""
    if half_size:
        weights = weights.float()
    if in_place:
        weights += 0.01
    logs = log(weights)
    terms = (weights if times == "weights" else 1.0) * logs
    if zero == "entr":
        terms = torch.where(weights > 0, terms, 0.0)
    if zero == "clamp":
        terms = weights.clamp(min=0.01) * log(weights.clamp(min=0.01))
    if zero == "add":
        terms = weights * log(weights + 0.01)
    total = over(terms) if axis == "all" else over(terms, axis)
    return end(sign * total, weights) if end else sign * total


MISTAKES = (
    Mistake(
        "sign forgotten",
        "the minus is missing.",
        "The logarithm of a weight below one is negative. The minus makes the entropy positive.",
        "put a minus in front of the sum.",
        partial(flawed, sign=1),
    ),
    Mistake(
        "zero times minus infinity",
        "a weight of zero gives 0 times -inf, which is NaN.",
        "As w goes to zero, w log w goes to zero too, so such a key adds nothing. A computer does not know that.",
        "use torch.special.entr, or torch.where(weights > 0, ..., 0).",
        partial(flawed, zero="nothing"),
    ),
    Mistake(
        "in bits",
        "the logarithm has base 2.",
        "That counts in bits, which is another unit. This exercise asks for nats, so that exp() takes you back.",
        "use torch.log.",
        partial(flawed, log=torch.log2),
    ),
    Mistake(
        "base ten",
        "the logarithm has base 10.",
        "This exercise asks for nats, so that exp() of the entropy is a number of keys.",
        "use torch.log.",
        partial(flawed, log=torch.log10),
    ),
    Mistake(
        "mean over the keys",
        "the terms are averaged, not added up.",
        "The weights are already the average: the entropy is the mean of -log w, weighted by w itself.",
        "sum over the last axis.",
        partial(flawed, over=torch.mean),
    ),
    Mistake(
        "over the first axis",
        "the sum runs over the first axis.",
        "One row, along the last axis, is one distribution. Other rows are other queries.",
        "say dim=-1.",
        partial(flawed, axis=0),
    ),
    Mistake(
        "over everything",
        "the sum runs over the whole tensor.",
        "`.sum()` without dim gives one number for all rows together. Each row has an entropy of its own.",
        "say dim=-1.",
        partial(flawed, axis="all"),
    ),
    Mistake(
        "logarithms alone",
        "the logarithms are added up without their weights.",
        "Rare keys then count most. Each -log w must be weighted with w.",
        "multiply the logarithm by the weight.",
        partial(flawed, times="nothing"),
    ),
    Mistake(
        "number of keys returned",
        "the exponential of the entropy is returned.",
        "exp(H) is the effective number of keys, the next step. This function gives H itself.",
        "leave out the exp().",
        partial(flawed, end=lambda total, w: total.exp()),
    ),
    Mistake(
        "divided by log(keys)",
        "the entropy is divided by its largest possible value.",
        "That gives a number from 0 to 1 that can be compared across lengths. Here we want nats.",
        "leave out the division by the logarithm of the number of keys.",
        partial(flawed, end=lambda total, w: total / torch.tensor(float(w.shape[-1]), dtype=w.dtype).log()),
    ),
    Mistake(
        "small weights raised",
        "the weights are cut off from below.",
        "That avoids log(0), but every small weight then counts as if it were larger.",
        "treat only the zero: torch.special.entr, or torch.where.",
        partial(flawed, zero="clamp"),
    ),
    Mistake(
        "constant in the logarithm",
        "a constant is added inside the logarithm.",
        "That avoids log(0), but shifts every term, and a certain query no longer has entropy zero.",
        "treat only the zero: torch.special.entr, or torch.where.",
        partial(flawed, zero="add"),
    ),
    Mistake(
        "graph is cut",
        "the result is detached from the graph.",
        "The numbers are right, but no gradient flows back, so the entropy could not be used in a loss.",
        "leave out .detach(), .data, .numpy() and no_grad().",
        partial(flawed, end=lambda total, w: total.detach()),
    ),
    Mistake(
        "changes the weights",
        "a constant is added to the weights in place.",
        "`weights += ...` writes into the caller's tensor, and the rows no longer sum to one.",
        "leave the weights as they are; treat only the zero.",
        partial(flawed, in_place=True),
    ),
    Mistake(
        "always float32",
        "everything is turned into float32.",
        "Whoever passes float64 wants its fifteen digits back.",
        "leave out .float() and dtype=torch.float32.",
        partial(flawed, half_size=True),
    ),
)


def _row_by_row(weights):
    rows = weights.reshape(-1, weights.shape[-1])
    return torch.stack([-(row[row > 0] * row[row > 0].log()).sum() for row in rows]).reshape(weights.shape[:-1])


entropy = Exercise(
    name="entropy",
    title="How many keys does a query look at?",
    stars=2,
    importance=2,
    minutes=6,
    answer=reference,
    draw=draw,
    laws=LAWS,
    mistakes=MISTAKES,
    shortcuts=("torch.distributions.Categorical.entropy", "torch.distributions.OneHotCategorical.entropy"),
    also_right={
        "xlogy": lambda weights: -torch.special.xlogy(weights, weights).sum(-1),
        "row by row": _row_by_row,
        "einsum": lambda w: -torch.einsum("...k,...k->...", w, torch.where(w > 0, w, 1.0).log()),
        "in float64 inside": lambda weights: reference(weights.double()).to(weights.dtype),
        "nansum": lambda weights: -(weights * weights.log()).nansum(-1),
        "a very small constant": lambda weights: -(weights * (weights + 1e-30).log()).sum(-1),
    },
    hints=(
        "Print `entropy(torch.tensor([0.5, 0.5]))` and `entropy(torch.tensor([1.0, 0.0]))`. What should they be?",
        "Look at the law that the panel names first. NaN speaks of a weight of zero; a negative number of the sign.",
        "Look at the line with the logarithm: over which axis is its product with the weights summed, with which sign, and "
        "what is 0 times log(0) to be?",
        "A twin on another task, the mean surprise of the weather, with the chances of sun, rain and snow:\n"
        "    surprise = torch.where(chance > 0, -chance.log(), 0.0)\n"
        "    mean_surprise = (chance * surprise).sum(dim=-1)\n"
        "Your weights are chances too.",
    ),
    stretch=True,
)
