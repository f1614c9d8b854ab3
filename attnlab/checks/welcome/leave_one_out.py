"""Exercise: predict every key from all the others."""

from functools import partial

import torch

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake, draw_sizes, uncontiguous
from attnlab.checks.laws import Law, Seen, close
from attnlab.checks.shortcuts import ATTENTION
from attnlab.reference.nadaraya_watson import leave_one_out as reference


def draw(generator: torch.Generator) -> list[Case]:
    size = draw_sizes(generator, "batch", "keys", "width", "features")
    size["keys"] += 8  # enough others, and still unlike all other sizes
    b, k, d = size["batch"], size["keys"], size["width"]

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    keys, values = normal(b, k, d), normal(b, k, size["features"])
    narrow, usual, wide = (torch.tensor([0.5, 1.3, 2.6]) + 0.3 * torch.rand(3, generator=generator)).tolist()
    other_values = values.clone()
    other_values[:, 0] += 5.0
    twins = keys.clone()
    twins[:, 1] = twins[:, 0]
    lonely = keys.double()  # so far away, float32 has no digits left for the differences
    lonely[:, -1] += 100 / d**0.5
    return [
        Case("plain", (keys, values, usual)),
        Case("narrow", (keys, values, narrow)),
        Case("wide", (keys, values, wide)),
        Case("no batch axis", (keys[0], values[0], usual)),
        Case("two keys", (keys[:, :2], values[:, :2], usual)),
        Case("its own value changed", (keys, other_values, usual)),
        Case("two keys in one place", (twins, values, usual)),
        Case("a key far from all others", (lonely, values.double(), usual)),
        Case("first item alone", (keys[:1], values[:1], usual)),
        Case("float64", (keys.double(), values.double(), usual)),
        Case("other memory layout", (uncontiguous(keys), uncontiguous(values), usual)),
        Case("gradients", (keys, values, usual), gradients=True),
    ]


def nobody_sees_itself(seen: Seen) -> str | None:
    own = seen.output("plain", "weights").diagonal(dim1=-2, dim2=-1)
    if not (own.abs() < 1e-7).all():
        return f"A key gives itself the weight {own.flatten()[own.abs().argmax()].item():.3g}; it should be 0."
    before, after = (seen.output(case, "output")[:, 0] for case in ("plain", "its own value changed"))
    if not close(before, after):
        return "The value of a key was changed, and the prediction for that same key moved."
    return None


LAWS = (
    laws.RIGHT_SHAPES,
    Law(
        "nobody sees itself",
        2,
        "Is a key's own weight zero, and its own value without effect?",
        nobody_sees_itself,
    ),
    Law("rows sum to one", 1, "Do the others' weights sum to one?", laws.sums_to_one("plain", of="weights")),
    Law(
        "output mixes the values",
        1,
        "Is the output the weighted average of the values?",
        laws.mixes_the_values("plain", "values"),
    ),
    Law(
        "right numbers",
        3,
        "Are weights and output the reference's?",
        laws.equals_reference("plain", "no batch axis", "other memory layout", "float64"),
    ),
    Law(
        "right at any bandwidth",
        1,
        "Also for a narrow and a wide one?",
        laws.equals_reference("narrow", "wide"),
    ),
    Law(
        "two keys see each other",
        1,
        "Does each of two keys get the other's value?",
        laws.equals_reference("two keys"),
    ),
    Law(
        "twins see each other",
        1,
        "May two keys in the same place see each other?",
        laws.equals_reference("two keys in one place"),
    ),
    Law(
        "a lonely key gets an answer",
        1,
        "Does a key far from all others get finite weights?",
        laws.equals_reference("a key far from all others"),
    ),
    laws.ITEMS_APART,
    laws.GRADIENT,
    laws.INPUTS_KEPT,
    laws.FLOAT64,
)


def flawed(
    keys,
    values,
    bandwidth,
    *,
    root=False,
    half=2,
    power=2,
    sign=-1,
    hidden="itself",
    hiding="-inf",
    axis=-1,
    returned="weights",
    divide=False,
    cut=False,
    in_place=False,
    half_size=False,
):
    """Leave-one-out with one switch for each way of getting it wrong; with none set it is right."""
    if half_size:
        keys, values = keys.float(), values.float()
    if in_place:
        keys /= bandwidth
        bandwidth = 1.0
    squares = (keys.unsqueeze(-2) - keys.unsqueeze(-3)).square().sum(-1)
    scores = sign * ((squares + 1e-30).sqrt() if root else squares) / (half * bandwidth**power)
    itself = HIDDEN[hidden](torch.eye(keys.shape[-2], dtype=torch.bool), squares)
    if hiding == "-inf" and axis == "all":
        weights = scores.masked_fill(itself, -torch.inf).flatten().softmax(0).reshape(scores.shape)
    elif hiding == "-inf":
        weights = scores.masked_fill(itself, -torch.inf).softmax(axis)
    elif hiding == "eye times -inf":
        weights = (scores + torch.eye(keys.shape[-2], dtype=keys.dtype) * -torch.inf).softmax(axis)
    elif hiding == "weights to zero, divided anew":
        weights = scores.softmax(axis).masked_fill(itself, 0.0)
        weights = weights / weights.sum(-1, keepdim=True)
    elif hiding == "weights to zero":
        weights = scores.softmax(axis).masked_fill(itself, 0.0)
    else:
        weights = scores.softmax(axis)
    weights = weights.detach() if cut else weights
    output = weights @ values
    output = output / (keys.shape[-2] - 1) if divide else output
    return output, weights if returned == "weights" else scores.softmax(-1)


