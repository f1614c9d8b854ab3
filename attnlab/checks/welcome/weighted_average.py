"""Exercise: the weighted average."""

from functools import partial

import torch

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake, draw_sizes, uncontiguous
from attnlab.checks.laws import Law, Seen, close
from attnlab.reference.weighted_average import weighted_average as reference


def draw(generator: torch.Generator) -> list[Case]:
    size = draw_sizes(generator, "batch", "queries", "keys", "features", "heads")
    b, q, k, f = (size[axis] for axis in ("batch", "queries", "keys", "features"))

    def weights_of(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).softmax(-1)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    weights, values = weights_of(b, q, k), normal(b, k, f)
    picks = torch.eye(k)[torch.randint(k, (b, q), generator=generator)]
    order = torch.randperm(k - 1, generator=generator) + 1
    order = torch.cat([order, torch.zeros(1, dtype=torch.long)])  # the first key is never left where it was
    # Each item and feature has a narrow range of its own, so that whatever is no average of its keys leaves it.
    level = 1 + torch.arange(b)[:, None, None] / 2 + torch.arange(f) / 2
    in_a_narrow_range = level * (1 + 0.1 * torch.rand(b, k, f, generator=generator))
    return [
        Case("plain", (weights, values)),
        Case("no batch axis", (weights[0], values[0])),
        Case("heads", (weights_of(b, size["heads"], q, k), normal(b, size["heads"], k, f))),
        Case("as many queries as keys", (weights_of(b, k, k), values)),
        Case("one query, one key", (torch.ones(b, 1, 1), values[:, :1])),
        Case("weights that sum to less than one", (weights * 0.7, values)),
        Case("all values alike", (weights, values[:, :1].repeat(1, k, 1))),
        Case("values in a narrow range", (weights, in_a_narrow_range)),
        Case("one key has all the weight", (picks, values)),
        Case("keys in another order", (weights[..., order], values[:, order])),
        Case("first item alone", (weights[:1], values[:1])),
        Case("float64", (weights_of(b, q, k).double(), values.double())),
        Case("other memory layout", (uncontiguous(weights), uncontiguous(values))),
        Case("gradients", (weights, values), gradients=True),
    ]


def equal_values_stay(seen: Seen) -> str | None:
    values = seen.cases["all values alike"].inputs[1]
    got = seen.output("all values alike", "output")
    want = values[:, :1].expand_as(got)
    if close(got, want):
        return None
    return f"All values are alike, yet their average is another: {laws.first_difference(got, want)}."


def between_the_values(seen: Seen) -> str | None:
    values, got = seen.cases["values in a narrow range"].inputs[1], seen.output("values in a narrow range", "output")
    low, high = values.amin(-2, keepdim=True) - 1e-5, values.amax(-2, keepdim=True) + 1e-5
    if ((got >= low) & (got <= high)).all():
        return None
    return "An average lies between the smallest and the largest value of its feature; this one does not."


def order_does_not_matter(seen: Seen) -> str | None:
    if close(seen.output("plain", "output"), seen.output("keys in another order", "output")):
        return None
    return "Weights and values were put in another order, both the same, and the output moved."


LAWS = (
    Law("right shapes", 1, "Is there one row of features for each query?", laws.shapes_right()),
    Law(
        "right numbers",
        3,
        "Are they the reference's?",
        laws.equals_reference(
            "plain",
            "no batch axis",
            "heads",
            "as many queries as keys",
            "one query, one key",
            "weights that sum to less than one",
            "other memory layout",
            "float64",
        ),
    ),
    Law("equal values stay", 1, "Is the average of equal values that value?", equal_values_stay),
    Law("between the values", 1, "Does it lie between the smallest and the largest value?", between_the_values),
    Law(
        "all the weight on one key",
        1,
        "Does a weight of one pick its value?",
        laws.equals_reference("one key has all the weight"),
    ),
    Law("order does not matter", 1, "May the keys come in any order?", order_does_not_matter),
    laws.ITEMS_APART,
    laws.GRADIENT,
    laws.INPUTS_KEPT,
    laws.FLOAT64,
)


