"""Stretch: read a sequence into one vector with one learnt query."""

from functools import partial

import torch

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake, draw_sizes
from attnlab.checks.laws import Law, Seen, close
from attnlab.reference.attention_pooling import attention_pooling as reference
from attnlab.reference.masked_softmax import length_mask, masked_softmax


def draw(generator: torch.Generator) -> list[Case]:
    size = draw_sizes(generator, "batch", "time", "width", "hidden")
    size["time"] += 8 if size["time"] < 4 else 0
    size["batch"] += 16 if size["batch"] < 3 else 0
    b, t, d, n = size.values()

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    states = normal(b, t, d)
    lengths = torch.randint(2, t, (b,), generator=generator)
    lengths[0], lengths[1] = t // 2, t
    weight, bias, query = normal(n, d) / d**0.5, normal(n), 2 * normal(n)
    filler = (torch.arange(t) >= lengths[:, None])[..., None]
    return [
        Case("plain", (states, lengths, weight, bias, query)),
        Case("other filler", (torch.where(filler, states + 2.0, states), lengths, weight, bias, query)),
        Case("query of zeros", (states, lengths, weight, bias, torch.zeros(n))),
        Case("first item alone", (states[:1], lengths[:1], weight, bias, query)),
        Case("no batch axis", (states[0], lengths[0], weight, bias, query)),
        Case("float64", (states.double(), lengths, weight.double(), bias.double(), query.double())),
        Case("gradients", (states, lengths, weight, bias, query), gradients=True),
    ]


def zeros_give_the_mean(seen: Seen) -> str | None:
    states, lengths = seen.cases["query of zeros"].inputs[:2]
    real = length_mask(lengths, states.shape[1])[..., None]
    mean = (states * real).sum(1) / lengths[:, None]
    if close(seen.output("query of zeros", "pooled"), mean):
        return None
    return "With a query of zeros all scores are equal, so `pooled` should be the mean of the real states."


def filler_does_not_matter(seen: Seen) -> str | None:
    for name in seen.returns:
        if not close(seen.output("other filler", name), seen.output("plain", name)):
            return f"The states beyond the lengths were changed, and `{name}` moved."
    return None


def flawed(
    states,
    lengths,
    weight,
    bias,
    query,
    *,
    squash=torch.tanh,
    with_bias=True,
    masked=True,
    normalise="softmax",
    mixes="states",
    gives="average",
    bends="before",
    swap=False,
    cut=False,
):
    """Attention pooling with one switch for each way of getting it wrong."""
    hidden = states @ weight.mT + (bias if with_bias else 0.0)
    scores = squash(hidden) @ query if bends == "before" else squash(hidden @ query)
    mask = length_mask(lengths, states.shape[-2])
    if normalise == "sigmoid":
        weights = torch.sigmoid(scores) * mask
    elif normalise == "over the batch":
        weights = scores.softmax(0)
    elif masked:
        weights = masked_softmax(scores.unsqueeze(-2), lengths).squeeze(-2)
    else:
        weights = scores.softmax(-1)
    weights = weights.detach() if cut else weights
    values = squash(hidden) if mixes == "hidden" else states
    pooled = (weights.unsqueeze(-1) * values).sum(-2)
    if gives == "last":
        pooled = (
            torch.nn.functional.one_hot(lengths - 1, states.shape[-2]).to(states.dtype).unsqueeze(-1) * states
        ).sum(-2)
    if gives == "divided":
        pooled = pooled / states.shape[-2]
    return (weights, pooled) if swap else (pooled, weights)


MISTAKES = (
    Mistake(
        "no tanh",
        "the projected states are compared with the query as they are.",
        "Then weight and query could be multiplied into one vector; the layer is a single linear score.",
        "put torch.tanh around the projection.",
        partial(flawed, squash=lambda x: x),
    ),
    Mistake(
        "sigmoid in place of tanh",
        "the projection goes through a sigmoid.",
        "The formula has tanh.",
        "use torch.tanh.",
        partial(flawed, squash=torch.sigmoid),
    ),
    Mistake(
        "no bias",
        "the bias is never added.",
        "It moves the tanh to where the states are.",
        "add the bias before the tanh.",
        partial(flawed, with_bias=False),
    ),
    Mistake(
        "lengths ignored",
        "the softmax runs over the filler too.",
        "Then the vector of a sentence changes with the length of the others in its batch.",
        "use masked_softmax with the lengths.",
        partial(flawed, masked=False),
    ),
    Mistake(
        "sigmoid weights",
        "each moment gets a weight from a sigmoid of its own.",
        "That is a gate (lesson 02). Pooling shares one unit out among the moments, so that the size of the result does\n"
        "not grow with the length.",
        "use the masked softmax.",
        partial(flawed, normalise="sigmoid"),
    ),
    Mistake(
        "pools the hidden units",
        "the weights average tanh(W h + b), not the states.",
        "The small network only decides where to look. What is taken are the states.",
        "multiply the weights with the states.",
        partial(flawed, mixes="hidden"),
    ),
    Mistake(
        "tanh at the end",
        "the tanh comes after the product with the query.",
        "The units are then never bent one by one, and no score is beyond 1.",
        "tanh first, then the product with the query.",
        partial(flawed, bends="after"),
    ),
    Mistake(
        "last state",
        "the last real state comes back, whatever the weights are.",
        "That is what the plain network hands on; the weights would have no effect.",
        "multiply the weights with the states and add up.",
        partial(flawed, gives="last"),
    ),
    Mistake(
        "divides by the length again",
        "the average is divided by the number of moments.",
        "The weights sum to one already.",
        "leave the division out: sum, not mean.",
        partial(flawed, gives="divided"),
    ),
    Mistake(
        "returned the other way round",
        "weights and vector have changed places.",
        "The order is (pooled, weights), as everywhere in the course.",
        "return the pooled vector first.",
        partial(flawed, swap=True),
    ),
    Mistake(
        "graph is cut",
        "the weights are detached from the graph.",
        "The numbers are right, but where to look can never be learnt.",
        "leave out .detach(), .data and no_grad().",
        partial(flawed, cut=True),
    ),
)


