"""Exercise: Bahdanau's additive scores."""

from functools import partial

import torch

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake, draw_sizes, uncontiguous
from attnlab.checks.laws import Law, Seen, close
from attnlab.reference.additive_attention import additive_scores as reference


def draw(generator: torch.Generator) -> list[Case]:
    size = draw_sizes(generator, "batch", "queries", "keys", "query_width", "key_width", "hidden")
    b, q, k, dq, dk, n = size.values()

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    query, key = normal(b, q, dq), normal(b, k, dk)
    weights = (normal(n, dq) / dq**0.5, normal(n, dk) / dk**0.5, normal(n))
    return [
        Case("plain", (query, key, *weights)),
        Case("one query, one key", (query[:, :1], key[:, :1], *weights)),
        Case("first item alone", (query[:1], key[:1], *weights)),
        Case("no batch axis", (query[0], key[0], *weights)),
        Case("two batch axes", (normal(2, b, q, dq), normal(2, b, k, dk), *weights)),
        Case("large vectors", saturated(b, q, k, dq, dk, n)),
        Case("float64", tuple(x.double() for x in (query, key, *weights))),
        Case("other memory layout", (uncontiguous(query), uncontiguous(key), *weights)),
        Case("gradients", (query, key, *weights), gradients=True),
    ]


def saturated(b: int, q: int, k: int, dq: int, dk: int, n: int) -> tuple[torch.Tensor, ...]:
    """Every tanh is at 1, so every score is at the sum of the vector."""
    return (
        *(torch.full((b, q, dq), 1e3), torch.full((b, k, dk), 1e3)),
        *(torch.ones(n, dq), torch.ones(n, dk), torch.full((n,), 0.1)),
    )


def query_and_key_meet(seen: Seen) -> str | None:
    """The difference of two rows is not the same number at every key, or the softmax cancels the query."""
    scores = seen.output("plain", "scores")
    between = scores[:, 0] - scores[:, 1]
    if close(between, between[:, :1].expand_as(between)):
        return "Two queries' scores differ by one constant over all keys; a softmax cancels that, so all queries look alike."
    return None


def bounded(seen: Seen) -> str | None:
    most = seen.cases["large vectors"].named_inputs()["vector"].abs().sum().item()
    largest = seen.output("large vectors", "scores").abs().max().item()
    if largest <= most * 1.001:
        return None
    return f"|tanh| is at most 1, so no score can exceed the sum of |v|, {most:.3g}; one of yours is {largest:.3g}."


def flawed(
    query,
    key,
    to_query,
    to_key,
    vector,
    *,
    squash=torch.tanh,
    together=True,
    merge="sum",
    use_vector="after",
    sees=("query", "key"),
    end=lambda scores: scores,
    axes=(-2, -3),
    cut=False,
):
    """Additive scores with one switch for each way of getting them wrong."""
    a, b = (query @ to_query.mT).unsqueeze(axes[0]), (key @ to_key.mT).unsqueeze(axes[1])
    a = a if "query" in sees else torch.zeros_like(a)
    b = b if "key" in sees else torch.zeros_like(b)
    a, b = (a, b) if together else (squash(a), squash(b))
    pairs = a * b if merge == "product" else a - b if merge == "difference" else a + b
    if use_vector == "inside":
        scores = squash(pairs * vector).sum(-1)
    elif use_vector == "never":
        scores = squash(pairs).sum(-1)
    elif use_vector == "before the tanh":
        scores = squash(pairs @ vector)
    else:
        scores = (squash(pairs) if together else pairs) @ vector
    scores = end(scores)
    return scores.detach() if cut else scores