def flawed(weights, values, *, change=lambda w: w, order=lambda v: v, mix=torch.matmul, end=None, half_size=False):
    """The weighted average with one switch for each way of getting it wrong; with none set it is right."""
    if half_size:
        weights, values = weights.float(), values.float()
    output = mix(change(weights), order(values))
    return end(output, values) if end else output


def _products(weights, values):
    """(queries, keys, features): every weight times every value, before any sum."""
    return weights.unsqueeze(-1) * values.unsqueeze(-3)


def _in_place(weights, values):
    rows = []
    for i in range(weights.shape[-2]):
        values *= weights[..., i, :, None]
        rows.append(values.sum(-2))
    return torch.stack(rows, dim=-2)


def _hard(weights):
    return torch.zeros_like(weights).scatter(-1, weights.argmax(-1, keepdim=True), 1.0)


def _over_batch(values):
    return values.mean(0, keepdim=True).expand_as(values) if values.ndim > 2 else values


MISTAKES = (
    Mistake(
        "plain mean",
        "the values are averaged without the weights.",
        "Every query then gets the same mean. It is this blur that attention is there to avoid.",
        "multiply each value by its weight before you add them up.",
        partial(flawed, change=lambda w: torch.full_like(w, 1 / w.shape[-1])),
    ),
    Mistake(
        "plain sum",
        "the values are added up without the weights.",
        "Each value counts fully, so the result grows with the number of keys.",
        "multiply each value by its weight before you add them up.",
        partial(flawed, change=torch.ones_like),
    ),
    Mistake(
        "divided by the number of keys",
        "the result is divided by the number of keys once more.",
        "The weights already sum to one: they are the division. `.mean()` in the place of `.sum()` does the same.",
        "add the weighted values up, and do not divide.",
        partial(flawed, end=lambda out, v: out / v.shape[-2]),
    ),
    Mistake(
        "divided by the sum of the weights",
        "the result is divided by the sum of the weights.",
        "Where they sum to one nothing shows. But later lessons have weights that sum to less, even to "
        "zero where a "
        "query may see nothing; whoever makes the weights sees to their sum.",
        "multiply weights and values, and do not divide.",
        partial(flawed, change=lambda w: w / w.sum(-1, keepdim=True)),
    ),
    Mistake(
        "softmax once more",
        "the weights go through a softmax again.",
        "Weights lie between 0 and 1, so a second softmax makes them nearly all alike: the blur is back.",
        "use the weights as they are.",
        partial(flawed, change=lambda w: w.softmax(-1)),
    ),
    Mistake(
        "weights transposed",
        "the weights are turned round before they are multiplied.",
        "weights is (queries, keys) and values is (keys, features): the keys already stand side by side.",
        "leave out .T, .mT and transpose().",
        partial(flawed, change=lambda w: w.transpose(-2, -1)),
    ),
    Mistake(
        "normalised over the queries",
        "the weights are divided by their sums over the queries.",
        "The rows, one for each query, already sum to one. Now the columns do, and the rows do not.",
        "use the weights as they are.",
        partial(flawed, change=lambda w: w / w.sum(-2, keepdim=True)),
    ),
    Mistake(
        "one average for all queries",
        "the weights are averaged over the queries first.",
        "Then all queries get the same answer, and who asked no longer matters.",
        "keep the axis of the queries: one average for each row of weights.",
        partial(flawed, change=lambda w: w.mean(-2, keepdim=True).expand_as(w)),
    ),
    Mistake(
        "only the largest weight",
        "only the value with the largest weight is taken.",
        "That is a choice, not an average. A choice also has no gradient, so the weights could not be learnt.",
        "add up all values, each times its weight.",
        partial(flawed, change=_hard),
    ),
    Mistake(
        "elementwise product",
        "weights and values are multiplied element by element.",
        "`*` pairs a query with a key as if they were the same axis. We want every query with every key.",
        "use the matrix product, `@`.",
        partial(flawed, mix=torch.mul),
    ),
    Mistake(
        "sum over the queries",
        "the products are added up over the queries.",
        "What is left is then one row for each key. The axis to be summed away is that of the keys.",
        "sum over the axis that both have, the keys.",
        partial(flawed, mix=lambda w, v: _products(w, v).sum(-3)),
    ),
    Mistake(
        "sum over the features",
        "the products are added up over the features.",
        "That is the last axis of the products, but a value keeps its features in an average.",
        "sum over the axis that both have, the keys.",
        partial(flawed, mix=lambda w, v: _products(w, v).sum(-1)),
    ),
    Mistake(
        "not added up",
        "the weighted values are not added up.",
        "Every value times its weight is half of it. The average is their sum over the keys.",
        "add .sum() over the axis of the keys.",
        partial(flawed, mix=_products),
    ),
    Mistake(
        "reshaped values",
        "the values are reshaped where they would have to be transposed.",
        "reshape() keeps the numbers in their order and cuts new rows: features and keys are shuffled, and "
        "no "
        "error says so.",
        "leave the values as they are: (keys, features) is what the product needs.",
        partial(flawed, order=lambda v: v.reshape(*v.shape[:-2], v.shape[-1], v.shape[-2]).transpose(-2, -1)),
    ),
    Mistake(
        "batch mixed",
        "the values are averaged over the batch.",
        "A letter that stands in one input of an einsum and not in the output is summed. The items of a "
        "batch "
        "have nothing to do with each other.",
        "give the batch the same letter in both inputs and in the output.",
        partial(flawed, order=_over_batch),
    ),
    Mistake(
        "values scaled in place",
        "the values are multiplied in place, query by query.",
        "`values *= ...` (also through another name for the same tensor) changes what the next query "
        "finds, and "
        "what the caller has.",
        "write weighted = values * ..., a new tensor.",
        partial(flawed, mix=_in_place),
    ),
    Mistake(
        "graph is cut",
        "the weights are detached from the graph.",
        "The numbers are right, but no gradient flows back to the weights, so they can never be learnt.",
        "leave out .detach(), .data, .numpy() and no_grad().",
        partial(flawed, change=torch.Tensor.detach),
    ),
    Mistake(
        "always float32",
        "everything is turned into float32.",
        "Whoever passes float64 wants its fifteen digits back.",
        "leave out .float() and dtype=torch.float32.",
        partial(flawed, half_size=True),
    ),
)


