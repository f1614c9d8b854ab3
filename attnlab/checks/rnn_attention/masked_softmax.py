"""Exercise: softmax over the real keys of a padded batch."""

from functools import partial

import torch

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake, draw_sizes, uncontiguous
from attnlab.checks.laws import Law, Seen, close
from attnlab.reference.masked_softmax import masked_softmax as reference


def draw(generator: torch.Generator) -> list[Case]:
    size = draw_sizes(generator, "batch", "queries", "keys")
    size["keys"] += 8 if size["keys"] < 5 else 0  # room for filler
    size["batch"] += 10 if size["batch"] < 3 else 0
    b, q, k = size.values()
    scores = torch.randn(b, q, k, generator=generator)
    lengths = torch.randint(2, k, (b,), generator=generator)
    lengths[:3] = torch.tensor([k // 2, k, 1])  # short, filling the table, shorter still
    empty = lengths.clone()
    empty[-1] = 0
    filler = torch.arange(k) >= lengths[:, None]
    other = torch.where(filler[:, None], scores + 3.0, scores)
    huge = torch.where(filler[:, None], torch.full_like(scores, 2e4), scores)
    return [
        Case("plain", (scores, lengths)),
        Case("other filler", (other, lengths)),
        Case("huge filler", (huge, lengths)),
        Case("an empty item", (scores, empty)),
        Case("all items short", (scores[[0, 2]], lengths[[0, 2]])),
        Case("first item alone", (scores[:1], lengths[:1])),
        Case("no batch axis", (scores[0], lengths[0])),
        Case("large scores", (scores * 1e3, lengths)),
        Case("float64", (scores.double(), lengths)),
        Case("other memory layout", (uncontiguous(scores), lengths)),
        Case("gradients", (scores, lengths), gradients=True),
    ]


def filler_gets_nothing(seen: Seen) -> str | None:
    weights, lengths = seen.output("plain", "weights"), seen.cases["plain"].inputs[1]
    filler = torch.arange(weights.shape[-1]) >= lengths[:, None, None]
    leaked = weights.masked_select(filler.expand_as(weights)).abs().max().item()
    return None if leaked == 0 else f"Filler beyond an item's length has weight {leaked:.3g}, not 0."


def filler_does_not_matter(seen: Seen) -> str | None:
    plain = seen.output("plain", "weights")
    for case in ("other filler", "huge filler"):
        if not close(seen.output(case, "weights"), plain):
            return f"The scores beyond the lengths were changed, and weights moved (case: {case})."
    return None


def empty_item_gets_zeros(seen: Seen) -> str | None:
    row = seen.output("an empty item", "weights")[-1]
    if close(row, torch.zeros_like(row)):
        return None
    return f"An item of length 0 should get zeros; its weights begin {row.flatten()[0].item():.3g}."


def inputs_and_dtype_kept(seen: Seen) -> str | None:
    return next((s for law in (laws.INPUTS_KEPT, laws.FLOAT64) if (s := law.broken_by(seen))), None)


def flawed(
    scores,
    lengths,
    *,
    masking="-inf",
    offset=0,
    whose="each",
    axis=-1,
    side="end",
    shift=True,
    cut=False,
    upside_down=False,
    in_place=False,
    trimmed=False,
    over="keys",
    axes=2,
):
    """The masked softmax with one switch for each way of getting it wrong."""
    k = scores.shape[-1]
    lengths = {
        "each": lengths,
        "first": lengths.flatten()[0].expand_as(lengths),
        "longest": lengths.amax().expand_as(lengths),
    }[whose]
    places = torch.arange(k) if side == "end" else k - 1 - torch.arange(k)
    mask = (places < (lengths + offset).unsqueeze(-1)).unsqueeze(-2)
    if over == "queries":
        mask = (torch.arange(scores.shape[-2]) < lengths.unsqueeze(-1)).unsqueeze(-1)
    mask = mask.squeeze(-2) if axes == 1 else mask
    mask = ~mask if upside_down else mask
    if in_place:
        scores.masked_fill_(~mask, -torch.inf)
    if masking in FILL:
        scores = scores.masked_fill(~mask, FILL[masking])
    if masking == "multiplied":
        scores = scores * mask
    powers = (scores - scores.amax(axis, keepdim=True)).exp() if shift else scores.exp()
    weights = powers / powers.sum(axis, keepdim=True)
    if masking in ("-inf", "after", "after, shared out again"):
        weights = weights.masked_fill(~mask, 0.0)
    if masking == "after, shared out again":
        weights = weights / (weights.sum(axis, keepdim=True) + 1e-8)
    weights = weights[..., : int(lengths.max())] if trimmed else weights
    return weights.detach() if cut else weights


FILL = {"-inf": -torch.inf, "-inf, and no care for empty items": -torch.inf, "-1e9": -1e9}

MISTAKES = (
    Mistake(
        "lengths ignored",
        "the lengths are never used.",
        "The filler takes its share of every item. How much depends on how long the longest sentence of the batch is.",
        "hide the scores beyond each length before the softmax.",
        partial(flawed, masking="not at all"),
    ),
    Mistake(
        "mask after softmax",
        "the filler's weights are set to zero after the softmax, and the rest is left as it was.",
        "The filler has taken its share before it vanishes, so the rows of short items sum to less than one.",
        "hide the scores, with -inf, before the softmax.",
        partial(flawed, masking="after"),
    ),
    Mistake(
        "shared out again",
        "the filler's weights are set to zero after the softmax, and the rest is divided by its sum and a small number.",
        "On paper that is the same. But one huge score in the filler takes all of the softmax first, and what is left to\n"
        "share is rounded to zero; and the small number shows.",
        "hide the scores, with -inf, before the softmax.",
        partial(flawed, masking="after, shared out again"),
    ),
    Mistake(
        "scores times mask",
        "the filler's scores become 0.",
        "exp(0) is 1: filler keeps the weight of a middling score.",
        "fill with -inf, whose exponential is 0.",
        partial(flawed, masking="multiplied"),
    ),
    Mistake(
        "minus a billion",
        "the filler's scores are set to -1e9.",
        "For an item of length 0 all scores are then equal, and the softmax spreads over the filler. In float16 -1e9 is\n"
        "not even a number.",
        "use -inf, and give empty items zeros.",
        partial(flawed, masking="-1e9"),
    ),
    Mistake(
        "changes the scores",
        "the filler's scores are overwritten in place.",
        "`masked_fill_` with its underscore, or `scores[...] = `, writes into the caller's tensor; whoever draws the scores\n"
        "later draws yours. Autograd refuses it where the scores are a leaf.",
        "use masked_fill, without the underscore.",
        partial(flawed, in_place=True),
    ),
    Mistake(
        "cut to the longest",
        "the weights have only as many columns as the longest sentence has words.",
        "The table of scores may be wider than this batch needs, and the weights have to fit the memory.",
        "keep all columns, with zeros beyond the lengths.",
        partial(flawed, trimmed=True),
    ),
    Mistake(
        "empty items are NaN",
        "nothing is done for an item of length 0.",
        "The softmax of nothing but -inf is 0/0, NaN, and one NaN reaches every parameter in the next step.",
        "set the weights of the filler to zero once more, after the softmax.",
        partial(flawed, masking="-inf, and no care for empty items"),
    ),
    Mistake(
        "one too long",
        "the first place of the filler is still seen.",
        "Places count from 0, so an item of length 3 has the places 0, 1 and 2: place < length, not <=.",
        "compare with <.",
        partial(flawed, offset=1),
    ),
    Mistake(
        "one too short",
        "the last real place is hidden too.",
        "Places count from 0, so the last one is length - 1, and it is real.",
        "compare place < length.",
        partial(flawed, offset=-1),
    ),
    Mistake(
        "upside down",
        "the real places are hidden and the filler is seen.",
        "masked_fill fills where its mask is True. So it needs the places to hide, ~mask.",
        "turn the mask round with ~.",
        partial(flawed, upside_down=True),
    ),
    Mistake(
        "padding in front",
        "the filler is taken to stand in front.",
        "Some tokenizers do pad on the left. Here the first `length` places are the real ones.",
        "compare torch.arange(keys) with the length.",
        partial(flawed, side="front"),
    ),
    Mistake(
        "one length for all",
        "the length of the first item is used for all.",
        "Each item has its own. lengths needs two axes more, (b, 1, 1), to be compared with (keys,).",
        "write lengths[..., None, None].",
        partial(flawed, whose="first"),
    ),
    Mistake(
        "mask over the queries",
        "the lengths hide queries, from each length on, and no key.",
        "Filler stands among the keys, the last axis; (b, q, 1) lies along the queries, and the filler keeps its share.",
        "compare the keys' places with lengths[..., None, None]: the mask is (b, 1, k).",
        partial(flawed, over="queries"),
    ),
    Mistake(
        "an axis too few",
        "the mask is (b, k), without an axis for the queries.",
        "torch lines axes up from the back, so the batch comes to lie on the queries. With one query or one item it runs all\n"
        "the same; with more it mostly stops.",
        "write lengths[..., None, None], so that the mask is (b, 1, k).",
        partial(flawed, axes=1),
    ),
    Mistake(
        "the longest length for all",
        "the longest length is used for all items.",
        "Then the mask does nothing where the batch was padded to its longest item, which is always.",
        "compare with each item's own length.",
        partial(flawed, whose="longest"),
    ),
    Mistake(
        "softmax over queries",
        "the softmax runs over the queries.",
        "Then the weights of each key sum to one. We ask how one query shares its attention out among the keys.",
        "normalise over the last axis.",
        partial(flawed, axis=-2),
    ),
    Mistake(
        "overflow",
        "exp() is taken of the scores as they are.",
        "exp(89) is beyond float32. Subtract each row's largest score first; it cancels.",
        "subtract the maximum of each row, or call torch.softmax.",
        partial(flawed, shift=False),
    ),
    Mistake(
        "graph is cut",
        "the weights are detached from the graph.",
        "The numbers are right, but where to look can never be learnt.",
        "leave out .detach(), .data and no_grad().",
        partial(flawed, cut=True),
    ),
)


def _places(scores, lengths):
    return torch.arange(scores.shape[-1]) < lengths[..., None, None]


def _where(scores, lengths):
    weights = torch.where(_places(scores, lengths), scores, -torch.inf).softmax(dim=-1)
    return torch.where(lengths[..., None, None] > 0, weights, 0.0)


def _nan_to_num(scores, lengths):
    return scores.masked_fill(_places(scores, lengths).logical_not(), float("-inf")).softmax(-1).nan_to_num(0.0)


def _item_by_item(scores, lengths):
    if scores.ndim == 2:
        n = int(lengths)
        return torch.cat([scores[:, :n].softmax(-1), torch.zeros_like(scores[:, n:])], dim=-1)
    return torch.stack([_item_by_item(table, n) for table, n in zip(scores, lengths, strict=True)])


def _finite_floor(scores, lengths):
    mask = _places(scores, lengths)
    return scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(-1) * mask


def _log_domain(scores, lengths):
    scores = scores + torch.log(_places(scores, lengths).to(scores.dtype))
    weights = (scores - scores.logsumexp(-1, keepdim=True)).exp()
    return weights.masked_fill(~_places(scores, lengths), 0.0)


masked_softmax = Exercise(
    name="masked_softmax",
    title="Softmax that leaves the padding out",
    stars=2,
    importance=5,
    minutes=10,
    answer=reference,
    returns=("weights",),
    draw=draw,
    laws=(
        laws.RIGHT_SHAPES,
        Law("rows sum to one", 1, "Do the weights of each query sum to one?", laws.sums_to_one("plain", of="weights")),
        Law(
            "right numbers",
            3,
            "Are the weights the reference's?",
            laws.equals_reference("plain", "all items short", "no batch axis", "other memory layout", "float64"),
        ),
        Law("filler gets nothing", 1, "Is every weight beyond an item's length zero?", filler_gets_nothing),
        Law("filler does not matter", 1, "Does what the filler holds change nothing?", filler_does_not_matter),
        Law("an empty item gets zeros", 1, "Does an item of length 0 give zeros?", empty_item_gets_zeros),
        Law("large scores stay finite", 1, "Are scores of a thousand no problem?", laws.stays_finite("large scores")),
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
        "NaN turned into zero": _nan_to_num,
        "item by item": _item_by_item,
        "lowest finite number": _finite_floor,
        "log domain": _log_domain,
    },
    hints=(
        "Make scores of zeros, (2, 1, 4), with lengths 4 and 2, and print the weights. What should the second row be?",
        "Look at the law that the panel names. Rows that sum to less than one: the mask came too late. NaN: an empty item.",
        "Three lines: mask = torch.arange(keys) < lengths[..., None, None]; scores.masked_fill(~mask, -torch.inf) and its "
        "softmax; then the filler to 0.0 once more.",
        "A twin on another task, shares of a race in which some dropped out:\n"
        "    still_in = torch.arange(runners) < finishers[..., None]\n"
        "    speed = speed.masked_fill(~still_in, -torch.inf)\n"
        "    return speed.softmax(-1).masked_fill(~still_in, 0.0)",
    ),
)
