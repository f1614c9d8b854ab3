"""Exercise: how much more of a gate's mass lies inside a box than its control's."""

from functools import partial

import torch

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake, draw_sizes, uncontiguous
from attnlab.checks.laws import Law, Seen, close
from attnlab.reference.above_control import above_control as reference


def draw(generator: torch.Generator) -> list[Case]:
    b, y, x, more = draw_sizes(generator, "batch", "y", "x", "more").values()
    y, x = y + 2, x + 2

    def maps(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, y, x, generator=generator) + 0.05

    inside = torch.zeros(b, y, x, dtype=torch.bool)
    for item in range(b):  # boxes of different areas, each smaller than half
        inside[item, 1 : 2 + item % 2, : 1 + (item % (x // 2))] = True
    gate, control = maps(b), maps(b)
    gate = gate * torch.where(inside, 3.0 + torch.rand(b, 1, 1, generator=generator), 1.0)  # it does point
    gate[:, 0, -1] = 6.0  # but its largest value lies outside
    louder = torch.arange(1, b + 1)[:, None, None] * 2.0
    return [
        Case("plain", (gate, inside)),
        Case("with a control", (gate, inside), {"control": control}),
        Case("a louder gate", (gate * louder, inside), {"control": control}),
        Case("a flat gate", (torch.full_like(gate, 0.3), inside)),
        Case("its own control", (gate, inside), {"control": 2 * gate}),
        Case("one box for all", (gate, inside[0])),
        Case("more axes", (maps(more, b), inside), {"control": maps(more, b)}),
        Case("no batch axis", (gate[0], inside[0])),
        Case("first item alone", (gate[:1], inside[:1])),
        Case("float64", (gate.double(), inside), {"control": control.double()}),
        Case("other memory layout", (uncontiguous(gate), inside)),
        Case("gradients", (gate, inside), {"control": control}, gradients=True),
    ]


def zero_at_the_control(seen: Seen) -> str | None:
    for case in ("a flat gate", "its own control"):
        score = seen.output(case, "score")
        if not close(score, torch.zeros_like(score)):
            worst = score.flatten()[score.abs().argmax()].item()
            return f"A gate that is no better than its control should score 0; it scores {worst:.3g} (case: {case})."
    return None


def loudness_does_not_matter(seen: Seen) -> str | None:
    if close(seen.output("a louder gate", "score"), seen.output("with a control", "score")):
        return None
    return "The gates were made larger by a factor, and the score changed. Only where the mass lies should count."


def flawed(
    gate,
    inside,
    control=None,
    *,
    subtract=True,
    use_control=True,
    share="mass",
    total="each",
    flat_share="area",
    in_place=False,
    cut=False,
    in_float32=False,
    order=1,
    cut_to="all",
):
    """A score against a control with one switch for each way of getting it wrong; with none set it is right."""
    dtype = gate.dtype
    if in_float32:
        gate, control = gate.float(), None if control is None else control.float()
    if in_place:
        gate /= gate.sum(dim=(-2, -1), keepdim=True)
    where = inside
    flat = control is None or not use_control
    of_gate = SHARES[share](gate, where, total)
    if flat and flat_share == "whole":
        of_control = where.to(gate.dtype).mean().expand_as(of_gate)
    elif flat and flat_share == "nothing":
        of_control = torch.zeros_like(of_gate)
    else:
        of_control = SHARES[share](torch.ones_like(gate) if flat else control[CUT[cut_to]], where, total)
    if subtract == "before":
        return _mass(gate - (torch.ones_like(gate) if flat else control), where, total)
    if subtract == "the outside":
        return of_gate - SHARES[share](gate, ~where, total)
    if subtract == "both outsides":
        return 2 * (of_gate - of_control)
    score = (
        order * (of_gate - of_control) if subtract is True else of_gate / of_control if subtract == "ratio" else of_gate
    )
    return (score.detach() if cut else score).to(dtype)


def _mass(values, where, total):
    inside, whole = AXES[total]
    return (values * where).sum(dim=inside) / values.sum(dim=whole)


def _raw(values, where, total):
    return (values * where).sum(dim=(-2, -1)) / values.shape[-1] / values.shape[-2]


def _mean_inside(values, where, total):
    where = where.expand_as(values)
    return (values * where).sum(dim=(-2, -1)) / where.sum(dim=(-2, -1))


def _largest(values, where, total):
    hit = values.flatten(-2).argmax(dim=-1, keepdim=True)
    return where.expand_as(values).flatten(-2).gather(-1, hit)[..., 0].to(values.dtype) + 0 * values.sum(dim=(-2, -1))


def _softmax(values, where, total):
    return (values.flatten(-2).softmax(dim=-1) * where.flatten(-2)).sum(dim=-1)


def _against_outside(values, where, total):
    return (values * where).sum(dim=(-2, -1)) / (values * ~where).sum(dim=(-2, -1))


AXES = {  # over which axes the mass inside, and the whole mass, are summed
    "each": ((-2, -1), (-2, -1)),
    "batch": ((-2, -1), None),
    "one number": (None, None),
    "rows": (-1, -1),
    "columns": (-2, -2),
    "counted from the front": ((1, 2), (1, 2)),
}
CUT = {"all": ..., "first item": 0}
SHARES = {
    "mass": _mass,
    "raw": _raw,
    "mean inside": _mean_inside,
    "largest": _largest,
    "softmax": _softmax,
    "against outside": _against_outside,
}

MISTAKES = (
    Mistake(
        "no control",
        "the share of the gate's mass inside the box is returned as it is.",
        "A gate that is 0.5 everywhere has 82 % of its mass in a box that fills 82 % of the picture. It has found\n"
        "nothing.",
        "subtract what the control has inside; without a control, what a flat map has.",
        partial(flawed, subtract=False),
    ),
    Mistake(
        "control ignored",
        "it always compares with a flat map, also where a control is given.",
        "A flat map is the weakest control. Brightness, edges or an untrained network may do better than it.",
        "use `control` where it is not None.",
        partial(flawed, use_control=False),
    ),
    Mistake(
        "nothing to compare with",
        "without a control nothing is subtracted.",
        "None does not mean no control: then the map is held against a flat one, the share of the area.",
        "take torch.ones_like(gate) where control is None.",
        partial(flawed, flat_share="nothing"),
    ),
    Mistake(
        "ratio",
        "the two shares are divided, not subtracted.",
        "A small box makes ratios large by chance. The score asked for is a difference, with 0 for no better.",
        "subtract.",
        partial(flawed, subtract="ratio"),
    ),
    Mistake(
        "turned round",
        "the score has the wrong sign: the control's share minus the gate's, or the mass outside the box in place of inside.",
        "A gate that points at the object then scores below zero. What one has more inside it has less outside, so\n"
        "both slips look alike.",
        "multiply with inside, and take gate minus control.",
        partial(flawed, order=-1),
    ),
    Mistake(
        "not divided by the total",
        "the mass inside is divided by the number of places, not by the map's own total.",
        "A gate near 1 everywhere then beats a gate near 0.1 everywhere. Opening wide is not pointing.",
        "divide by the map's own sum.",
        partial(flawed, share="raw"),
    ),
    Mistake(
        "mean inside the box",
        "the mean of the gate inside is taken, without looking at the rest.",
        "How open the gate is inside says nothing until it is compared with how open it is elsewhere.",
        "divide the sum inside by the sum over the whole map.",
        partial(flawed, share="mean inside"),
    ),
    Mistake(
        "largest place only",
        "it asks whether the largest value lies inside.",
        "That is the pointing game: one place speaks for the whole map. Here all the mass counts.",
        "sum the map inside, and divide by its total.",
        partial(flawed, share="largest"),
    ),
    Mistake(
        "softmax first",
        "the maps go through a softmax before they are summed.",
        "A softmax of numbers between 0 and 1 is nearly flat, and how flat depends on their scale.",
        "divide each map by its sum.",
        partial(flawed, share="softmax"),
    ),
    Mistake(
        "divided by the outside",
        "the mass inside is divided by the mass outside.",
        "Those are odds. A share divides by everything, inside and outside.",
        "divide by the sum over the whole map.",
        partial(flawed, share="against outside"),
    ),
    Mistake(
        "total of the batch",
        "the mass is divided by the total of all maps.",
        "Then a map's score depends on how open its neighbours in the batch are.",
        "sum over the last two axes only.",
        partial(flawed, total="batch"),
    ),
    Mistake(
        "one number for all maps",
        "everything is summed up to one number.",
        "Each map has a score of its own. .sum() without dim= adds all maps of the batch together.",
        "sum over the last two axes only: .sum(dim=(-2, -1)).",
        partial(flawed, total="one number"),
    ),
    Mistake(
        "one axis summed",
        "it sums over x only, so every row of the map gets a score.",
        "A map has two axes, y and x, and both belong to its mass.",
        "sum over the last two axes: .sum(dim=(-2, -1)).",
        partial(flawed, total="rows"),
    ),
    Mistake(
        "the other axis summed",
        "it sums over y only, so every column of the map gets a score.",
        "A map has two axes, y and x, and both belong to its mass.",
        "sum over the last two axes: .sum(dim=(-2, -1)).",
        partial(flawed, total="columns"),
    ),
    Mistake(
        "axes counted from the front",
        "it sums over the axes 1 and 2.",
        "Those are y and x only where one axis stands in front. There may be more, or none.",
        "count from the back: .sum(dim=(-2, -1)).",
        partial(flawed, total="counted from the front"),
    ),
    Mistake(
        "inside minus outside",
        "what lies outside the box is subtracted, not what the control has inside.",
        "A flat gate then scores below zero wherever the box fills less than half. The outside is no control.",
        "subtract the control's share inside the same box.",
        partial(flawed, subtract="the outside"),
    ),
    Mistake(
        "twice the difference",
        "the score is twice what it should be, as if the outside were subtracted too, in gate and control.",
        "What one has more inside it has less outside: the same difference, counted twice.",
        "take the two shares inside, and subtract.",
        partial(flawed, subtract="both outsides"),
    ),
    Mistake(
        "subtracted before the share",
        "the control is subtracted from the gate, and the share of what is left is taken.",
        "The total of a difference may be zero or negative, so the share of it is no share.",
        "take each map's own share, and subtract those.",
        partial(flawed, subtract="before"),
    ),
    Mistake(
        "first map of the control",
        "the control's first map stands for all of them.",
        "Each picture has a control of its own: where it is bright, say.",
        "use all of `control`.",
        partial(flawed, cut_to="first item"),
    ),
    Mistake(
        "area of the batch",
        "the share of the area is the mean over all boxes.",
        "Each picture has a box of its own size. A flat gate must score 0 in every one.",
        "take the mean of `inside` over the last two axes only.",
        partial(flawed, flat_share="whole"),
    ),
    Mistake(
        "changes the gate",
        "the gate is divided in place.",
        "`gate /= ...` writes into the caller's map, which the next figure draws.",
        "write a new tensor.",
        partial(flawed, in_place=True),
    ),
    Mistake(
        "graph is cut",
        "the score is detached from the graph.",
        "The numbers are right, but nobody can ask what would raise the score.",
        "leave out .detach(), .item() and no_grad().",
        partial(flawed, cut=True),
    ),
    Mistake(
        "float32 inside",
        "everything is turned into float32 on the way.",
        "Whoever computes in float64 gets float32's accuracy, and does not see it.",
        "leave the dtype as it comes.",
        partial(flawed, in_float32=True),
    ),
)


def _where(gate, inside, control=None):
    def share(values):
        return torch.where(inside, values, 0.0).sum((-2, -1)) / values.sum((-2, -1))

    if control is None:
        return share(gate) - torch.where(inside, torch.ones_like(gate), 0.0).mean((-2, -1))
    return share(gate) - share(control)


def _einsum(gate, inside, control=None):
    control = torch.full_like(gate, 0.25) if control is None else control
    box = inside.to(gate.dtype).expand_as(gate)
    shares = [torch.einsum("...yx,...yx->...", m, box) / torch.einsum("...yx->...", m) for m in (gate, control)]
    return shares[0] - shares[1]


def _normalised_first(gate, inside, control=None):
    gate = gate / gate.sum((-1, -2), keepdim=True)
    control = torch.ones_like(gate) if control is None else control
    control = control / control.sum((-1, -2), keepdim=True)
    return ((gate - control) * inside).flatten(-2).sum(-1)


def _outside_first(gate, inside, control=None):
    control = torch.ones_like(gate) if control is None else control
    outside = [(m * ~inside).sum((-2, -1)) / m.sum((-2, -1)) for m in (gate, control)]
    return outside[1] - outside[0]


def _in_float64(gate, inside, control=None):
    return reference(gate.double(), inside, None if control is None else control.double()).to(gate.dtype)


above_control = Exercise(
    name="above_control",
    title="A map against its control",
    stars=2,
    importance=5,
    minutes=10,
    answer=reference,
    returns=("score",),
    draw=draw,
    laws=(
        laws.RIGHT_SHAPES,
        Law("zero at the control", 2, "Does a gate no better than its control score 0?", zero_at_the_control),
        Law(
            "right numbers",
            2,
            "Is the score the reference's?",
            laws.equals_reference("plain", "one box for all", "no batch axis", "other memory layout"),
        ),
        Law(
            "right numbers with a control",
            2,
            "Is it the reference's with a control?",
            laws.equals_reference("with a control", "more axes", "float64"),
        ),
        Law("loudness does not matter", 1, "Does a factor on the gate change nothing?", loudness_does_not_matter),
        laws.ITEMS_APART,
        laws.GRADIENT,
        laws.INPUTS_KEPT,
        laws.FLOAT64,
    ),
    mistakes=MISTAKES,
    also_right={
        "where": _where,
        "einsum": _einsum,
        "normalised first": _normalised_first,
        "by what lies outside": _outside_first,
        "in float64 inside": _in_float64,
    },
    hints=(
        "Give it a gate that is 0.3 everywhere. Which share of its mass lies inside a box of a quarter of the picture, and what "
        "should the score be?",
        "“Zero at the control” fails when nothing, or the wrong thing, is subtracted; “loudness does not matter” when the mass is "
        "not divided by the map's own total; “items stay apart” when a sum runs over the batch.",
        "A helper of one line, used twice: (map * inside).sum(dim=(-2, -1)) / map.sum(dim=(-2, -1)). For the control take "
        "torch.ones_like(gate) where there is none.",
        "A twin on another task, does a newspaper write more about the capital than its people are many:\n"
        "    def share(counts):\n"
        "        return counts[capital].sum() / counts.sum()\n"
        "    score = share(lines) - share(people)",
    ),
)