HIDDEN = {
    "itself": lambda itself, squares: itself,
    "the others": lambda itself, squares: ~itself,
    "distance zero": lambda itself, squares: squares == 0,
    "later ones too": lambda itself, squares: torch.ones_like(itself).triu(),
    "the neighbour": lambda itself, squares: itself.roll(1, -1),
    "the first": lambda itself, squares: itself[:1].expand_as(itself),
}
MISTAKES = (
    Mistake(
        "sees itself",
        "every key may see itself (or its own score is set to 0, which it is anyway).",
        "A key is nearest to itself, so its own value weighs most. With a narrow bandwidth the prediction "
        "is then a "
        "copy, and every bandwidth looks the better the narrower it is.",
        "set the score of each key with itself to -inf before the softmax.",
        partial(flawed, hiding="not at all"),
    ),
    Mistake(
        "own weight to zero, rest as it was",
        "the own weight is set to zero after the softmax, and the rest is left as it was.",
        "The key itself has taken its share before it vanishes, so what is left does not sum to one.",
        "hide the score, with -inf, before the softmax.",
        partial(flawed, hiding="weights to zero"),
    ),
    Mistake(
        "own weight to zero, divided anew",
        "the own weight is set to zero after the softmax, and the row divided by its new sum.",
        "Right on paper. But for a key far from all others the rest is too small for float32, and 0/0 is NaN.",
        "hide the score, with -inf, before the softmax.",
        partial(flawed, hiding="weights to zero, divided anew"),
    ),
    Mistake(
        "eye times minus infinity",
        "the hidden scores are made by multiplying a matrix of zeros and ones with -inf.",
        "0 times -inf is NaN, so everything off the diagonal is NaN.",
        "use masked_fill with a boolean mask, or torch.where.",
        partial(flawed, hiding="eye times -inf"),
    ),
    Mistake(
        "mask upside down",
        "all keys are hidden except the key itself.",
        "Every prediction is then the value that was to be predicted.",
        "hide where the mask is True on the diagonal, and nowhere else.",
        partial(flawed, hidden="the others"),
    ),
    Mistake(
        "hides all at distance zero",
        "everything at distance zero is hidden.",
        "That is the key itself, and every other key in the same place: an honest witness is lost.",
        "hide the diagonal: torch.eye(keys.shape[-2], dtype=torch.bool).",
        partial(flawed, hidden="distance zero"),
    ),
    Mistake(
        "only earlier keys",
        "the later keys are hidden too.",
        "That is a causal mask, for lesson 05. Here only the key itself is left out; and the first key now "
        "sees nobody.",
        "hide the diagonal alone.",
        partial(flawed, hidden="later ones too"),
    ),
    Mistake(
        "off by one",
        "each key hides its neighbour instead of itself.",
        "The diagonal is where row and column have the same number.",
        "use torch.eye without shifting it.",
        partial(flawed, hidden="the neighbour"),
    ),
    Mistake(
        "the first is left out for all",
        "the same key is hidden for everybody.",
        "Each query leaves out another key: itself.",
        "use a square mask with True on the diagonal.",
        partial(flawed, hidden="the first"),
    ),
    Mistake(
        "returns the weights before hiding",
        "the weights returned are those before the key itself was hidden.",
        "The output is right, but the weights do not say how it came about.",
        "return the same weights that you multiply with the values.",
        partial(flawed, returned="before"),
    ),
    Mistake(
        "divided by the number of others",
        "the output is divided by the number of other keys.",
        "The weights already sum to one: they are the division.",
        "multiply weights and values, and do not divide.",
        partial(flawed, divide=True),
    ),
    Mistake(
        "bandwidth not squared",
        "the squared distance is divided by the bandwidth, not by its square.",
        "The bandwidth is a distance: squared over squared has no unit.",
        "divide by 2 * bandwidth**2, as before.",
        partial(flawed, power=1),
    ),
    Mistake(
        "two forgotten",
        "the 2 under the squared distance is missing.",
        "Without the 2 your bandwidth is narrower by sqrt(2) than that of nadaraya_watson.",
        "divide by 2 * bandwidth**2, as before.",
        partial(flawed, half=1),
    ),
    Mistake(
        "distance not squared",
        "the distance is not squared.",
        "torch.cdist and .norm() give the distance itself. The Gaussian falls with its square.",
        "square the distance, or leave the root out.",
        partial(flawed, root=True),
    ),
    Mistake(
        "minus forgotten",
        "the score grows with the distance.",
        "Without the minus the farthest key wins.",
        "put a minus in front of the squared distance.",
        partial(flawed, sign=1),
    ),
    Mistake(
        "bandwidth ignored",
        "the bandwidth is never used.",
        "How far a key looks is then decided by the units of the keys.",
        "divide the squared distance by 2 * bandwidth**2.",
        partial(flawed, power=0),
    ),
    Mistake(
        "softmax over the queries",
        "the columns sum to one, not the rows.",
        "The distances are symmetric, so this is easy to miss; after the softmax they are not.",
        "normalise over the last axis.",
        partial(flawed, axis=-2),
    ),
    Mistake(
        "softmax over everything",
        "all weights together sum to one.",
        "A softmax over the flattened scores makes all keys of all items share one budget.",
        "say dim=-1.",
        partial(flawed, axis="all"),
    ),
    Mistake(
        "graph is cut",
        "the weights are detached from the graph.",
        "The numbers are right, but no gradient reaches the keys.",
        "leave out .detach(), .data, .numpy() and no_grad().",
        partial(flawed, cut=True),
    ),
    Mistake(
        "changes its inputs",
        "the keys are divided by the bandwidth in place.",
        "`keys /= bandwidth` writes into the caller's tensor; the next bandwidth finds other keys.",
        "write keys = keys / bandwidth, or divide the scores.",
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


def _scores(keys, bandwidth):
    return -(keys[..., :, None, :] - keys[..., None, :, :]).pow(2).sum(-1) / (2 * bandwidth**2)


def _key_by_key(keys, values, bandwidth):
    """Really takes the key out of the list, and puts a zero in its place afterwards."""
    scores, rows = _scores(keys, bandwidth), []
    for i in range(keys.shape[-2]):
        others = torch.cat([scores[..., i, :i], scores[..., i, i + 1 :]], dim=-1).softmax(-1)
        nothing = torch.zeros_like(others[..., :1])
        rows.append(torch.cat([others[..., :i], nothing, others[..., i:]], dim=-1))
    weights = torch.stack(rows, dim=-2)
    return weights @ values, weights


def _diagonal_filled(keys, values, bandwidth):
    scores = _scores(keys, bandwidth).clone()
    scores.diagonal(dim1=-2, dim2=-1).fill_(-torch.inf)
    weights = scores.softmax(-1)
    return torch.einsum("...qk,...kf->...qf", weights, values), weights


def _added(keys, values, bandwidth):
    lowest = torch.finfo(keys.dtype).min / 4
    weights = (_scores(keys, bandwidth) + lowest * torch.eye(keys.shape[-2], dtype=keys.dtype)).softmax(-1)
    return weights @ values, weights


def _where(keys, values, bandwidth):
    number = torch.arange(keys.shape[-2])
    scores = torch.where(number[:, None] == number, -torch.inf, _scores(keys, bandwidth))
    weights = (scores - scores.logsumexp(-1, keepdim=True)).exp()
    return weights @ values, weights


def _in_float64(keys, values, bandwidth):
    output, weights = reference(keys.double(), values.double(), bandwidth)
    return output.to(values.dtype), weights.to(values.dtype)


leave_one_out = Exercise(
    name="leave_one_out",
    title="Leave one out",
    stars=3,
    importance=4,
    minutes=6,
    answer=reference,
    returns=("output", "weights"),
    draw=draw,
    laws=LAWS,
    mistakes=MISTAKES,
    shortcuts=ATTENTION,
    also_right={
        "key by key": _key_by_key,
        "diagonal filled": _diagonal_filled,
        "a very low number added": _added,
        "where and log-sum-exp": _where,
        "in float64 inside": _in_float64,
    },
    hints=(
        "Print the diagonal of your weights. What should stand there, and do the rows still sum to one?",
        "Look at the law that the panel names first. If a row does not sum to one, the key left after it "
        "had taken "
        "its share; if NaN comes, ask what 0 times -inf is.",
        "Two lines are new: a mask, `torch.eye(keys.shape[-2], dtype=torch.bool)`, and "
        "`scores.masked_fill(mask, -torch.inf)` before the softmax.",
        "A twin on another task, votes where nobody may vote for a neighbour:\n"
        "    apart = (seat[:, None] - seat[None, :]).abs()\n"
        "    liking = liking.masked_fill(apart == 1, -torch.inf)\n"
        "    votes = liking.softmax(dim=-1)\n"
        "You hide where row and column are the same key.",
    ),
)
