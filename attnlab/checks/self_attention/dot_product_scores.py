"""Exercise: the dot product of every query with every key."""

from functools import partial

import torch

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake, draw_sizes, uncontiguous
from attnlab.checks.laws import Law, Seen, close
from attnlab.reference.dot_product import dot_product_scores as reference


def draw(generator: torch.Generator) -> list[Case]:
    size = draw_sizes(generator, "batch", "queries", "keys", "width", "heads")
    query = torch.randn(size["batch"], size["queries"], size["width"], generator=generator)
    key = torch.randn(size["batch"], size["keys"], size["width"], generator=generator)
    n = size["keys"]
    swapped = key[:, [1, 0, *range(2, n)]]
    square = torch.randn(2, size["batch"], size["width"], size["width"], generator=generator)
    heads = [torch.randn(size["batch"], size["heads"], *x.shape[-2:], generator=generator) for x in (query, key)]
    return [
        Case("plain", (query, key)),
        Case("two keys swapped", (query, swapped)),
        Case("as many tokens as width", (square[0], square[1])),
        Case("no batch axis", (query[0], key[0])),
        Case("heads", tuple(heads)),
        Case("one token", (query[:, :1], key[:, :1])),
        Case("first item alone", (query[:1], key[:1])),
        Case("float64", (query.double(), key.double())),
        Case("other memory layout", (uncontiguous(query), uncontiguous(key))),
        Case("longer query", (query * 2, key)),
        Case("gradients", (query, key), gradients=True),
    ]


def column_follows_its_key(seen: Seen) -> str | None:
    before, after = seen.output("plain", "scores"), seen.output("two keys swapped", "scores")
    back = after[..., [1, 0, *range(2, after.shape[-1])]]
    return None if close(before, back) else "Keys 0 and 1 were swapped, and not exactly columns 0 and 1 followed."


def grows_with_the_query(seen: Seen) -> str | None:
    once, twice = seen.output("plain", "scores"), seen.output("longer query", "scores")
    return None if close(2 * once, twice) else "A query twice as long should score twice as much with every key."


def flawed(query, key, *, turn="last two", keep="product", other="key", power=0.0, reduce=False, cut=False):
    """Scores with one switch for each way of getting them wrong."""
    if keep == "unit":
        query, key = torch.nn.functional.normalize(query, dim=-1), torch.nn.functional.normalize(key, dim=-1)
    if keep == "distance":
        return (query.unsqueeze(-2) - key.unsqueeze(-3)).square().sum(-1)
    if other == "query":
        key = query
    if cut:
        key = key.detach()
    if turn == "none":
        scores = query @ key
    elif turn == "reshape":
        scores = query @ key.reshape(*key.shape[:-2], key.shape[-1], key.shape[-2])
    elif turn == "all":
        scores = query @ key.permute(*reversed(range(key.ndim)))
    elif turn == "result":
        scores = key @ query.transpose(-2, -1)
    else:
        scores = query @ key.transpose(-2, -1)
    scores = scores / query.shape[-1] ** power
    if keep == "weights":
        return scores.softmax(-1)
    if keep == "absolute":
        return scores.abs()
    return scores.mean(0) if reduce else scores


