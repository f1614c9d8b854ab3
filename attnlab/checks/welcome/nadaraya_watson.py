"""Exercise: Nadaraya-Watson regression, attention whose score is a distance."""

from functools import partial

import torch

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake, draw_sizes, uncontiguous
from attnlab.checks.laws import Law, Seen, close
from attnlab.checks.shortcuts import ATTENTION
from attnlab.reference.nadaraya_watson import nadaraya_watson as reference


def draw(generator: torch.Generator) -> list[Case]:
    size = draw_sizes(generator, "batch", "queries", "keys", "width", "features")
    size["keys"] = size["keys"] if size["keys"] > 2 else 10  # two stand side by side, others must be there
    b, q, k, d = (size[axis] for axis in ("batch", "queries", "keys", "width"))

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    queries, keys, values = normal(b, q, d), normal(b, k, d), normal(b, k, size["features"])
    # Beside the first query, where x > 0 > y, stand two keys. The first is nearer, but the other is so in city blocks,
    # and has the larger dot product.
    queries[:, 0, :2] = queries[:, 0, :2].abs() * torch.tensor([1.0, -1.0])
    keys[:, :2] = queries[:, :1]
    keys[:, 0, :2] += 0.03
    keys[:, 1, 0] += 0.048
    # Even the narrow one leaves float32 something of the nearest Gaussian.
    narrow, usual, wide = (torch.tensor([0.6, 1.3, 2.6]) + 0.3 * torch.rand(3, generator=generator)).tolist()
    far = queries.double()  # so far away, float32 has no digits left for the differences
    far[:, 0] += 100 / d**0.5
    moved = 3.0 * normal(d)
    return [
        Case("plain", (queries, keys, values, usual)),
        Case("narrow", (queries, keys, values, narrow)),
        Case("wide", (queries, keys, values, wide)),
        Case("no batch axis", (queries[0], keys[0], values[0], usual)),
        Case("one query, one key", (queries[:, :1], keys[:, :1], values[:, :1], usual)),
        Case("as many queries as keys", (normal(b, k, d), keys, values, usual)),
        Case("other units", (queries * 3, keys * 3, values, usual * 3)),
        Case("all moved", (queries + moved, keys + moved, values, usual)),
        Case("a query far away", (far, keys.double(), values.double(), usual)),
        Case("first item alone", (queries[:1], keys[:1], values[:1], usual)),
        Case("float64", (queries.double(), keys.double(), values.double(), usual)),
        Case("other memory layout", (*(uncontiguous(x) for x in (queries, keys, values)), usual)),
        Case("gradients", (queries, keys, values, usual), gradients=True),
    ]


def nearer_weighs_more(seen: Seen) -> str | None:
    queries, keys = seen.cases["plain"].inputs[:2]
    weights = seen.output("plain", "weights")
    nearest = torch.cdist(queries, keys).argmin(-1, keepdim=True)
    if (weights.gather(-1, nearest) >= weights.amax(-1, keepdim=True) - 1e-6).all():
        return None
    return "The key nearest to a query does not have the largest weight."


def units_cancel(seen: Seen) -> str | None:
    if close(seen.output("plain", "weights"), seen.output("other units", "weights")):
        return None
    return "Queries, keys and bandwidth were all made 3 times as large (another unit), and the weights moved."


def place_cancels(seen: Seen) -> str | None:
    if torch.allclose(seen.output("plain", "weights"), seen.output("all moved", "weights"), rtol=1e-3, atol=1e-4):
        return None
    return "Queries and keys were moved by the same amount, and the weights changed. Only distances may count."


