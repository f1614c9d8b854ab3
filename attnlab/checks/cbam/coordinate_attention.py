"""Stretch: a gate for the rows and one for the columns of every channel."""

from functools import partial

import torch
import torch.nn.functional as F

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake, draw_sizes, uncontiguous
from attnlab.checks.laws import Law, Seen, close
from attnlab.reference.coordinate_attention import coordinate_attention as reference


def draw(generator: torch.Generator) -> list[Case]:
    b, c, hidden, y, x = draw_sizes(generator, "batch", "channels", "hidden", "y", "x").values()
    y, x = (x, y) if y == x + 1 else (y, x)  # half of y + x, rounded up, would be y

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    features = normal(b, c, y, x) * 3 + normal(b, c, y, 1) + normal(b, c, 1, x)
    weights = 2 * normal(hidden, c) / c**0.5, normal(c, hidden), normal(c, hidden)
    weights[1][0], weights[2][0] = weights[1][0].abs() + 1, weights[2][0].abs() + 1
    features[0, :, 0], features[0, :, :, 0] = 4 * weights[0][0].sign()[:, None], 4 * weights[0][0].sign()[:, None]
    mixed = features.roll(1, dims=3)
    return [
        Case("plain", (features, *weights)),
        Case("columns moved round", (mixed, *weights)),
        Case("a square map", (normal(b, c, 4, 4), *weights)),
        Case("a wide map", (normal(b, c, 3, 8), *weights)),  # no half of 3 + 8 is 3
        Case("one place", (features[:, :, :1, :1], *weights)),
        Case("first item alone", (features[:1], *weights)),
        Case("float64", (features.double(), *(w.double() for w in weights))),
        Case("other memory layout", (uncontiguous(features), *map(uncontiguous, weights))),
        Case("gradients", (features, *weights), gradients=True),
    ]


def rows_do_not_see_order(seen: Seen) -> str | None:
    if close(seen.output("columns moved round", "of_rows"), seen.output("plain", "of_rows")):
        return None
    return "The columns changed places, so every row kept its numbers; and the gates of the rows changed."