MISTAKES = (
    Mistake(
        "not turned",
        "the key is not transposed.",
        "query @ key pairs the width of the query with the number of keys. Where the two happen to be equal it runs,\n"
        "and multiplies rows with columns that have nothing to do with each other.",
        "swap the last two axes of the key: key.transpose(-2, -1).",
        partial(flawed, turn="none"),
    ),
    Mistake(
        "reshaped",
        "the key is reshaped to the transposed shape, not transposed.",
        "reshape and view keep the order of the numbers in memory and cut it into other rows, so each column mixes\n"
        "pieces of several keys. The shape is right, the numbers are not.",
        "use transpose(-2, -1) or .mT; reshape never swaps axes.",
        partial(flawed, turn="reshape"),
    ),
    Mistake(
        "all axes turned",
        "all axes of the key are reversed, the batch too.",
        "On a tensor with a batch, .T (or permute of all axes) sends the batch to the end. With one item and two\n"
        "axes it looks right.",
        "turn only the last two axes: key.transpose(-2, -1), or key.mT.",
        partial(flawed, turn="all"),
    ),
    Mistake(
        "keys in the rows",
        "the product is the other way round: a row for each key.",
        "Everything later reads a row as one query: the softmax, the mask, the figure. With keys in the rows each\n"
        "of them is about the wrong thing.",
        "write query first: query @ key.transpose(-2, -1).",
        partial(flawed, turn="result"),
    ),
    Mistake(
        "scaled already",
        "the scores are divided by the root of the width.",
        "That is the next exercise. A function that does one thing can be reused: Luong's dot score has no scale.",
        "leave the division to `scale`.",
        partial(flawed, power=0.5),
    ),
    Mistake(
        "softmax already",
        "the scores have gone through a softmax.",
        "Scores may be any number, negative too; weights are what the softmax makes of them later.",
        "return the plain products.",
        partial(flawed, keep="weights"),
    ),
    Mistake(
        "cosine",
        "the vectors are brought to length one before.",
        "That gives the cosine, which forgets how long the vectors are. In a dot product a long key can call louder\n"
        "than a short one.",
        "multiply the vectors as they are.",
        partial(flawed, keep="unit"),
    ),
    Mistake(
        "distance",
        "it computes squared distances.",
        "A distance is small where two vectors agree; a score must be large there. Lesson 00 used minus the distance,\n"
        "here we use the dot product.",
        "multiply and sum over the width.",
        partial(flawed, keep="distance"),
    ),
    Mistake(
        "query with query",
        "the query is compared with itself; the key is never used.",
        "In self-attention both come from one sequence, so it is easy to write one for the other. Keys may come from\n"
        "somewhere else, and be more or fewer.",
        "use both arguments.",
        partial(flawed, other="query"),
    ),
    Mistake(
        "no sign",
        "the sign of the scores is dropped.",
        "A negative score says that query and key point away from each other: such a key should get little weight,\n"
        "not much.",
        "leave out abs().",
        partial(flawed, keep="absolute"),
    ),
    Mistake(
        "batch averaged",
        "the batch is averaged away.",
        "Every item of a batch is a sequence of its own and needs its own table of scores.",
        "keep all leading axes; @ works on the last two only.",
        partial(flawed, reduce=True),
    ),
    Mistake(
        "graph is cut",
        "the key is detached from the graph.",
        "The numbers are right, but no gradient reaches the keys: they can never learn to be found.",
        "leave out .detach() and .data.",
        partial(flawed, cut=True),
    ),
)


def _in_loops(query, key):
    rows = [torch.stack([(query[..., i, :] * key[..., j, :]).sum(-1) for j in range(key.shape[-2])], -1)
            for i in range(query.shape[-2])]  # fmt: skip
    return torch.stack(rows, -2)


dot_product_scores = Exercise(
    name="dot_product_scores",
    title="Score every pair",
    stars=1,
    importance=5,
    minutes=6,
    answer=reference,
    returns=("scores",),
    draw=draw,
    laws=(
        Law("right shapes", 1, "Is there a row for each query and a column for each key?", laws.shapes_right()),
        Law(
            "right numbers",
            2,
            "Are the scores the reference's?",
            laws.equals_reference(
                "plain", "as many tokens as width", "no batch axis", "heads", "one token", "other memory layout"
            ),
        ),
        Law("a column follows its key", 1, "Do swapped keys swap columns, and nothing else?", column_follows_its_key),
        Law("grows with the query", 1, "Does a query twice as long score twice as much?", grows_with_the_query),
        laws.ITEMS_APART,
        laws.GRADIENT,
    ),
    mistakes=MISTAKES,
    also_right={
        "einsum": lambda query, key: torch.einsum("...qd,...kd->...qk", query, key),
        "mT": lambda query, key: torch.matmul(query, key.mT),
        "broadcast and sum": lambda query, key: (query[..., :, None, :] * key[..., None, :, :]).sum(-1),
        "turned twice": lambda query, key: (key @ query.mT).mT,
        "loops": _in_loops,
        "float64 inside": lambda query, key: (query.double() @ key.double().mT).to(query.dtype),
    },
    hints=(
        "With 2 queries and 3 keys, how many numbers should come out, and what does the one in row 1, column 2 compare?",
        "Look at the shapes first: the widths of query and key must meet in the product. Which axes of the key have to "
        "change places for that?",
        "It is one line, `query @ ...`. Whatever stands behind the @ must be (width, keys) in its last two axes.",
        "A twin on another task, prices of baskets: `amounts` is (baskets, goods), `prices` is (shops, goods).\n"
        "    cost = amounts @ prices.transpose(-2, -1)      # (baskets, shops)\n"
        "Each row is one basket, each column one shop.",
    ),
)
