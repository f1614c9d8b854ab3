"""Exercise: does the largest weight of a map lie where the truth is?"""

from functools import partial

import torch
import torch.nn.functional as F

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake, draw_sizes
from attnlab.checks.laws import Law, Seen, close
from attnlab.reference.pointing_game import pointing_game as reference


def draw(generator: torch.Generator) -> list[Case]:
    size = draw_sizes(generator, "y", "x")
    y, x = size["y"] + 2, size["x"] + 2
    b = 12 + int(torch.randint(2, (), generator=generator))
    weights = torch.rand(b, y, x, generator=generator) + 0.05
    inside = squares(b, y, x, generator)
    for i in range(b):  # by turns the largest weight lies inside, outside, and beside the truth
        set_largest(weights[i], inside[i], i % 3)
        weights[i] *= 1 + 0.1 * i  # each map has a largest weight of its own
    flat = torch.full((b, y, x), 0.25)
    tied = weights.clone()
    for i in range(b):
        first_out, first_in = (~inside[i]).nonzero()[i % 2], inside[i].nonzero()[0]
        tied[i, first_out[0], first_out[1]] = tied[i, first_in[0], first_in[1]] = 9.0 + i
    return [
        Case("plain", (weights, inside)),
        Case("flat maps", (flat, inside)),
        Case("two share the largest", (tied, inside)),
        Case("ten times as large", (weights * 10, inside)),
        Case("scores below zero", (weights - 9.0, inside)),
        Case("first item alone", (weights[:1], inside[:1])),
        Case("no batch axis", (weights[1], inside[1])),
        Case("clips and moments", (weights.unflatten(0, (1, b)).repeat(2, 1, 1, 1), torch.stack([inside, ~inside]))),
    ]


def squares(b: int, y: int, x: int, generator: torch.Generator) -> torch.Tensor:
    """A true region of two by two for each map; in half of them it lies in the first corner."""
    inside = torch.zeros(b, y, x, dtype=torch.bool)
    for i in range(b):
        row = int(torch.randint(y - 2, (), generator=generator)) + 1
        column = int(torch.randint(x - 2, (), generator=generator)) + 1
        row, column = (0, 0) if i % 4 < 2 else (row, column)
        inside[i, row : row + 2, column : column + 2] = True
    return inside


def set_largest(weights: torch.Tensor, inside: torch.Tensor, where: int) -> None:
    """Put the largest weight inside (0), far outside (1), or right beside the truth (2)."""
    near = F.max_pool2d(inside[None].float(), 3, stride=1, padding=1)[0] > 0
    region = (inside, ~near, near & ~inside)[where]
    row, column = region.nonzero()[-1]
    weights[row, column] = 2.0


def flat_is_chance(seen: Seen) -> str | None:
    got, inside = seen.output("flat maps", "hits"), seen.cases["flat maps"].inputs[1]
    share = inside.to(got.dtype).mean(dim=(-2, -1))
    if close(got, share):
        return None
    return f"A map without any opinion should score the truth's share of it, {share[0].item():.3g}; it scores {got[0]:.3g}."


def size_does_not_count(seen: Seen) -> str | None:
    before = seen.output("plain", "hits")
    for case in ("ten times as large", "scores below zero"):
        if not close(seen.output(case, "hits"), before):
            return f"All weights were changed alike, so the largest one stayed, and the score moved (case: {case})."
    return None


def shared(weights, inside):
    largest = weights == weights.amax(dim=(-2, -1), keepdim=True)
    return (largest & inside).sum(dim=(-2, -1)).to(weights.dtype) / largest.sum(dim=(-2, -1))


def first_one(weights, inside):
    best = weights.flatten(start_dim=-2).argmax(dim=-1, keepdim=True)
    return inside.flatten(start_dim=-2).gather(-1, best)[..., 0].to(weights.dtype)


def any_one(weights, inside):
    largest = weights == weights.amax(dim=(-2, -1), keepdim=True)
    return (largest & inside).any(dim=-1).any(dim=-1).to(weights.dtype)


def only_alone(weights, inside):
    within = weights.masked_fill(~inside, -torch.inf).amax(dim=(-2, -1))
    return (within > weights.masked_fill(inside, -torch.inf).amax(dim=(-2, -1))).to(weights.dtype)


def row_by_row(weights, inside):
    best = weights.argmax(dim=-1, keepdim=True)
    return inside.gather(-1, best)[..., 0].to(weights.dtype).mean(dim=-1)


def mass(weights, inside):
    return (weights * inside).sum(dim=(-2, -1)) / weights.sum(dim=(-2, -1))


def mean_inside_wins(weights, inside):
    within = (weights * inside).sum(dim=(-2, -1)) / inside.sum(dim=(-2, -1))
    return (within > weights.mean(dim=(-2, -1))).to(weights.dtype)


