"""Bug hunt: a law that exposes attention which looks at the padding.

The learner writes a function that takes an implementation, attend(query, memory, lengths) -> (context, weights),
and says whether a sentence gets the same context however far its batch is padded.
"""

from collections.abc import Callable
from functools import partial

import torch

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake
from attnlab.checks.laws import Law, says
from attnlab.checks.rnn_attention.masked_softmax import flawed as flawed_softmax
from attnlab.reference.dot_product import dot_product_scores
from attnlab.reference.masked_softmax import length_mask, masked_softmax


def reference(attend: Callable) -> bool:
    """Does a short sentence get the same context in a padded batch as alone, without filler?"""
    query, memory = torch.randn(2, 3, 4), torch.randn(2, 7, 4)
    lengths = torch.tensor([7, 5])
    together = attend(query, memory, lengths)[0]
    alone = attend(query[1:], memory[1:, :5], lengths[1:])[0]
    return (together[1:] - alone).abs().max().item() < 1e-4


def attend_with(softmax: Callable = masked_softmax, prepare: Callable = lambda memory, lengths: memory, sharp=1.0):
    """Dot-product attention over a padded memory, with this softmax(scores, lengths)."""

    def attend(query, memory, lengths):
        memory = prepare(memory, lengths)
        weights = softmax(sharp * dot_product_scores(query, memory), lengths)
        return weights @ memory, weights

    return attend


def _item_by_item(query, memory, lengths):
    contexts, weights = [], []
    for q, m, n in zip(query, memory, lengths.tolist(), strict=True):
        row = (q @ m[:n].mT).softmax(-1)
        contexts.append(row @ m[:n])
        weights.append(torch.nn.functional.pad(row, (0, len(m) - n)))
    return torch.stack(contexts), torch.stack(weights)


def _finite_floor(scores, lengths):
    mask = length_mask(lengths, scores.shape[-1]).unsqueeze(-2)
    return scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(-1)


def _zeroed(memory, lengths):
    return memory * length_mask(lengths, memory.shape[-2]).unsqueeze(-1)


def _plain(scores, lengths):
    return scores.softmax(-1)


def _uniform(scores, lengths):
    return masked_softmax(torch.zeros_like(scores), lengths)


def _not_where_zero(query, memory, lengths):
    """Takes for filler what is exactly zero, as one does who trusts the padding value."""
    filler = (memory == 0).all(-1).unsqueeze(-2)
    weights = dot_product_scores(query, memory).masked_fill(filler, -torch.inf).softmax(-1).nan_to_num(0.0)
    return weights @ memory, weights


RIGHT = {
    "the reference": attend_with(),
    "right, item by item": _item_by_item,
    "right, with the lowest finite number": attend_with(_finite_floor),
    "right, with zeroed filler too": attend_with(prepare=_zeroed),
}
OBEYS = {
    "very sharp": attend_with(sharp=4.0),
    "all real places alike": attend_with(_uniform),
    "the last real place is never seen": attend_with(partial(flawed_softmax, offset=-1)),
}
BUGS = {
    "no mask": attend_with(_plain),
    "zeroed filler, no mask": attend_with(_plain, _zeroed),
    "scores times mask": attend_with(partial(flawed_softmax, masking="multiplied")),
    "mask after softmax": attend_with(partial(flawed_softmax, masking="after")),
    "one place too many": attend_with(partial(flawed_softmax, offset=1)),
    "the longest length for all": attend_with(partial(flawed_softmax, whose="longest")),
    "only zeros count as filler": _not_where_zero,
}


def draw(generator: torch.Generator) -> list[Case]:
    """The cases are the same under every seed: what varies is inside the learner's own law."""
    return [Case(name, (implementation,)) for name, implementation in (RIGHT | OBEYS | BUGS).items()]


def flawed(
    attend,
    *,
    lengths=(7, 5),
    compare="alone",
    item=1,
    filler="random",
    tolerance=1e-4,
    of=0,
    negate=False,
):
    """A law about padding with one switch for each way of getting it wrong."""
    draw = torch.Generator().manual_seed(3)
    query, memory = torch.randn(2, 3, 4, generator=draw), torch.randn(2, 7, 4, generator=draw)
    lengths = torch.tensor(lengths)
    real = length_mask(lengths, 7)[..., None]
    if filler == "zeros":
        memory = memory * real
    together = attend(query, memory, lengths)
    n = int(lengths[item])
    if compare == "alone":
        alone = attend(query[item : item + 1], memory[item : item + 1, :n], lengths[item : item + 1])
        held = _alike(together[of][item : item + 1], alone[of], tolerance)
    elif compare == "filler":
        other = torch.where(real, memory, memory + 2.0)
        held = _alike(together[0], attend(query, other, lengths)[0], tolerance)
    elif compare == "weights beyond":
        held = bool((together[1].masked_select(~real.mT.expand_as(together[1])) == 0).all())
    elif compare == "sums":
        held = _alike(together[1].sum(-1), torch.ones(2, 3), tolerance)
    elif compare == "library":
        held = _alike(together[0], attend_with()(query, memory, lengths)[0], tolerance)
    elif compare == "one sentence":
        one = query[1:], memory[1:], lengths[1:]
        held = _alike(attend(*one)[0], attend(one[0], one[1][:, :n], one[2])[0], tolerance)
    return held != negate


