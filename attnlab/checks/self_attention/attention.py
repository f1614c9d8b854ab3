"""Exercise: scaled dot-product attention, with a mask."""

from functools import partial

import torch
import torch.nn.functional as F

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake, draw_sizes, uncontiguous
from attnlab.checks.laws import Law, Seen, close
from attnlab.checks.shortcuts import ATTENTION
from attnlab.reference.attention import attention as reference


def draw(generator: torch.Generator) -> list[Case]:
    size = draw_sizes(generator, "batch", "queries", "keys", "width", "features", "heads")
    b, q, k = size["batch"], size["queries"], size["keys"]

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    query, key, value = normal(b, q, size["width"]), normal(b, k, size["width"]), normal(b, k, size["features"])
    mask = torch.rand(q, k, generator=generator) < 0.6
    mask[:, 0], mask[:, 1] = True, False  # every query sees something; nobody sees key 1
    own_mask = (torch.rand(b, q, k, generator=generator) < 0.6).index_fill(-1, torch.tensor([0]), True)
    blind = mask.clone()
    blind[-1] = False
    other_key, other_value = key.clone(), value.clone()
    other_key[:, 1] += 1.0
    other_value[:, 1] -= 2.0
    heads = [normal(b, size["heads"], *x.shape[-2:]) for x in (query, key, value)]
    return [
        Case("plain", (query, key, value)),
        Case("mask", (query, key, value), {"mask": mask}),
        Case("a mask for each item", (query, key, value), {"mask": own_mask}),
        Case("a hidden key changed", (query, other_key, other_value), {"mask": mask}),
        Case("one query sees nothing", (query, key, value), {"mask": blind}),
        Case("one token", (query[:, :1], key[:, :1], value[:, :1])),
        Case("first item alone", (query[:1], key[:1], value[:1])),
        Case("no batch axis", (query[0], key[0], value[0])),
        Case("heads", tuple(heads)),
        Case("large scores", (query * 40, key * 40, value)),
        Case("float64", (query.double(), key.double(), value.double())),
        Case("other memory layout", tuple(uncontiguous(x) for x in (query, key, value))),
        Case("gradients", (query, key, value), gradients=True),
    ]


def hidden_keys_do_not_matter(seen: Seen) -> str | None:
    mask = seen.cases["mask"].keywords["mask"]
    leaked = seen.output("mask", "weights")[..., ~mask].abs().max().item()
    if leaked > 1e-6:
        return f"A hidden key has weight {leaked:.3g}. In the mask, True means may be seen."
    for name in seen.returns:
        if not close(seen.output("mask", name), seen.output("a hidden key changed", name)):
            return f"A key that nobody may see was changed, and `{name}` moved."
    return None


def blind_query_gets_zeros(seen: Seen) -> str | None:
    for name in seen.returns:
        row = seen.output("one query sees nothing", name)[:, -1]
        if not close(row, torch.zeros_like(row)):
            return f"A query that may see nothing should get zeros; its `{name}` begins {row.flatten()[0].item():.3g}."
    return None


LAWS = (
    laws.RIGHT_SHAPES,
    Law(
        "rows sum to one",
        1,
        "Do the weights of each query sum to one?",
        laws.sums_to_one("plain", "mask", of="weights"),
    ),
    Law(
        "right numbers",
        3,
        "Are weights and output the reference's?",
        laws.equals_reference("plain", "one token", "no batch axis", "heads", "other memory layout", "float64"),
    ),
    Law(
        "output mixes the values",
        1,
        "Is the output the weighted average of the values?",
        laws.mixes_the_values("plain", "value"),
    ),
    Law("hidden keys do not matter", 1, "Does a hidden key leave everything as it is?", hidden_keys_do_not_matter),
    Law(
        "right numbers under a mask",
        1,
        "Are they the reference's with a mask?",
        laws.equals_reference("mask", "a mask for each item"),
    ),
    Law("who sees nothing gets zeros", 1, "Does a row without any visible key give zeros?", blind_query_gets_zeros),
    Law("large scores stay finite", 1, "Are scores of several thousand no problem?", laws.stays_finite("large scores")),
    laws.ITEMS_APART,
    laws.GRADIENT,
    laws.INPUTS_KEPT,
    laws.FLOAT64,
)


