"""Exercise: squeeze-and-excitation as a layer that can be put anywhere."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake, draw_sizes
from attnlab.checks.laws import Law, Seen, close
from attnlab.reference.squeeze_excitation import SqueezeExcitation as reference


def draw(generator: torch.Generator) -> list[Case]:
    y, x = (size + 6 for size in draw_sizes(generator, "y", "x").values())
    b, hidden = (int(torch.randint(low, low + 3, (), generator=generator)) for low in (2, 5))
    reduction = 3
    c = hidden * reduction + 1  # rounds down to `hidden`; 16, 19 or 22, where y and x are below 16

    def case(name: str, features: torch.Tensor, build: tuple, hidden: int, gradients: bool = False) -> Case:
        return Case(name, (features,), build=build, weights=parameters(*build, hidden=hidden), gradients=gradients)

    def parameters(channels: int, reduction: int = 16, bias: bool = True, *, hidden: int) -> dict:
        g = torch.Generator().manual_seed(channels + reduction)
        made = {
            "down.weight": torch.randn(hidden, channels, generator=g),
            "up.weight": torch.randn(channels, hidden, generator=g) / hidden**0.5,
        }
        if bias:
            made |= {"down.bias": torch.rand(hidden, generator=g), "up.bias": torch.randn(channels, generator=g)}
        return made

    features = torch.randn(b, c, y, x, generator=generator) + torch.randn(b, c, 1, 1, generator=generator)
    elsewhere = features.clone()
    elsewhere[..., -1, -1] += 0.5 * y * x  # far from the first place, and enough to move every mean
    narrow, wide = torch.randn(b, 5, 4, 3, generator=generator), torch.randn(2, 135, 3, 4, generator=generator)
    build = (c, reduction)
    return [
        case("plain", features, build, hidden),
        case("the last place raised", elsewhere, build, hidden),
        case("without biases", features, (*build, False), hidden),
        case("fewer channels than the reduction", narrow, (5, 8), 1),
        case("as it comes, reduction 16", wide, (135,), 8),
        case("first item alone", features[:1], build, hidden),
        case("gradients", features, build, hidden, gradients=True),
    ]


def ratios(seen: Seen, case: str = "plain") -> torch.Tensor:
    return seen.output(case, "output") / seen.cases[case].inputs[0]


def one_gate_a_channel(seen: Seen) -> str | None:
    found = ratios(seen)
    spread = (found.amax(dim=(-2, -1)) - found.amin(dim=(-2, -1))).max().item()
    if spread < 1e-3:
        return None
    return f"Output divided by input should be one number for each channel; within a map it varies by {spread:.3g}."


def sees_the_whole_map(seen: Seen) -> str | None:
    here, there = ratios(seen)[..., 0, 0], ratios(seen, "the last place raised")[..., 0, 0]
    if not close(here, there):
        return None
    return "Something far away in the picture was changed, and no gate moved. A gate is to know the whole map."


def flawed_class(
    *,
    end=torch.sigmoid,
    middle=torch.relu,
    pool=lambda features: features.mean(dim=(-2, -1), keepdim=True),
    join=lambda features, gates: features * gates,
    hidden_of=lambda channels, reduction: max(1, channels // reduction),
    biases=lambda asked: asked,
    tied=False,
    cut="nothing",
    third=False,
):
    """A layer with one switch for each way of getting it wrong."""

    class Flawed(nn.Module):
        def __init__(self, channels, reduction=16, bias=True):
            super().__init__()
            hidden, bias = hidden_of(channels, reduction), biases(bias)
            self.down = nn.Linear(channels, hidden, bias=bias)
            self.up = nn.Linear(hidden, channels, bias=bias)
            if third:
                self.norm = nn.LayerNorm(channels)

        def forward(self, features):
            summary = pool(features).movedim(-3, -1)
            if cut == "summary":
                summary = summary.detach()
            hidden = middle(self.down(summary))
            scores = hidden @ self.down.weight if tied else self.up(hidden)
            gates = end(scores).movedim(-1, -3)
            if cut == "gates":
                gates = gates.detach()
            return join(features, gates)

    return Flawed


def _flawed(channels, reduction=16, bias=True, **switches):
    return flawed_class(**switches)(channels, reduction, bias)


def _to_a_multiple_of_8(channels, reduction):
    return max(8, (channels // reduction + 4) // 8 * 8)


MISTAKES = (
    Mistake(
        "never squeezed",
        "the two layers run at every place of the map; nothing is averaged.",
        "Then a gate knows one pixel and its channels, and nothing of the picture. The paper measured it: 22.93 % error\n"
        "against 22.28 %, and more to compute.",
        "average over y and x before the first layer.",
        partial(_flawed, pool=lambda features: features),
    ),
    Mistake(
        "squeezed over the batch too",
        "the mean runs over the batch as well.",
        "Then every picture of a batch gets the same gates, and its output depends on its neighbours.",
        "average over y and x only.",
        partial(_flawed, pool=lambda features: features.mean(dim=(0, -2, -1), keepdim=True)),
    ),
    Mistake(
        "only the columns pooled",
        "the mean runs over y, and x is left.",
        "Each column then has gates of its own.",
        "average over y and x, dim=(-2, -1).",
        partial(_flawed, pool=lambda features: features.mean(dim=-2, keepdim=True)),
    ),
    Mistake(
        "maximum, not mean",
        "the squeeze takes the largest number of each map.",
        "A maximum hangs on one place. CBAM in lesson 03 uses both; here it is the mean.",
        "call your squeeze.",
        partial(_flawed, pool=lambda features: features.amax(dim=(-2, -1), keepdim=True)),
    ),
    Mistake(
        "no sigmoid",
        "the scores of the second layer are the gates.",
        "They are centred at 0 and may be negative: features vanish or turn their sign.",
        "end with a sigmoid.",
        partial(_flawed, end=lambda scores: scores),
    ),
    Mistake(
        "softmax",
        "the gates come from a softmax over the channels.",
        "Then channels compete and the output is about C times too small.",
        "use a sigmoid.",
        partial(_flawed, end=lambda scores: scores.softmax(dim=-1)),
    ),
    Mistake(
        "no ReLU",
        "there is nothing between the two layers.",
        "Two linear layers in a row are one of low rank.",
        "put a ReLU after `down`.",
        partial(_flawed, middle=lambda hidden: hidden),
    ),
    Mistake(
        "ReLU before the sigmoid",
        "a second ReLU stands before the sigmoid.",
        "No gate is below 0.5 then: nothing can be shut.",
        "keep the ReLU after `down`, and no other.",
        partial(_flawed, end=lambda scores: scores.relu().sigmoid()),
    ),
    Mistake(
        "adds the gate",
        "the gates are added to the features.",
        "A gate turns a channel up or down. Added, it shifts all its numbers, and a silent channel is no longer silent.",
        "multiply.",
        partial(_flawed, join=lambda features, gates: features + gates),
    ),
    Mistake(
        "adds the input again",
        "the input is added to what was gated.",
        "That is a gate of 1 to 2: nothing can be shut. The addition of a residual block stands outside of this layer.",
        "return features times gates.",
        partial(_flawed, join=lambda features, gates: features + features * gates),
    ),
    Mistake(
        "returns the gates",
        "it returns the gates and not the gated features.",
        "The layer keeps the shape of what it is given, so that it fits anywhere in a network.",
        "multiply the features with the gates, and return that.",
        partial(_flawed, join=lambda features, gates: gates.flatten(-3)),
    ),
    Mistake(
        "up is the transpose of down",
        "the second product uses the weights of `down` again.",
        "What a hidden unit listens to and what it opens are different things, and have different weights.",
        "use `up` for the second product.",
        partial(_flawed, tied=True),
    ),
    Mistake(
        "hidden width zero",
        "the hidden width is channels // reduction, also where that is 0.",
        "With 5 channels and reduction 8 nothing is left: the gate becomes a constant, and torch only warns.",
        "take at least 1: max(1, channels // reduction).",
        partial(_flawed, hidden_of=lambda channels, reduction: channels // reduction),
    ),
    Mistake(
        "rounded up",
        "the hidden width is rounded up.",
        "It is one of several habits. The check loads the paper's sizes, and those are rounded down.",
        "use channels // reduction, and at least 1.",
        partial(_flawed, hidden_of=lambda channels, reduction: -(-channels // reduction)),
    ),
    Mistake(
        "rounded to a multiple of 8",
        "the hidden width is rounded to a multiple of 8.",
        "timm's newer layer does so, which suits the hardware. For ResNet-50 it makes no difference, for narrow layers\n"
        "it does: other sizes, other weights.",
        "use channels // reduction, and at least 1.",
        partial(_flawed, hidden_of=_to_a_multiple_of_8),
    ),
    Mistake(
        "the reduction is the width",
        "the hidden width is the reduction itself.",
        "The reduction says by how much the channels are fewer in the middle. A library gave its second layer that number\n"
        "as its width until 2026, and crashed on the first call.",
        "use channels // reduction, and at least 1.",
        partial(_flawed, hidden_of=lambda channels, reduction: reduction),
    ),
    Mistake(
        "always with bias",
        "the layers have biases whatever was asked for.",
        "The paper's own ablations leave them out, and the parameter counts differ by 16,048 in ResNet-50.",
        "hand `bias` on to both layers.",
        partial(_flawed, biases=lambda asked: True),
    ),
    Mistake(
        "never with bias",
        "the layers have no biases whatever was asked for.",
        "The released networks have them, and with the default they are expected here.",
        "hand `bias` on to both layers.",
        partial(_flawed, biases=lambda asked: False),
    ),
    Mistake(
        "the gates cannot learn",
        "the gates are detached from the graph.",
        "The numbers are right, but the two layers stay as they were drawn.",
        "leave out .detach(), .data and no_grad().",
        partial(_flawed, cut="gates"),
    ),
    Mistake(
        "the summary is cut off",
        "the summary is detached from the graph.",
        "The two layers learn, but the features never hear that they also decide over gates. The gradient at the input\n"
        "lacks that part.",
        "leave out .detach(), .data and no_grad().",
        partial(_flawed, cut="summary"),
    ),
    Mistake(
        "a norm as well",
        "there is a norm in it as well.",
        "The paper's layer has two linear layers and nothing else that is learnt.",
        "keep to `down` and `up`.",
        partial(_flawed, third=True),
    ),
)


class _Base(nn.Module):
    def __init__(self, channels, reduction=16, bias=True):
        super().__init__()
        hidden = channels // reduction or 1
        self.down = nn.Linear(channels, hidden, bias)
        self.up = nn.Linear(hidden, channels, bias)


class _WithAxes(_Base):
    def forward(self, features):
        b, c = features.shape[:2]
        gates = torch.sigmoid(self.up(F.relu(self.down(features.view(b, c, -1).mean(2)))))
        return features * gates.view(b, c, 1, 1)


class _Pooled(_Base):
    def forward(self, features):
        summary = F.adaptive_avg_pool2d(features, 1).flatten(1)
        gates = self.up(self.down(summary).clamp(min=0)).sigmoid()
        return features * gates[:, :, None, None].expand_as(features)


class _Einsum(_Base):
    def forward(self, features):
        summary = torch.einsum("bcyx->bc", features) / (features.shape[2] * features.shape[3])
        return torch.einsum("bcyx,bc->bcyx", features, torch.sigmoid(self.up(torch.relu(self.down(summary)))))


class _ByTanh(_Base):
    def forward(self, features):
        scores = self.up(torch.relu(self.down(features.mean((2, 3)))))
        return features * (0.5 + 0.5 * torch.tanh(scores / 2)).unsqueeze(-1).unsqueeze(-1)


class _PictureByPicture(_Base):
    def forward(self, features):
        done = []
        for one in features:
            gates = self.up(self.down(one.flatten(1).mean(-1)).relu()).sigmoid()
            done.append(torch.stack([gate * plane for gate, plane in zip(gates, one, strict=True)]))
        return torch.stack(done)


class _Convolutions(_Base):
    def forward(self, features):
        summary = features.mean((-2, -1), keepdim=True)
        hidden = F.conv2d(summary, self.down.weight[..., None, None], self.down.bias).relu()
        return features * F.conv2d(hidden, self.up.weight[..., None, None], self.up.bias).sigmoid()


SqueezeExcitation = Exercise(
    name="SqueezeExcitation",
    title="Squeeze-and-excitation as a layer",
    stars=3,
    importance=5,
    minutes=12,
    answer=reference,
    draw=draw,
    laws=(
        laws.RIGHT_SHAPES,
        Law(
            "right numbers",
            2,
            "With the reference's parameters loaded, are the numbers the reference's?",
            laws.equals_reference("plain", "without biases"),
        ),
        Law("one gate for each channel", 1, "Is a whole map multiplied by one number?", one_gate_a_channel),
        Law("sees the whole map", 1, "Does a gate hear of the farthest place?", sees_the_whole_map),
        Law(
            "right width",
            1,
            "Is it right with few channels, and with the default reduction?",
            laws.equals_reference("fewer channels than the reduction", "as it comes, reduction 16"),
        ),
        laws.ITEMS_APART,
        Law("gradient reaches every weight", 2, "Do both layers learn?", laws.gradients_reach("gradients")),
    ),
    mistakes=MISTAKES,
    also_right={
        "views": _WithAxes,
        "pooled by the library": _Pooled,
        "einsum": _Einsum,
        "by tanh": _ByTanh,
        "picture by picture": _PictureByPicture,
        "1x1 convolutions": _Convolutions,
    },
    hints=(
        "Build it with 8 channels and reduction 2 and list its parameters: which names and shapes do you see, and which "
        "does the text ask for?",
        "Divide its output by its input: that shows the gates. Are they one number for each map, and do they lie between "
        "0 and 1? Then look at the law that fails.",
        "forward has three lines: the mean over y and x; down, ReLU, up, sigmoid; and the product, for which the gates "
        "(b, c) need two axes more: gates[..., None, None].",
        "A twin on another task, a layer that sets the volume of each instrument of an orchestra:\n"
        "    loudness = sound.mean(dim=-1)                                # (concerts, instruments)\n"
        "    volume = self.act(self.listen(loudness).relu()).sigmoid()\n"
        "    return sound * volume[..., None]",
    ),
)