def _where(states, lengths, weight, bias, query):
    scores = torch.nn.functional.linear(states, weight, bias).tanh() @ query
    scores = torch.where(torch.arange(states.shape[-2]) < lengths[..., None], scores, -torch.inf)
    weights = scores.softmax(-1)
    return torch.einsum("...t,...td->...d", weights, states), weights


def _item_by_item(states, lengths, weight, bias, query):
    if states.ndim == 3:
        parts = [_item_by_item(s, n, weight, bias, query) for s, n in zip(states, lengths, strict=True)]
        return tuple(torch.stack(part) for part in zip(*parts, strict=True))
    weights = (torch.tanh(states[: int(lengths)] @ weight.T + bias) @ query).softmax(0)
    return weights @ states[: int(lengths)], torch.nn.functional.pad(weights, (0, len(states) - int(lengths)))


def _by_column(states, lengths, weight, bias, query):
    hidden = torch.tanh(states @ weight.mT + bias)
    weights = masked_softmax((hidden * query).sum(-1, keepdim=True).mT, lengths).mT
    return (weights * states).sum(-2), weights[..., 0]


def _additive(states, lengths, weight, bias, query):
    """Additive attention whose query is the constant 1, projected by the bias."""
    from attnlab.reference.additive_attention import additive_scores

    one = torch.ones(*states.shape[:-2], 1, 1, dtype=states.dtype)
    weights = masked_softmax(additive_scores(one, states, bias[:, None], weight, query), lengths)
    return (weights @ states).squeeze(-2), weights.squeeze(-2)


def _exponentials(states, lengths, weight, bias, query):
    mask = torch.arange(states.shape[-2]) < lengths.unsqueeze(-1)
    scores = torch.tanh(states @ weight.mT + bias).matmul(query)
    powers = torch.exp(scores - scores.amax(-1, keepdim=True)) * mask
    weights = powers / powers.sum(-1, keepdim=True)
    return weights.unsqueeze(-2).matmul(states).squeeze(-2), weights


attention_pooling = Exercise(
    name="attention_pooling",
    title="Attention pooling",
    stars=3,
    importance=3,
    minutes=10,
    answer=reference,
    returns=("pooled", "weights"),
    draw=draw,
    stretch=True,
    laws=(
        laws.RIGHT_SHAPES,
        Law(
            "right numbers",
            2,
            "Are vector and weights the reference's?",
            laws.equals_reference("plain", "no batch axis", "float64"),
        ),
        Law("rows sum to one", 1, "Do the weights of a sequence sum to one?", laws.sums_to_one("plain", of="weights")),
        Law("zeros give the mean", 1, "Is it the mean when the query is zero?", zeros_give_the_mean),
        Law("filler does not matter", 1, "Does what stands beyond the lengths change nothing?", filler_does_not_matter),
        laws.ITEMS_APART,
        laws.GRADIENT,
        laws.INPUTS_KEPT,
        laws.FLOAT64,
    ),
    mistakes=MISTAKES,
    also_right={
        "where": _where,
        "item by item": _item_by_item,
        "by column": _by_column,
        "as additive attention": _additive,
        "exponentials": _exponentials,
    },
    hints=(
        "Put in a query of zeros. What are the scores then, and what should come out?",
        "“Zeros give the mean” and “filler does not matter” need no numbers of the reference.",
        "scores = torch.tanh(states @ weight.mT + bias) @ query; then masked_softmax with one query, (..., 1, t); then the average.",
        "A twin on another task, one mark for a term from marks that count differently:\n"
        "    matters = torch.tanh(tests @ criteria.mT + base) @ teacher\n"
        "    counts = masked_softmax(matters[..., None, :], written)\n"
        "    return (counts @ marks)[..., 0, :]",
    ),
)
