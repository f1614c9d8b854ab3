"""Stretch: from weights of joints to weights of regions of the body."""

from functools import partial

import torch

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake, draw_sizes
from attnlab.checks.laws import Law, Seen, close
from attnlab.reference.body_regions import body_regions as reference


def draw(generator: torch.Generator) -> list[Case]:
    size = draw_sizes(generator, "batch", "t")
    b, t, k, r = size["batch"], size["t"], 10, 11 if 4 in size.values() else 4
    region_of = torch.tensor([2, 0, 0, 2, 1, 2, 0, 1, 2, 2])[torch.randperm(k, generator=generator)]
    weights = torch.randn(b, k, generator=generator).softmax(-1)
    return [
        Case("plain", (weights, region_of, r)),
        Case("first item alone", (weights[:1], region_of, r)),
        Case("no batch axis", (weights[0], region_of, r)),
        Case("frames too", (torch.randn(b, t, k, generator=generator), region_of, r)),
        Case("each joint a region", (weights, torch.randperm(k, generator=generator), k)),
        Case("float64", (weights.double(), region_of, r)),
        Case("gradients", (weights, region_of, r), gradients=True),
    ]


def nothing_is_lost(seen: Seen) -> str | None:
    for case in ("plain", "frames too"):
        before, after = seen.cases[case].inputs[0].sum(-1), seen.output(case, "regions").sum(-1)
        if not close(after, before):
            return (
                f"The joints' weights sum to {before.flatten()[0]:.3g}, their regions' to {after.flatten()[0]:.3g} "
                f"(case: {case})."
            )
    return None


def _added(weights, region_of, regions):
    return weights.new_zeros(*weights.shape[:-1], regions).index_add(-1, region_of, weights)


def _members(region_of, regions, weights):
    return (region_of == torch.arange(regions)[:, None]).to(weights.dtype)


def _last_wins(weights, region_of, regions):
    out = weights.new_zeros(*weights.shape[:-1], regions)
    out[..., region_of] += weights
    return out


def _averaged(weights, region_of, regions):
    members = _members(region_of, regions, weights)
    return weights @ (members / members.sum(-1, keepdim=True).clamp(min=1)).mT


def _largest(weights, region_of, regions):
    rows = [weights[..., region_of == r] for r in range(regions)]
    return torch.stack([row.amax(-1) if row.shape[-1] else row.sum(-1) for row in rows], dim=-1)


def _counted(weights, region_of, regions):
    return _members(region_of, regions, weights).sum(-1).expand(*weights.shape[:-1], regions) + 0 * weights[..., :1]


def _shifted(weights, region_of, regions):
    return _added(weights, (region_of + 1) % regions, regions)


def _shared_anew(weights, region_of, regions):
    averaged = _averaged(weights, region_of, regions)
    return averaged / averaged.sum(-1, keepdim=True)


def _softmax_again(weights, region_of, regions):
    return _added(weights, region_of, regions).softmax(-1)


def _only_present(weights, region_of, regions):
    return _added(weights, region_of, int(region_of.max()) + 1)


def _to_joints(weights, region_of, regions):
    return _added(weights, region_of, regions)[..., region_of]


def _consecutive(weights, region_of, regions):
    """Counts how many joints each region has and takes as many in a row, as if they stood in order."""
    return _added(weights, region_of.sort().values, regions)


def _root_of_squares(weights, region_of, regions):
    return _added(weights**2, region_of, regions).clamp(min=1e-12).sqrt()


def flawed(weights, region_of, regions, *, how=_added, of=lambda w: w, finish=lambda out: out, in_place=False):
    """One switch for each way of getting it wrong."""
    if in_place:
        weights.data *= 2
        weights = weights / 2
    return finish(how(of(weights), region_of, regions))


