"""Exercise: a token may see itself and what came before it."""

from functools import partial

import torch

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake
from attnlab.checks.laws import Law, Seen
from attnlab.reference.causal_mask import causal_mask as reference


def draw(generator: torch.Generator) -> list[Case]:
    length = int(torch.randint(4, 9, (), generator=generator))
    return [
        Case("plain", (length,)),
        Case("one token", (1,)),
        Case("two tokens", (2,)),
        Case("longer", (length + 5,)),
    ]


def everyone_sees_itself(seen: Seen) -> str | None:
    mask = seen.output("plain", "mask")
    return None if mask.diagonal().all() else "A token may see itself, so the diagonal is True; here it is not."


def nobody_sees_the_future(seen: Seen) -> str | None:
    mask = seen.output("plain", "mask")
    future = mask.triu(diagonal=1).nonzero()
    if not len(future):
        return None
    row, column = future[0].tolist()
    return f"Token {row} may see token {column}, which comes later. Rows are queries, columns are keys."


def everyone_sees_the_past(seen: Seen) -> str | None:
    mask = seen.output("plain", "mask")
    missing = (~mask).tril(diagonal=-1).nonzero()
    if not len(missing):
        return None
    row, column = missing[0].tolist()
    return f"Token {row} may not see token {column}, which came earlier."


def grows_without_changing(seen: Seen) -> str | None:
    short, long = seen.output("plain", "mask"), seen.output("longer", "mask")
    n = short.shape[0]
    return None if torch.equal(short, long[:n, :n]) else "A longer mask should begin with the shorter one."


def flawed(length, *, past=True, offset=0, dtype=torch.bool, extra=0, only=None, batch=False):
    """The mask with one switch for each way of getting it wrong."""
    ones = torch.ones(length + extra, length + extra, dtype=torch.bool)
    mask = ones.tril(offset) if past else ones.triu(offset)
    if only is not None:
        mask = mask & only(torch.arange(length + extra))
    if dtype == "additive":
        return torch.zeros(length, length).masked_fill(~mask, -torch.inf)
    mask = mask.to(dtype)
    return mask[None] if batch else mask


MISTAKES = (
    Mistake(
        "upside down",
        "True marks what is hidden.",
        "nn.MultiheadAttention reads masks that way; scaled_dot_product_attention and this course the other. Here True\n"
        "means may be seen.",
        "negate it, or begin with torch.tril.",
        partial(flawed, past=False, offset=1),
    ),
    Mistake(
        "upper triangle",
        "the triangle is the upper one: tokens see the future.",
        "Row i is the query at position i. It may see the columns up to i, which are left of the diagonal: the lower\n"
        "triangle.",
        "use tril, not triu.",
        partial(flawed, past=False),
    ),
    Mistake(
        "nothing hidden",
        "every cell is True: nothing is hidden.",
        "A square of True lets every token see the whole sequence, the future too.",
        "keep the lower triangle with .tril().",
        partial(flawed, offset=99),
    ),
    Mistake(
        "sees the next token",
        "the diagonal above the middle one is visible too.",
        "That is the token which a language model has to predict: its loss falls to nothing in training, and it writes\n"
        "nonsense when it is on its own.",
        "use tril with diagonal=0.",
        partial(flawed, offset=1),
    ),
    Mistake(
        "does not see itself",
        "the diagonal is hidden.",
        "Then the first token sees nothing at all, and its softmax is NaN from the first step on.",
        "use tril with diagonal=0, which keeps the diagonal.",
        partial(flawed, offset=-1),
    ),
    Mistake(
        "numbers, not booleans",
        "the mask is of ones and zeros as floats.",
        "A float mask is read as something to add to the scores, so a 1 gives a small push and hides nothing.",
        "make it boolean: dtype=torch.bool.",
        partial(flawed, dtype=torch.float32),
    ),
    Mistake(
        "integers, not booleans",
        "the mask is of ones and zeros as integers.",
        "`~` on an integer flips bits: ~1 is -2, which counts as true. Only a boolean mask can be turned over safely.",
        "make it boolean: dtype=torch.bool.",
        partial(flawed, dtype=torch.int64),
    ),
    Mistake(
        "additive",
        "the mask holds 0 and minus infinity, to be added.",
        "That is the other common form. Booleans can be combined with & and counted; the additive form is made from\n"
        "them where it is needed.",
        "return booleans, True for visible.",
        partial(flawed, dtype="additive"),
    ),
    Mistake(
        "one too long",
        "the mask has a row and a column too many.",
        "A start token is sometimes counted in. Here the length is the number of tokens in the sequence.",
        "make it length by length.",
        partial(flawed, extra=1),
    ),
    Mistake(
        "diagonal only",
        "a token sees nothing but itself.",
        "Then every token is its own average, and nothing is ever passed along the sequence.",
        "keep everything below the diagonal too.",
        partial(flawed, only=lambda i: i[:, None] == i),
    ),
    Mistake(
        "only the last two",
        "a token sees itself and the one before, no further.",
        "That is a window, a convolution's view. A causal mask has no far end.",
        "keep the whole lower triangle.",
        partial(flawed, only=lambda i: i[:, None] - i <= 1),
    ),
    Mistake(
        "batch axis",
        "there is a batch axis in front.",
        "Two axes are enough: the mask is the same for all items and broadcasts against any leading axes.",
        "return (length, length).",
        partial(flawed, batch=True),
    ),
)


def _in_loops(length):
    mask = torch.zeros(length, length, dtype=torch.bool)
    for query in range(length):
        mask[query, : query + 1] = True
    return mask


causal_mask = Exercise(
    name="causal_mask",
    title="Nobody sees the future",
    stars=2,
    importance=5,
    minutes=6,
    answer=reference,
    returns=("mask",),
    draw=draw,
    laws=(
        Law("right shape and kind", 1, "Is it (length, length), boolean?", laws.shapes_right()),
        Law("everyone sees itself", 1, "Is the diagonal visible?", everyone_sees_itself),
        Law("nobody sees the future", 2, "Is everything right of the diagonal hidden?", nobody_sees_the_future),
        Law("everyone sees the past", 1, "Is everything left of the diagonal visible?", everyone_sees_the_past),
        Law("grows without changing", 1, "Does a longer mask begin with the shorter one?", grows_without_changing),
    ),
    mistakes=MISTAKES,
    shortcuts=("torch.nn.Transformer.generate_square_subsequent_mask", "torch.nn.attention.bias.causal_lower_right"),
    also_right={
        "compared positions": lambda length: torch.arange(length)[:, None] >= torch.arange(length),
        "triu negated": lambda length: ~torch.ones(length, length).triu(diagonal=1).bool(),
        "loops": _in_loops,
        "cumulated": lambda length: torch.eye(length).flip(1).cumsum(1).flip(1).bool(),
        "indices": lambda length: torch.zeros(length, length, dtype=torch.bool).index_put_(
            tuple(torch.tril_indices(length, length)), torch.tensor(True)
        ),
    },
    hints=(
        "Print your mask for a length of 3. Row 0 is the first token: which columns may it see?",
        "Two laws say it all: the diagonal is visible, and nothing right of it is.",
        "torch.tril keeps the lower triangle, and its argument `diagonal` moves the edge. Begin from a square of True.",
        "A twin on another task, who may read whose letter when letters may be read from the day they were written:\n"
        "    days = torch.arange(n)\n"
        "    may_read = days[:, None] >= days        # row: the day of reading, column: the day of writing",
    ),
)
