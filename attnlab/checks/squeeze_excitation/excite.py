"""Exercise: from the summary of all channels to a gate for each."""

from functools import partial

import torch
import torch.nn.functional as F

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake, draw_sizes
from attnlab.checks.laws import Law, Seen, close
from attnlab.reference.squeeze_excitation import excite as reference


def draw(generator: torch.Generator) -> list[Case]:
    sizes = draw_sizes(generator, "batch", "channels", "hidden", "time")
    b, c, hidden, t = (size + 4 for size in sizes.values())  # enough numbers that each step shows under every seed

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    summary, down, up = normal(b, c), normal(hidden, c) / c**0.5, normal(c, hidden) / hidden**0.5
    raised = up.clone()
    raised[0] += 1.0
    return [
        Case("plain", (summary, down, up)),
        Case("one channel's weights raised", (summary, down, raised)),
        Case("no batch axis", (summary[0], down, up)),
        Case("frames of clips", (normal(t, b, c), down, up)),
        Case("first item alone", (summary[:1], down, up)),
        Case("large numbers", (summary * 1e4, down, up)),
        Case("float64", (summary.double(), down.double(), up.double())),
        Case("gradients", (summary, down, up), gradients=True),
    ]


def gates_are_between(seen: Seen) -> str | None:
    for case in ("plain", "frames of clips"):
        gates = seen.output(case, "gates")
        low, high = gates.min().item(), gates.max().item()
        if low < 0 or high > 1:
            return f"A gate lies between 0, shut, and 1, open; yours go from {low:.3g} to {high:.3g} (case: {case})."
    return None


def channels_do_not_compete(seen: Seen) -> str | None:
    before, after = (seen.output(case, "gates")[..., 1:] for case in ("plain", "one channel's weights raised"))
    if close(after, before):
        return None
    return "Only the weights of channel 0's gate were changed, and the gates of other channels moved."


MIDDLE = {
    "relu": torch.relu,
    "nothing": lambda hidden: hidden,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "abs": torch.abs,
}
END = {
    "sigmoid": torch.sigmoid,
    "nothing": lambda scores: scores,
    "softmax": lambda scores: scores.softmax(dim=-1),
    "softmax over the first axis": lambda scores: scores.softmax(dim=0),
    "relu, sigmoid": lambda scores: scores.relu().sigmoid(),
    "sigmoid twice": lambda scores: scores.sigmoid().sigmoid(),
    "tanh": torch.tanh,
    "relu": torch.relu,
    "hard": F.hardsigmoid,
    "double": lambda scores: 2 * scores.sigmoid(),
    "turned": lambda scores: 1 - scores.sigmoid(),
    "exponentials": lambda scores: scores.exp() / (1 + scores.exp()),
    "the largest is one": lambda scores: scores.sigmoid() / scores.sigmoid().amax(dim=-1, keepdim=True),
}


def flawed(summary, down, up, *, middle="relu", end="sigmoid", exchanged=False, cut=False, narrow=False, axes=False):
    """The excitation with one switch for each way of getting it wrong."""
    dtype = summary.dtype
    if narrow:
        summary, down, up = summary.float(), down.float(), up.float()
    first, second = (up, down) if exchanged else (down.mT, up.mT)
    gates = END[end](MIDDLE[middle](summary @ first) @ second).to(dtype)
    gates = gates.detach() if cut else gates
    return gates[..., None, None] if axes else gates