MISTAKES = (
    Mistake(
        "last joint wins",
        "out[..., region_of] is set, or added to with +=.",
        "Where an index stands there twice, torch writes twice into the same cell and keeps one of them; += reads the old value\n"
        "for all of them first. No error comes, joints are lost.",
        "use index_add, or a table of who belongs where.",
        partial(flawed, how=_last_wins),
    ),
    Mistake(
        "mean of the joints",
        "a region weighs the mean of its joints.",
        "Then regions no longer sum to what the joints sum to, and a hand of one joint outweighs an arm of four.",
        "add the weights up.",
        partial(flawed, how=_averaged),
    ),
    Mistake(
        "largest joint",
        "a region weighs what its heaviest joint weighs.",
        "Two joints of 0.3 are a region of 0.6.",
        "add the weights up.",
        partial(flawed, how=_largest),
    ),
    Mistake(
        "root of squares",
        "a region weighs the length of the vector of its joints' weights.",
        "Weights are shares; shares add up.",
        "add the weights up.",
        partial(flawed, how=_root_of_squares),
    ),
    Mistake(
        "counts the joints",
        "it counts the joints of each region.",
        "The count says how large a region is, not how much it is looked at.",
        "add up the weights, not ones.",
        partial(flawed, how=_counted),
    ),
    Mistake(
        "regions from one",
        "regions are counted from 1.",
        "region_of counts from 0; every region has got its neighbour's weight.",
        "use region_of as it is.",
        partial(flawed, how=_shifted),
    ),
    Mistake(
        "joints taken in order",
        "the joints of a region are taken as if they stood side by side.",
        "In NTU's order the hand tip of the left arm stands at the far end, after the legs.",
        "look up each joint's region in region_of.",
        partial(flawed, how=_consecutive),
    ),
    Mistake(
        "shared out anew",
        "means are taken and divided by their sum.",
        "They sum to one again, and a region's size is thrown away.",
        "add up, and normalise nothing.",
        partial(flawed, how=_shared_anew),
    ),
    Mistake(
        "softmax once more",
        "a softmax follows.",
        "Weights are no scores: a softmax of weights is close to uniform.",
        "return the sums.",
        partial(flawed, how=_softmax_again),
    ),
    Mistake(
        "empty regions forgotten",
        "there are only as many regions as region_of names.",
        "A region without joints in this skeleton still has its place.",
        "make the output `regions` long.",
        partial(flawed, how=_only_present),
    ),
    Mistake(
        "back at the joints",
        "each joint gets its region's weight.",
        "The last axis of the output counts regions, not joints.",
        "return one number for each region.",
        partial(flawed, how=_to_joints),
    ),
    Mistake(
        "graph is cut",
        "the output is detached from the graph.",
        "A loss on regions could then not teach the joints.",
        "leave out .detach() and .data.",
        partial(flawed, finish=lambda out: out.detach()),
    ),
    Mistake(
        "absolute weights",
        "the absolute values are added up.",
        "For weights it makes no difference; for scores below zero it does.",
        "add the numbers as they are.",
        partial(flawed, of=torch.abs),
    ),
    Mistake(
        "changes the weights",
        "the weights are scaled in place.",
        "The caller's weights are others afterwards.",
        "make a new tensor.",
        partial(flawed, in_place=True),
    ),
)


def _one_hot(weights, region_of, regions):
    return weights @ torch.nn.functional.one_hot(region_of, regions).to(weights.dtype)


def _where(weights, region_of, regions):
    return torch.stack([torch.where(region_of == r, weights, 0.0).sum(-1) for r in range(regions)], dim=-1)


def _scatter(weights, region_of, regions):
    empty = torch.zeros(*weights.shape[:-1], regions, dtype=weights.dtype)
    return empty.scatter_add(-1, region_of.expand(weights.shape), weights)


def _loop(weights, region_of, regions):
    sums = [weights[..., :1].sum(-1) * 0 for _ in range(regions)]
    for joint, region in enumerate(region_of.tolist()):
        sums[region] = sums[region] + weights[..., joint]
    return torch.stack(sums, dim=-1)


def _einsum(weights, region_of, regions):
    return torch.einsum("...k,rk->...r", weights, _members(region_of, regions, weights))


body_regions = Exercise(
    name="body_regions",
    title="From joints to regions",
    stars=2,
    importance=2,
    minutes=8,
    stretch=True,
    answer=reference,
    returns=("regions",),
    draw=draw,
    laws=(
        laws.RIGHT_SHAPES,
        Law("nothing is lost", 2, "Do the regions sum to what the joints sum to?", nothing_is_lost),
        Law(
            "right numbers",
            2,
            "Are they the reference's?",
            laws.equals_reference("plain", "no batch axis", "frames too", "each joint a region"),
        ),
        laws.ITEMS_APART,
        laws.GRADIENT,
        laws.INPUTS_KEPT,
        laws.FLOAT64,
    ),
    mistakes=MISTAKES,
    also_right={
        "one-hot table": _one_hot,
        "where": _where,
        "scatter_add": _scatter,
        "loop": _loop,
        "einsum": _einsum,
    },
    hints=(
        "Three joints of weights 0.2, 0.3, 0.5 in the regions 1, 1, 0. Which two numbers should come out?",
        "“Nothing is lost” fails when joints overwrite each other, or when something other than a sum is taken.",
        "Begin with zeros of shape (..., regions), and index_add the weights along the last axis at region_of. Or multiply with "
        "a table of ones and zeros, joints by regions.",
        "A twin on another task, votes of towns added up to districts:\n"
        "    totals = torch.zeros(districts).index_add(0, district_of, votes)",
    ),
)
