"""Stretch: Luong's local attention with a predicted place (local-p)."""

from functools import partial

import torch

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake, draw_sizes
from attnlab.checks.laws import Law, Seen, close
from attnlab.reference.local_attention import local_attention as reference


def draw(generator: torch.Generator) -> list[Case]:
    size = draw_sizes(generator, "batch", "queries", "width", "hidden")
    b, q, d, n = size.values()
    b, k = (b if b > 2 else b + 10), 13

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    query, key = normal(b, q, d), normal(b, k, d) / d**0.5
    lengths = torch.randint(6, k, (b,), generator=generator)
    lengths[0], lengths[1] = 8, k
    to_position, vector = normal(n, d) / d**0.5, normal(n) / n**0.5
    # Every window reaches a whole place on both sides, and the last real one is seen by somebody.
    filler = (torch.arange(k) >= lengths[:, None])[..., None]
    other = torch.where(filler, key + 2.0, key)
    return [
        Case("plain", (query, key, lengths, to_position, vector, 2)),
        Case("a wide window", (query, key, lengths, to_position, vector, 4)),
        Case("other filler", (query, other, lengths, to_position, vector, 4)),
        Case("in the middle", (query, key, lengths, to_position, torch.zeros(n), 3)),
        Case("at the end", (torch.ones(b, q, d), key, lengths, torch.ones(n, d), torch.full((n,), 9.0), 2)),
        Case("first item alone", (query[:1], key[:1], lengths[:1], to_position, vector, 2)),
        Case("no batch axis", (query[0], key[0], lengths[0], to_position, vector, 2)),
        Case("float64", (query.double(), key.double(), lengths, to_position.double(), vector.double(), 2)),
        Case("gradients", (query, key, lengths, to_position, vector, 3), gradients=True),
    ]


def filler_does_not_matter(seen: Seen) -> str | None:
    for name in seen.returns:
        if not close(seen.output("other filler", name), seen.output("a wide window", name)):
            return f"The keys beyond the lengths were changed, and `{name}` moved."
    return None


def nothing_outside(seen: Seen) -> str | None:
    """With a vector of zeros the place is half the length, whatever the query."""
    weights, lengths = seen.output("in the middle", "weights"), seen.cases["in the middle"].inputs[2]
    far = (torch.arange(weights.shape[-1]) - lengths[:, None] / 2).abs() > 3
    leaked = weights.masked_select(far.unsqueeze(1).expand_as(weights)).abs().max().item()
    return None if leaked == 0 else f"A key outside the window has weight {leaked:.3g}."


def rows_sum_to_less(seen: Seen) -> str | None:
    """Near the end too, where part of the window is cut off."""
    for case in ("a wide window", "at the end"):
        sums = seen.output(case, "weights").sum(-1)
        if not ((sums > 0) & (sums < 0.9999)).all():
            return f"Rows of local-p sum to something between 0 and 1; one of yours sums to {sums.max().item():.4g}."
    return None


def place_can_be_learnt(seen: Seen) -> str | None:
    for name in ("to_position", "vector"):
        got = seen.got["gradients"].gradients.get(name)
        seen.outputs("gradients")
        if got is None or not got.any():
            return f"No gradient reaches {name}, so the place cannot be learnt: the edge of a window gives none."
    return None


def inputs_and_dtype_kept(seen: Seen) -> str | None:
    return next((s for law in (laws.INPUTS_KEPT, laws.FLOAT64) if (s := law.broken_by(seen))), None)


