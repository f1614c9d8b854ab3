"""Bug hunt: a law that exposes a softmax over the wrong axis.

The learner writes a function that takes an implementation of attention and says whether it obeys the law. Its
cases are implementations: right ones, unusual ones that obey all the same, and ones with a bug.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake
from attnlab.checks.laws import Law, says
from attnlab.checks.self_attention import attention as target
from attnlab.reference.attention import attention
from attnlab.reference.causal_mask import causal_mask


def reference(attention: Callable) -> bool:
    """Do the weights of every query sum to one, with a mask and without?"""
    query, key = torch.randn(2, 5, 4), torch.randn(2, 7, 4)
    mask = causal_mask(7)[:5]
    sums = torch.cat([attention(query, key, key, m)[1].sum(dim=-1) for m in (None, mask)])
    return torch.allclose(sums, torch.ones_like(sums))


def _over_everything(query, key, value, mask=None):
    scores = query @ key.mT / query.shape[-1] ** 0.5
    weights = scores.flatten().softmax(0).reshape(scores.shape)
    return weights @ value, weights


def _sigmoid(query, key, value, mask=None):
    weights = torch.sigmoid(query @ key.mT / query.shape[-1] ** 0.5)
    weights = weights if mask is None else weights * mask
    return weights @ value, weights


def _sharp(query, key, value, mask=None):
    return attention(query * 1e5, key, value, mask)


RIGHT = {
    "the reference": attention,
    "right, with einsum": target.attention.also_right["einsum and where"],
    "right, with torch's own": target.attention.also_right["torch's own"],
    "right, query by query": target.attention.also_right["query by query"],
}
OBEYS = {"unscaled": partial(target.flawed, power=0.0), "very sharp": _sharp}
BUGS = {
    "softmax over queries": partial(target.flawed, axis=-2),
    "softmax over the first axis": partial(target.flawed, axis=0),
    "softmax over everything": _over_everything,
    "sigmoid": _sigmoid,
    "mask after softmax": partial(target.flawed, masking="after"),
}


def draw(generator: torch.Generator) -> list[Case]:
    """The cases are the same under every seed: what varies is inside the learner's own law."""
    return [Case(name, (implementation,)) for name, implementation in (RIGHT | OBEYS | BUGS).items()]


def flawed(attention, *, sizes=(5, 7, 2), inputs=torch.randn, masked=True, judge="rows", negate=False):
    """A law about rows with one switch for each way of getting it wrong."""
    q, k, b = sizes
    query, key, value = inputs(b, q, 4), inputs(b, k, 4), inputs(b, k, 3)
    masks = (None, causal_mask(max(q, k))[:q, :k]) if masked else (None,)
    held = all(JUDGES[judge](attention, query, key, value, mask) for mask in masks)
    return held != negate


def _rows(attention, query, key, value, mask, axis=-1):
    sums = attention(query, key, value, mask)[1].sum(axis)
    return torch.allclose(sums, torch.ones_like(sums), atol=1e-4)


def _exactly(attention, query, key, value, mask):
    return bool((attention(query, key, value, mask)[1].sum(-1) == 1).all())


def _in_total(attention, query, key, value, mask):
    weights = attention(query, key, value, mask)[1]
    return abs(weights.sum().item() - weights.shape[:-1].numel()) < 1e-3


def _like_the_library(attention, query, key, value, mask):
    return torch.allclose(
        attention(query, key, value, mask)[0], F.scaled_dot_product_attention(query, key, value, mask), atol=1e-4
    )


JUDGES = {
    "rows": _rows,
    "columns": partial(_rows, axis=-2),
    "exactly": _exactly,
    "in total": _in_total,
    "like the library": _like_the_library,
}


def _asserts(attention):
    assert reference(attention)


def _per_row(attention):
    weights = attention(torch.randn(2, 5, 4), torch.randn(2, 7, 4), torch.randn(2, 7, 3))[1]
    return (weights.sum(-1) - 1).abs() < 1e-4