MISTAKES = (
    Mistake(
        "axes counted from the front",
        "the new axes are put at places 2 and 1, which is right only behind exactly one axis of the batch.",
        "Without a batch there is no place 2 for it, and with one axis more in front it is another place.",
        "count from the back: unsqueeze(-2) for the query, unsqueeze(-3) for the key.",
        partial(flawed, axes=(2, 1)),
    ),
    Mistake(
        "sigmoid, not tanh",
        "the sum is bent by a sigmoid.",
        "A sigmoid is never negative, so a unit could only add to a score, or only take from it.",
        "put torch.tanh around the sum.",
        partial(flawed, squash=torch.sigmoid),
    ),
    Mistake(
        "an axis too many",
        "the scores keep a last axis of size one.",
        "`@ vector[:, None]` leaves it. A row of scores is to have one number for each key.",
        "multiply with vector itself, or take the axis off: [..., 0].",
        partial(flawed, end=lambda scores: scores.unsqueeze(-1)),
    ),
    Mistake(
        "no tanh",
        "the two projections are added and weighed, without a tanh.",
        "Then the score is a number of the query plus a number of the key. The query's number is the same for all\n"
        "keys, the softmax cancels it, and every step of the decoder looks at the same places.",
        "put torch.tanh around the sum, before the vector.",
        partial(flawed, squash=lambda x: x),
    ),
    Mistake(
        "tanh of each alone",
        "each projection goes through its own tanh, and then they are added.",
        "Query and key never meet inside the bend, so the score falls apart into two terms, and the softmax cancels\n"
        "the query's.",
        "add first, bend second: tanh(a + b).",
        partial(flawed, together=False),
    ),
    Mistake(
        "ReLU",
        "the bend is a ReLU.",
        "It would work, but it has no bound, and the formula of the paper has tanh.",
        "use torch.tanh.",
        partial(flawed, squash=torch.relu),
    ),
    Mistake(
        "multiplied",
        "the projections are multiplied, not added.",
        "Multiplying compares, as the dot product does; additive attention lets a small network compare. Its two\n"
        "weights are one weight for query and key side by side, and that is a sum.",
        "add the two projections.",
        partial(flawed, merge="product"),
    ),
    Mistake(
        "dot product of the projections",
        "the projections are compared by a dot product.",
        "That is the score of lesson 05, with a space of its own for query and key. It needs no vector and no tanh; additive\n"
        "attention has both.",
        "add the projections, tanh, then the vector.",
        partial(flawed, merge="product", squash=lambda x: x, use_vector="never"),
    ),
    Mistake(
        "subtracted",
        "the key's projection is subtracted.",
        "It could learn the same with the other sign in U_a. With the paper's weights loaded the numbers are others.",
        "add the two projections.",
        partial(flawed, merge="difference"),
    ),
    Mistake(
        "vector inside",
        "the vector is multiplied in before the tanh.",
        "Then every unit adds at most 1 to the score, and none can count more than another.",
        "tanh first, then the product with the vector.",
        partial(flawed, use_vector="inside"),
    ),
    Mistake(
        "vector never used",
        "the units are summed without the vector.",
        "v_a says how much each unit counts, and with which sign. It is what learns first: the paper starts it at zero.",
        "multiply with the vector: torch.tanh(...) @ vector.",
        partial(flawed, use_vector="never"),
    ),
    Mistake(
        "tanh at the end",
        "the vector is applied first and the tanh last.",
        "Then the sum inside is linear again, and the score of order one is pressed between -1 and 1.",
        "tanh of the sum of projections, then the vector.",
        partial(flawed, use_vector="before the tanh"),
    ),
    Mistake(
        "key alone",
        "the query has no part in the score.",
        "Then all queries give the keys the same weights: attention pooling, not alignment.",
        "add the query's projection to each key's.",
        partial(flawed, sees=("key",)),
    ),
    Mistake(
        "query alone",
        "the key has no part in the score.",
        "Then all keys of a query score alike, and the weights are uniform.",
        "add each key's projection to the query's.",
        partial(flawed, sees=("query",)),
    ),
    Mistake(
        "returns weights",
        "the softmax is already taken.",
        "The mask of the padding has to come in between. Scores may be negative and need not sum to one.",
        "return what comes before the softmax.",
        partial(flawed, end=lambda scores: scores.softmax(-1)),
    ),
    Mistake(
        "scaled",
        "the scores are divided by the root of their number of units.",
        "Scaling belongs to the dot product of lesson 05. Here the tanh bounds each unit, and the paper has no scale.",
        "leave the division out.",
        lambda query, key, to_query, to_key, vector: (
            reference(query, key, to_query, to_key, vector) / len(vector) ** 0.5
        ),
    ),
    Mistake(
        "keys by queries",
        "the table has a row for each key.",
        "A row belongs to one query, and the softmax runs along it.",
        "unsqueeze the query's projection at -2 and the key's at -3.",
        partial(flawed, end=lambda scores: scores.mT),
    ),
    Mistake(
        "graph is cut",
        "the scores are detached from the graph.",
        "The numbers are right, but where to look can never be learnt.",
        "leave out .detach(), .data and no_grad().",
        partial(flawed, cut=True),
    ),
)