MISTAKES = (
    Mistake(
        "no sigmoid",
        "the scores are returned as they are.",
        "They are centred at 0 and half of them are negative: a channel multiplied by such a gate nearly vanishes or\n"
        "changes its sign.",
        "end with a sigmoid.",
        partial(flawed, end="nothing"),
    ),
    Mistake(
        "softmax",
        "the gates come from a softmax over the channels.",
        "Then they share out one unit: with 64 channels the mean gate is 1/64, and everything fades. A gate is a dimmer of\n"
        "its own; several may be fully open.",
        "use a sigmoid, which looks at each score alone.",
        partial(flawed, end="softmax"),
    ),
    Mistake(
        "softmax over the first axis",
        "the gates come from a softmax over axis 0, the batch.",
        "Then the pictures of a batch compete for each channel.",
        "use a sigmoid.",
        partial(flawed, end="softmax over the first axis"),
    ),
    Mistake(
        "no ReLU",
        "there is nothing between the two matrices.",
        "Two linear maps in a row are one linear map of low rank: a gate could not open only when two channels are loud\n"
        "together.",
        "put a ReLU after the first product.",
        partial(flawed, middle="nothing"),
    ),
    Mistake(
        "ReLU before the sigmoid",
        "a second ReLU stands before the sigmoid.",
        "No score is below 0 any more, so no gate is below 0.5: nothing can be shut.",
        "keep the ReLU after the first product, and no other.",
        partial(flawed, end="relu, sigmoid"),
    ),
    Mistake(
        "ReLU in place of the sigmoid",
        "the gates come out of a ReLU.",
        "They have no upper end. The paper measured it: 23.47 % error, worse than no gate at all (23.30 %).",
        "end with a sigmoid.",
        partial(flawed, end="relu"),
    ),
    Mistake(
        "tanh in place of the sigmoid",
        "the gates come out of a tanh.",
        "They reach from -1 to 1, so a channel can be turned upside down. The paper measured 23.00 % error against 22.28 %.",
        "end with a sigmoid.",
        partial(flawed, end="tanh"),
    ),
    Mistake(
        "sigmoid in the middle",
        "the hidden numbers go through a sigmoid, not a ReLU.",
        "A sigmoid belongs to the gate alone. In the middle it never is 0 and hardly ever has a slope.",
        "use a ReLU after the first product.",
        partial(flawed, middle="sigmoid"),
    ),
    Mistake(
        "tanh in the middle",
        "the hidden numbers go through a tanh, not a ReLU.",
        "It is what Bahdanau's attention has in this place. Here the paper has a ReLU.",
        "use a ReLU after the first product.",
        partial(flawed, middle="tanh"),
    ),
    Mistake(
        "sigmoid twice",
        "the sigmoid is taken twice.",
        "A sigmoid of numbers between 0 and 1 lies between 0.5 and 0.73: the gate cannot move.",
        "take it once; nn.Sigmoid in a layer and .sigmoid() after it are two.",
        partial(flawed, end="sigmoid twice"),
    ),
    Mistake(
        "hard sigmoid",
        "the sigmoid is a piecewise linear one.",
        "MobileNetV3 has that, because it is cheap on phones. Squeeze-and-excitation has the smooth one.",
        "use torch.sigmoid.",
        partial(flawed, end="hard"),
    ),
    Mistake(
        "doubled",
        "the gates are doubled, so that they begin at 1.",
        "It is true that a fresh gate is about 0.5 and halves everything. The paper leaves it so; a norm or the rest of the\n"
        "network makes up for it.",
        "leave out the 2.",
        partial(flawed, end="double"),
    ),
    Mistake(
        "upside down",
        "it returns one minus the gate.",
        "Then a large score shuts a channel. A network can learn that too, but loaded weights mean the opposite.",
        "return the sigmoid of the score.",
        partial(flawed, end="turned"),
    ),
    Mistake(
        "overflow",
        "the sigmoid is written as exp(s) / (1 + exp(s)).",
        "exp(89) is beyond float32, and infinity divided by infinity is NaN.",
        "call torch.sigmoid, or write 1 / (1 + exp(-s)).",
        partial(flawed, end="exponentials"),
    ),
    Mistake(
        "the largest is one",
        "the gates are divided by the largest of them.",
        "Then one channel is always fully open and the others are told relative to it: a gate depends on the others.",
        "leave each gate as its sigmoid gives it.",
        partial(flawed, end="the largest is one"),
    ),
    Mistake(
        "matrices exchanged",
        "the summary is multiplied by `up` first, then by `down`.",
        "Without a transpose the shapes fit: (c, hidden) and then (hidden, c). But then each matrix does the other's work.",
        "first down, (hidden, c), then up, (c, hidden); both transposed when the summary stands on the left.",
        partial(flawed, exchanged=True),
    ),
    Mistake(
        "graph is cut",
        "the gates are detached from the graph.",
        "The numbers are right, but neither matrix can learn.",
        "leave out .detach(), .data and no_grad().",
        partial(flawed, cut=True),
    ),
    Mistake(
        "map axes added",
        "the gates have two axes more, of size one.",
        "They will be needed to multiply with the maps; that is the next step. Here one gate a channel is asked for.",
        "return (..., c).",
        partial(flawed, axes=True),
    ),
    Mistake(
        "computes in float32",
        "it turns its inputs to float32 first.",
        "What is given in float64 should be computed in float64: tests compare to the twelfth digit.",
        "leave out .float().",
        partial(flawed, narrow=True),
    ),
)


def _unit_by_unit(summary, down, up):
    hidden = torch.stack([(summary * row).sum(-1).clamp(min=0) for row in down], dim=-1)
    return torch.stack([1 / (1 + torch.exp(-(hidden * row).sum(-1))) for row in up], dim=-1)


excite = Exercise(
    name="excite",
    title="Excite: a gate for each channel",
    stars=2,
    importance=5,
    minutes=8,
    answer=reference,
    returns=("gates",),
    draw=draw,
    laws=(
        laws.RIGHT_SHAPES,
        Law(
            "right numbers", 2, "Are they the reference's?", laws.equals_reference("plain", "no batch axis", "float64")
        ),
        Law("between shut and open", 1, "Is every gate between 0 and 1?", gates_are_between),
        Law("channels do not compete", 1, "Has each channel a gate of its own?", channels_do_not_compete),
        Law("large numbers stay finite", 1, "Are large summaries no problem?", laws.stays_finite("large numbers")),
        laws.ITEMS_APART,
        laws.GRADIENT,
        laws.FLOAT64,
    ),
    mistakes=MISTAKES,
    also_right={
        "library": lambda summary, down, up: torch.sigmoid(F.linear(F.relu(F.linear(summary, down)), up)),
        "einsum": lambda summary, down, up: torch.einsum(
            "...h,ch->...c", torch.einsum("...c,hc->...h", summary, down).clamp(min=0), up
        ).sigmoid(),
        "unit by unit": _unit_by_unit,
        "by tanh": lambda summary, down, up: (((summary @ down.T).relu() @ up.T / 2).tanh() + 1) / 2,
        "1x1 convolutions": lambda summary, down, up: (
            F.conv1d(F.conv1d(summary.reshape(-1, summary.shape[-1], 1), down[..., None]).relu(), up[..., None])
            .sigmoid()
            .reshape(summary.shape)
        ),
    },
    hints=(
        "Take a summary of zeros. What gates come out, and what should come out of a sigmoid at 0?",
        "“Between shut and open” and “channels do not compete” together leave one function for the end. What stands "
        "between the two products decides “right numbers”.",
        "Read it inside out: a product with `down`, a ReLU, a product with `up`, a sigmoid. (..., c) @ (hidden, c) does "
        "not fit: transpose the matrix.",
        "A twin on another task, how far to open each window by what all rooms report:\n"
        "    mood = (report @ listen.mT).relu()         # few numbers for the whole house\n"
        "    windows = (mood @ act.mT).sigmoid()        # one for each window",
    ),
)