def flawed(
    query,
    key,
    lengths,
    to_position,
    vector,
    half_width,
    *,
    gaussian="times, as it is",
    sigma=0.5,
    power=2,
    window=True,
    whose="each",
    bend=torch.tanh,
    share=torch.sigmoid,
    rounded=False,
    place_cut=False,
    masked=True,
    early="all",
    cut=False,
    scaled=False,
    turned=False,
    counts_from=0,
    edge=True,
    reach=1,
    bell_for="both",
    hidden_as=-torch.inf,
    over=-1,
):
    """local-p with one switch for each way of getting it wrong."""
    k = key.shape[-2]
    span = {"each": lengths.unsqueeze(-1), "all": k, "none": 1}[whose]
    position = span * share(bend(query @ to_position.mT) @ vector)
    position = position.round() if rounded else position.detach() if place_cut else position
    away = torch.arange(k) + counts_from - position.unsqueeze(-1)
    seen = everything = torch.ones_like(away, dtype=torch.bool)
    if window:
        seen = away.abs() <= reach * half_width if edge else away.abs() < half_width
    real = (torch.arange(k) < lengths.unsqueeze(-1)).unsqueeze(-2)
    seen = seen & real if masked else seen
    first = {"all": seen, "filler": everything & real, "none": everything}[early]
    spread = {1: sigma * half_width, 2: (sigma * half_width) ** 2, -2: (sigma * half_width) ** -2}[power]
    bell = (-away.square() / (2 * spread)).exp()
    scores = query @ key.mT / (query.shape[-1] ** 0.5 if scaled else 1.0)
    scores = scores * bell if gaussian == "times the scores" else scores
    weights = scores.masked_fill(~first, hidden_as).softmax(over)
    weights = weights if hidden_as == 0 else weights.masked_fill(~seen, 0.0)
    flat = weights
    if gaussian.startswith("times, "):
        weights = weights * bell
    if gaussian == "times, then normalised":
        weights = weights / weights.sum(-1, keepdim=True)
    if gaussian == "times, a density":
        weights = weights / (sigma * half_width * (2 * torch.pi) ** 0.5)
    weights, flat = weights.nan_to_num(0.0), flat.nan_to_num(0.0)
    weights = weights.detach() if cut else weights
    output = (flat if bell_for == "weights" else weights) @ key
    shown = flat if bell_for == "output" else weights
    return output, shown.mT if turned else shown


