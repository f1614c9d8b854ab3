"""Exercise: weights of places and weights of moments, side by side on a video's feature map."""

from functools import partial

import torch

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake, draw_sizes, uncontiguous
from attnlab.checks.laws import Law, Seen, close
from attnlab.reference.separable_attention import separable_attention as reference


def draw(generator: torch.Generator) -> list[Case]:
    size = draw_sizes(generator, "batch", "t", "y", "x", "c")
    size["t"] = size["t"] if size["t"] > 3 else 10  # two steps at the least, with one in between
    b, t, y, x, c = size.values()
    features = torch.randn(b, t, y, x, c, generator=generator) + 0.5
    space = torch.rand(b, y, x, generator=generator)
    time = torch.randn(b, t, generator=generator).softmax(-1)
    return [
        Case("plain", (features, space, time)),
        Case("other weights of moments", (features, space, time.roll(1, dims=-1))),
        Case("other weights of places", (features, space.flip(-1), time)),
        Case("first item alone", (features[:1], space[:1], time[:1])),
        Case("no batch axis", (features[0], space[0], time[0])),
        Case("two persons", (features[:, None].repeat(1, 2, 1, 1, 1, 1), space[:, None].repeat(1, 2, 1, 1),
                             torch.stack([time, time.flip(-1)], dim=1))),
        Case("two moments", (features[:, :2], space, time[:, :2])),
        Case("other memory layout", (uncontiguous(features), uncontiguous(space), uncontiguous(time))),
        Case("float64", (features.double(), space.double(), time.double())),
        Case("gradients", (features, space, time), gradients=True),
    ]  # fmt: skip


def branches_do_not_mix(seen: Seen) -> str | None:
    """Each half of the channels knows one kind of weights only."""
    half = seen.cases["plain"].inputs[0].shape[-1]
    before = seen.output("plain", "output")
    if not close(seen.output("other weights of moments", "output")[..., :half], before[..., :half]):
        return "Only the weights of moments changed, and the first half of the channels, that of the places, moved."
    if not close(seen.output("other weights of places", "output")[..., half:], before[..., half:]):
        return "Only the weights of places changed, and the second half of the channels, that of the moments, moved."
    return None


def _sequence(features, space, time):
    both = features * space[..., None, :, :, None] * time[..., :, None, None, None]
    return both, both


def _one_table(features, space, time):
    """One softmax over space and time together: the product of both, shared out over all t * y * x cells."""
    table = space[..., None, :, :] * time[..., :, None, None]
    table = table / table.sum(dim=(-3, -2, -1), keepdim=True)
    return features * table[..., None], features * table[..., None]


def _parallel(features, space, time):
    return features * space[..., None, :, :, None], features * time[..., :, None, None, None]


def _turned(features, space, time):
    """The places' weights read column by column: the shape is right again after a reshape."""
    space = space.mT.reshape(space.shape)
    return _parallel(features, space, time)


def _second_on_first(features, space, time):
    first = features * space[..., None, :, :, None]
    return first, first * time[..., :, None, None, None]


def _residual(features, space, time):
    first, second = _parallel(features, space, time)
    return features + first, features + second


def _places_normalised(features, space, time):
    return _parallel(features, space / space.sum(dim=(-2, -1), keepdim=True), time)


def _in_place(features, space, time):
    features *= space[..., None, :, :, None]
    return features, features * time[..., :, None, None, None]


def _moments_scaled(features, space, time):
    return _parallel(features, space, time * time.shape[-1])


def _mean_over_places(both):
    return both.mean(dim=(-3, -2))


def _sum_over_places(both):
    return both.sum(dim=(-3, -2))


def _max_over_places(both):
    return both.amax(dim=(-3, -2))


def _pairs(moments):
    return (moments[..., :-1, :] + moments[..., 1:, :]) / 2