def _alike(a, b, tolerance):
    if a.shape != b.shape:
        return False
    return torch.allclose(a, b, rtol=0, atol=tolerance) if tolerance else torch.equal(a, b)


def _asserts(attend):
    assert reference(attend)


def _per_query(attend):
    query, memory, lengths = torch.randn(2, 3, 4), torch.randn(2, 7, 4), torch.tensor([7, 5])
    alone = attend(query[1:], memory[1:, :5], lengths[1:])[0]
    return ((attend(query, memory, lengths)[0][1:] - alone).abs() < 1e-4).all(-1)


MISTAKES = (
    Mistake(
        "always true",
        "the law says yes to everything.",
        "Either it cannot fail, or what it compares has no filler in it: sentences all as long, or the longest of them.",
        "compare the short sentence of a batch with itself alone, cut to its length.",
        partial(flawed, item=0),
    ),
    Mistake(
        "always false",
        "the law says no to everything, right implementations too.",
        "It compares things that differ in a right implementation as well: weights of two widths, say, or two sentences.",
        "try it on your own masked attention first, and compare the contexts.",
        partial(flawed, of=1),
    ),
    Mistake(
        "yes and no swapped",
        "the law returns True when it finds the bug.",
        "Ask it as: does padding change nothing? True for a right implementation.",
        "turn the answer round.",
        partial(flawed, negate=True),
    ),
    Mistake(
        "changes the filler only",
        "it changes what the filler holds, and never how much of it there is.",
        "Who sets the filler to zero first is blind to its content, and still gives each zero a share of the weights. So is\n"
        "who sets the scores to zero.",
        "compare with the sentence alone, without any filler.",
        partial(flawed, compare="filler"),
    ),
    Mistake(
        "filler of zeros",
        "its filler is zeros.",
        "In a real model the filler's states are not zero: a bias and the recurrence go on. Who takes zeros for filler\n"
        "passes your law and fails there.",
        "leave random numbers in the filler.",
        partial(flawed, filler="zeros"),
    ),
    Mistake(
        "looks at the filler's weights",
        "it asks whether the weights beyond the lengths are zero.",
        "They are, too, where they were set to zero after the softmax; but then the real ones sum to less than one.",
        "compare the contexts.",
        partial(flawed, compare="weights beyond"),
    ),
    Mistake(
        "sums the rows",
        "it asks whether the rows sum to one.",
        "Without any mask they do. How the weight is shared between words and filler, the sum does not say.",
        "compare the contexts of the sentence with and without filler.",
        partial(flawed, compare="sums"),
    ),
    Mistake(
        "compares with a right one",
        "it compares with a right implementation's output.",
        "That asks every question at once: a sharper attention fails too, although padding does not matter to it.",
        "compare the implementation with itself.",
        partial(flawed, compare="library"),
    ),
    Mistake(
        "one sentence a batch",
        "its batches hold one sentence only.",
        "Then the longest length of the batch is the sentence's own, and a mask made from it looks right.",
        "put a longer sentence beside it.",
        partial(flawed, compare="one sentence"),
    ),
    Mistake(
        "loose tolerance",
        "differences up to 0.5 pass.",
        "A little filler moves a context by little. Rounding moves it by a millionth.",
        "compare with atol=1e-4 or so.",
        partial(flawed, tolerance=0.5),
    ),
    Mistake(
        "asserts",
        "it asserts, and returns nothing.",
        "A law answers with True or False, so that it can be asked about many implementations in a row.",
        "return the truth value in place of the assert.",
        _asserts,
    ),
    Mistake(
        "an answer for each query",
        "it returns a truth value for each query.",
        "One question, one answer: the law holds when it holds for all.",
        "end with .all(), or use torch.allclose.",
        _per_query,
    ),
)


