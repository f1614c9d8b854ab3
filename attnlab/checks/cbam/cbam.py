"""Exercise: CBAM as a layer, channels first and then places."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from attnlab.checks import laws
from attnlab.checks.cbam.channel_attention import flawed as flawed_channel
from attnlab.checks.cbam.channel_attention import signed
from attnlab.checks.cbam.spatial_attention import flawed as flawed_spatial
from attnlab.checks.exercise import Case, Exercise, Mistake, draw_sizes
from attnlab.checks.laws import Law, Seen
from attnlab.reference.cbam import CBAM as reference
from attnlab.reference.channel_attention import channel_attention
from attnlab.reference.spatial_attention import spatial_attention


def draw(generator: torch.Generator) -> list[Case]:
    size = draw_sizes(generator, "batch", "hidden", "y", "x")
    b, hidden, y, x = size["batch"], size["hidden"], size["y"] + 4, size["x"] + 4
    reduction = 3 if hidden % 2 else 2
    c = hidden * reduction

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    def weights(channels: int, inside: int, kernel: int) -> dict[str, torch.Tensor]:
        return {
            "reduce.weight": signed(normal(inside, channels)) / channels**0.5,
            "expand.weight": signed(normal(channels, inside)) / inside**0.5,
            "conv.weight": normal(1, 2, kernel, kernel) / kernel,
        }

    features, own = normal(b, c, y, x), weights(c, hidden, 3)
    shares = own["reduce.weight"].abs() / own["reduce.weight"].abs().sum(dim=1, keepdim=True)
    window = {"reduce.weight": shares, "conv.weight": 3 * own["conv.weight"].abs()}
    opened = own | window | {"expand.weight": torch.full((c, hidden), 1.5 / hidden)}
    closed = opened | {"expand.weight": torch.full((c, hidden), -1.5 / hidden)}

    def case(name: str, given: torch.Tensor, build=(c, reduction, 3), state=own, gradients=False) -> Case:
        return Case(name, (given,), build=build, weights=state, gradients=gradients)

    return [
        case("plain", features),
        case("first item alone", features[:1]),
        case("gates wide open", 2 + features.abs(), state=opened),
        case("channels all but closed", 2 + features.abs(), state=closed),
        case("7 by 7 window on a map of 7 by 7", normal(b, c, 7, 7), (c, reduction, 7), weights(c, hidden, 7)),
        case("as it is built without further words", normal(2, 240, 5, 3), (240,), weights(240, 15, 7)),
        case("gradients", features, gradients=True),
    ]


def a_gate_lets_less_through(seen: Seen) -> str | None:
    kept = True
    for case in ("plain", "gates wide open"):
        features, output = seen.cases[case].inputs[0], seen.output(case, "output")
        kept &= bool((output * features >= 0).all() and (output.abs() <= features.abs() + 1e-5).all())
    if kept:
        return None
    return "Some numbers come out larger than they went in, or with the other sign. Two gates cannot do that."


def places_come_after_channels(seen: Seen) -> str | None:
    """Where the channel gate is nearly shut, nothing is left for the spatial gate to see, and it gives a half."""
    case = seen.cases["channels all but closed"]
    features, output = case.inputs[0], seen.output("channels all but closed", "output")
    passed = channel_attention(features, case.weights["reduce.weight"], case.weights["expand.weight"]) * features
    want = spatial_attention(passed, case.weights["conv.weight"]) * passed
    if torch.allclose(output, want, rtol=1e-2, atol=0.0):
        return None
    return "With the channels all but closed, the gate over places should find next to nothing, and stay near a half."


def flawed_class(
    *,
    order="channel, space",
    residual=False,
    second_mlp=False,
    bias=False,
    norm=False,
    hidden=lambda channels, reduction: channels // reduction,
    kernel_of=lambda kernel: kernel,
    channel=None,
    space=None,
    on="passed",
    merge="product",
    cut=False,
    in_place=False,
    twice=False,
):
    """A CBAM class with one switch for each way of getting it wrong."""

    class Flawed(nn.Module):
        def __init__(self, channels, reduction=16, kernel=7):
            super().__init__()
            inside, kernel = hidden(channels, reduction), kernel_of(kernel)
            self.reduce = nn.Linear(channels, inside, bias=bias)
            self.expand = nn.Linear(inside, channels, bias=bias)
            self.conv = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)
            if second_mlp:
                self.reduce_max = nn.Linear(channels, inside, bias=False)
                self.expand_max = nn.Linear(inside, channels, bias=False)
            if norm:
                self.norm = nn.BatchNorm2d(1)

        def channel(self, features):
            return flawed_channel(features, self.reduce.weight, self.expand.weight, **(channel or {}))

        def space(self, features):
            return flawed_spatial(features, self.conv.weight, **(space or {}))

        def forward(self, features):
            given = features
            if order == "parallel":
                features = self.space(given) * (self.channel(given) * given)
            elif merge in ("gates", "last gate"):
                gate = self.channel(given)
                return self.space(gate * given) * (gate if merge == "gates" else 1)
            elif merge == "sum":
                gate = self.channel(given)
                features = (gate + self.space(gate * given)) * given
            else:
                for name in order.split(", "):
                    gate = getattr(self, name)(features)
                    features = gate * (given if on == "given" else features)
                    if in_place and features.shape == given.shape:
                        given.data.copy_(features.detach())
            if twice:
                features = self.channel(given) * features
            features = features.detach() if cut else features
            return features + given if residual else features

    return Flawed


def _flawed(*build, **switches):
    return flawed_class(**switches)(*build)


MISTAKES = (
    Mistake(
        "places first",
        "the places are gated before the channels.",
        "It works too, a little worse in the paper. But the gate over channels then sums up other features, and loaded\n"
        "weights no longer fit.",
        "gate the channels, then the places of what is left.",
        partial(_flawed, order="space, channel"),
    ),
    Mistake(
        "both at once",
        "both gates are computed from the features that come in.",
        "That is the paper's parallel form, which it found worse. In CBAM the second gate looks at what the first has\n"
        "let through.",
        "compute the spatial gate from channel gate * features.",
        partial(_flawed, order="parallel"),
    ),
    Mistake(
        "second gate on the input",
        "the gate over places multiplies the features that came in.",
        "Then the gate over channels decides only what the other one sees, and closes no channel.",
        "multiply what the channel gate has let through.",
        partial(_flawed, on="given"),
    ),
    Mistake(
        "adds the input",
        "the input is added to what is gated.",
        "The residual connection stands around the whole branch of a ResNet's block, not in CBAM. With one inside, no\n"
        "gate can close anything: factors run from 1 to 2.",
        "return the gated features.",
        partial(_flawed, residual=True),
    ),
    Mistake(
        "two MLPs",
        "mean and maximum have an MLP each.",
        "One MLP is shared, which makes the two summaries speak of a channel in one language. Two cost\n"
        "2 c^2 / r parameters more: two and a half million in a ResNet-50.",
        "use self.reduce and self.expand for both.",
        partial(_flawed, second_mlp=True),
    ),
    Mistake(
        "with bias",
        "the two linear layers have a bias.",
        "So has the authors' code. The paper's formula has none, and the check loads weights without.",
        "write nn.Linear(..., bias=False).",
        partial(_flawed, bias=True),
    ),
    Mistake(
        "with a batch norm",
        "there is a batch norm behind the convolution.",
        "So it is in the authors' code and in timm, not in the paper's formula.",
        "leave it out here; the lesson comes back to it.",
        partial(_flawed, norm=True),
    ),
    Mistake(
        "hidden layer as wide as the reduction",
        "the MLP has `reduction` hidden numbers.",
        "reduction says how many times narrower the hidden layer is than the channels.",
        "use channels // reduction.",
        partial(_flawed, hidden=lambda channels, reduction: reduction + 1 if channels == reduction**2 else reduction),
    ),
    Mistake(
        "window always 7",
        "the window is 7 by 7, whatever is asked for.",
        "7 is the paper's window, so it is the default. The argument can ask for another one.",
        "pass `kernel` on to nn.Conv2d.",
        partial(_flawed, kernel_of=lambda kernel: 7),
    ),
    Mistake(
        "channels only",
        "only the channels are gated.",
        "The convolution is there, and nobody calls it.",
        "gate the places of what the channel gate has let through.",
        partial(_flawed, order="channel"),
    ),
    Mistake(
        "places only",
        "only the places are gated.",
        "The MLP is there, and nobody calls it.",
        "gate the channels first.",
        partial(_flawed, order="space"),
    ),
    Mistake(
        "gates added",
        "the two gates are added, and the sum multiplies the features.",
        "A closed channel gate should close the channel, whatever the place. With a sum the other gate lets it\n"
        "through, and a factor may be 2.",
        "multiply with one gate after the other.",
        partial(_flawed, merge="sum"),
    ),
    Mistake(
        "returns the last gate",
        "the gate over places is returned, not the gated features.",
        "A layer passes features on. The gate says how much of them.",
        "return gate * features.",
        partial(_flawed, merge="last gate"),
    ),
    Mistake(
        "returns both gates",
        "the product of the two gates is returned, without the features.",
        "A layer passes features on. The gates say how much of them.",
        "multiply the features with both gates.",
        partial(_flawed, merge="gates"),
    ),
    Mistake(
        "channel gate twice",
        "the channel gate is multiplied in twice.",
        "Once on the way to the spatial gate and once at the end: every channel is damped by the square of its gate.",
        "multiply with it once, and go on with what comes out.",
        partial(_flawed, twice=True),
    ),
    Mistake(
        "average only",
        "the channel gate looks at the mean only.",
        "That is squeeze-and-excitation followed by a spatial gate. CBAM's summaries are two, mean and maximum.",
        "call your channel_attention, which takes both.",
        partial(_flawed, channel={"pools": ("average",)}),
    ),
    Mistake(
        "sigmoid on each",
        "each summary of the channels has a sigmoid of its own.",
        "The sum of two sigmoids lies between 0 and 2, so features can grow.",
        "add the scores first, then take one sigmoid.",
        partial(_flawed, channel={"merge": "gates"}),
    ),
    Mistake(
        "maximum first",
        "the convolution sees the maximum first and the mean second.",
        "So it is in the authors' code; the paper and timm put the mean first. Weights that are loaded meet the wrong\n"
        "maps.",
        "stack [mean, max].",
        partial(_flawed, space={"maps": ("largest", "average")}),
    ),
    Mistake(
        "no padding",
        "the convolution has no padding.",
        "The gate is then smaller than the map: an error, except on a map as large as the window. There one number\n"
        "gates all places, silently.",
        "give nn.Conv2d padding=kernel // 2.",
        partial(_flawed, space={"padding": "none"}),
    ),
    Mistake(
        "graph is cut",
        "the output is detached from the graph.",
        "The numbers are right, but nothing in front of the block, or in it, can learn.",
        "leave out .detach(), .data and no_grad().",
        partial(_flawed, cut=True),
    ),
    Mistake(
        "gates in place",
        "the features are multiplied in place.",
        "`features *= gate` writes into the caller's tensor. The residual connection around the block still needs it.",
        "write features = gate * features.",
        partial(_flawed, in_place=True),
    ),
)


class _Layers(nn.Module):
    """The names that are asked for; subclasses differ in how they compute."""

    def __init__(self, channels, reduction=16, kernel=7):
        super().__init__()
        self.reduce = nn.Linear(channels, channels // reduction, bias=False)
        self.expand = nn.Linear(channels // reduction, channels, bias=False)
        self.conv = nn.Conv2d(2, 1, kernel, padding="same", bias=False)

    def mlp(self, summary):
        return self.expand(torch.relu(self.reduce(summary)))

    def forward(self, features):
        gate = torch.sigmoid(self.mlp(features.mean((2, 3))) + self.mlp(features.amax((2, 3))))
        features = features * gate[..., None, None]
        maps = torch.cat((features.mean(1, keepdim=True), features.amax(1, keepdim=True)), 1)
        return features * torch.sigmoid(self.conv(maps))


class _Pooling(_Layers):
    def forward(self, features):
        average, largest = F.adaptive_avg_pool2d(features, 1), F.adaptive_max_pool2d(features, 1)
        scores = self.mlp(average.flatten(1)) + self.mlp(largest.flatten(1))
        passed = torch.einsum("bc,bcyx->bcyx", scores.sigmoid(), features)
        maps = torch.stack([passed.mean(1), passed.max(1).values], 1)
        return torch.einsum("byx,bcyx->bcyx", self.conv(maps)[:, 0].sigmoid(), passed)


class _OneMean(_Layers):
    """The mean of gated features is the gate times the features, summed over channels: one product."""

    def forward(self, features):
        flat = features.flatten(2)
        gate = (self.mlp(flat.mean(2)) + self.mlp(flat.amax(2))).sigmoid()
        mean = (gate[:, None] @ flat / gate.shape[1]).unflatten(2, features.shape[2:])
        passed = gate[:, :, None, None] * features
        return passed * self.conv(torch.cat([mean, passed.amax(1, keepdim=True)], 1)).sigmoid()


class _Functions(_Layers):
    def forward(self, features):
        features = features.mul(channel_attention(features, self.reduce.weight, self.expand.weight))
        return features.mul(spatial_attention(features, self.conv.weight))


class _ItemByItem(_Layers):
    def forward(self, features):
        return torch.cat([_Layers.forward(self, item[None]) for item in features])


CBAM = Exercise(
    name="CBAM",
    title="CBAM as a layer",
    stars=3,
    importance=5,
    minutes=12,
    answer=reference,
    draw=draw,
    laws=(
        laws.RIGHT_SHAPES,
        Law("gates let less through", 1, "Does no number grow or turn its sign?", a_gate_lets_less_through),
        Law(
            "right numbers",
            3,
            "With the reference's parameters loaded, are the numbers the reference's?",
            laws.equals_reference("plain", "as it is built without further words"),
        ),
        Law(
            "right numbers at 7 by 7",
            1,
            "Is it right where the map is as large as the window?",
            laws.equals_reference("7 by 7 window on a map of 7 by 7"),
        ),
        Law(
            "places come after channels",
            1,
            "Does the second gate see what the first let through?",
            places_come_after_channels,
        ),
        laws.ITEMS_APART,
        Law("gradient reaches every weight", 2, "Do the MLP and the window learn?", laws.gradients_reach("gradients")),
        laws.INPUTS_KEPT,
    ),
    mistakes=MISTAKES,
    also_right={
        "layers called directly": _Layers,
        "pooling layers and einsum": _Pooling,
        "the mean as a product": _OneMean,
        "functions": _Functions,
        "item by item": _ItemByItem,
    },
    hints=(
        "Build CBAM(32) and list its parameters: which names and shapes do you see, and which does the text ask for?",
        "“Places come after channels” asks what the second gate is computed from; “gates let less through” whether anything but "
        "two factors between 0 and 1 touches the features.",
        "forward has two lines, and both begin with `features =`. Each multiplies the features with a gate computed from them; "
        "the second therefore sees what the first has left.",
        "A twin on another task, a sieve for sounds, instruments first and then moments:\n"
        "    song = which_instruments(song) * song\n"
        "    return which_moments(song) * song",
    ),
)
