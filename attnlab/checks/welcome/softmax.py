"""Exercise: softmax with a temperature."""

from functools import partial

import torch

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake, draw_sizes, uncontiguous
from attnlab.checks.laws import Law, Seen, close
from attnlab.checks.shortcuts import SOFTMAX
from attnlab.reference.softmax import softmax as reference


def draw(generator: torch.Generator) -> list[Case]:
    size = draw_sizes(generator, "batch", "queries", "keys")
    size["keys"] = size["keys"] if size["keys"] > 2 else 10  # with one of them hidden, two are left to compete
    scores = torch.randn(*size.values(), generator=generator) * 1.5
    colder, hotter = 0.2 + 0.5 * torch.rand(2, generator=generator) + torch.tensor([0.0, 1.5])
    hidden = scores.clone()
    hidden[..., -1] = -torch.inf
    apart = scores.clone()
    apart[:, 0] -= 700.0
    steep = 300.0 * scores.tanh()
    steep[:, 0, :2] = torch.tensor([400.0, 401.0])  # neither weight is 0 or 1, so here the temperature shows
    return [
        Case("plain", (scores,)),
        Case("low temperature", (scores, colder.item())),
        Case("high temperature", (scores,), {"temperature": hotter.item()}),
        Case("one row", (scores[0, 0],)),
        Case("one key", (scores[0, :, :1],)),
        Case("a constant added", (scores + 2.5,)),
        Case("large scores", (scores * 400,)),
        Case("large scores, low temperature", (steep * colder, colder.item())),
        Case("very negative scores", (scores - 900,)),
        Case("rows of very different size", (apart,)),
        Case("a score of -inf", (hidden,)),
        Case("float64", (scores.double(),)),
        Case("other memory layout", (uncontiguous(scores),)),
        Case("gradients", (scores, colder.item()), gradients=True),
    ]


def constant_cancels(seen: Seen) -> str | None:
    if close(seen.output("plain", "output"), seen.output("a constant added", "output")):
        return None
    return "2.5 was added to every score, and the weights moved. Only differences between scores may count."


def hidden_gets_zero(seen: Seen) -> str | None:
    leaked = seen.output("a score of -inf", "output")[..., -1].abs().max().item()
    if leaked == 0:
        return laws.equals_reference("a score of -inf")(seen)
    return f"A score of -inf has weight {leaked:.3g}. exp(-inf) is 0."


LAWS = (
    Law("right shapes", 1, "Is there one weight for each score?", laws.shapes_right()),
    Law(
        "rows sum to one",
        1,
        "Are the weights of a row positive, with sum one?",
        laws.sums_to_one("plain", of="output"),
    ),
    Law(
        "right numbers",
        2,
        "Are the weights the reference's?",
        laws.equals_reference("plain", "one row", "one key", "other memory layout", "float64"),
    ),
    Law(
        "right numbers at any temperature",
        2,
        "Are they also the reference's when it is colder or hotter?",
        laws.equals_reference("low temperature", "high temperature"),
    ),
    Law("a constant cancels", 1, "Does adding a constant to all scores change nothing?", constant_cancels),
    Law(
        "large scores stay finite",
        2,
        "Are scores of several hundred, of both signs, no problem?",
        laws.equals_reference("large scores", "large scores, low temperature", "very negative scores"),
    ),
    Law(
        "rows stay apart",
        1,
        "Does a row not depend on the size of the others?",
        laws.equals_reference("rows of very different size"),
    ),
    Law("minus infinity gets nothing", 1, "Is the weight of a score of -inf zero?", hidden_gets_zero),
    Law("gradient reaches the scores", 1, "Can it be trained through?", laws.gradients_reach("gradients")),
    Law("inputs stay as they were", 1, "Does it leave its input alone?", laws.inputs_unchanged()),
    laws.FLOAT64,
)


def flawed(
    scores,
    temperature=1.0,
    *,
    heat="divide",
    sign=1,
    axis=-1,
    shift="row",
    powers_of=torch.exp,
    share="sum",
    keepdim=True,
    limit=None,
    end=None,
    in_place=False,
    half_size=False,
):
    """Softmax with one switch for each way of getting it wrong; with none set it is right."""
    given = scores
    if half_size:
        scores = scores.float()
    if in_place:
        scores /= temperature
    elif heat == "divide":
        scores = scores / temperature
    elif heat == "multiply":
        scores = scores * temperature
    scores = scores * sign
    if limit is not None:
        scores = scores.clamp(-limit, limit)
    if axis == "all":
        axis = tuple(range(scores.ndim))
    if shift == "row" and powers_of is torch.exp:
        scores = scores - scores.amax(axis, keepdim=keepdim != "neither")
    elif shift in SHIFTS:
        scores = scores - SHIFTS[shift](scores, given)
    powers = powers_of(scores)
    weights = powers / powers.sum(axis, keepdim=keepdim is True) if share == "sum" else powers
    if heat == "after":
        weights = weights / temperature
    return end(weights) if end else weights