MISTAKES = (
    Mistake(
        "no Gaussian",
        "the Gaussian is left out.",
        "The weights are then a softmax in a window, and the window's edge has no gradient: the place is never learnt.",
        "multiply the weights with exp(-(s - p)^2 / (2 sigma^2)).",
        partial(flawed, gaussian="never"),
    ),
    Mistake(
        "normalised again",
        "the product is divided by its sum.",
        "The paper leaves it as it is, and rows sum to less than one. Adding the Gaussian's exponent to the scores before\n"
        "the softmax comes to the same.",
        "softmax first, then times the Gaussian; leave the last division out.",
        partial(flawed, gaussian="times, then normalised"),
    ),
    Mistake(
        "sigma is the half width",
        "sigma is D, not D / 2.",
        "At the edge of the window, two sigmas away, the Gaussian should be down to exp(-2).",
        "set sigma = half_width / 2.",
        partial(flawed, sigma=1.0),
    ),
    Mistake(
        "sigma not squared",
        "the square is divided by 2 sigma, not by 2 sigma squared.",
        "A distance squared is divided by a distance squared; else the width of the bell changes with the unit.",
        "square sigma.",
        partial(flawed, power=1),
    ),
    Mistake(
        "half of the exponent",
        "the square is divided by sigma squared, not by 2 sigma squared.",
        "The bell is then narrower: at the edge of the window it is down to exp(-4), where it should be exp(-2).",
        "write the 2 in front of sigma squared, and brackets around both.",
        partial(flawed, sigma=0.5**1.5),
    ),
    Mistake(
        "brackets of the exponent",
        "the square is divided by 2 and multiplied with sigma squared.",
        "`x / 2 * s` is (x / 2) * s. With D = 2 sigma is 1 and nothing shows; the wider the window, the narrower this bell.",
        "put brackets around 2 * sigma ** 2.",
        partial(flawed, power=-2),
    ),
    Mistake(
        "a density",
        "the Gaussian is divided by sigma and the root of 2 pi, as a density is.",
        "A density has area 1. Here the bell is to be 1 at its top, so that a key just at the place keeps its weight.",
        "take the exponential alone.",
        partial(flawed, gaussian="times, a density"),
    ),
    Mistake(
        "Gaussian on the scores",
        "the Gaussian is multiplied with the scores, before the softmax.",
        "Then it pulls far scores to 0, which may be more than they had, and rows sum to one.",
        "softmax first, then times the Gaussian.",
        partial(flawed, gaussian="times the scores"),
    ),
    Mistake(
        "output without the Gaussian",
        "the Gaussian is in the weights that come back, and not in the context.",
        "Then the picture shows other weights than those that were used.",
        "multiply first, and take the context from the product.",
        partial(flawed, bell_for="weights"),
    ),
    Mistake(
        "weights without the Gaussian",
        "the Gaussian is in the context, and not in the weights that come back.",
        "Then the picture shows other weights than those that were used.",
        "multiply first, and return the product.",
        partial(flawed, bell_for="output"),
    ),
    Mistake(
        "hidden with zero",
        "the scores outside the window, and those of the filler, become 0.",
        "exp(0) is 1: what is hidden keeps the share of a middling score.",
        "fill with -inf, whose exponential is 0.",
        partial(flawed, hidden_as=0.0),
    ),
    Mistake(
        "softmax over queries",
        "the softmax runs over the queries.",
        "Then the queries share out each key among them. One query is to share itself out among the keys.",
        "normalise over the last axis.",
        partial(flawed, over=-2),
    ),
    Mistake(
        "half the window",
        "the window reaches D / 2 to each side.",
        "D is the half width already: the window is 2 D wide. D / 2 is sigma.",
        "hide what is further away than half_width.",
        partial(flawed, reach=0.5),
    ),
    Mistake(
        "edge left out",
        "a key that is exactly D away is hidden.",
        "The window is |s - p| <= D. It shows where the place is a whole number.",
        "compare with <=.",
        partial(flawed, edge=False),
    ),
    Mistake(
        "counts from one",
        "the keys are numbered from 1.",
        "The paper does so. Here the first key is at place 0, as torch.arange counts, and the whole window is one key off.",
        "write torch.arange(keys).",
        partial(flawed, counts_from=1),
    ),
    Mistake(
        "place without the length",
        "the sigmoid is not multiplied with the length.",
        "Then every place lies between 0 and 1, and all windows stand at the beginning.",
        "multiply the sigmoid with the lengths.",
        partial(flawed, whose="none"),
    ),
    Mistake(
        "place without the sigmoid",
        "the place is predicted without the sigmoid.",
        "Then it may lie outside the sentence, before its first word or behind its last, and the window is empty.",
        "put torch.sigmoid around the product with the vector, and then the length.",
        partial(flawed, share=lambda x: x),
    ),
    Mistake(
        "no window",
        "all places take part, and only the Gaussian pushes far ones down.",
        "Then nothing is saved, which is what the window is for, and far keys take a share of the softmax.",
        "hide what is further away than half_width.",
        partial(flawed, window=False),
    ),
    Mistake(
        "window after the softmax",
        "the softmax runs over all keys, and what is outside the window is set to zero afterwards.",
        "Then keys outside have taken their share already.",
        "hide the scores before the softmax.",
        partial(flawed, early="none"),
    ),
    Mistake(
        "only the filler before the softmax",
        "the filler is hidden before the softmax, and what is outside the window is set to zero afterwards.",
        "Then real keys outside the window have taken their share already.",
        "hide both before the softmax.",
        partial(flawed, early="filler"),
    ),
    Mistake(
        "filler is seen",
        "the lengths only scale the place; filler inside the window is seen.",
        "Near the end of a short sentence the window reaches into the padding.",
        "hide places from each length on as well.",
        partial(flawed, masked=False),
    ),
    Mistake(
        "place in the padded length",
        "the place is a share of the table's length, not of the sentence's own.",
        "Then the place moves when the batch is padded further.",
        "multiply the sigmoid with the lengths.",
        partial(flawed, whose="all"),
    ),
    Mistake(
        "no tanh",
        "the place is predicted without the tanh.",
        "The formula has v^T tanh(W h).",
        "put torch.tanh around the projection.",
        partial(flawed, bend=lambda x: x),
    ),
    Mistake(
        "place is rounded",
        "the place is rounded to a whole number.",
        "Rounding has no gradient, so the place cannot be learnt. The window may sit between two words.",
        "leave the place real.",
        partial(flawed, rounded=True),
    ),
    Mistake(
        "place is cut",
        "the place is detached from the graph.",
        "The numbers are right and the scores can learn, but what predicts the place cannot.",
        "leave out .detach(), .item() and no_grad() there.",
        partial(flawed, place_cut=True),
    ),
    Mistake(
        "scaled",
        "the scores are divided by the root of the width.",
        "Luong's dot is the bare product.",
        "leave the division out.",
        partial(flawed, scaled=True),
    ),
    Mistake(
        "keys by queries",
        "the table of weights has a row for each key.",
        "A row belongs to one query.",
        "return the weights as (queries, keys).",
        partial(flawed, turned=True),
    ),
    Mistake(
        "graph is cut",
        "the weights are detached from the graph.",
        "The numbers are right, but neither the scores nor the place can learn.",
        "leave out .detach(), .data and no_grad().",
        partial(flawed, cut=True),
    ),
)


def _pieces(query, key, lengths, to_position, vector):
    position = lengths[..., None] * torch.sigmoid(torch.nn.functional.linear(query, to_position).tanh() @ vector)
    return position, torch.arange(key.shape[-2]), torch.einsum("...qd,...kd->...qk", query, key)