def flawed(
    query,
    key,
    value,
    mask=None,
    *,
    power=0.5,
    size_of=lambda query, key: query.shape[-1],
    axis=-1,
    visible=True,
    masking="-inf",
    shift=True,
    mix="value",
    divide="scores",
    cut=False,
    in_place=False,
    returned="weights",
):
    """Attention with one switch for each way of getting it wrong; with none set it is right."""
    divisor = size_of(query, key) ** power
    if in_place:
        query /= divisor
        divisor = 1.0
    scores = query @ key.transpose(-2, -1) / (divisor if divide == "scores" else 1.0)
    if mask is not None and not visible:
        mask = ~mask
    if mask is not None and masking in FILL:
        scores = scores.masked_fill(~mask, FILL[masking])
    powers = (scores - scores.amax(axis, keepdim=True)).exp() if shift else scores.exp()
    weights = powers / powers.sum(axis, keepdim=True)
    if mask is not None and masking in ("-inf", "after"):
        weights = weights.masked_fill(~mask, 0.0)
    if divide == "weights":
        weights = weights / divisor
    weights = weights.detach() if cut else weights
    return weights @ (value if mix == "value" else key), weights if returned == "weights" else scores


FILL = {"-inf": -torch.inf, "-inf, and no care for blind rows": -torch.inf, "-1e9": -1e9, "0": 0.0}

MISTAKES = (
    Mistake(
        "no scale",
        "the scores go into the softmax as they are.",
        "The dot product of two random vectors of width d has variance d. Unscaled, the softmax sits on one key,\n"
        "and its gradient dies as the width grows.",
        "divide the scores by the square root of the width, before the softmax.",
        partial(flawed, power=0.0),
    ),
    Mistake(
        "scale by width",
        "the scores are divided by the width, not by its square root.",
        "The standard deviation grows as the square root of the width. Dividing by the width itself makes the\n"
        "weights all alike: attention turns into a plain mean.",
        "take the square root: query.shape[-1] ** 0.5.",
        partial(flawed, power=1.0),
    ),
    Mistake(
        "scale by number of keys",
        "the scores are divided by the root of the number of keys.",
        "How far a dot product spreads depends on how many products are summed in it: the width of the vectors,\n"
        "not how many vectors there are.",
        "use the last axis of the query, query.shape[-1].",
        partial(flawed, size_of=lambda query, key: key.shape[-2]),
    ),
    Mistake(
        "scale after softmax",
        "the weights are divided, not the scores.",
        "After the softmax the rows sum to one; dividing then makes them sum to 1/sqrt(width), and the weights\n"
        "are as one-sided as before.",
        "move the division in front of the softmax.",
        partial(flawed, divide="weights"),
    ),
    Mistake(
        "softmax over queries",
        "the softmax runs over the queries.",
        "Then the weights of each key sum to one: the queries compete for a key. We ask how one query shares its\n"
        "attention out among the keys.",
        "normalise over the last axis, the keys.",
        partial(flawed, axis=-2),
    ),
    Mistake(
        "softmax over the first axis",
        "the softmax runs over axis 0, the batch.",
        "The items of a batch then share one budget of attention. torch itself once chose axis 0 for scores of\n"
        "three axes when dim was left out.",
        "say dim=-1.",
        partial(flawed, axis=0),
    ),
    Mistake(
        "mask upside down",
        "True in the mask is taken for hidden.",
        "nn.MultiheadAttention reads a boolean mask that way, scaled_dot_product_attention and this course the\n"
        "other: True means may be seen.",
        "hide where ~mask.",
        partial(flawed, visible=False),
    ),
    Mistake(
        "mask after softmax",
        "hidden weights are set to zero after the softmax, and the rest is left as it was.",
        "The hidden keys have taken their share before they vanish, so the rows no longer sum to one.",
        "hide the scores (with -inf) before the softmax.",
        partial(flawed, masking="after"),
    ),
    Mistake(
        "hidden scores are zero",
        "hidden scores are set to 0.",
        "exp(0) is 1, not 0: a hidden key keeps the weight of a middling score. At 16 keys some 40 % of the\n"
        "attention leaks to keys that nobody may see.",
        "fill with -inf: its exponential is zero.",
        partial(flawed, masking="0"),
    ),
    Mistake(
        "minus a billion",
        "hidden scores are set to -1e9.",
        "Where a query sees nothing, all its scores are equal, so the softmax spreads over the forbidden keys. In\n"
        "float16 -1e9 is not even a number.",
        "use -inf, and give the blind rows zeros.",
        partial(flawed, masking="-1e9"),
    ),
    Mistake(
        "blind rows are NaN",
        "nothing is done for a query that may see no key.",
        "The softmax of nothing but -inf is 0/0, NaN, and one NaN spreads to every parameter in one step of\n"
        "training. Padded batches have such rows.",
        "set the weights of hidden keys to zero once more, after the softmax.",
        partial(flawed, masking="-inf, and no care for blind rows"),
    ),
    Mistake(
        "mask ignored",
        "the mask is never used.",
        "Every query sees every key, so what should be hidden shows in the output.",
        "hide the scores where ~mask, before the softmax.",
        partial(flawed, masking="not at all"),
    ),
    Mistake(
        "overflow",
        "exp() is taken of the scores as they are.",
        "exp(89) is beyond float32. The softmax does not change when the row's largest score is subtracted first,\n"
        "and then no exponent is above zero.",
        "subtract the maximum of each row, or call torch.softmax.",
        partial(flawed, shift=False),
    ),
    Mistake(
        "mixes the keys",
        "the weights average the keys.",
        "Keys decide who is looked at; values are what is taken. With the keys in both places the output has the\n"
        "width of the keys.",
        "multiply the weights with the value.",
        partial(flawed, mix="key"),
    ),
    Mistake(
        "returns the scores",
        "the second thing returned is the scores.",
        "The weights are what comes out of the softmax. Scores can be negative and do not sum to one.",
        "return (output, weights).",
        partial(flawed, returned="scores"),
    ),
    Mistake(
        "graph is cut",
        "the weights are detached from the graph.",
        "The numbers are right, but no gradient flows back to query and key, so where to look can never be learnt.",
        "leave out .detach(), .data and no_grad().",
        partial(flawed, cut=True),
    ),
    Mistake(
        "changes the query",
        "the query is scaled in place.",
        "`query /= ...` writes into the caller's tensor; the next use of it, the second head or a second call,\n"
        "gets a query that is scaled twice.",
        "write query = query / ..., or scale the scores.",
        partial(flawed, in_place=True),
    ),
)