def overlap(weights, inside):
    chosen = weights > 0.5 * weights.amax(dim=(-2, -1), keepdim=True)
    return (chosen & inside).sum(dim=(-2, -1)).to(weights.dtype) / (chosen | inside).sum(dim=(-2, -1))


def whole_batch(weights, inside):
    largest = weights == weights.max()
    return (largest & inside).sum(dim=(-2, -1)).to(weights.dtype) / largest.sum().clamp(min=1)


def turned_place(weights, inside):
    """The flat index taken apart with the number of rows where that of columns belongs."""
    y, x = weights.shape[-2:]
    best = weights.flatten(start_dim=-2).argmax(dim=-1)
    row, column = (best // y).clamp(max=y - 1), (best % y).clamp(max=x - 1)
    return inside.flatten(start_dim=-2).gather(-1, (row * x + column)[..., None])[..., 0].to(weights.dtype)


def grown(inside):
    pooled = F.max_pool2d(inside.flatten(end_dim=-3).float() if inside.ndim > 2 else inside[None].float(), 3, 1, 1)
    return pooled.reshape(inside.shape) > 0


def flawed(
    weights,
    inside,
    *,
    score=shared,
    of=lambda weights: weights,
    truth=lambda inside: inside,
    finish=lambda hits: hits,
    in_place=False,
):
    """The game with one switch for each way of getting it wrong; with none set it is right."""
    if in_place:
        weights /= weights.amax(dim=(-2, -1), keepdim=True).abs()
    return finish(score(of(weights), truth(inside)))


MISTAKES = (
    Mistake(
        "first of equals",
        "argmax decides, also where several places share the largest weight.",
        "argmax takes the first of them. A map that is the same everywhere then counts as a hit whenever the truth lies in\n"
        "the first corner, though it points nowhere.",
        "find all places that equal the maximum, and return the share of them that lie inside.",
        partial(flawed, score=first_one),
    ),
    Mistake(
        "any of equals",
        "one largest place inside is enough, however many there are.",
        "A flat map has its largest weight everywhere, and would always win.",
        "divide the hits by the number of largest places.",
        partial(flawed, score=any_one),
    ),
    Mistake(
        "equals count as misses",
        "the largest weight inside has to beat all outside.",
        "Then a flat map scores 0, worse than guessing. Guessing should score what guessing is worth.",
        "count the largest places inside and divide by all largest places.",
        partial(flawed, score=only_alone),
    ),
    Mistake(
        "row by row",
        "the largest weight is looked for in each row.",
        "There is one point for a map, not one for each row.",
        "take the maximum over both axes, y and x.",
        partial(flawed, score=row_by_row),
    ),
    Mistake(
        "share of the weight",
        "it returns how much of all weight lies inside.",
        "That is another score, a useful one: mass inside. The pointing game asks about the largest weight only.",
        "find the largest weight, and ask where it lies.",
        partial(flawed, score=mass),
    ),
    Mistake(
        "mean inside against mean",
        "it compares the mean weight inside with the mean of the map.",
        "That is another question. A region may be warm on average, and the hottest place lie elsewhere.",
        "find the largest weight, and ask where it lies.",
        partial(flawed, score=mean_inside_wins),
    ),
    Mistake(
        "overlap",
        "it cuts the map at half its largest weight and compares regions.",
        "That is intersection over union: it punishes a map that is too large or too small. A point has no size.",
        "find the largest weight, and ask where it lies.",
        partial(flawed, score=overlap),
    ),
    Mistake(
        "one point for the batch",
        "the maximum is taken over the whole batch.",
        "Only the map with the largest weight of all then points at anything.",
        "take the maximum over the last two axes, with keepdim=True.",
        partial(flawed, score=whole_batch),
    ),
    Mistake(
        "index taken apart wrongly",
        "the flat index is divided by the number of rows.",
        "A flat index is row * columns + column. With as many rows as columns it does not show.",
        "divide by the size of the last axis, x; or compare with the maximum and need no index.",
        partial(flawed, score=turned_place),
    ),
    Mistake(
        "smallest weight",
        "it asks where the smallest weight lies.",
        "A sign or an argmin has crept in: attention points with its largest weight.",
        "use amax.",
        partial(flawed, of=lambda weights: -weights),
    ),
    Mistake(
        "sizes without sign",
        "the absolute value of the weights is taken.",
        "For weights it makes no difference; for scores below zero it turns the order round.",
        "compare the numbers as they are.",
        partial(flawed, of=torch.abs),
    ),
    Mistake(
        "tolerance",
        "the truth is widened by one place on each side.",
        "The published game has a tolerance, of a few pixels in large photographs. In a map of 6 by 5 places it would be half\n"
        "the map.",
        "use inside as it is given.",
        partial(flawed, truth=grown),
    ),
    Mistake(
        "truth upside down",
        "True in `inside` is taken for outside.",
        "inside is True where the truth lies.",
        "use inside, not ~inside.",
        partial(flawed, truth=lambda inside: ~inside),
    ),
    Mistake(
        "one number for all",
        "the mean over the batch is returned.",
        "Means are taken afterwards: per class, per seed, for the clips that were recognised.",
        "keep the axes in front; reduce only y and x.",
        partial(flawed, finish=lambda hits: hits.mean()),
    ),
    Mistake(
        "yes or no",
        "it returns booleans.",
        "A share, such as one half where two places tie, is no boolean.",
        "return a number, such as a count divided by a count.",
        partial(flawed, finish=lambda hits: hits > 0.5),
    ),
    Mistake(
        "changes the weights",
        "the map is divided by its maximum in place.",
        "The caller's map is another one afterwards.",
        "write weights = weights / ..., or do not normalise: it changes no order.",
        partial(flawed, in_place=True),
    ),
)


def _flattened(weights, inside):
    flat, truth = weights.flatten(start_dim=-2), inside.flatten(start_dim=-2)
    largest = (flat == flat.max(dim=-1, keepdim=True).values).to(weights.dtype)
    return (largest * truth).sum(-1) / largest.sum(-1)


def _counts(weights, inside):
    """Whole numbers divided: float32, whatever the weights are."""
    largest = weights == weights.amax(dim=(-2, -1), keepdim=True)
    return (largest & inside).sum(dim=(-2, -1)) / largest.sum(dim=(-2, -1))


def _map_by_map(weights, inside):
    scores = []
    for one, truth in zip(
        weights.reshape(-1, *weights.shape[-2:]), inside.reshape(-1, *inside.shape[-2:]), strict=True
    ):
        hits = truth[one == one.max()]
        scores.append(hits.to(weights.dtype).mean())
    return torch.stack(scores).reshape(weights.shape[:-2])


def _einsum(weights, inside):
    largest = (weights >= weights.amax(dim=(-1, -2), keepdim=True)).to(weights.dtype)
    return torch.einsum("...yx,...yx->...", largest, inside.to(weights.dtype)) / largest.sum((-1, -2))


def _hard_softmax(weights, inside):
    """A softmax at temperature nought: all largest places share one unit."""
    scores = (weights - weights.amax(dim=(-2, -1), keepdim=True)).flatten(start_dim=-2)
    shares = torch.where(scores < 0, -torch.inf, scores).softmax(-1)
    return (shares * inside.flatten(start_dim=-2)).sum(-1)


def _where(weights, inside):
    best = weights.amax(dim=-1).amax(dim=-1)[..., None, None]
    hit, all_ = (torch.where(weights == best, mask, False).sum((-2, -1)) for mask in (inside, torch.ones_like(inside)))
    return torch.div(hit.to(weights.dtype), all_.to(weights.dtype))


pointing_game = Exercise(
    name="pointing_game",
    title="The pointing game",
    stars=3,
    importance=4,
    minutes=12,
    answer=reference,
    returns=("hits",),
    draw=draw,
    laws=(
        laws.RIGHT_SHAPES,
        Law(
            "right scores",
            3,
            "Are they the reference's where one weight is largest?",
            laws.equals_reference("plain", "no batch axis", "clips and moments"),
        ),
        Law("a flat map scores chance", 2, "Does a map without opinion score what guessing scores?", flat_is_chance),
        Law(
            "equals share",
            1,
            "Do two largest places count half each?",
            laws.equals_reference("two share the largest"),
        ),
        Law("only the order counts", 1, "Does it stay when all weights change alike?", size_does_not_count),
        laws.ITEMS_APART,
        laws.INPUTS_KEPT,
    ),
    mistakes=MISTAKES,
    also_right={
        "flattened": _flattened,
        "counts": _counts,
        "map by map": _map_by_map,
        "einsum": _einsum,
        "softmax without temperature": _hard_softmax,
        "where": _where,
    },
    hints=(
        "Try it on a map of equal weights, with a truth of 4 places out of 30. What would guessing score? What does yours?",
        "“A flat map scores chance” is about ties. “Right scores” is about where the maximum is taken: over y and x of each "
        "map.",
        "Two booleans of the map's shape: largest (weights equal to their maximum over the last two axes, keepdim=True) and "
        "inside. Count where both hold, divide by the count of largest.",
        "A twin on another task, did the team's best scorer come from our school, when several may share the lead:\n"
        "    leading = goals == goals.amax(dim=-1, keepdim=True)\n"
        "    ours = (leading & from_our_school).sum(dim=-1) / leading.sum(dim=-1)",
    ),
)