def _more_padding(attend):
    """Pad the same batch further, with numbers of its own, and compare."""
    query, memory, lengths = torch.randn(3, 2, 5), torch.randn(3, 6, 5), torch.tensor([6, 2, 4])
    longer = torch.cat([memory, 3 * torch.randn(3, 4, 5)], dim=1)
    short = [attend(query[i : i + 1], memory[i : i + 1, :n], lengths[i : i + 1])[0] for i, n in enumerate((6, 2, 4))]
    return torch.allclose(attend(query, longer, lengths)[0], torch.cat(short), atol=1e-3)


def _every_sentence(attend):
    query, memory, lengths = torch.randn(4, 1, 3), torch.randn(4, 9, 3), torch.tensor([9, 3, 6, 4])
    together = attend(query, memory, lengths)[0]
    for i, n in enumerate(lengths.tolist()):
        alone = attend(query[i][None], memory[i][None, :n], torch.tensor([n]))[0]
        if (together[i] - alone[0]).abs().max() > 1e-4:
            return False
    return True


def _large_filler(attend):
    query, memory = torch.randn(2, 50, 6), torch.randn(2, 8, 6)
    alone = attend(query[:1], memory[:1, :3], torch.tensor([3]))[0]
    memory[0, 3:] = memory[0, 3:] * 3
    together = attend(query, memory, torch.tensor([3, 8]))[0]
    return bool((together[0] - alone[0]).abs().max() < 1e-3)


def _relative(attend):
    query, memory, lengths = torch.randn(2, 3, 4).double(), torch.randn(2, 7, 4).double(), torch.tensor([3, 7])
    together, alone = attend(query, memory, lengths)[0][:1], attend(query[:1], memory[:1, :3], lengths[:1])[0]
    return ((together - alone).norm() / alone.norm()).item() < 1e-6


def _fixed_numbers(attend):
    query = torch.tensor([[[1.0, 0.5]], [[0.2, -1.0]]])
    memory = torch.linspace(-2, 2, 16).sin().reshape(2, 4, 2)
    padded = torch.cat([memory, torch.full((2, 3, 2), 0.7)], dim=1)
    lengths = torch.tensor([4, 2])
    want = attend(query[1:], memory[1:, :2], lengths[1:])[0]
    return bool(torch.isclose(attend(query, padded, lengths)[0][1:], want, atol=1e-5).all())


padding_changes_nothing = Exercise(
    name="padding_changes_nothing",
    title="Bug hunt: who reads the padding?",
    stars=3,
    importance=5,
    minutes=12,
    answer=reference,
    returns=("holds",),
    hunt=True,
    draw=draw,
    laws=(
        Law("answers yes or no", 1, "Does it return one truth value?", laws.shapes_right()),
        Law("accepts the reference", 1, "Does it hold for the reference?", says(True, "the reference")),
        Law("accepts whatever is right", 1, "Does it hold for right ones written otherwise?", says(True, *RIGHT)),
        Law("asks one question only", 1, "Does it hold where something else is wrong?", says(True, *OBEYS)),
        Law("exposes a missing mask", 2, "Does it expose attention without a mask?", says(False, "no mask")),
        Law(
            "exposes zeros that still count",
            1,
            "Does it expose zeroed filler, or zeroed scores, with a share of the weights?",
            says(False, "zeroed filler, no mask", "scores times mask"),
        ),
        Law("exposes a late mask", 1, "Does it expose a mask after the softmax?", says(False, "mask after softmax")),
        Law(
            "exposes wrong lengths",
            1,
            "Does it expose a place too many, one length for all, and zeros taken for filler?",
            says(False, "one place too many", "the longest length for all", "only zeros count as filler"),
        ),
    ),
    mistakes=MISTAKES,
    also_right={
        "padded further": _more_padding,
        "every sentence": _every_sentence,
        "large filler": _large_filler,
        "relative, in float64": _relative,
        "fixed numbers": _fixed_numbers,
    },
    hints=(
        "Take the unmasked attention of the cell above, and one sentence of two words. What is its context alone, and what "
        "with three places of filler behind it?",
        "The panel names an implementation that your law judges wrongly. Is it blind to the filler's content, or right for a "
        "batch of one?",
        "Four lines: a batch of two sentences of different lengths; attend on it; attend on the short one alone, cut to its "
        "length; torch.allclose of the two contexts.",
        "A twin on another task, a law for a function that computes mean marks of classes in one padded table:\n"
        "    def empty_seats_do_not_count(mean_mark):\n"
        "        marks, sizes = torch.rand(2, 30), torch.tensor([30, 12])\n"
        "        alone = mean_mark(marks[1:, :12], sizes[1:])\n"
        "        return torch.allclose(mean_mark(marks, sizes)[1:], alone)",
    ),
)
