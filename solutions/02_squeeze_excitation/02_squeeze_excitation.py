# %% [markdown] section="card"
# # 02 · Squeeze and excitation
#
# A convolution sees a small window. What a channel is worth may depend on the whole picture. Here a layer looks at all
# channels at once, sums up each in one number, and turns every channel up or down.
#
# At the end you can write that layer, count what it costs to the last parameter, expose a bug that two libraries had,
# and say for which task the gate must help, and for which it does nothing.
#
# {{card}}
#
# Planned for 90 minutes, and 30 more for the stretch. You need lessons 00 and 01 (weights, softmax, masks) and some torch:
# `mean(dim=...)`, `@`, `nn.Linear`, `nn.Conv2d`.

# %%
import time

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import nn

from attnlab.capture import capture
from attnlab.checks.squeeze_excitation import check
from attnlab.data import load_digits, load_photos
from attnlab.training import SEEDS, Spread, built, over_seeds, train
from attnlab.viz import AttentionRecord, bars, explore, figure, gate, runs

torch.set_num_threads(1)  # small tensors: one thread is fastest, and steady
torch.manual_seed(2)
print("torch", torch.__version__)

# %% [markdown] section="recall"
# ## Recall
#
# Three questions from earlier lessons, without looking back.

# %% role="recall"
check.recall()

# %% [markdown] section="puzzle"
# ## Puzzle: the lamp
#
# Two handwritten digits lie on top of each other, one in orange ink, one in blue. Far above them is a lamp. **Lamp on: read
# the orange digit. Lamp off: read the blue one.** You can do that. A convolutional network that sees 5 by 5 pixels at a
# time, and whose last layer only adds up what was seen, cannot do it well, however long it learns. Train it and see; change what you like. You cannot break anything, and
# you are not expected to win.

# %% role="figure"
ink, labels = (torch.tensor(array) for array in load_digits())
ink, labels = ink.float() / 16, labels.long()
known, unknown = torch.arange(1200), torch.arange(1200, 1797)  # the last ones are by other hands: for the test


def draw_lamps(count, generator, hands, brightness=6.0):
    """Pictures (count, 3, 20, 8), the label of the digit that the lamp names, and the lamp."""
    orange, blue = (hands[torch.randint(len(hands), (count,), generator=generator)] for _ in range(2))
    lamp = torch.randint(2, (count,), generator=generator)
    pictures = torch.zeros(count, 3, 20, 8)  # rows: 8 of lamp, 4 empty, 8 of digits
    pictures[:, 0, 12:], pictures[:, 1, 12:] = ink[orange], ink[blue]
    pictures[:, 2, :8] = brightness * lamp[:, None, None]
    return pictures, torch.where(lamp == 1, labels[orange], labels[blue]), lamp


tests, answers, lamps = draw_lamps(1000, torch.Generator().manual_seed(9), unknown)
colours = torch.tensor([[1.0, 0.55, 0.0], [0.0, 0.45, 1.0], [1.0, 1.0, 0.8]])  # of the two inks and of the lamp
coloured = torch.einsum("bcyx,ck->byxk", tests, colours).clamp(0, 1)
pic, axes = plt.subplots(1, 6, figsize=(7, 3.3), subplot_kw={"xticks": [], "yticks": []})
for ax, picture, answer in zip(axes, coloured, answers.tolist()):
    ax.imshow(picture)
    ax.set_title(f"read {answer}")
pic.suptitle("The lamp at the top says which ink to read: on orange, off blue")
said = "Six pictures. At the top a lamp, on or off, and below an orange and a blue digit on top of each other."
figure(pic, alt=said, table={"picture": range(6), "lamp": lamps[:6].tolist(), "answer": answers[:6].tolist()})

