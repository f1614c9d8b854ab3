"""Exercise: Luong's scores dot, general and concat."""

from functools import partial

import torch

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake, draw_sizes
from attnlab.checks.laws import Law, Seen, close
from attnlab.reference.luong_attention import luong_scores as reference


def draw(generator: torch.Generator) -> list[Case]:
    size = draw_sizes(generator, "batch", "queries", "keys", "query_width", "key_width", "hidden")
    if size["query_width"] == size["key_width"] + 1:  # else a weight cut in half is cut where the query's columns end
        size["query_width"] += 8
    b, q, k, dq, dk, n = size.values()

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    query, key, alike = normal(b, q, dq), normal(b, k, dk), normal(b, k, dq)
    general = {"method": "general", "weight": normal(dq, dk) / dk**0.5}
    square = {"method": "general", "weight": normal(dq, dq) / dq**0.5}
    same = {"method": "general", "weight": torch.eye(dq)}
    concat = {"method": "concat", "weight": normal(n, dq + dk) / (dq + dk) ** 0.5, "vector": normal(n)}
    wide = {name: value.double() if isinstance(value, torch.Tensor) else value for name, value in concat.items()}
    return [
        Case("dot", (query, alike)),
        Case("dot, called by its name", (query, alike), {"method": "dot"}),
        Case("dot, no batch axis", (query[0], alike[0])),
        Case("general", (query, key), general),
        Case("general, both as wide", (query, alike), square),
        Case("general, the identity", (query, alike), same),
        Case("concat", (query, key), concat),
        Case("concat, no batch axis", (query[0], key[0]), concat),
        Case("first item alone", (query[:1], alike[:1])),
        Case("float64", (query.double(), key.double()), wide),
        Case("general, gradients", (query, key), general, gradients=True),
        Case("concat, gradients", (query, key), concat, gradients=True),
    ]


def dot_is_a_general(seen: Seen) -> str | None:
    dot, general = seen.output("dot", "scores"), seen.output("general, the identity", "scores")
    return (
        None if close(dot, general) else "With the identity as its weight general is dot, and yours gives other scores."
    )


def concat_meets(seen: Seen) -> str | None:
    scores = seen.output("concat", "scores")
    between = scores[:, 0] - scores[:, 1]
    if close(between, between[:, :1].expand_as(between)):
        return "Two queries' concat scores differ by one constant over all keys: the softmax would cancel the query."
    return None


def both_gradients(seen: Seen) -> str | None:
    return next(
        (s for case in ("general, gradients", "concat, gradients") if (s := laws.gradients_reach(case)(seen))), None
    )


def inputs_and_dtype_kept(seen: Seen) -> str | None:
    return next((s for law in (laws.INPUTS_KEPT, laws.FLOAT64) if (s := law.broken_by(seen))), None)


def flawed(
    query,
    key,
    method="dot",
    weight=None,
    vector=None,
    *,
    scaled=False,
    general_scaled=False,
    together=True,
    axes=(-2, -3),
    cosine=False,
    transposed=False,
    general_squash=lambda x: x,
    general_weighs="query",
    squash=torch.tanh,
    order="query first",
    use_vector="after",
    end=lambda scores: scores,
    cut=False,
):
    """The three scores with one switch for each way of getting them wrong."""
    if method == "dot":
        a, b = (
            (query, key)
            if not cosine
            else (query / query.norm(dim=-1, keepdim=True), key / key.norm(dim=-1, keepdim=True))
        )
        scores = a @ b.mT / (query.shape[-1] ** 0.5 if scaled else 1.0)
    elif method == "general":
        if general_weighs == "not at all":
            scores = query @ key.mT
        else:
            scores = general_squash(query @ (weight.mT if transposed else weight)) @ key.mT
        scores = scores / (query.shape[-1] ** 0.5 if general_scaled else 1.0)
    else:
        first, second = (query, key) if order == "query first" else (key, query)
        a, b = first @ weight[:, : first.shape[-1]].mT, second @ weight[:, first.shape[-1] :].mT
        a, b = (a, b) if order == "query first" else (b, a)
        a, b = a.unsqueeze(axes[0]), b.unsqueeze(axes[1])
        units = a + b if together else squash(a) + squash(b)
        if not together:
            scores = units @ vector
        elif use_vector == "after":
            scores = squash(units) @ vector
        elif use_vector == "inside":
            scores = squash(units * vector).sum(-1)
        elif use_vector == "never":
            scores = squash(units).sum(-1)
        else:
            scores = squash(units @ vector)
    scores = end(scores)
    return scores.detach() if cut else scores