def _stride_two(moments):
    pairs = moments[..., : moments.shape[-2] // 2 * 2, :].unflatten(-2, (-1, 2))
    return pairs.mean(dim=-2)


def flawed(
    features, space, time, *, modulate=_parallel, pool=_mean_over_places, window=_pairs, swapped=False, added=False,
    interleaved=False, cut=False,
):  # fmt: skip
    """The block with one switch for each way of getting it wrong; with none set it is right."""
    in_space, in_time = modulate(features, space, time)
    if swapped:
        in_space, in_time = in_time, in_space
    if added:
        both = in_space + in_time
    elif interleaved:
        both = torch.stack([in_space, in_time], dim=-1).flatten(start_dim=-2)
    else:
        both = torch.cat([in_space, in_time], dim=-1)
    output = window(pool(both))
    return output.detach() if cut else output


MISTAKES = (
    Mistake(
        "one after the other",
        "the map is weighed by places and by moments at once, in both halves.",
        "That is another model: the product of both weights. In the published block each is applied to the map as it came.",
        "multiply features by the one for the first half, and features by the other for the second.",
        partial(flawed, modulate=_sequence),
    ),
    Mistake(
        "one table for space and time",
        "places and moments share one unit together, over all t * y * x cells.",
        "Then a moment can only win what a place loses. Separable means: places are gated for themselves, moments share\n"
        "their own unit.",
        "use space and time as they are given, each in its own half.",
        partial(flawed, modulate=_one_table),
    ),
    Mistake(
        "moments on top of places",
        "the second half is weighed by places first.",
        "The second branch should see the whole map, at the moments that count.",
        "begin the second branch with features, not with the first branch.",
        partial(flawed, modulate=_second_on_first),
    ),
    Mistake(
        "rows and columns turned",
        "the weights of the places are laid over the map turned.",
        "A view or reshape made the shape fit. With as many rows as columns, 7 by 7 in the paper, nothing would complain.",
        "give space its missing axes with None; do not reshape it.",
        partial(flawed, modulate=_turned),
    ),
    Mistake(
        "residual",
        "the features are added to what is weighed.",
        "A closed place would then still show. Other blocks do so; this one does not.",
        "multiply, and add nothing.",
        partial(flawed, modulate=_residual),
    ),
    Mistake(
        "places shared out",
        "the weights of the places are divided by their sum.",
        "They are gates, each for itself. Dividing makes this branch smaller by the number of open places.",
        "use space as it is given.",
        partial(flawed, modulate=_places_normalised),
    ),
    Mistake(
        "moments scaled up",
        "the weights of the moments are multiplied by their number.",
        "It makes both branches equally large, and is a good idea; but it is not the published block, whose next layer\n"
        "has to make up for the difference.",
        "use time as it is given.",
        partial(flawed, modulate=_moments_scaled),
    ),
    Mistake(
        "changes the features",
        "the features are weighed in place.",
        "The second branch then gets a map that the first one has closed, and so does the caller.",
        "write features * ..., which makes a new tensor.",
        partial(flawed, modulate=_in_place),
    ),
    Mistake(
        "sum over the places",
        "places are summed.",
        "The published block averages: the size does not depend on how fine the map is.",
        "use mean over the two axes of the places.",
        partial(flawed, pool=_sum_over_places),
    ),
    Mistake(
        "largest of the places",
        "the largest value over the places is taken.",
        "A maximum forgets how much the weights closed: a place of weight 0.1 can still win.",
        "use mean over the two axes of the places.",
        partial(flawed, pool=_max_over_places),
    ),
    Mistake(
        "no pairs of moments",
        "moments are not averaged in pairs.",
        "The window of the pooling is two moments long, with stride 1: t moments give t - 1 steps.",
        "average each moment with the next one.",
        partial(flawed, window=lambda moments: moments),
    ),
    Mistake(
        "stride of two",
        "the window moves on by two moments.",
        "The stride is 1: every moment but the first and last is in two windows.",
        "average moments[..., :-1, :] with moments[..., 1:, :].",
        partial(flawed, window=_stride_two),
    ),
    Mistake(
        "pairs are summed",
        "neighbouring moments are added, not averaged.",
        "The output is then twice as large as the mean over the window.",
        "divide by two.",
        partial(flawed, window=lambda moments: moments[..., :-1, :] + moments[..., 1:, :]),
    ),
    Mistake(
        "mean over all moments",
        "all moments are averaged at once.",
        "The t - 1 steps are kept for the classifier; its scores are averaged in the end.",
        "average pairs of neighbours only.",
        partial(flawed, window=lambda moments: moments.mean(dim=-2)),
    ),
    Mistake(
        "halves exchanged",
        "the branch of the moments comes first.",
        "The classifier's weights belong to channels by their place: loaded ones would read the wrong half.",
        "concatenate places first, moments second.",
        partial(flawed, swapped=True),
    ),
    Mistake(
        "branches added",
        "the two branches are added.",
        "Then the classifier can no longer tell what a place showed from what a moment showed.",
        "concatenate along the channels.",
        partial(flawed, added=True),
    ),
    Mistake(
        "channels interleaved",
        "the channels of the two branches alternate.",
        "stack and flatten puts them in turns; concatenation keeps each branch together.",
        "use torch.cat(..., dim=-1).",
        partial(flawed, interleaved=True),
    ),
    Mistake(
        "graph is cut",
        "the output is detached from the graph.",
        "The numbers are right, but neither head can learn from them.",
        "leave out .detach(), .data and no_grad().",
        partial(flawed, cut=True),
    ),
)


def _einsum(features, space, time):
    places = features.shape[-3] * features.shape[-2]
    in_space = torch.einsum("...tyxc,...yx->...tc", features, space) / places
    in_time = torch.einsum("...tyxc,...t->...tc", features, time) / places
    return _pairs(torch.cat([in_space, in_time], dim=-1))


def _unfolded(features, space, time):
    in_space = features * space.unsqueeze(-1).unsqueeze(-4)
    in_time = features * time.reshape(*time.shape, 1, 1, 1)
    both = torch.cat([in_space, in_time], dim=-1)
    return both.unfold(-4, 2, 1).mean(dim=(-4, -3, -1))


def _pooled_first(features, space, time):
    """The mean over places may be taken before the moments are weighed."""
    in_space = (features * space[..., None, :, :, None]).mean(dim=(-3, -2))
    in_time = features.mean(dim=(-3, -2)) * time[..., None]
    return torch.cat([_pairs(in_space), _pairs(in_time)], dim=-1)


def _step_by_step(features, space, time):
    steps = []
    for t in range(features.shape[-4] - 1):
        pair = features[..., t : t + 2, :, :, :]
        in_space = (pair * space[..., None, :, :, None]).mean(dim=(-4, -3, -2))
        in_time = (pair * time[..., t : t + 2, None, None, None]).mean(dim=(-4, -3, -2))
        steps.append(torch.cat([in_space, in_time], dim=-1))
    return torch.stack(steps, dim=-2)


def _in_float64(features, space, time):
    return reference(features.double(), space.double(), time.double()).to(features.dtype)


separable_attention = Exercise(
    name="separable_attention",
    title="Side by side on the map",
    stars=3,
    importance=4,
    minutes=15,
    answer=reference,
    draw=draw,
    laws=(
        laws.RIGHT_SHAPES,
        Law("branches do not mix", 2, "Does each half know one kind of weights only?", branches_do_not_mix),
        Law(
            "right numbers",
            3,
            "Are they the reference's?",
            laws.equals_reference("plain", "no batch axis", "two persons", "other memory layout"),
        ),
        Law("two moments make one step", 1, "Is it right for the shortest clip?", laws.equals_reference("two moments")),
        laws.ITEMS_APART,
        laws.GRADIENT,
        laws.INPUTS_KEPT,
        laws.FLOAT64,
    ),
    mistakes=MISTAKES,
    also_right={
        "einsum": _einsum,
        "unfolded": _unfolded,
        "pooled first": _pooled_first,
        "step by step": _step_by_step,
        "in float64 inside": _in_float64,
    },
    hints=(
        "Give it features of ones, weights of places of 0.5, weights of moments of 1/8. Which two numbers should come out?",
        "“Branches do not mix” tells whether each half sees its own weights only. If it holds and “right numbers” does not, "
        "look at the pooling: mean over places, then pairs of moments.",
        "space is (..., y, x) and needs an axis for t in front of y and one for c at the end: space[..., None, :, :, None]. "
        "time needs three at the end. Then torch.cat along the channels, mean over y and x, mean of neighbours.",
        "A twin on another task, sales (week, shop, product) with weights of shops and of weeks:\n"
        "    by_shop = sales * shop_weight[None, :, None]\n"
        "    by_week = sales * week_weight[:, None, None]\n"
        "    summary = torch.cat([by_shop, by_week], dim=-1).mean(dim=-2)",
    ),
)