SHIFTS = {
    "everything": lambda scores, given: scores.max(),
    "mean": lambda scores, given: scores.mean(-1, keepdim=True),
    "before the temperature": lambda scores, given: given.amax(-1, keepdim=True),
}

MISTAKES = (
    Mistake(
        "temperature multiplied",
        "the scores are multiplied by the temperature.",
        "Then hot and cold are exchanged: a low temperature, which should make one weight win, makes all alike.",
        "divide the scores by the temperature.",
        partial(flawed, heat="multiply"),
    ),
    Mistake(
        "temperature ignored",
        "the temperature is never used.",
        "At temperature 1 nothing shows. At any other the weights are those of temperature 1.",
        "divide the scores by the temperature before the exponential.",
        partial(flawed, heat="not at all"),
    ),
    Mistake(
        "temperature after the softmax",
        "the weights are divided by the temperature, not the scores.",
        "The rows then sum to 1/temperature, and the proportions between the weights never change.",
        "move the division in front of the exponential.",
        partial(flawed, heat="after"),
    ),
    Mistake(
        "sign turned",
        "the sign of the scores is turned.",
        "Physics writes exp(-energy/T): low energy wins. Here a high score must win.",
        "take the minus out: exp(scores / temperature).",
        partial(flawed, sign=-1),
    ),
    Mistake(
        "over the first axis",
        "the weights sum to one over the first axis.",
        "Then the items of a batch share one budget. Each row of scores, along the last axis, has its own.",
        "say dim=-1 in the maximum and in the sum.",
        partial(flawed, axis=0),
    ),
    Mistake(
        "over the last axis but one",
        "the weights sum to one down the columns.",
        "Then the rows compete for a column. We ask how one row shares its weight out among its columns.",
        "say dim=-1 in the maximum and in the sum.",
        partial(flawed, axis=-2),
    ),
    Mistake(
        "over everything",
        "all weights together sum to one, not each row.",
        "`.sum()` and `.max()` without dim run over the whole tensor. Each row is a distribution of its own.",
        "say dim=-1, keepdim=True in both.",
        partial(flawed, axis="all"),
    ),
    Mistake(
        "overflow",
        "exp() is taken of the scores as they are.",
        "exp(89) is beyond float32, and inf/inf is NaN. Below -104 all exponentials are 0, and 0/0 is NaN too.",
        "subtract the largest score of each row first: it cancels in the quotient.",
        partial(flawed, shift="none"),
    ),
    Mistake(
        "maximum of everything",
        "the largest of all scores is subtracted, not the largest of each row.",
        "That stops overflow. But a row that lies 700 below the largest has nothing but zeros left: 0/0 is NaN.",
        "take the maximum row by row: scores.amax(dim=-1, keepdim=True).",
        partial(flawed, shift="everything"),
    ),
    Mistake(
        "mean subtracted",
        "the mean of each row is subtracted, not its maximum.",
        "Any constant cancels, so small scores come out right. Only the maximum makes sure that no "
        "exponent is above 0.",
        "subtract scores.amax(dim=-1, keepdim=True).",
        partial(flawed, shift="mean"),
    ),
    Mistake(
        "maximum before the temperature",
        "the maximum is taken before the division by the temperature, and subtracted after it.",
        "At a temperature of 0.5 the scores are twice as large as the maximum that you subtract: they overflow again.",
        "divide first; then take the maximum of what you have.",
        partial(flawed, shift="before the temperature"),
    ),
    Mistake(
        "forgotten keepdim twice",
        "the maximum and the sum have both lost the last axis.",
        "Without keepdim=True a row's maximum lines up with the columns of another axis, or with nothing at all.",
        "say keepdim=True in both, amax and sum.",
        partial(flawed, keepdim="neither"),
    ),
    Mistake(
        "forgotten keepdim",
        "the sum has lost its last axis.",
        "A tensor (rows, keys) divided by one of (rows) lines the rows up with the keys: an error, or, "
        "where the "
        "sizes happen to agree, wrong numbers without one.",
        "say keepdim=True in the sum, so that it stays a column.",
        partial(flawed, keepdim=False),
    ),
    Mistake(
        "no exponential",
        "the scores are divided by their sum, without an exponential.",
        "Scores may be negative, and their sum zero. The exponential makes all of them positive first.",
        "take exp() of the scores, then divide by the sum.",
        partial(flawed, powers_of=lambda scores: scores),
    ),
    Mistake(
        "squares for exponentials",
        "the scores are squared, not exponentiated.",
        "Squares are positive too, but -3 then weighs as much as 3, and adding a constant changes the weights.",
        "use exp().",
        partial(flawed, powers_of=torch.square),
    ),
    Mistake(
        "not normalised",
        "the exponentials are not divided by their sum.",
        "They are positive and in the right proportions, but an average needs weights that sum to one.",
        "divide by their sum over the last axis, keepdim=True.",
        partial(flawed, share="none"),
    ),
    Mistake(
        "logarithm returned",
        "what comes out is the logarithm of the weights.",
        "log_softmax serves losses. An average needs the weights themselves, which sum to one.",
        "return the weights: softmax, not log_softmax.",
        partial(flawed, end=torch.log),
    ),
    Mistake(
        "scores cut off",
        "large scores are cut off before the exponential.",
        "That stops overflow, but all scores beyond the limit then weigh the same. Subtracting the maximum "
        "loses nothing.",
        "leave the clamp out, and subtract the maximum of each row.",
        partial(flawed, limit=50.0),
    ),
    Mistake(
        "graph is cut",
        "the weights are detached from the graph.",
        "The numbers are right, but no gradient flows back to the scores, so where to look can never be learnt.",
        "leave out .detach(), .data, .numpy() and no_grad().",
        partial(flawed, end=torch.Tensor.detach),
    ),
    Mistake(
        "changes the scores",
        "the scores are divided in place.",
        "`scores /= temperature` writes into the caller's tensor: a second call finds other scores.",
        "write scores = scores / temperature.",
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


def _row_by_row(scores, temperature=1.0):
    rows = [torch.exp((row - row.max()) / temperature) for row in scores.reshape(-1, scores.shape[-1])]
    return torch.stack([row / row.sum() for row in rows]).reshape(scores.shape)


def _log_sum_exp(scores, temperature=1.0):
    scores = scores / temperature
    return torch.exp(scores - torch.logsumexp(scores, dim=-1, keepdim=True))


def _in_float64(scores, temperature=1.0):
    return reference(scores.double(), temperature).to(scores.dtype)


def _einsum(scores, temperature=1.0):
    largest, _ = scores.max(dim=-1, keepdim=True)
    powers = torch.exp((scores - largest.detach()) / temperature)
    return torch.einsum("...k,...->...k", powers, 1 / torch.einsum("...k->...", powers))


softmax = Exercise(
    name="softmax",
    title="Scores to weights: the softmax",
    stars=2,
    importance=5,
    minutes=6,
    answer=reference,
    draw=draw,
    laws=LAWS,
    mistakes=MISTAKES,
    shortcuts=SOFTMAX,
    also_right={
        "torch's own": lambda scores, temperature=1.0: torch.softmax(scores / temperature, dim=-1),
        "row by row": _row_by_row,
        "log-sum-exp": _log_sum_exp,
        "in float64 inside": _in_float64,
        "einsum, shift detached": _einsum,
        "exponential of log_softmax": lambda scores, temperature=1.0: (scores / temperature).log_softmax(-1).exp(),
    },
    hints=(
        "Print `softmax(torch.tensor([[0.0, 1.0], [900.0, 901.0]]))`. Both rows should be the same two "
        "numbers: are they?",
        "Look at the law that the panel names first. Rows that do not sum to one speak of the axis; NaN speaks of what "
        "goes into exp(); a wrong temperature speaks of the order of the steps.",
        "Look at the line with exp(): what has to happen to the scores before it, twice, and to the powers after it? Each "
        "thing taken from a row, its largest and its sum, must keep its axis.",
        "A twin on another task, each class's marks as shares of its best mark, summing to one:\n"
        "    best = marks.amax(dim=-1, keepdim=True)\n"
        "    share = marks / best\n"
        "    share = share / share.sum(dim=-1, keepdim=True)\n"
        "Where it divides by the best you subtract it, and exp() comes after that.",
    ),
)