def _side_by_side(query, key, to_query, to_key, vector):
    """Luong's concat: query and key in one vector, both weights in one."""
    q, k = query.shape[-2], key.shape[-2]
    pairs = torch.cat(
        [
            query.unsqueeze(-2).expand(*query.shape[:-1], k, query.shape[-1]),
            key.unsqueeze(-3).expand(*key.shape[:-2], q, k, key.shape[-1]),
        ],
        dim=-1,
    )
    return torch.tanh(pairs @ torch.cat([to_query, to_key], dim=1).T) @ vector


def _query_by_query(query, key, to_query, to_key, vector):
    ready = torch.nn.functional.linear(key, to_key)
    rows = [torch.tanh(ready + (query[..., i : i + 1, :] @ to_query.T)).matmul(vector) for i in range(query.shape[-2])]
    return torch.stack(rows, dim=-2)


def _unit_by_unit(query, key, to_query, to_key, vector):
    total = 0.0
    for a, b, v in zip(to_query, to_key, vector, strict=True):
        total = total + v * torch.tanh((query @ a)[..., :, None] + (key @ b)[..., None, :])
    return total


def _einsum(query, key, to_query, to_key, vector):
    a = torch.einsum("nd,...qd->...qn", to_query, query)
    b = torch.einsum("nd,...kd->...kn", to_key, key)
    return torch.einsum("n,...qkn->...qk", vector, (a[..., :, None, :] + b[..., None, :, :]).tanh())


def _by_sigmoid(query, key, to_query, to_key, vector):
    pairs = (query @ to_query.mT)[..., None, :] + (key @ to_key.mT)[..., None, :, :]
    return (2 * torch.sigmoid(2 * pairs) - 1) @ vector


additive_scores = Exercise(
    name="additive_scores",
    title="Additive scores (Bahdanau)",
    stars=3,
    importance=4,
    minutes=10,
    answer=reference,
    returns=("scores",),
    draw=draw,
    laws=(
        laws.RIGHT_SHAPES,
        Law(
            "right numbers",
            3,
            "Are the scores the reference's?",
            laws.equals_reference(
                "plain", "one query, one key", "no batch axis", "two batch axes", "other memory layout", "float64"
            ),
        ),
        Law("query and key meet", 1, "Do two queries rank the keys differently?", query_and_key_meet),
        Law("scores are bounded", 1, "Is no score beyond the sum of the vector's sizes?", bounded),
        laws.ITEMS_APART,
        laws.GRADIENT,
        laws.INPUTS_KEPT,
        laws.FLOAT64,
    ),
    mistakes=MISTAKES,
    shortcuts=("keras.layers.AdditiveAttention",),
    also_right={
        "side by side": _side_by_side,
        "query by query": _query_by_query,
        "unit by unit": _unit_by_unit,
        "einsum": _einsum,
        "tanh from a sigmoid": _by_sigmoid,
    },
    hints=(
        "Print the shapes of both projections. One has an axis of queries, the other one of keys: where do you want both?",
        "“Query and key meet” is the law to look at. What would the softmax do to a number that is the same for all keys?",
        "Give both projections the axis they lack, (..., q, 1, n) and (..., 1, k, n), add, tanh, and multiply with the vector.",
        "A twin on another task, how well each guest likes each dish, by taste (one row a taste):\n"
        "    liking = (guests @ guest_tastes.mT).unsqueeze(-2)      # (guests, 1, tastes)\n"
        "    spice = (dishes @ dish_tastes.mT).unsqueeze(-3)        # (1, dishes, tastes)\n"
        "    return torch.sigmoid(liking + spice) @ importance      # (guests, dishes)",
    ),
)