def flawed(
    features,
    shared,
    to_rows,
    to_columns,
    *,
    pool="mean",
    activation="hardswish",
    means="rows first",
    split="rows first",
    shaped="as asked",
    one_table=False,
    exchanged=False,
    squash=torch.sigmoid,
    whole=False,
    over_batch=False,
    cut=False,
    in_float32=False,
):
    """Coordinate gates with one switch for each way of getting them wrong; with none set they are right."""
    dtype, (y, x) = features.dtype, features.shape[2:]
    if in_float32:
        features, shared, to_rows, to_columns = (t.float() for t in (features, shared, to_rows, to_columns))
    rows, columns = POOL[pool](features, 3), POOL[pool](features, 2)
    if whole:
        rows = columns = features.mean(dim=(2, 3), keepdim=True)[..., 0]
        rows, columns = rows.expand(-1, -1, y), columns.expand(-1, -1, x)
    if over_batch:
        rows, columns = (m.mean(dim=0, keepdim=True).expand_as(m) for m in (rows, columns))
    joined = [rows, columns] if means == "rows first" else [columns, rows]
    summary = ACTIVATION[activation](shared @ torch.cat(joined, dim=2))
    after = {"rows first": y, "columns first": x, "after x": x, "halves": -(-(y + x) // 2)}[split]
    of_rows, of_columns = summary[:, :, :after], summary[:, :, after:]
    if split == "columns first":
        of_columns, of_rows = of_rows, of_columns
    if exchanged:
        to_rows, to_columns = to_columns, to_rows
    gates = to_rows @ of_rows, (to_rows if one_table else to_columns) @ of_columns
    gates = [squash(gate).to(dtype) for gate in gates]
    gates = [gate.detach() for gate in gates] if cut else gates
    if shaped == "to fit":
        return gates[0][:, :, None, :], gates[1][:, :, :, None]
    of_rows, of_columns = gates[0][:, :, :, None], gates[1][:, :, None, :]
    return (of_rows * of_columns * features).to(dtype) if shaped == "features" else (of_rows, of_columns)


POOL = {
    "mean": lambda f, dim: f.mean(dim=dim),
    "max": lambda f, dim: f.amax(dim=dim),
    "sum": lambda f, dim: f.sum(dim=dim),
}
ACTIVATION = {
    "hardswish": F.hardswish,
    "relu": torch.relu,
    "hard sigmoid": F.hardsigmoid,
    "swish": F.silu,
    "none": lambda summary: summary,
}


def _exchanged_outputs(*inputs):
    of_rows, of_columns = reference(*inputs)
    return of_columns, of_rows


def _kept_flat(*inputs):
    of_rows, of_columns = reference(*inputs)
    return of_rows[..., 0], of_columns[:, :, 0]


CONFUSED = "The mean over y leaves x: those are the columns. The axis that is averaged is the one that goes."

MISTAKES = (
    Mistake(
        "largest values",
        "the maximum is taken, not the mean.",
        "CBAM uses both summaries; coordinate attention averages.",
        "use .mean(dim=3) for the rows and .mean(dim=2) for the columns.",
        partial(flawed, pool="max"),
    ),
    Mistake(
        "sums",
        "the values are added up, not averaged.",
        "A sum grows with the size of the map, so the gates would depend on the resolution.",
        "use .mean.",
        partial(flawed, pool="sum"),
    ),
    Mistake(
        "one mean of the whole map",
        "rows and columns get the mean of the whole map.",
        "Then every row has the same gate: that is squeeze-and-excitation, written twice.",
        "average over one axis for the rows, and over the other for the columns.",
        partial(flawed, whole=True),
    ),
    Mistake(
        "rows and columns confused",
        "the mean over y is taken for the rows, and the mean over x for the columns.",
        CONFUSED,
        "rows: features.mean(dim=3), columns: features.mean(dim=2).",
        partial(flawed, means="columns first"),
    ),
    Mistake(
        "rows and columns confused, and split accordingly",
        "the mean over y is taken for the rows, and what is joined is split after x numbers.",
        CONFUSED + "\nOn a map that is not square it shows in the shapes, on a square one only in the numbers.",
        "rows: features.mean(dim=3), columns: features.mean(dim=2); split after features.shape[2] numbers.",
        partial(flawed, means="columns first", split="after x"),
    ),
    Mistake(
        "rows and columns confused, and shaped to fit",
        "the gates of the columns are returned as those of the rows, and the other way round.",
        CONFUSED + "\nBoth multiply with the features without an error, so only the names are wrong, and the tables.",
        "rows: features.mean(dim=3), columns: features.mean(dim=2); rows[:, :, :, None], columns[:, :, None, :].",
        partial(flawed, means="columns first", split="after x", shaped="to fit"),
    ),
    Mistake(
        "split after x",
        "what is joined is split after x numbers, and the first part is taken for the rows.",
        "features.shape[3] counts the columns. There are as many rows as y is long.",
        "split after features.shape[2] numbers.",
        partial(flawed, split="after x"),
    ),
    Mistake(
        "split in halves",
        "what is joined is cut into halves.",
        "That fits a square map only. There are y numbers of rows and x of columns.",
        "split after features.shape[2] numbers.",
        partial(flawed, split="halves"),
    ),
    Mistake(
        "split at the wrong place",
        "the joined summary is split as if the columns came first.",
        "What is joined as [rows, columns] has to be split so: the first y numbers are rows.",
        "split after features.shape[2] numbers.",
        partial(flawed, split="columns first"),
    ),
    Mistake(
        "ReLU",
        "a ReLU stands where h-swish should.",
        "h-swish, x * clamp(x + 3, 0, 6) / 6, lets a little through below zero. Loaded weights expect it.",
        "use F.hardswish.",
        partial(flawed, activation="relu"),
    ),
    Mistake(
        "hard sigmoid",
        "the hard sigmoid is taken for h-swish.",
        "h-swish is x times the hard sigmoid of x.",
        "use F.hardswish.",
        partial(flawed, activation="hard sigmoid"),
    ),
    Mistake(
        "swish",
        "swish (SiLU) stands where h-swish should.",
        "h-swish is its cheap likeness: x * clamp(x + 3, 0, 6) / 6. They are near each other, not equal, and loaded\n"
        "weights expect the one they were trained with.",
        "use F.hardswish.",
        partial(flawed, activation="swish"),
    ),
    Mistake(
        "no activation",
        "nothing stands between the two linear maps.",
        "Two linear maps in a row are one.",
        "put F.hardswish between them.",
        partial(flawed, activation="none"),
    ),
    Mistake(
        "one table for both",
        "`to_rows` serves the columns too.",
        "The first map is shared; the second is each side's own.",
        "use to_columns for the columns.",
        partial(flawed, one_table=True),
    ),
    Mistake(
        "tables exchanged",
        "`to_rows` makes the gates of the columns, and `to_columns` those of the rows.",
        "All shapes agree, so only loaded weights show it.",
        "to_rows for the first y numbers, to_columns for the rest.",
        partial(flawed, exchanged=True),
    ),
    Mistake(
        "no sigmoid",
        "the scores are returned.",
        "A score may be negative or far above 1.",
        "end with a sigmoid.",
        partial(flawed, squash=lambda scores: scores),
    ),
    Mistake(
        "softmax",
        "the gates go through a softmax.",
        "Rows need not compete for one unit: two that matter may both be open.",
        "give each number a sigmoid of its own.",
        partial(flawed, squash=lambda scores: scores.softmax(dim=-1)),
    ),
    Mistake(
        "returns the gated features",
        "the features times both gates are returned.",
        "The exercise asks for the two gates, so that they can be looked at. Whoever calls it multiplies.",
        "return (of_rows, of_columns).",
        partial(flawed, shaped="features"),
    ),
    Mistake(
        "mean over the batch",
        "the summaries are averaged over the batch.",
        "Then a picture's gates depend on its neighbours.",
        "average over one axis of the map only.",
        partial(flawed, over_batch=True),
    ),
    Mistake(
        "columns returned first",
        "the gates of the columns are returned first.",
        "The text asks for (rows, columns).",
        "exchange the two outputs.",
        _exchanged_outputs,
    ),
    Mistake(
        "gates without their axis of one",
        "the gates have three axes.",
        "They are to multiply features (b, c, y, x): rows need an axis of one behind them, columns one in front.",
        "return rows[:, :, :, None] and columns[:, :, None, :].",
        _kept_flat,
    ),
    Mistake(
        "graph is cut",
        "the gates are detached from the graph.",
        "The numbers are right, but no table can learn.",
        "leave out .detach(), .data and no_grad().",
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


def _apart(features, shared, to_rows, to_columns):
    """What is joined meets the shared map number by number, so it may as well stay apart."""

    def gate(means, table):
        return torch.einsum("ch,bhn->bcn", table, F.hardswish(torch.einsum("hc,bcn->bhn", shared, means))).sigmoid()

    return gate(features.mean(3), to_rows).unsqueeze(3), gate(features.mean(2), to_columns).unsqueeze(2)


def _convolutions(features, shared, to_rows, to_columns):
    joined = torch.cat([features.mean(3, keepdim=True), features.mean(2, keepdim=True).mT], dim=2)
    summary = F.hardswish(F.conv2d(joined, shared[:, :, None, None]))
    rows, columns = summary.split(list(features.shape[2:]), dim=2)
    columns = F.conv2d(columns, to_columns[:, :, None, None]).mT
    return torch.sigmoid(F.conv2d(rows, to_rows[:, :, None, None])), torch.sigmoid(columns)


def _written_out(features, shared, to_rows, to_columns):
    joined = torch.cat([features.sum(3) / features.shape[3], features.sum(2) / features.shape[2]], dim=-1)
    summary = shared.matmul(joined)
    summary = summary * (summary + 3).clamp(0, 6) / 6
    y = features.shape[2]
    rows, columns = summary.narrow(2, 0, y), summary.narrow(2, y, features.shape[3])
    return (
        torch.sigmoid(to_rows.matmul(rows)).reshape(*features.shape[:3], 1),
        torch.sigmoid(to_columns.matmul(columns)).reshape(*features.shape[:2], 1, -1),
    )


def _columns_first(features, shared, to_rows, to_columns):
    x = features.shape[3]
    summary = F.hardswish(shared @ torch.cat([features.mean(2), features.mean(3)], 2))
    return (to_rows @ summary[..., x:]).sigmoid()[..., None], (to_columns @ summary[..., :x]).sigmoid()[:, :, None]


def _in_float64(*inputs):
    return tuple(gate.to(inputs[0].dtype) for gate in reference(*(tensor.double() for tensor in inputs)))


coordinate_attention = Exercise(
    name="coordinate_attention",
    title="A gate for rows, a gate for columns",
    stars=3,
    importance=2,
    minutes=15,
    stretch=True,
    answer=reference,
    returns=("of_rows", "of_columns"),
    draw=draw,
    laws=(
        laws.RIGHT_SHAPES,
        Law(
            "between zero and one",
            1,
            "Is every gate between 0 and 1?",
            lambda seen: next(
                (
                    f"`{name}` has values outside 0 and 1, such as {gate.max().item():.3g}."
                    for name in seen.returns
                    if (gate := seen.output("plain", name)).min() < 0 or gate.max() > 1
                ),
                None,
            ),
        ),
        Law(
            "right numbers",
            2,
            "Are both gates the reference's?",
            laws.equals_reference("plain", "a wide map", "one place", "float64", "other memory layout"),
        ),
        Law("right on a square map", 1, "Is it right where y and x are equal?", laws.equals_reference("a square map")),
        Law("a row does not see its order", 1, "Is a row's gate blind to where in the row?", rows_do_not_see_order),
        laws.ITEMS_APART,
        laws.GRADIENT,
        laws.FLOAT64,
    ),
    mistakes=MISTAKES,
    also_right={
        "kept apart": _apart,
        "1 x 1 convolutions": _convolutions,
        "written out": _written_out,
        "columns first inside": _columns_first,
        "in float64 inside": _in_float64,
    },
    hints=(
        "Print the shape of features.mean(dim=2). Which axis is left, rows or columns?",
        "“Right on a square map” alone fails when rows and columns are confused where no shape can tell. “A row does not see its "
        "order” fails when numbers of columns end in the gate of a row.",
        "Join with torch.cat(..., dim=2), rows first; one product with `shared`; F.hardswish; the first features.shape[2] numbers "
        "are the rows'.",
        "A twin on another task, a theatre's lights by row and by seat number:\n"
        "    joined = torch.cat([hall.mean(dim=2), hall.mean(dim=1)], dim=1)\n"
        "    mood = F.hardswish(joined @ common)\n"
        "    by_row, by_number = mood[:, :rows].sigmoid(), mood[:, rows:].sigmoid()",
    ),
)