LAWS = (
    laws.RIGHT_SHAPES,
    Law(
        "rows sum to one",
        1,
        "Do the weights of each query sum to one?",
        laws.sums_to_one("plain", of="weights"),
    ),
    Law("nearer weighs more", 1, "Has the nearest key the largest weight?", nearer_weighs_more),
    Law(
        "output mixes the values",
        1,
        "Is the output the weighted average of the values?",
        laws.mixes_the_values("plain", "values"),
    ),
    Law("units cancel", 1, "Is it the same in metres and in feet?", units_cancel),
    Law("place cancels", 1, "Do only distances count?", place_cancels),
    Law(
        "right numbers",
        3,
        "Are weights and output the reference's?",
        laws.equals_reference(
            "plain",
            "no batch axis",
            "one query, one key",
            "as many queries as keys",
            "other memory layout",
            "float64",
        ),
    ),
    Law(
        "right at any bandwidth",
        1,
        "Also for a narrow and a wide one?",
        laws.equals_reference("narrow", "wide"),
    ),
    Law(
        "a far query gets an answer",
        1,
        "Does a query far from all keys get finite weights?",
        laws.equals_reference("a query far away"),
    ),
    laws.ITEMS_APART,
    laws.GRADIENT,
    laws.INPUTS_KEPT,
    laws.FLOAT64,
)


def _squared(difference):
    return difference.square().sum(-1)


def flawed(
    queries,
    keys,
    values,
    bandwidth,
    *,
    distance=_squared,
    score_of=None,
    sign=-1,
    half=2,
    power=2,
    heat="divide",
    axis=-1,
    normalise="softmax",
    mix="value",
    divide=False,
    returned="weights",
    cut=False,
    in_place=False,
    half_size=False,
):
    """Nadaraya-Watson with one switch for each way of getting it wrong; with none set it is right."""
    if half_size:
        queries, keys, values = queries.float(), keys.float(), values.float()
    if in_place:
        queries /= bandwidth
        keys /= bandwidth
        bandwidth = 1.0
    far = distance(queries.unsqueeze(-2) - keys.unsqueeze(-3))
    scores = score_of(queries, keys) if score_of else sign * far
    scores = scores / half * bandwidth**power if heat == "multiply" else scores / (half * bandwidth**power)
    weights = NORMALISERS[normalise](scores, axis)
    weights = weights.detach() if cut else weights
    output = weights @ (values if mix == "value" else keys)
    output = output / keys.shape[-2] if divide else output
    return output, weights if returned == "weights" else scores


NORMALISERS = {
    "softmax": torch.softmax,
    "none": lambda scores, axis: scores.exp(),
    "no maximum": lambda scores, axis: scores.exp() / scores.exp().sum(axis, keepdim=True),
    "everything": lambda scores, axis: scores.flatten().softmax(0).reshape(scores.shape),
    "linear": lambda scores, axis: scores / scores.sum(axis, keepdim=True),
}