MISTAKES = (
    Mistake(
        "always true",
        "the law says yes to everything.",
        "A law that nothing can break says nothing. It may look only at shapes, or return True on every path.",
        "make sure that it computes row sums and compares them with one.",
        lambda attention: True,
    ),
    Mistake(
        "always false",
        "the law says no to everything, right implementations too.",
        "A law has to hold for the right ones first; try it on your own attention.",
        "print the sums that it compares: of which axis are they, and does your mask leave a row with nothing to see?",
        lambda attention: False,
    ),
    Mistake(
        "yes and no swapped",
        "the law returns True when it finds the bug.",
        "Ask it as: does the law hold? True for a right implementation, False for a buggy one.",
        "turn the answer round.",
        partial(flawed, negate=True),
    ),
    Mistake(
        "sums the columns",
        "it sums over the queries.",
        "A column of weights, one key under all queries, may sum to anything. That is the very mistake which the law\n"
        "is to expose.",
        "sum over the last axis.",
        partial(flawed, judge="columns", masked=False),
    ),
    Mistake(
        "no tolerance",
        "it wants the sums to be exactly one.",
        "Seven rounded numbers rarely sum to exactly 1.0 in float32, so right implementations are rejected, now and then.",
        "use torch.allclose, or a difference below 1e-4.",
        partial(flawed, judge="exactly"),
    ),
    Mistake(
        "sums everything",
        "it adds up all weights, with as many queries as keys.",
        "If every column sums to one, the total is the number of keys; where that is the number of queries too, the\n"
        "total cannot tell rows from columns.",
        "sum each row on its own, and take different numbers of queries and keys.",
        partial(flawed, judge="in total", sizes=(5, 5, 2)),
    ),
    Mistake(
        "inputs all alike",
        "its inputs are all alike, such as zeros, with as many queries as keys.",
        "Equal scores give equal weights, and then rows and columns sum to the same. A law needs inputs that differ.",
        "draw random inputs, and different numbers of queries and keys.",
        partial(flawed, inputs=torch.zeros, sizes=(5, 5, 2), masked=False),
    ),
    Mistake(
        "one token",
        "its inputs cannot tell right from wrong, such as one query and one key.",
        "With one of each every softmax gives 1, over whatever axis.",
        "take several queries and keys, as many as you like but not equally many.",
        partial(flawed, sizes=(1, 1, 1), masked=False),
    ),
    Mistake(
        "no mask tried",
        "it never tries a mask.",
        "Weights that are set to zero after the softmax leave rows that sum to less than one; without a mask they look\n"
        "right.",
        "try the law once more with a mask in which every query sees something.",
        partial(flawed, masked=False),
    ),
    Mistake(
        "compares with the library",
        "it compares the outputs with a right implementation.",
        "That asks every question at once: an implementation without a scale fails too, though its rows sum to one.\n"
        "A law that asks one thing names the mistake.",
        "look at the row sums only.",
        partial(flawed, judge="like the library"),
    ),
    Mistake(
        "asserts",
        "it asserts, and returns nothing.",
        "A law answers with True or False, so that it can be asked about many implementations in a row.",
        "return the truth value in place of the assert.",
        _asserts,
    ),
    Mistake(
        "an answer for each row",
        "it returns a truth value for each row.",
        "One question, one answer: the law holds when it holds for all rows.",
        "end with .all(), or use torch.allclose.",
        _per_row,
    ),
)


def _with_ones(attention):
    query, key = torch.randn(3, 6, 8), torch.randn(3, 4, 8)
    mask = torch.rand(6, 4) < 0.5
    mask[:, 2] = True
    outputs = [attention(query, key, torch.ones(3, 4, 2), m)[0] for m in (None, mask)]
    return all((output - 1).abs().max().item() < 1e-4 for output in outputs)


def _loops(attention):
    query, key, value = torch.randn(2, 3, 4), torch.randn(2, 5, 4), torch.randn(2, 5, 2)
    for mask in (None, torch.tensor([[True, False, True, False, False]] * 3)):
        for item in attention(query, key, value, mask)[1]:
            for row in item:
                if abs(sum(row.tolist()) - 1) > 1e-3:
                    return False
    return True


rows_sum_to_one = Exercise(
    name="rows_sum_to_one",
    title="Bug hunt: which axis?",
    stars=3,
    importance=4,
    minutes=12,
    answer=reference,
    returns=("holds",),
    hunt=True,
    draw=draw,
    laws=(
        Law("answers yes or no", 1, "Does it return one truth value?", laws.shapes_right()),
        Law("accepts the reference", 1, "Does it hold for the reference?", says(True, "the reference")),
        Law("accepts whatever is right", 1, "Does it hold for right ones written otherwise?", says(True, *RIGHT)),
        Law("asks one question only", 1, "Does it hold where only the scale is wrong?", says(True, *OBEYS)),
        Law(
            "exposes the queries' softmax",
            2,
            "Does it expose a softmax over queries?",
            says(False, "softmax over queries"),
        ),
        Law(
            "exposes other axes",
            1,
            "Does it expose a softmax over the batch or over everything, and a sigmoid?",
            says(False, "softmax over the first axis", "softmax over everything", "sigmoid"),
        ),
        Law("exposes a late mask", 1, "Does it expose a mask after the softmax?", says(False, "mask after softmax")),
    ),
    mistakes=MISTAKES,
    also_right={
        "values of one": _with_ones,
        "loops": _loops,
        "largest difference": lambda attention: all(
            (attention(torch.randn(2, 4, 3), torch.randn(2, 6, 3), torch.randn(2, 6, 5), mask)[1].sum(-1) - 1)
            .abs()
            .max()
            < 1e-4
            for mask in (None, torch.ones(4, 6, dtype=torch.bool).triu(-1))
        ),
        "float64": lambda attention: all(
            torch.allclose(w.sum(-1), torch.ones(2, 3, dtype=w.dtype))
            for w in (
                attention(
                    torch.randn(2, 3, 4).double(), torch.randn(2, 8, 4).double(), torch.randn(2, 8, 1).double(), m
                )[1]
                for m in (None, torch.arange(8).expand(3, 8) < 3)
            )
        ),
        "NumPy at the end": lambda attention: bool(
            abs(
                attention(
                    torch.randn(4, 9, 2), torch.randn(4, 3, 2), torch.randn(4, 3, 2), torch.eye(3).bool().repeat(3, 1)
                )[1]
                .numpy()
                .sum(axis=-1)
                - 1
            ).max()
            < 1e-4
        ),
    },
    hints=(
        "Take the buggy attention of the cell above and print its weights for 2 queries and 3 keys. Which sums are one, "
        "and which should be?",
        "The law is the one that check.attention called “rows sum to one”. When would it hold for a wrong softmax by "
        "accident? Choose sizes that forbid it.",
        "Three lines: random query, key and value, with different numbers of queries and keys; the sums of the weights over "
        "the last axis; torch.allclose with one. Then the same with a mask.",
        "A twin on another task, a law for a function that shares a bill among guests:\n"
        "    def bill_is_paid(share):\n"
        "        shares = share(bill=100.0, guests=7)\n"
        "        return abs(shares.sum().item() - 100.0) < 1e-3",
    ),
)