MISTAKES = (
    Mistake(
        "dot is scaled",
        "dot is divided by the root of the width.",
        "That came two years later (lesson 05). Luong's dot is the bare product.",
        "leave the division out.",
        partial(flawed, scaled=True),
    ),
    Mistake(
        "dot is a cosine",
        "dot divides by the lengths of the vectors.",
        "A cosine lies between -1 and 1, so its softmax can hardly choose; a longer state may count more here.",
        "multiply without normalising.",
        partial(flawed, cosine=True),
    ),
    Mistake(
        "general's weight turned round",
        "general multiplies with the transpose of the weight.",
        "Where query and key are as wide, nothing but the numbers shows it; where they are not, it stops. The weight has a\n"
        "row for each number of the query.",
        "write query @ weight, without .mT.",
        partial(flawed, transposed=True),
    ),
    Mistake(
        "general without its weight",
        "general is computed as dot.",
        "The weight is what lets a query and a key of different widths, or languages, be compared.",
        "multiply the query with the weight first.",
        partial(flawed, general_weighs="not at all"),
    ),
    Mistake(
        "general bends",
        "general has a tanh.",
        "general is a bilinear form: twice the query gives twice the score. The bend belongs to concat.",
        "leave the tanh out of general.",
        partial(flawed, general_squash=torch.tanh),
    ),
    Mistake(
        "concat without tanh",
        "concat has no tanh.",
        "Then its score is a number of the query plus one of the key, and the softmax cancels the query's.",
        "tanh of the product with the weight, then the vector.",
        partial(flawed, squash=lambda x: x),
    ),
    Mistake(
        "tanh of each alone",
        "concat bends the query's part and the key's part each on its own.",
        "Query and key never meet inside the bend, so the score falls apart into two terms, and the softmax cancels the\n"
        "query's.",
        "add the two parts first, then the tanh.",
        partial(flawed, together=False),
    ),
    Mistake(
        "concat bends with a sigmoid",
        "concat bends with a sigmoid.",
        "A sigmoid is never negative, so a unit could only add to a score, or only take from it. The formula has tanh.",
        "use torch.tanh.",
        partial(flawed, squash=torch.sigmoid),
    ),
    Mistake(
        "concat's axes turned round",
        "concat's table has a row for each key, while the other two methods have one for each query.",
        "A row belongs to one query, and the softmax runs along it.",
        "unsqueeze the query's part at -2 and the key's at -3.",
        partial(flawed, axes=(-3, -2)),
    ),
    Mistake(
        "concat's axes counted from the front",
        "concat puts its new axes at places 2 and 1, which is right only behind exactly one axis of the batch.",
        "Without a batch it is another place.",
        "count from the back: -2 for the query, -3 for the key.",
        partial(flawed, axes=(2, 1)),
    ),
    Mistake(
        "vector inside",
        "concat multiplies the vector in before the tanh.",
        "Then every unit adds at most 1 to the score, and none can count more than another.",
        "tanh first, then the product with the vector.",
        partial(flawed, use_vector="inside"),
    ),
    Mistake(
        "general is scaled",
        "general is divided by the root of the query's width.",
        "None of Luong's scores is scaled. Its weight can learn whatever size the scores should have.",
        "leave the division out.",
        partial(flawed, general_scaled=True),
    ),
    Mistake(
        "concat bends with ReLU",
        "concat bends with a ReLU.",
        "The formula has tanh, whose size is bounded by 1.",
        "use torch.tanh.",
        partial(flawed, squash=torch.relu),
    ),
    Mistake(
        "key first",
        "concat puts the key before the query.",
        "The weight's first columns belong to the query. All shapes stay right, since the two widths have the same sum.",
        "concatenate in the order [query ; key].",
        partial(flawed, order="key first"),
    ),
    Mistake(
        "concat without its vector",
        "concat sums its units without the vector.",
        "The vector says how much each unit counts, and with which sign.",
        "multiply with the vector after the tanh.",
        partial(flawed, use_vector="never"),
    ),
    Mistake(
        "concat bends last",
        "concat applies the vector before the tanh.",
        "Inside it is linear, then, and query and key never meet in a bend of their own.",
        "tanh first, then the vector.",
        partial(flawed, use_vector="before the tanh"),
    ),
    Mistake(
        "returns weights",
        "the softmax is already taken.",
        "The mask of the padding has to come in between.",
        "return the scores.",
        partial(flawed, end=lambda scores: scores.softmax(-1)),
    ),
    Mistake(
        "keys by queries",
        "the table has a row for each key.",
        "A row belongs to one query, and the softmax runs along it.",
        "put the query on the left of the product.",
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


def _einsum(query, key, method="dot", weight=None, vector=None):
    if method == "concat":
        d = query.shape[-1]
        a = torch.einsum("nd,...qd->...qn", weight[:, :d], query)
        b = torch.einsum("nd,...kd->...kn", weight[:, d:], key)
        return torch.einsum("n,...qkn->...qk", vector, torch.tanh(a[..., :, None, :] + b[..., None, :, :]))
    if method == "general":
        return torch.einsum("...qd,de,...ke->...qk", query, weight, key)
    return torch.einsum("...qd,...kd->...qk", query, key)


def _weighs_the_key(query, key, method="dot", weight=None, vector=None):
    if method == "general":
        return query @ (key @ weight.mT).mT
    return flawed(query, key, method, weight, vector)


def _a_table(query, key, method="dot", weight=None, vector=None):
    ways = {
        "dot": lambda: query.matmul(key.transpose(-1, -2)),
        "general": lambda: (query.matmul(weight)).matmul(key.transpose(-1, -2)),
        "concat": lambda: flawed(query, key, "concat", weight, vector),
    }
    return ways[method]()


def _query_by_query(query, key, method="dot", weight=None, vector=None):
    rows = []
    for i in range(query.shape[-2]):
        q = query[..., i, :]
        if method == "dot":
            rows.append((key * q.unsqueeze(-2)).sum(-1))
        elif method == "general":
            rows.append((key @ (q @ weight).unsqueeze(-1)).squeeze(-1))
        else:
            both = torch.cat([q.unsqueeze(-2).expand(*key.shape[:-1], -1), key], dim=-1)
            rows.append(torch.nn.functional.linear(both, weight).tanh() @ vector)
    return torch.stack(rows, dim=-2)


def _match(query, key, method="dot", weight=None, vector=None):
    match method:
        case "dot":
            return (query.unsqueeze(-2) * key.unsqueeze(-3)).sum(-1)
        case "general":
            return torch.nn.functional.linear(query, weight.mT) @ key.mT
        case "concat":
            left, right = weight.tensor_split([query.shape[-1]], dim=1)
            return torch.tanh((query @ left.T).unsqueeze(-2) + (key @ right.T).unsqueeze(-3)).matmul(vector)


luong_scores = Exercise(
    name="luong_scores",
    title="Luong's scores: dot, general, concat",
    stars=3,
    importance=3,
    minutes=10,
    answer=reference,
    returns=("scores",),
    draw=draw,
    laws=(
        laws.RIGHT_SHAPES,
        Law(
            "dot: right numbers",
            2,
            "Are the dot scores the reference's?",
            laws.equals_reference("dot", "dot, called by its name", "dot, no batch axis"),
        ),
        Law(
            "general: right numbers",
            2,
            "Are the general scores the reference's?",
            laws.equals_reference("general", "general, both as wide"),
        ),
        Law(
            "concat: right numbers",
            3,
            "Are the concat scores the reference's?",
            laws.equals_reference("concat", "concat, no batch axis", "float64"),
        ),
        Law("general with the identity is dot", 1, "Is dot the simplest case of general?", dot_is_a_general),
        Law("concat: query and key meet", 1, "Do two queries rank the keys differently?", concat_meets),
        Law("gradient reaches every input", 1, "Can it be trained through?", both_gradients),
        Law(
            "inputs and dtype are kept",
            1,
            "Does it leave its inputs alone, and compute in their dtype?",
            inputs_and_dtype_kept,
        ),
    ),
    mistakes=MISTAKES,
    shortcuts=("keras.layers.Attention", "torch.nn.functional.bilinear", "torch.nn.Bilinear"),
    also_right={
        "einsum": _einsum,
        "weighs the key": _weighs_the_key,
        "a table of functions": _a_table,
        "query by query": _query_by_query,
        "match": _match,
    },
    hints=(
        "Call it three times, once a method, with a query of width 4 and a key of width 6. Which method may refuse, and why?",
        "The panel names the method whose numbers differ. “General with the identity is dot” and “query and key meet” need no numbers.",
        "dot: query @ key.mT. general: the same, after query @ weight. concat is additive_scores, with the weight's columns "
        "split: the query's first.",
        "A twin on another task, three ways to compare prices in shops:\n"
        "    if way == 'same currency':\n"
        "        return ours @ theirs.mT\n"
        "    if way == 'exchange':\n"
        "        return (ours @ rates) @ theirs.mT\n"
        "    ours_part, theirs_part = judge.split([ours.shape[-1], theirs.shape[-1]], dim=-1)",
    ),
)