MISTAKES = (
    Mistake(
        "axes counted from the front",
        "the axes for the differences are put in by counting from the front.",
        "`[:, None]` and `[None]` are right for two axes. With a batch in front they pair the items of the batch.",
        "use unsqueeze(-2) on the queries and unsqueeze(-3) on the keys.",
        partial(flawed, score_of=lambda queries, keys: -((queries[:, None] - keys[None]) ** 2).sum(-1)),
    ),
    Mistake(
        "bandwidth not squared",
        "the squared distance is divided by the bandwidth, not by its square.",
        "The bandwidth is a distance, in the units of the keys. Squared over squared has no unit; squared "
        "over "
        "plain depends on whether you measure in metres or feet.",
        "divide by 2 * bandwidth**2.",
        partial(flawed, power=1),
    ),
    Mistake(
        "two forgotten",
        "the 2 under the squared distance is missing.",
        "The Gaussian is exp(-distance**2 / (2 * bandwidth**2)). Without the 2 your bandwidth is narrower by sqrt(2).",
        "divide by 2 * bandwidth**2.",
        partial(flawed, half=1),
    ),
    Mistake(
        "distance not squared",
        "the distance is not squared.",
        "torch.cdist and .norm() give the distance itself. The Gaussian falls with its square.",
        "square the distance, or leave the root out.",
        partial(flawed, distance=lambda difference: (difference.square().sum(-1) + 1e-30).sqrt()),
    ),
    Mistake(
        "absolute differences",
        "the absolute differences are added up.",
        "That is another distance (city blocks). The Gaussian takes the squares of the differences.",
        "square the differences before you sum them.",
        partial(flawed, distance=lambda difference: difference.abs().sum(-1)),
    ),
    Mistake(
        "square of the sum",
        "the differences are added up first and squared afterwards.",
        "A difference of +1 and one of -1 then cancel, and two points far apart count as one.",
        "square first, then sum over the width.",
        partial(flawed, distance=lambda difference: difference.sum(-1).square()),
    ),
    Mistake(
        "mean over the width",
        "the squared differences are averaged over the width.",
        "A squared distance is the sum of the squares. The mean makes the bandwidth depend on the width.",
        "use .sum(dim=-1).",
        partial(flawed, distance=lambda difference: difference.square().mean(-1)),
    ),
    Mistake(
        "minus forgotten",
        "the score grows with the distance.",
        "The softmax rewards the highest score. Without the minus the farthest key wins.",
        "put a minus in front of the squared distance.",
        partial(flawed, sign=1),
    ),
    Mistake(
        "dot product",
        "the score is the dot product of query and key.",
        "That is the attention of later lessons. Here the score is a distance, which does not care where zero lies.",
        "take query minus key, square, sum over the width, and put a minus in front.",
        partial(flawed, score_of=lambda queries, keys: queries @ keys.mT),
    ),
    Mistake(
        "bandwidth multiplied",
        "the scores are multiplied by the bandwidth's square.",
        "Then a wide bandwidth makes sharp weights, and a narrow one makes them all alike.",
        "divide by 2 * bandwidth**2.",
        partial(flawed, heat="multiply"),
    ),
    Mistake(
        "bandwidth ignored",
        "the bandwidth is never used.",
        "How far a query looks is then decided by the units of the keys.",
        "divide the squared distance by 2 * bandwidth**2.",
        partial(flawed, power=0),
    ),
    Mistake(
        "softmax over the queries",
        "the weights sum to one over the queries.",
        "Then the queries compete for a key. Each query needs weights of its own that sum to one over the keys.",
        "normalise over the last axis, the keys.",
        partial(flawed, axis=-2),
    ),
    Mistake(
        "softmax over everything",
        "all weights together sum to one.",
        "A softmax over the flattened scores makes all queries of all items share one budget.",
        "say dim=-1.",
        partial(flawed, normalise="everything"),
    ),
    Mistake(
        "not normalised",
        "the Gaussians are not divided by their sum.",
        "What you have is a sum, not an average: it grows where there are many keys.",
        "divide by the sum over the keys, or use softmax.",
        partial(flawed, normalise="none"),
    ),
    Mistake(
        "no exponential",
        "the scores are divided by their sum, without an exponential.",
        "The quotient of two negative numbers is positive, so it looks like a weight; but the farthest key gets most.",
        "put the scores through softmax.",
        partial(flawed, normalise="linear"),
    ),
    Mistake(
        "far query gets NaN",
        "the Gaussians are divided by their sum as they are.",
        "Far from all keys every Gaussian is too small for float32, and 0/0 is NaN.",
        "use your softmax on the scores: it subtracts the largest first.",
        partial(flawed, normalise="no maximum"),
    ),
    Mistake(
        "mixes the keys",
        "the weights average the keys.",
        "Keys decide who is looked at; values are what is taken.",
        "multiply the weights with the values.",
        partial(flawed, mix="key"),
    ),
    Mistake(
        "divided by the number of keys",
        "the output is divided by the number of keys once more.",
        "The weights already sum to one: they are the division.",
        "multiply weights and values, and do not divide.",
        partial(flawed, divide=True),
    ),
    Mistake(
        "returns the scores",
        "the second thing returned is the scores.",
        "The weights are what comes out of the softmax. Scores are negative here and do not sum to one.",
        "return (output, weights).",
        partial(flawed, returned="scores"),
    ),
    Mistake(
        "graph is cut",
        "the weights are detached from the graph.",
        "The numbers are right, but no gradient reaches queries and keys.",
        "leave out .detach(), .data, .numpy() and no_grad().",
        partial(flawed, cut=True),
    ),
    Mistake(
        "changes its inputs",
        "queries and keys are divided by the bandwidth in place.",
        "`keys /= bandwidth` writes into the caller's tensor; the next call finds other keys.",
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


def _query_by_query(queries, keys, values, bandwidth):
    rows = []
    for i in range(queries.shape[-2]):
        difference = queries[..., i : i + 1, :] - keys
        rows.append((-(difference**2).sum(-1) / (2 * bandwidth**2)).softmax(-1))
    weights = torch.stack(rows, dim=-2)
    return weights @ values, weights


def _expanded(queries, keys, values, bandwidth):
    q, k = queries.double(), keys.double()
    squares = q.square().sum(-1)[..., :, None] - 2 * q @ k.mT + k.square().sum(-1)[..., None, :]
    weights = torch.softmax(-squares / (2 * bandwidth**2), dim=-1).to(values.dtype)
    return torch.einsum("...qk,...kf->...qf", weights, values), weights


def _density(queries, keys, values, bandwidth):
    gaussian = torch.distributions.Normal(keys.unsqueeze(-3), bandwidth, validate_args=False)
    weights = gaussian.log_prob(queries.unsqueeze(-2)).sum(-1).softmax(-1)
    return weights @ values, weights


def _scaled_first(queries, keys, values, bandwidth):
    weights = (-0.5 * torch.cdist(queries / bandwidth, keys / bandwidth) ** 2).softmax(-1)
    return weights @ values, weights


def _in_float64(queries, keys, values, bandwidth):
    output, weights = reference(queries.double(), keys.double(), values.double(), bandwidth)
    return output.to(values.dtype), weights.to(values.dtype)


def _feature_by_feature(queries, keys, values, bandwidth):
    scores = 0
    for d in range(keys.shape[-1]):
        scores = scores - (queries[..., :, None, d] - keys[..., None, :, d]).pow(2) / bandwidth**2 / 2
    powers = torch.exp(scores - scores.max(dim=-1, keepdim=True).values)
    weights = powers / powers.sum(-1, keepdim=True)
    return (weights.unsqueeze(-1) * values.unsqueeze(-3)).sum(-2), weights


nadaraya_watson = Exercise(
    name="nadaraya_watson",
    title="Nadaraya-Watson: the nearer, the heavier",
    stars=3,
    importance=4,
    minutes=8,
    answer=reference,
    returns=("output", "weights"),
    draw=draw,
    laws=LAWS,
    mistakes=MISTAKES,
    shortcuts=ATTENTION,
    also_right={
        "query by query": _query_by_query,
        "squares expanded, float64": _expanded,
        "with the Gaussian's density": _density,
        "cdist, scaled first": _scaled_first,
        "in float64 inside": _in_float64,
        "one feature of the width at a time": _feature_by_feature,
    },
    hints=(
        "Call it with one query at 0, keys at 0, 1 and 5, and a bandwidth of 1. Which weight should be the largest, which "
        "almost nothing? Print them.",
        "Look at the law that the panel names first. Wrong units speak of the squares; a nearest key that does not win "
        "speaks of the sign; rows that do not sum to one speak of the axis.",
        "The line with the difference decides: `queries.unsqueeze(-2) - keys.unsqueeze(-3)` is (queries, keys, width). "
        "What makes one number of its last axis, and which of the formula's two squares is easily lost?",
        "A twin on another task, who lives how near to which bus stop (houses and stops are points on a line):\n"
        "    apart = houses[:, None] - stops[None, :]            # (houses, stops)\n"
        "    liking = -apart.abs() / patience                    # the nearer, the better\n"
        "    share = liking.softmax(dim=-1)                      # each house shares itself out\n"
        "    waiting = share @ minutes                           # (houses, stops) @ (stops, hours)\n"
        "Yours has a width to sum over, squares, and 2 * bandwidth**2.",
    ),
)