# %% role="experiment"
def lamp_network(gate_for):
    """Two convolutions, a gate after the first, and one linear layer. `gate_for`: channels -> module."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), gate_for(16),
        nn.Conv2d(16, 16, 3, padding=1, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 10 * 4, 10),
    )


def learn_lamps(gate_for, seed, steps=200):
    """A trained network, and how many test pictures of 100 it reads rightly."""
    def loss(network, generator):
        pictures, wanted, _ = draw_lamps(32, generator, known)
        return F.cross_entropy(network(pictures), wanted)

    def right(network):
        return 100 * (network(tests).argmax(dim=1) == answers).float().mean()

    network = built(seed, lambda: lamp_network(gate_for))
    return network, train(network, loss, steps, learning_rate=1e-2, seed=seed, watch=right).watched[-1]


# %% role="experiment"
plain = [learn_lamps(nn.Identity, seed) for seed in SEEDS]  # three trainings, from three beginnings
read = {"no gate": Spread(tuple(right for _, right in plain))}
print("without a gate, pictures of 100 read rightly:", read["no gate"])

# %% [markdown] section="intuition"
# ## Intuition: two channels by hand
#
# Two channels, four places each: $U_1 = (1, 3, 2, 2)$ and $U_2 = (4, 0, 0, 0)$. **Squeeze:** their means are 2 and 1.
#
# **Excite:** one hidden unit takes the first mean minus the second: $2 - 1 = 1$, and a ReLU leaves it. It speaks for
# channel 1 with weight $\ln 3$, against channel 2 with $-\ln 3$.
#
# **Work out on paper** the two gates: $\sigma(s) = 1/(1 + e^{-s})$, and $e^{-\ln 3}$ is a third. Then the scaled channels.
# Then run the cell. What would the gates be with $U_2 = (8, 0, 0, 0)$? (The hidden unit is silent then: both are one half.)

# %%
channels = torch.tensor([[1.0, 3.0, 2.0, 2.0], [4.0, 0.0, 0.0, 0.0]])
means = channels.mean(dim=1)
hidden = (means[0] - means[1]).relu()
gates = (hidden * torch.tensor([3.0, 1 / 3]).log()).sigmoid()
print("means ", means.tolist())
print("gates ", [round(g, 3) for g in gates.tolist()])
print("scaled", (gates[:, None] * channels).numpy().round(3).tolist())

# %% [markdown] section="mechanism"
# ## Mechanism: summary, gate, product
#
# Features come as maps: $U$ of shape (b, c, y, x). Three steps:
#
# $$z_c = \frac{1}{YX} \sum_{y,x} U_c(y, x) \qquad s = \sigma(W_2\, \text{ReLU}(W_1 z)) \qquad \tilde U_c = s_c\, U_c$$
#
# 1. **Squeeze.** One number for each channel: the mean of its map. Places are forgotten.
# 2. **Excite.** $W_1$ tells $c$ numbers in $c/r$, $W_2$ opens $c$ gates. $r$ is the *reduction*, 16 in the paper.
# 3. **Scale.** The whole map is multiplied by its gate.
#
# In lesson 00's words: the gates are weights that depend on the data. But they do not sum to one: each is a dimmer of
# its own. In a residual block the layer stands on the branch, before the addition.
#
# To *see* a gate we need channels with a meaning. A photo can be taken apart into five that add up to it again.

# %% role="experiment"
photos = load_photos()
pixels = torch.stack([torch.tensor(photo.pixels) for photo in photos.values()]).float().movedim(-1, 1) / 255


def blurred(maps, times):
    """Each place the mean of its 3 by 3 neighbours, so many times over. maps: (b, c, y, x)."""
    for _ in range(times):
        maps = F.avg_pool2d(F.pad(maps, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return maps


def taken_apart(images):
    """(b, 3, y, x) -> (b, 5, 3, y, x): fine, middle and coarse light, and two colours. They add up to the images."""
    light = images.mean(dim=1, keepdim=True)
    soft, softer = blurred(light, 1), blurred(light, 12)
    colour = images - light
    yellow_blue = colour[:, 2:] * torch.tensor([-0.5, -0.5, 1.0])[:, None, None]
    parts = [light - soft, soft - softer, softer, yellow_blue, colour - yellow_blue]
    return torch.stack([part.expand_as(images) for part in parts], dim=1)


names = ["fine", "middle", "coarse", "yellow-blue", "red-green"]
parts = taken_apart(pixels)
print("largest error of the sum:", f"{(parts.sum(dim=1) - pixels).abs().max():.0e}")

# %% [markdown]
# Five gates, five sliders, and what is left of the photo. Shut `fine` alone, then `coarse` alone. A gate knows no
# places: it takes a kind of thing out of the *whole* picture. (Flower by vultilion, pagoda by danielbuechele, CC BY 2.0;
# cat, coffee and rocket from scikit-image.)

# %% role="interactive"
def through_the_gates(photo, fine, middle, coarse, yellow_blue, red_green):
    i, own = list(photos).index(photo), [fine, middle, coarse, yellow_blue, red_green]
    left = (parts[i] * torch.tensor(own)[:, None, None, None]).sum(dim=0)
    pic, axes = plt.subplots(1, 2, figsize=(7, 2.9))
    for ax, shown, title in zip(axes, (pixels[i], left), ("as it is", "through the gates")):
        ax.imshow(shown.movedim(0, -1).clamp(0, 1))
        ax.set(title=title, xticks=[], yticks=[])
    lost = (left - pixels[i]).abs().mean()
    least = names[min(range(5), key=own.__getitem__)]
    pic.suptitle(f"Gates shut a kind of thing in the whole photo; here least of all is open: {least}")
    return figure(pic, alt=f"The photo {photo} beside itself through the gates {dict(zip(names, own))}. "
                  f"A pixel changes by {lost:.2f} on average.", table={"channel": names, "gate": own})


open_or_shut = (0.0, 1.0, 1.0)
explore(through_the_gates, photo=list(photos), fine=open_or_shut, middle=open_or_shut, coarse=(0.0, 1.0, 0.2),
        yellow_blue=open_or_shut, red_green=open_or_shut)

# %% [markdown] why=true
# **Why a mean, and not the number at the centre?** What should the gate of a channel that answers to fur know about a
# photo of a cat? Write a sentence before you unfold.
#
# <details><summary>Compare</summary>
#
# Whether there is fur *anywhere*, and how much. A convolution knows its window; a mean over the map is the cheapest
# number that hears every place. It forgets where, which is a strength here: the cat may sit in the corner.
# </details>

# %% [markdown] section="exercises_a"
# ## Exercises A
#
# Write, run the check, read what it says. A check that fails names the mistake when it knows it; `check.squeeze.hint()`
# gives a hint, and again the next one, up to a worked twin: the same idea on another task. Further down,
# `check.squeeze.carry_on(squeeze)` takes your function if it passes, else ours, so that you can always go on.

# %% [markdown] exercise_text="squeeze"
# One number for each channel: the mean of its map. There may be more axes in front of the channels, or none.
#
# **The classic errors:** averaging over the channels, whose axis is in the middle; a bare reshape to (places, channels),
# which mixes them.

# %% exercise="squeeze"
def squeeze(features):
    """(..., c, y, x) in, (..., c) out."""
    ### BEGIN SOLUTION
    return features.mean(dim=(-2, -1))
    ### END SOLUTION

# %% check="squeeze"
check.squeeze(squeeze)

# %% [markdown] exercise_text="excite"
# From the summary to the gates: the second formula above. `down` is $W_1$, (hidden, c); `up` is $W_2$, (c, hidden). No
# biases here.
#
# **The classic errors:** a softmax, so that channels compete; no sigmoid at all; forgetting the ReLU in the middle, or
# adding a second one at the end, after which no gate is below a half.

# %% exercise="excite"
def excite(summary, down, up):
    """(..., c), (hidden, c), (c, hidden) in; gates (..., c) out, each between 0 and 1."""
    ### BEGIN SOLUTION
    return ((summary @ down.mT).relu() @ up.mT).sigmoid()
    ### END SOLUTION

# %% check="excite"
check.excite(excite)

# %% [markdown] section="look_inside"
# ## Look inside
#
# Your two functions on the photos, with matrices fresh from the random numbers that torch would draw for two layers.

# %% role="predict"
check.predict("fresh_gate")

# %% role="experiment"
my_squeeze, my_excite = check.squeeze.carry_on(squeeze), check.excite.carry_on(excite)
down, up = nn.Linear(64, 4).weight.detach(), nn.Linear(4, 64).weight.detach()
gates = my_excite(my_squeeze(torch.randn(50, 64, 8, 9).relu()), down, up)
print(f"a fresh gate: {gates.mean():.3f} on average, from {gates.min():.2f} to {gates.max():.2f}")
print(f"between inputs it moves by {gates.std(dim=0).mean():.4f}")
print(f"sixteen such layers in a row, without a shortcut: times {0.5**16:.1e}")
check.outcome("fresh_gate")

# %% [markdown]
# Now gates with a will of their own. The squeeze takes how loud the five channels of each photo are; one hidden unit
# listens for much fine detail, one for little. Each photo gets the gates that its own summary asks for. The black line is
# the mean of the five. Arrow keys up and down change the photo, left and right go along the channels.

# %% role="interactive"
summary = my_squeeze(parts.abs().mean(dim=2))  # (photos, 5): how loud each channel is
standard = (summary - summary.mean(dim=0)) / summary.std(dim=0)  # against what is usual
listen = torch.tensor([[1.5, 0.0, 0.0, 0.0, 0.0], [-1.5, 0.0, 0.0, 0.0, 0.0]])  # much fine detail; little
act = torch.tensor([[2.0, -2.0], [1.0, -1.0], [-2.0, 2.0], [0.0, 0.0], [0.0, 0.0]])
record = AttentionRecord.gate(my_excite(standard, listen, act), items=list(photos), labels=names)
most, least = (list(photos)[i] for i in (summary[:, 0].argmax(), summary[:, 0].argmin()))
gate(record, images=[photo.pixels for photo in photos.values()], query=most,
     title=f'The same two matrices open "fine" for the {most} and shut it for the {least}')

# %% [markdown] why=true
# **Why two matrices with a bottleneck, and not one of c by c?** Count the numbers for 2,048 channels.
#
# <details><summary>Compare</summary>
#
# One square matrix has over four million numbers, for each block. Two with reduction 16 have an eighth of that. And the
# ReLU between them lets a gate depend on *combinations*: open only if one of two is loud and not both. One matrix and a
# sigmoid cannot.
# </details>

# %% [markdown] section="exercises_b"
# ## Exercises B
#
# A layer, a count, and a hunt.

# %% [markdown] exercise_text="SqueezeExcitation"
# Make it a layer. Two linear layers, `down` from `channels` to `channels // reduction` (never below 1) and `up` back, both
# with a bias if `bias` is true. Features (b, c, y, x) in, gated features of the same shape out.
#
# **The classic errors:** a hidden width of 0 for narrow layers; multiplying (b, c, y, x) with (b, c) without two more
# axes; forgetting to hand `bias` on. The check loads its own weights, so names and sizes count.

# %% exercise="SqueezeExcitation"
class SqueezeExcitation(nn.Module):
    """Features (b, c, y, x) in, the same shape out, each channel times its gate."""

    def __init__(self, channels, reduction=16, bias=True):
        super().__init__()
        ### BEGIN SOLUTION
        hidden = max(1, channels // reduction)
        self.down = nn.Linear(channels, hidden, bias=bias)
        self.up = nn.Linear(hidden, channels, bias=bias)
        ### END SOLUTION

    def forward(self, features):
        ### BEGIN SOLUTION
        summary = features.mean(dim=(-2, -1))
        gates = self.up(self.down(summary).relu()).sigmoid()
        return features * gates[..., None, None]
        ### END SOLUTION

# %% check="SqueezeExcitation"
check.SqueezeExcitation(SqueezeExcitation)

# %% [markdown] exercise_text="se_parameters"
# Count before you build. How many parameters has one layer of so many channels? `channels` is a tensor of integers, one
# for each layer you are asked about; return as many integers. The hidden layer has at least one unit, as in yours; on a tensor
# that is `.clamp(min=1)`.
#
# **The classic errors:** one matrix for two; both biases as wide as the channels; a float from `/`.

# %% exercise="se_parameters"
def se_parameters(channels, reduction, bias=True):
    """Integers (stages,) in, integers (stages,) out: the parameters of one layer for each width."""
    ### BEGIN SOLUTION
    hidden = (channels // reduction).clamp(min=1)
    biases = hidden + channels if bias else 0
    return 2 * channels * hidden + biases
    ### END SOLUTION

# %% check="se_parameters"
check.se_parameters(se_parameters)

# %% role="experiment"
from attnlab.reference.counting import multiply_accumulates, parameter_count
from attnlab.reference.resnet import ResNet

# ResNet-50: four stages of blocks. On the device "meta" a network has shapes and no numbers: building costs nothing.
my_count = check.se_parameters.carry_on(se_parameters)
widths, blocks = torch.tensor([256, 512, 1024, 2048]), torch.tensor([3, 4, 6, 3])
MyGate = check.SqueezeExcitation.carry_on(SqueezeExcitation)
with torch.device("meta"):
    resnet, se_resnet = ResNet(50), ResNet(50, gate=MyGate)
    without_bias = ResNet(50, gate=lambda c: MyGate(c, bias=False))
    without_last = ResNet(50, gate=MyGate, stages=(0, 1, 2))
extra = blocks * my_count(widths, 16)
print(f"ResNet-50 {parameter_count(resnet):,}; extra for each stage {extra.tolist()}")
print(f"SE-ResNet-50: counted {parameter_count(resnet) + int(extra.sum()):,}, built {parameter_count(se_resnet):,}")
print(f"without biases {parameter_count(without_bias):,}; without the last stage's gates {parameter_count(without_last):,}")
assert parameter_count(se_resnet) == parameter_count(resnet) + int(extra.sum()) == 28_088_024

# %% [markdown]
# ### Bug hunt: what does the gate know?
#
# Two libraries had a layer of this name in which the mean never arrived. One made the pooling in its constructor and
# never called it (xiaolai-sqlai/mobilenetv3, issue 12, 2019). In the other the mean was overwritten on the next line
# (DeepDanbooru, issue 55, 2022, repaired a day later). In both, a gate was computed at *every place*. Nothing crashed: the
# shapes fit. Here is our rewriting of such a layer; look at what it multiplies one channel by:

# %% role="experiment"
class NeverSqueezed(MyGate):  # the same two layers, run at every place
    def forward(self, features):
        gates = self.up(self.down(features.movedim(-3, -1)).relu()).sigmoid()  # (b, y, x, c)
        return features * gates.movedim(-1, -3)


some = torch.randn(1, 8, 3, 4)
for layer in (MyGate(8, 2), NeverSqueezed(8, 2)):
    ratios = (layer(some) / some).detach().numpy()
    print(type(layer).__name__, "multiplies channel 0 by", ratios[0, 0].round(3), sep="\n")

# %% [markdown] exercise_text="one_gate_a_channel"
# We state a law. Write a function that takes a layer, such as yours, and returns `True` if it multiplies every channel of
# every picture by **one** number, the same in all places of the map; `False` if not. The layers that you will be handed
# take features (b, c, y, x) of any size.
#
# It should say no to a gate that pools over the channels, or over y alone, too. And it should not ask anything else:
# a softmax in the gate is another mistake, for another law.
#
# **The classic error in a law:** inputs that cannot tell right from wrong. In a map of one place, or one that is the same
# all over, every gate looks right. And 0 divided by 0 is NaN, which equals nothing.

# %% exercise="one_gate_a_channel"
def one_gate_a_channel(layer):
    """True if `layer` (b, c, y, x) -> (b, c, y, x) has one gate for each channel of each picture."""
    ### BEGIN SOLUTION
    features = torch.randn(2, 6, 5, 4)
    ratios = layer(features) / features
    spread = ratios.amax(dim=(-2, -1)) - ratios.amin(dim=(-2, -1))
    return bool((spread < 1e-3).all())
    ### END SOLUTION

# %% check="one_gate_a_channel"
check.one_gate_a_channel(one_gate_a_channel)

# %% [markdown] section="experiment"
# ## Experiment 1: the lamp, again
#
# First, what is wrong with a network of small windows. Take the trained network of the puzzle, switch the lamp on and off
# in a thousand pictures, and look at how its ten scores change.

# %% role="predict"
check.predict("additive")

# %% role="experiment"
@torch.no_grad()
def effect_of_the_lamp(network):  # (pictures, 10): the scores with the lamp on minus those with it off
    on, off = tests.clone(), tests.clone()
    on[:, 2, :8], off[:, 2, :8] = 6.0, 0.0
    return network(on) - network(off)


effect = effect_of_the_lamp(plain[0][0])
print("mean effect on the ten scores:", effect.mean(dim=0).numpy().round(2))
print(f"largest difference between two pictures: {(effect.amax(dim=0) - effect.amin(dim=0)).max():.0e}")
check.outcome("additive")

# %% [markdown] why=true
# **Why can it read at most 75 of 100 pictures in which the two digits differ?** Take a picture with an orange 3 and a blue 7,
# and the one with the inks exchanged, each with the lamp on and off: four questions. The lamp adds the same to the
# scores in each.
#
# <details><summary>Compare</summary>
#
# Let $d$ be what the lamp adds to the score of 3, less what it adds to that of 7. In the first picture the answer must go
# from 7 (off) to 3 (on): only with $d > 0$. In the second from 3 to 7: only with $d < 0$. Not both, so at least one of the
# four answers is wrong. That holds for any network whose every feature sees lamp or digits and never both, with a
# linear layer at the end: without a gate, with a fixed gate, with a gate that was never squeezed. More training cannot
# help, and guessing between the two digits gives about a half. A gate that knows the whole map multiplies, and breaks the argument.
# </details>

# %% role="experiment"
class FixedGate(nn.Module):  # learnt, and the same for every picture
    def __init__(self, channels):
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, features):
        return features * self.scores.sigmoid()


read["fixed gate"] = over_seeds(lambda seed: learn_lamps(FixedGate, seed)[1])
print("a learnt gate that never looks:", read["fixed gate"], "(mean ± standard deviation of three seeds)")

# %% role="experiment"
read["never squeezed"] = over_seeds(lambda seed: learn_lamps(lambda c: NeverSqueezed(c, 2), seed)[1])
print("never squeezed:", read["never squeezed"])

# %% role="experiment"
trained = [learn_lamps(lambda c: MyGate(c, 2), seed) for seed in SEEDS]
read["squeeze and excitation"] = Spread(tuple(right for _, right in trained))
effect = effect_of_the_lamp(trained[0][0])
print("squeeze and excitation:", read["squeeze and excitation"])
print(f"the lamp's effect now differs between pictures by {(effect.amax(dim=0) - effect.amin(dim=0)).max():.0f}")

# %% role="figure"
pic = bars({name: spread.values for name, spread in read.items()}, "pictures read rightly, of 100",
           "Only a gate that knows the whole picture can obey the lamp")
pic.axes[0].axvline(75, color="#542788", ls=":")
pic.axes[0].text(75, -0.55, "limit for digits that differ ", ha="right", va="bottom", fontsize=8, color="#542788")
pic.axes[0].set_ylim(3.5, -0.9)
figure(
    pic,
    alt="Pictures read rightly of 100, mean and spread of three seeds: "
    + "; ".join(f"{name} {spread}" for name, spread in read.items()) + ".",
    table={"gate": list(read), "mean": [s.mean for s in read.values()], "deviation": [s.deviation for s in read.values()],
           "seeds": [", ".join(f"{v:.0f}" for v in s.values) for s in read.values()]},
)

# %% role="interactive"
network = trained[0][0]  # `capture` watches a network run, and keeps every gate that it computes
chosen = torch.cat([(lamps == 1).nonzero()[:4, 0], (lamps == 0).nonzero()[:4, 0]])
loudness = network[0].weight.detach().square().sum(dim=(-2, -1))  # (16, 3): what a channel listens to
listens = [f"{'OBL'[most]}{i}" for i, most in enumerate(loudness.argmax(dim=1).tolist())]
items = [f"lamp {state} {i}" for state in ("on", "off") for i in range(1, 5)]
record = capture(network, tests[chosen]).record(query_labels=items, key_labels=listens)
o, b = ([i for i, name in enumerate(listens) if name[0] == colour] for colour in "OB")
on, off = record.weights[0, 0, :4].mean(axis=0), record.weights[0, 0, 4:].mean(axis=0)
gate(record, images=list(coloured[chosen].numpy()), query=0, title="Gates of channels that listen to "
     f"orange (O) and blue (B): lamp on {on[o].mean():.2f} and {on[b].mean():.2f}, off {off[o].mean():.2f} and {off[b].mean():.2f}")

# %% [markdown]
# The bug of the hunt has every parameter of the right layer, and learns nothing of the lamp. Go up and down through the
# pictures above: the lamp changes what is open.
#
# ## Experiment 2: where it does nothing
#
# The same gates in an ordinary task: the handwritten digits, no lamp. Three convolutions with a gate after each,
# three seeds, against the same network without.

# %% role="predict"
check.predict("digits_gain")

# %% role="experiment"
def digit_network(gate_for, width=24):
    sizes = [(1, 1), (width, 2), (width, 2)]  # channels that come in, stride
    steps = [(nn.Conv2d(c, width, 3, padding=1, stride=s), nn.ReLU(), gate_for(width)) for c, s in sizes]
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10)
    return nn.Sequential(*(layer for step in steps for layer in step), *head)


def learn_digits(gate_for, seed):
    def loss(network, generator):
        chosen = torch.randint(1200, (32,), generator=generator)
        return F.cross_entropy(network(ink[chosen, None]), labels[chosen])

    def right(network):
        return 100 * (network(ink[1200:, None]).argmax(dim=1) == labels[1200:]).float().mean()

    network = built(seed, lambda: digit_network(gate_for))
    return network, train(network, loss, 250, learning_rate=1e-2, seed=seed, watch=right).watched[-1]


without = over_seeds(lambda seed: learn_digits(nn.Identity, seed)[1])
print("without gates, digits of 100 read rightly:", without)

# %% role="experiment"
readers = [learn_digits(lambda c: MyGate(c, 4), seed) for seed in SEEDS]
gated = Spread(tuple(right for _, right in readers))
print(f"without gates {without}, with gates {gated}: {gated.mean - without.mean:+.1f} points")
check.outcome("digits_gain")

# %% [markdown]
# Published beside it, on ImageNet (a million photos, a thousand classes): ResNet-50 has 24.80 % top-1 error, SE-ResNet-50
# 23.29 % (in the later tables, of another training, 23.30 without and 22.28 with). A gain of one and a half points, for a network over two thousand times as large as ours. **Do not expect a
# gain from a small task that does not need a look at the whole.**
#
# The gates learn something all the same. The paper compared classes: gates of early layers are much the same for all
# classes, late ones differ. Is that so in our small network?

# %% role="predict"
check.predict("early_late")

# %% role="experiment"
def gates_by_class(network):  # (layer, class, channel): the mean gate of each class of the test digits
    gates = torch.tensor(capture(network, ink[1200:, None]).record(kind="gate").weights[:, 0])
    return torch.stack([gates[:, labels[1200:] == digit].mean(dim=1) for digit in range(10)], dim=1)


by_class = [gates_by_class(network) for network, _ in readers]
differ = torch.stack([gates.std(dim=1).mean(dim=-1) for gates in by_class])  # (seed, layer)
print("how far gates differ between classes; rows: seeds, columns: layers 1 to 3")
print("\n".join("  ".join(f"{x:.1e}" for x in row) for row in differ.tolist()))
check.outcome("early_late")

# %% role="figure"
ratio = differ[:, 2] / differ[:, :2].amax(dim=1)
panels = {"how far gates differ between classes": {"three seeds": differ.clamp(min=1e-4)}}
pic = runs([1, 2, 3], panels, "gate of layer", "Early gates are the same for every digit, late ones are not", "log")
pic.axes[0].set_xticks([1, 2, 3])
said = f"How far gates differ between the ten digits. In every seed layer 3 is at least {ratio.min():.0f} times the others."
figure(pic, alt=said, table={"layer": [1, 2, 3]} | {f"seed {s}": differ[s].tolist() for s in SEEDS})

# %% role="interactive"
best = int(differ[:, 2].argmax())  # the network whose last gates differ most
record = AttentionRecord.gate(by_class[best], items=[f"digit {d}" for d in range(10)], source=["layer 1", "layer 2", "layer 3"])
examples = [ink[1200:][labels[1200:] == digit][0].numpy() for digit in range(10)]
last = by_class[best][2]
channel = int((last.amax(dim=0) - last.amin(dim=0)).argmax())
opens, shuts = int(last[:, channel].argmax()), int(last[:, channel].argmin())
gate(record, images=examples, query=opens, layer=2, title=f"Layer 3, channel {channel}: open {last[opens, channel]:.2f} "
     f"for a {opens}, {last[shuts, channel]:.2f} for a {shuts}")

# %% [markdown]
# Page up and page down change the layer, arrows up and down the digit. Where a seed lies at the lower edge of the curve, 0.0001
# or less, the first layer's hidden units are off for every picture: its gate has died and is a fixed gate now. Nobody
# would notice from the accuracy.
#
# **Two cautions.** These are means of gates, and say where features were turned up, not what decided. And the paper's third
# observation, gates near 1 throughout in its very last stage, is about a deep network: three layers cannot show it.
#
# ## Experiment 3: the price
#
# Parameters you have counted: 10 % more. Now multiply-accumulates, and milliseconds for one picture on this machine. **Guess
# first:** how many per cent more multiply-accumulates?

# %% role="experiment"
with torch.device("meta"):
    image = torch.empty(1, 3, 224, 224)
    macs = [multiply_accumulates(n, image) for n in (resnet.eval(), se_resnet.eval())]
    first = [multiply_accumulates(ResNet(50, gate=g, stride_in_first=True).eval(), image) for g in (None, MyGate)]
print(f"multiply-accumulates: {macs[0] / 1e9:.3f} and {macs[1] / 1e9:.3f} billion, {macs[1] / macs[0] - 1:.3%} more")
print(f"with the stride in the first convolution, as in the paper: {first[0] / 1e9:.3f} and {first[1] / 1e9:.3f}")

# %% role="experiment"
networks = {"ResNet-18": ResNet(18).eval(), "with your gates": ResNet(18, gate=MyGate).eval()}
milliseconds = {name: [] for name in networks}
with torch.no_grad():
    for _ in range(6):  # in turns, so that both meet the same machine
        for name, network in networks.items():
            start = time.perf_counter()
            network(torch.zeros(1, 3, 128, 128))
            milliseconds[name].append(1e3 * (time.perf_counter() - start))
quick = [min(times) for times in milliseconds.values()]
print(" and ".join(f"{name} {ms:.1f} ms" for name, ms in zip(networks, quick)))
print(f"{quick[1] / quick[0] - 1:+.0%} time for {macs[1] / macs[0] - 1:+.2%} multiplications")

# %% [markdown]
# A count is not a time: pooling and scaling walk over every map and multiply nothing that is counted. The published
# trade by reduction (SE paper, Table 10, top-1 error):
#
# | reduction | 2 | 4 | 8 | 16 | 32 | no gates |
# |---|---|---|---|---|---|---|
# | error, % | 22.29 | 22.25 | 22.26 | 22.28 | 22.72 | 23.30 |
# | parameters, millions | 45.7 | 35.7 | 30.7 | 28.1 | 26.9 | 25.6 |
#
# The parameters are as printed there; counted exactly, some are 0.1 less. (Both "no gates" errors, here and above, are
# published: different trainings.)

# %% [markdown] section="quiz"
# ## Quiz
#
# Six questions. Every choice has an answer, the wrong ones too.

# %% role="quiz"
check.quiz()

# %% [markdown] section="stretch"
# ## Stretch
#
# Take more when you have time: about 30 minutes, 18 for two exercises and the rest for tasks without a check.

# %% [markdown] exercise_text="se_overhead"
# The bill for a whole network, stage by stage: parameters (with biases) and multiply-accumulates of one picture. Return
# both, in this order.
#
# **The classic errors:** counting a multiplication and an addition as two; adding the biases to the products.

# %% exercise="se_overhead"
def se_overhead(channels, blocks, reduction):
    """Integers (stages,) twice and the reduction in; parameters (stages,), multiply-accumulates (stages,) out."""
    ### BEGIN SOLUTION
    hidden = (channels // reduction).clamp(min=1)
    products = 2 * channels * hidden
    return blocks * (products + hidden + channels), blocks * products
    ### END SOLUTION

# %% check="se_overhead"
check.se_overhead(se_overhead)

# %% role="experiment"
my_bill = check.se_overhead.carry_on(se_overhead)
for reduction in (2, 4, 8, 16, 32):
    parameters, products = my_bill(widths, blocks, reduction)
    share = products.sum() / macs[0]
    print(f"reduction {reduction:>2}: {int(parameters.sum()):>10,} parameters more, {share:.3%} more multiply-accumulates")

# %% [markdown] exercise_text="spatial_squeeze_excite"
# Turn it round: squeeze the channels, gate the places. One weight for each channel; a place's score is the weighed sum of
# its channels, its gate the sigmoid. Return `(output, gates)`.
#
# **The classic error:** a softmax over places. That is attention; a gate looks at each place alone.

# %% exercise="spatial_squeeze_excite"
def spatial_squeeze_excite(features, weight):
    """(..., c, y, x) and (c,) in; output (..., c, y, x) and gates (..., y, x) out."""
    ### BEGIN SOLUTION
    gates = (features * weight[:, None, None]).sum(dim=-3).sigmoid()
    return features * gates[..., None, :, :], gates
    ### END SOLUTION

# %% check="spatial_squeeze_excite"
check.spatial_squeeze_excite(spatial_squeeze_excite)

# %% [markdown]
# Three more without a check. `attnlab.reference` has the two gates side by side (`concurrent_squeeze_excitation.py`) and a
# cheap relative with a handful of parameters (`efficient_channel_attention.py`).
#
# - Put your spatial gate into the lamp's network. Which side of the 75 does it end on, and why?
# - Dim the lamp: `brightness=1` in `draw_lamps`, 300 steps, twice the learning rate, six seeds. When we tried, two of the
#   six stayed near 50. Look at the hidden units of such a gate.
# - Replace the gates of a trained digit network by their mean over all pictures. How many points does that cost?

# %% [markdown] section="sources"
# ## Sources
#
# - Hu et al. 2018 (CVPR; with more tables 2020 in TPAMI), *Squeeze-and-Excitation Networks*: the three steps; Table 2,
#   top-1 error 24.80 and 23.29 %; Table 10, reductions; ablations (max 22.57, ReLU gate 23.47, tanh 23.00, without the
#   squeeze 22.93, against 22.28); gates by class. Its FLOPs are multiply-accumulates, with the stride in the first
#   convolution.
# - Roy et al. 2018, *Concurrent Spatial and Channel Squeeze & Excitation*: the gate over places, and both added.
# - Wang et al. 2020, *ECA-Net*: a convolution along the channels in place of two layers.
# - Bugs: xiaolai-sqlai/mobilenetv3 issue 12 (2019); KichangKim/DeepDanbooru issue 55 (2022); braindecode pull request 955
#   (2026, the reduction taken for the width).
# - Digits: Alpaydin and Kaynak 1998, UCI, CC BY 4.0. Photos: see above and `attnlab/data/ORIGIN.md`.
#
# Next: lesson 03 gates channels, then places.