def _where(query, key, lengths, to_position, vector, half_width):
    position, places, scores = _pieces(query, key, lengths, to_position, vector)
    near = ((places - position[..., None]).abs() <= half_width) & (places < lengths[..., None, None])
    weights = torch.where(near, scores, -torch.inf).softmax(-1).nan_to_num(0.0)
    sigma = half_width / 2
    weights = weights * torch.exp(-((places - position[..., None]) ** 2) / (2 * sigma**2))
    return weights @ key, weights


def _two_sided(query, key, lengths, to_position, vector, half_width):
    position, places, scores = _pieces(query, key, lengths, to_position, vector)
    p = position.unsqueeze(-1)
    near = (places >= p - half_width) & (places <= p + half_width) & (places < lengths[..., None, None])
    powers = (scores - scores.amax(-1, keepdim=True)).exp() * near
    weights = powers / powers.sum(-1, keepdim=True) * torch.exp(-2 * ((places - p) / half_width) ** 2)
    return weights.matmul(key), weights


def _in_float64(query, key, lengths, to_position, vector, half_width):
    wide = [x.double() for x in (query, key)]
    output, weights = reference(*wide, lengths, to_position.double(), vector.double(), half_width)
    return output.to(query.dtype), weights.to(query.dtype)


def _query_by_query(query, key, lengths, to_position, vector, half_width):
    if query.ndim == 3:
        items = zip(query, key, lengths, strict=True)
        parts = [_query_by_query(*item, to_position, vector, half_width) for item in items]
        return tuple(torch.stack(part) for part in zip(*parts, strict=True))
    rows = []
    for q in query:
        p = lengths * torch.sigmoid(vector @ torch.tanh(to_position @ q))
        places = torch.arange(len(key))
        near = ((places - p).abs() <= half_width) & (places < lengths)
        row = (key @ q).masked_fill(~near, -torch.inf).softmax(0)
        rows.append(row * torch.exp(-((places - p) ** 2) / (half_width**2 / 2)))
    weights = torch.stack(rows)
    return weights @ key, weights


def _normal_density(query, key, lengths, to_position, vector, half_width):
    position, places, scores = _pieces(query, key, lengths, to_position, vector)
    away = places - position[..., None]
    hidden = (away.abs() > half_width) | (places >= lengths[..., None, None])
    weights = scores.masked_fill(hidden, torch.finfo(scores.dtype).min).softmax(-1).masked_fill(hidden, 0.0)
    bell = torch.exp(-0.5 * (away / (half_width / 2)).square())
    return (weights * bell) @ key, weights * bell


local_attention = Exercise(
    name="local_attention",
    title="Local attention (Luong's local-p)",
    stars=4,
    importance=2,
    minutes=15,
    answer=reference,
    returns=("output", "weights"),
    draw=draw,
    stretch=True,
    laws=(
        laws.RIGHT_SHAPES,
        Law(
            "right numbers",
            4,
            "Are output and weights the reference's?",
            laws.equals_reference("plain", "a wide window", "in the middle", "at the end", "no batch axis", "float64"),
        ),
        Law("nothing outside the window", 1, "Has every key outside the window weight zero?", nothing_outside),
        Law("rows sum to less than one", 1, "Is the product left as it is?", rows_sum_to_less),
        Law("filler does not matter", 1, "Does what stands beyond the lengths change nothing?", filler_does_not_matter),
        Law("the place can be learnt", 1, "Does a gradient reach what predicts the place?", place_can_be_learnt),
        laws.ITEMS_APART,
        laws.GRADIENT,
        Law(
            "inputs and dtype are kept",
            1,
            "Does it leave its inputs alone, and compute in their dtype?",
            inputs_and_dtype_kept,
        ),
    ),
    mistakes=MISTAKES,
    also_right={
        "where": _where,
        "two-sided comparison": _two_sided,
        "in float64 inside": _in_float64,
        "query by query": _query_by_query,
        "bell of a normal density": _normal_density,
    },
    hints=(
        "Put in a vector of zeros. Where should the window stand then, for a sentence of length 8?",
        "“Rows sum to less than one” and “the place can be learnt” say what the Gaussian is for, and where it goes.",
        "position = lengths[..., None] * sigmoid(tanh(query @ to_position.mT) @ vector); a mask of |s - position| <= half_width "
        "and s < length; softmax; times exp(-(s - position)^2 / (2 sigma^2)), sigma = half_width / 2.",
        "A twin on another task, how loud each street hears a fair that stands somewhere in town:\n"
        "    fair = town_length * torch.sigmoid(plan)\n"
        "    near = (streets - fair[..., None]).abs() <= 3\n"
        "    share = noise.masked_fill(~near, -torch.inf).softmax(-1)\n"
        "    return share * torch.exp(-((streets - fair[..., None]) ** 2) / (2 * 1.5**2))",
    ),
)