def _key_by_key(weights, values):
    output = 0
    for k in range(values.shape[-2]):
        output = output + weights[..., :, k : k + 1] * values[..., k : k + 1, :]
    return output


def _query_by_query(weights, values):
    return torch.stack([(w.unsqueeze(-1) * values).sum(-2) for w in weights.unbind(-2)], dim=-2)


def _in_float64(weights, values):
    return (weights.double() @ values.double()).to(values.dtype)


weighted_average = Exercise(
    name="weighted_average",
    title="Weights to an average",
    stars=1,
    importance=5,
    minutes=3,
    answer=reference,
    draw=draw,
    laws=LAWS,
    mistakes=MISTAKES,
    also_right={
        "einsum": lambda weights, values: torch.einsum("...qk,...kf->...qf", weights, values),
        "key by key": _key_by_key,
        "broadcast and sum": lambda weights, values: _products(weights, values).sum(-2),
        "in float64 inside": _in_float64,
        "both turned": lambda weights, values: (values.mT @ weights.mT).mT,
        "query by query": _query_by_query,
    },
    hints=(
        "Print `weights.shape`, `values.shape` and the shape of your output. Which axis should have "
        "vanished, and has it?",
        "Look at the law that the panel names first. If equal values do not stay what they are, something "
        "divides "
        "or weighs twice; if the order of the keys matters, weight and value are paired wrongly.",
        "One line will do. (queries, keys) and (keys, features) become (queries, features): which operation does that?",
        "A twin on another task, the price of several shopping baskets:\n"
        "    prices_to_pay = amounts @ prices      # (baskets, goods) @ (goods, shops) -> (baskets, shops)\n"
        "Each basket adds up its goods, each times its amount. Put weights in the place of amounts.",
    ),
)