def _einsum(query, key, value, mask=None):
    scores = torch.einsum("...qd,...kd->...qk", query, key) * query.shape[-1] ** -0.5
    if mask is None:
        weights = scores.softmax(-1)
    else:
        weights = torch.where(mask, scores, -torch.inf).softmax(-1)
        weights = torch.where(mask.any(-1, keepdim=True), weights, 0.0)
    return torch.einsum("...qk,...kf->...qf", weights, value), weights


def _library(query, key, value, mask=None):
    one_hot = torch.eye(key.shape[-2], dtype=value.dtype).expand(*key.shape[:-1], key.shape[-2])
    weights = F.scaled_dot_product_attention(query, key, one_hot, mask)
    return F.scaled_dot_product_attention(query, key, value, mask), weights


def _in_float64(query, key, value, mask=None):
    output, weights = reference(query.double(), key.double(), value.double(), mask)
    return output.to(value.dtype), weights.to(value.dtype)


def _query_by_query(query, key, value, mask=None):
    rows = []
    for i in range(query.shape[-2]):
        scores = (query[..., i : i + 1, :] * key).sum(-1) / query.shape[-1] ** 0.5
        if mask is not None:
            seen = mask[..., i, :]
            scores = scores.masked_fill(~seen, torch.finfo(scores.dtype).min)
            rows.append(scores.softmax(-1) * seen)
        else:
            rows.append(scores.softmax(-1))
    weights = torch.stack(rows, dim=-2)
    return weights @ value, weights


def _log_domain(query, key, value, mask=None):
    bias = torch.zeros((), dtype=query.dtype) if mask is None else torch.log(mask.to(query.dtype))
    scores = (query / query.shape[-1] ** 0.5) @ key.mT + bias
    weights = (scores - scores.logsumexp(-1, keepdim=True)).exp()
    weights = weights.nan_to_num(nan=0.0)
    return weights.matmul(value), weights


attention = Exercise(
    name="attention",
    title="Scaled dot-product attention",
    stars=3,
    importance=5,
    minutes=15,
    answer=reference,
    returns=("output", "weights"),
    draw=draw,
    laws=LAWS,
    mistakes=MISTAKES,
    shortcuts=ATTENTION,
    also_right={
        "einsum and where": _einsum,
        "torch's own": _library,
        "in float64 inside": _in_float64,
        "query by query": _query_by_query,
        "log-sum-exp": _log_domain,
    },
    hints=(
        "Print `weights.sum(-1)` for random inputs, with a mask and without. What should every number be, and is it?",
        "Look at the law that the panel names first. Which of the three steps (score, normalise, mix) can break it?",
        "The line with the softmax decides most laws: what goes in (scaled? hidden ones at -inf?), and over which "
        "axis (`dim=-1`, the keys)? Then one line more for a query that may see nothing.",
        "A twin on another task, an average of exam marks where absent students are hidden:\n"
        "    importance = importance.masked_fill(~present, -torch.inf)\n"
        "    share = importance.softmax(dim=-1).masked_fill(~present, 0.0)\n"
        "    mean = share @ marks\n"
        "Put your scaled scores in the place of `importance`, and the values in the place of `marks`.",
    ),
)
