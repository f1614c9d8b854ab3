# %% [markdown] section="card"
# # 03 · CBAM
#
# A gate over channels says *what* matters in a picture, never *where*. CBAM puts a second gate behind it, over places.
# You build both, put them together, look at the maps that they draw on photographs, and learn the most useful habit of the
# whole course: never to read a map without a control beside it.
#
# At the end you can write CBAM, say how the copies of it in the wild depart from the paper, and score a map.
#
# {{card}}
#
# Planned for 90 minutes, and 30 more for the stretch. You need lesson 02 (a gate over channels) and some torch: `mean` and
# `amax` over chosen axes, `conv2d`.

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from attnlab.capture import capture
from attnlab.checks.cbam import check
from attnlab.data import load_digits, load_photos
from attnlab.training import SEEDS, built, measured, over_seeds, train
from attnlab.viz import AttentionRecord, bars, explore, figure, gate, overlay, runs

torch.set_num_threads(1)  # small tensors: one thread is fastest, and steady
torch.manual_seed(3)
print("torch", torch.__version__)

# %% [markdown] section="recall"
# ## Recall
#
# Three questions from earlier lessons, without looking back.

# %% role="recall"
check.recall()

# %% [markdown] section="puzzle"
# ## Puzzle: where is the rocket?
#
# Lesson 02 sums up every channel by its mean and computes gates from these means. Below are a photograph and the same
# photograph with all its places shuffled. Write into `gates` whatever function of the means you like, and try to make it
# tell the two apart, or say where the rocket stands. You cannot break anything, and you are not expected to win.

# %% role="experiment"
photos = load_photos()
pixels = torch.stack([torch.tensor(photo.pixels) for photo in photos.values()]).permute(0, 3, 1, 2).float() / 255
rocket = pixels[list(photos).index("rocket")]
shuffled = rocket.flatten(1)[:, torch.randperm(96 * 144)].reshape(3, 96, 144)


def gates(means):
    return (8 * means - 3).sigmoid()


print("gates of the photograph:", [round(g, 4) for g in gates(rocket.mean(dim=(1, 2))).tolist()])
print("gates of the shuffle:   ", [round(g, 4) for g in gates(shuffled.mean(dim=(1, 2))).tolist()])

# %% role="figure"
pic, axes = plt.subplots(1, 2, figsize=(7.5, 2.9))
for ax, image, name in zip(axes, (rocket, shuffled), ("the photograph", "its places shuffled")):
    ax.imshow(image.permute(1, 2, 0))
    ax.set(title=name, xlabel="x", ylabel="y")
pic.suptitle("For a gate over channels these two are the same picture")
pic.tight_layout()
figure(pic, alt="A rocket on its pad in front of a dark sky, and the same points in random order, a grey grain. "
       "Their channel means are equal, so every function of the means gives both the same gates.",
       table={"channel": ["red", "green", "blue"], "mean": rocket.mean(dim=(1, 2)).tolist(),
              "mean, shuffled": shuffled.mean(dim=(1, 2)).tolist()})

# %% [markdown] section="intuition"
# ## Intuition: two channels by hand
#
# A map of 2 by 2 places and two channels, eight numbers:
#
# $$A = \begin{pmatrix} 0 & 2 \\ 4 & 2 \end{pmatrix}, \qquad B = \begin{pmatrix} 2 & 2 \\ 2 & 2 \end{pmatrix}$$
#
# **Work out on paper** for each *channel* its mean and its largest value. Then for each *place* the mean of its two
# channels and the larger of them.
#
# The means of A and B are equal: lesson 02 could not tell them apart. What can?

# %%
features = torch.tensor([[[0.0, 2.0], [4.0, 2.0]], [[2.0, 2.0], [2.0, 2.0]]])  # (c, y, x)
print("channels: means", features.mean(dim=(1, 2)).tolist(), " largest", features.amax(dim=(1, 2)).tolist())
print("places: means  ", features.mean(dim=0).tolist())
print("places: largest", features.amax(dim=0).tolist())

# %% [markdown] section="mechanism"
# ## Mechanism: what, then where
#
# CBAM (Woo et al. 2018) computes two gates from the features $F$, (b, c, y, x), one after the other:
#
# $$M_c(F) = \sigma\big(\text{MLP}(\text{mean}_{yx} F) + \text{MLP}(\text{max}_{yx} F)\big), \qquad F' = M_c(F)\, F$$
#
# $$M_s(F') = \sigma\big(f^{7\times 7}[\text{mean}_c F'\,;\, \text{max}_c F']\big), \qquad F'' = M_s(F')\, F'$$
#
# In the five steps that all attention shares:
#
# 1. **Project.** Sum up: each channel by two numbers, each place by two numbers.
# 2. **Score.** One MLP, $W_1\,\text{ReLU}(W_0\,\cdot)$, for both summaries of a channel; one convolution over both maps.
# 3. **Normalise.** A sigmoid: every gate stands for itself. Nothing has to sum to one.
# 4. **Mix.** Multiply. A gate only lets less through.
# 5. **Merge.** One gate after the other: the second looks at what the first has left.

# %% [markdown] why=true
# **Why a sigmoid here, where attention has a softmax?** Think of a picture with two cats, and of one without any. Write a
# sentence before you unfold.
#
# <details><summary>Compare</summary>
#
# A softmax makes places compete for one unit: two cats would get half each, and a picture without any would still have to
# give its unit to something. A sigmoid may open many places, or none. The price: a gate can stay half open everywhere and say
# nothing, and no sum gives that away.
# </details>

# %% [markdown]
# The second summary has a side to it that the formula does not show. Take features as they come out of a ReLU, with no
# content at all: random numbers, the negative ones set to zero. The map grows from 7 by 7 to 56 by 56.

# %% role="predict"
check.predict("resolution")

# %% role="figure"
sides = [7, 14, 28, 56]
noise = [torch.randn(200, side * side).relu() for side in sides]  # 200 channels without content
summaries = {"mean": [n.mean(dim=1) for n in noise], "largest value": [n.amax(dim=1) for n in noise]}
pic = runs(sides, {"summary of a channel": {name: np.stack(rows, axis=1) for name, rows in summaries.items()}},
           "side of the map", "The largest value grows with the map, the mean does not")
mean, largest = ([float(row.mean()) for row in rows] for rows in summaries.values())
figure(pic, alt=f"From a map of 7 by 7 to one of 56 by 56 the mean of a channel stays at {mean[0]:.2f}, and its largest "
       f"value grows from {largest[0]:.2f} to {largest[-1]:.2f}.", table={"side": sides, "mean": mean, "largest": largest})

# %% role="predict"
check.outcome("resolution")

# %% [markdown] section="exercises_a"
# ## Exercises A
#
# Write, run the check, read what it says. `check.channel_attention.hint()` gives a hint, and again the next one. Further
# down, `carry_on` takes your answer if it passes, else ours, so that you can always go on.

# %% [markdown] exercise_text="channel_attention"
# The gate over channels. `features` is (b, c, y, x). The MLP has no biases: `reduce` is $W_0$, (hidden, c), `expand` is
# $W_1$, (c, hidden). Return the gate as (b, c, 1, 1), so that it can multiply the features. (`amax` takes several axes at once,
# `max` does not.)
#
# **The classic errors:** a sigmoid on each of the two branches, which makes a gate between 0 and 2; and adding the summaries
# before the MLP, which the ReLU does not forgive.

# %% exercise="channel_attention"
def channel_attention(features, reduce, expand):
    """(b, c, y, x), (hidden, c), (c, hidden) in; a gate (b, c, 1, 1) out."""
    ### BEGIN SOLUTION
    def mlp(summary):
        return (summary @ reduce.mT).relu() @ expand.mT

    scores = mlp(features.mean(dim=(2, 3))) + mlp(features.amax(dim=(2, 3)))
    return scores.sigmoid()[:, :, None, None]
    ### END SOLUTION

# %% check="channel_attention"
check.channel_attention(channel_attention)

# %% [markdown] why=true
# **Why one MLP for both summaries, and not one each?** What would you have to learn twice?
#
# <details><summary>Compare</summary>
#
# Mean and largest value speak of the same channel in the same unit, so what a channel means for the others can be learnt once.
# A second MLP doubles the weights, $2c^2/r$ more for each block: about two and a half million in a ResNet-50. And on a flat
# map, where mean and maximum are equal, two MLPs could disagree about the same number.
# </details>

# %% [markdown] exercise_text="spatial_attention"
# The gate over places. Two maps, the mean over channels **first** and the maximum second; one convolution with `kernel`,
# (1, 2, side, side), side odd; a sigmoid. The map keeps its size, with zeros around it. Return (b, 1, y, x).
#
# **The classic error:** pooling over the places, out of habit. And no padding: on a map of 7 by 7, the last of a ResNet, a
# window of 7 leaves one number. It multiplies with everything, without any error message.

# %% exercise="spatial_attention"
def spatial_attention(features, kernel):
    """(b, c, y, x) and (1, 2, side, side) in; a gate (b, 1, y, x) out."""
    ### BEGIN SOLUTION
    maps = torch.stack([features.mean(dim=1), features.amax(dim=1)], dim=1)
    return F.conv2d(maps, kernel, padding=kernel.shape[-1] // 2).sigmoid()
    ### END SOLUTION

# %% check="spatial_attention"
check.spatial_attention(spatial_attention)

# %% role="interactive"
my_places = check.spatial_attention.carry_on(spatial_attention)


def window_by_hand(photo, window, mean, maximum):  # equal weights all over the window; the photograph less its mean
    features = pixels[list(photos).index(photo)][None]
    side = {"1 by 1": 1, "7 by 7": 7, "21 by 21": 21}[window]
    kernel = torch.tensor([mean, maximum])[None, :, None, None].expand(1, 2, side, side) / side**2
    values = my_places(features - features.mean(), kernel)[0, 0]
    record = AttentionRecord.gate(F.avg_pool2d(values[None, None], 3)[0, 0], over="space", items=[photo])
    return overlay(record, [photos[photo].pixels], title=f"{photo}: the window decides how wide the gate looks, {window}")


explore(window_by_hand, photo=list(photos), window=["7 by 7", "1 by 1", "21 by 21"],
        mean=(-20.0, 20.0, 10.0), maximum=(-20.0, 20.0, 0.0))

# %% [markdown] exercise_text="CBAM"
# Make it a layer: `reduce` and `expand`, two `nn.Linear` without bias, and `conv`, an `nn.Conv2d` from 2 maps to 1 without
# bias. The hidden layer has `channels // reduction` numbers. You may call your two functions with their weights. Return the
# gated features.
#
# **The classic error:** computing the second gate from the features that came in. All shapes stay right. The check loads
# its own weights under these names, so the names count.

# %% exercise="CBAM"
class CBAM(nn.Module):
    """Features (b, c, y, x) in, features of the same shape out: gated by channel, then by place."""

    def __init__(self, channels, reduction=16, kernel=7):
        super().__init__()
        ### BEGIN SOLUTION
        self.reduce = nn.Linear(channels, channels // reduction, bias=False)
        self.expand = nn.Linear(channels // reduction, channels, bias=False)
        self.conv = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)
        ### END SOLUTION

    def forward(self, features):
        ### BEGIN SOLUTION
        features = channel_attention(features, self.reduce.weight, self.expand.weight) * features
        return spatial_attention(features, self.conv.weight) * features
        ### END SOLUTION

# %% check="CBAM"
check.CBAM(CBAM)

# %% [markdown] section="look_inside"
# ## Look inside
#
# First the moment before training. A block of yours, fresh, gets random features. Which part of them comes through?

# %% role="predict"
check.predict("start")

# %% role="experiment"
from attnlab.reference.cbam_layouts import CBAMLayout, official_cbam, start_as_the_authors, timm_cbam
from attnlab.reference.counting import multiply_accumulates, parameter_count
from attnlab.reference.resnet import ResNet, conv_norm

my_cbam = check.CBAM.carry_on(CBAM)
features = torch.rand(8, 64, 9, 11)
start_as_the_authors(theirs := official_cbam(64))  # layout and start of the authors' code
theirs(features).square().sum().backward()
print(f"yours lets through {(my_cbam(64)(features) / features).mean():.3f} of a feature, on average")
print(f"the authors' gate over places at the start: {theirs.space(features).min():.2f} to {theirs.space(features).max():.2f}")
print(f"gradient at their 7 by 7 window in the first step: {theirs.space.conv.weight.grad.abs().max():.1f}")
check.outcome("start")

# %% [markdown]
# The authors' code has a batch norm behind the convolution, which the paper's formula has not, and its weight starts at 0. So
# the gate starts at one half *exactly*, everywhere, and the window learns nothing in the first step.
#
# Now a network with your block inside. It gets crops of 28 by 28 from the **upper** halves of five photographs and learns to
# say from which one. It is tested on the **lower** halves. Three seeds, a few seconds.

# %% role="experiment"
class Net(nn.Module):
    """Two convolutions, a gate, one more convolution, and the largest value of each channel decides."""

    def __init__(self, colours, classes, gate_for):
        super().__init__()
        self.eye = nn.Sequential(conv_norm(colours, 8, 5, 2), nn.ReLU(), conv_norm(8, 16, 3), nn.ReLU())
        self.gate = gate_for(16)
        self.rest = nn.Sequential(conv_norm(16, 24, 3), nn.ReLU())
        self.say = nn.Linear(24, classes)

    def forward(self, images):
        return self.say(self.rest(self.gate(self.eye(images))).amax(dim=(2, 3)))


print(f"{parameter_count(Net(3, 5, lambda c: nn.Identity())):,} parameters without a gate")

# %% role="experiment"
def crops(count, half, generator):
    """Crops (count, 3, 28, 28) out of the upper half (0) or the lower (1), and which photograph each is from."""
    which = torch.randint(5, (count,), generator=generator)
    y = torch.randint(21, (count,), generator=generator) + 48 * half
    x = torch.randint(117, (count,), generator=generator)
    rows, columns = y[:, None, None] + torch.arange(28)[:, None], x[:, None, None] + torch.arange(28)
    return pixels[which[:, None, None], :, rows, columns].permute(0, 3, 1, 2).contiguous(), which


def loss_on_crops(model, generator):
    images, which = crops(32, 0, generator)
    return F.cross_entropy(model(images), which)


lower_images, lower_which = crops(500, 1, torch.Generator().manual_seed(9))
untrained = [built(seed, lambda: Net(3, 5, lambda c: my_cbam(c, 4))) for seed in SEEDS]
trained = [built(seed, lambda: Net(3, 5, lambda c: my_cbam(c, 4))) for seed in SEEDS]


@torch.no_grad()
def gates_of(model, images):
    """The gates over channels (b, c) and over places (b, y, x), as the model computed them."""
    channels, places = capture(model.eval(), images).records()
    grid = places.key_grid
    return torch.tensor(channels.weights[0, 0]), torch.tensor(places.weights[0, 0]).reshape(len(images), grid.y, grid.x)


def learn(seed):
    train(trained[seed], loss_on_crops, steps=120, learning_rate=1e-2, seed=seed)
    return 100 * measured(trained[seed], lambda m: (m(lower_images).argmax(dim=1) == lower_which).float().mean())


print(f"right on the lower halves, in percent: {over_seeds(learn)}   (chance: 20)")

# %% [markdown]
# `capture` watches a model run and keeps what came out of a sigmoid and multiplied a feature map: both your gates. First the
# channels. Arrow keys move; up and down change the photograph.

# %% role="interactive"
by_channel, _ = gates_of(trained[0], pixels)
special = int((by_channel - by_channel.mean(dim=0)).abs().amax(dim=1).argmax())
far = float((by_channel - by_channel.mean(dim=0)).abs().max())
record = AttentionRecord.gate(by_channel, over="channel", items=list(photos))
gate(record, [photo.pixels for photo in photos.values()], query=special, sort=True,
     title=f"The {list(photos)[special]} moves the gates over channels most: up to {far:.2f} from their mean")

# %% [markdown]
# Now the places. We leave out a border of four places, where the window sees zeros beyond the edge and glows. Each map is
# stretched to its own largest value, as heat maps usually are, so read the colours as shares of that and not as gates. A box
# lies around what each photograph shows; we took the photograph and the seed whose picture is the most impressive. Look, and decide.

# %% role="interactive"
def places_of(models, images):
    """Gates over places (seed, photo, y, x)."""
    return torch.stack([gates_of(model, images)[1] for model in models])


inside = torch.stack([torch.tensor(photo.inside) for photo in photos.values()])  # the box around what each shows
whole, whole_boxes = places_of(trained, pixels), F.avg_pool2d(inside[:, None].float(), 2)[:, 0] > 0.5  # boxes at its size
maps = {"trained": whole[..., 4:-4, 4:-4], "untrained": places_of(untrained, pixels)[..., 4:-4, 4:-4]}
boxes = whole_boxes[:, 4:-4, 4:-4]
stretched = maps["trained"] / maps["trained"].amax(dim=(2, 3), keepdim=True)
in_box, outside = ((stretched * part).sum(dim=(2, 3)) / part.sum(dim=(1, 2)) for part in (boxes, ~boxes))
seed, chosen = divmod(int((in_box / outside).argmax()), 5)
pretty, times = list(photos)[chosen], in_box[seed, chosen] / outside[seed, chosen]
record = AttentionRecord.gate(stretched[seed], over="space", items=list(photos))
overlay(record, [photo.pixels[8:-8, 8:-8] for photo in photos.values()], query=pretty,
        title=f"Looks convincing: on the {pretty} the gate is {times:.1f} times as open as outside")

# %% role="predict"
check.predict("points")

# %% [markdown] section="exercises_b"
# ## Exercises B
#
# A score for maps, and a hunt.

# %% [markdown] exercise_text="above_control"
# How much of a map lies where the thing is? The share of its mass inside the box:
#
# $$\text{mass}(m) = \frac{\sum_{\text{inside}} m}{\sum m}, \qquad
# \text{score} = \text{mass}(\text{gate}) - \text{mass}(\text{control})$$
#
# A gate that is 0.5 everywhere has its mass inside too: as much as the box has area. So the share alone says nothing, and we
# subtract what a **control** gets. With `control=None` that is a flat map. Maps are (..., y, x), not negative; `inside` is
# boolean, (y, x) or with a batch. Return one score for each map.
#
# **The classic error** of all reading of maps: no control.

# %% exercise="above_control"
def above_control(gate, inside, control=None):
    """Maps (..., y, x) and a box (..., y, x) in; for each map, how much more of it lies inside than of its control."""
    ### BEGIN SOLUTION
    def mass(values):
        return (values * inside).sum(dim=(-2, -1)) / values.sum(dim=(-2, -1))

    return mass(gate) - mass(torch.ones_like(gate) if control is None else control)
    ### END SOLUTION

# %% check="above_control"
check.above_control(above_control)

# %% [markdown]
# ### Bug hunt: a gate that cannot close
#
# A collection of attention blocks that many people copy from (External-Attention-pytorch) has a CBAM with two things that
# the paper has not, and does not say so: a window 49 wide, and a residual connection inside the block. Ours, rebuilt with
# these two:

# %% role="experiment"
class CopiedCBAM(nn.Module):
    """CBAM with the two departures of the copy: its window, and the input added."""

    def __init__(self, channels):
        super().__init__()
        self.gates = CBAMLayout(channels, kernel=49)

    def forward(self, features):
        return features + self.gates(features)


features = torch.rand(2, 64, 14, 14) + 0.1
factors = CopiedCBAM(64)(features) / features
print(f"factors from {factors.min():.2f} to {factors.max():.2f}; {2 * 49**2:,} weights in the window, not {2 * 7**2}")

# %% [markdown] exercise_text="only_dampens"
# A factor between 1 and 2: this gate can stress, never close. Nothing crashes, the network trains, and whoever compares with
# the paper compares with something else.
#
# So state a law. Write a function that takes any block (features in, features of the same shape out; it takes as many channels as you
# choose, three or more)
# and returns `True` if it can only let less through: no number grows, and none changes its sign.
#
# **The classic error in a law:** inputs that cannot tell right from wrong. With positive features, `output <= features` also
# holds for a block that turns signs round. And -2 that is damped becomes -1, which is *larger*.

# %% exercise="only_dampens"
def only_dampens(block):
    """True if `block(features)`, (b, c, y, x) in and out, lets every number through in part, at most whole."""
    ### BEGIN SOLUTION
    features = torch.randn(4, 8, 10, 9)
    output = block(features)
    return bool((features * output >= 0).all() and (output.abs() <= features.abs() + 1e-6).all())
    ### END SOLUTION

# %% check="only_dampens"
check.only_dampens(only_dampens)

# %% [markdown] why=true
# **A residual connection is good in a ResNet. Why is it a bug in here?** Say what the block around it does already.
#
# <details><summary>Compare</summary>
#
# The ResNet block computes x + gate(branch(x)): the shortcut runs around the gate, and a closed gate leaves x. Inside the gate
# it adds the branch once more, so that nothing can take the branch away. It may be a sensible block of its own. But then it
# needs to say that it is not CBAM.
# </details>

# %% [markdown] section="experiment"
# ## Experiment 1: the convincing map, with controls
#
# Every map below is asked the same: how much more of you lies in the box than of a flat map? The controls lack the training, the object, or both:
# the same network untrained; the trained gate on the photograph cut into tiles and shuffled; brightness; edges; and a
# blob in the middle, because photographers put things there.

# %% role="experiment"
my_score = check.above_control.carry_on(above_control)
order = torch.randperm(12 * 18, generator=torch.Generator().manual_seed(1))
tiles = F.unfold(pixels, 8, stride=8)[:, :, order]  # 216 tiles of 8 by 8, shuffled
scrambled = F.fold(tiles, (96, 144), 8, stride=8)
maps["tiles shuffled"] = places_of(trained, scrambled)[..., 4:-4, 4:-4]
grey = pixels.mean(dim=1, keepdim=True)
edges = F.pad((grey.diff(dim=2)[..., 1:].abs() + grey.diff(dim=3)[:, :, 1:].abs()), (0, 1, 0, 1))
y, x = torch.meshgrid(torch.linspace(-1, 1, 48), torch.linspace(-1, 1, 72), indexing="ij")
blob = (-2 * (y.square() + x.square())).exp().expand(5, 48, 72)
plain = {"brightness": F.avg_pool2d(grey, 2)[:, 0], "edges": F.avg_pool2d(edges, 2)[:, 0], "middle": blob}
maps |= {name: values[None, :, 4:-4, 4:-4] for name, values in plain.items()}
scores = {name: my_score(values, boxes) for name, values in maps.items()}  # (seed, photo)
means = {name: float(values.mean()) for name, values in scores.items()}
for name, values in scores.items():
    print(f"{name:>15} {means[name]:+.3f}", {photo: round(float(v), 3) for photo, v in zip(photos, values.mean(dim=0))})
print(f"  trained, with the border left in: {my_score(whole, whole_boxes).mean():+.3f}")
check.outcome("points")

# %% role="figure"
pic = bars({name: values.mean(dim=1).tolist() for name, values in scores.items()}, "share inside the box, above a flat map",
           "Plain edges point at things better than the trained gate")
pic.axes[0].axvline(0, color="black", lw=1)
figure(pic, alt="Share of each map's mass inside the box, minus the share of the area, mean of five photographs, a dot for "
       "each seed: " + ", ".join(f"{name} {value:+.3f}" for name, value in means.items()) + ".",
       table={"map": list(means), "mean": list(means.values()),
              "lowest seed": [float(v.mean(dim=1).min()) for v in scores.values()],
              "highest seed": [float(v.mean(dim=1).max()) for v in scores.values()]})

# %% role="interactive"
def look_again(photo, map, seed):
    i = list(photos).index(photo)
    values = maps[map][min(seed, len(maps[map]) - 1), i]
    score = float(my_score(values, boxes[i]))
    pic, axes = plt.subplots(1, 2, figsize=(9, 3.2))
    axes[0].imshow(photos[photo].pixels[8:-8, 8:-8])
    shown = axes[1].imshow(values, cmap="cividis", vmin=0)
    rows, columns = boxes[i].any(dim=1).nonzero(), boxes[i].any(dim=0).nonzero()
    corner, size = (int(columns[0]), int(rows[0])), (len(columns), len(rows))
    for ax, scale in zip(axes, (2, 1)):
        ax.add_patch(plt.Rectangle([scale * c for c in corner], *(scale * s for s in size), fill=False, ec="#d6604d", lw=2))
        ax.set(xlabel="x", ylabel="y")
    pic.colorbar(shown, ax=axes[1])
    pic.suptitle(f"{map}, {photo}: {score:+.3f} {'above' if score > 0 else 'not above'} a flat map")
    rivals = {name: float(my_score(m[:, i], boxes[i]).mean()) for name, m in maps.items()}
    return figure(pic, alt=f"The photograph {photo} with its box, and beside it the map {map}: its share inside the box is "
                  f"{score:+.3f} above that of a flat map.",
                  table={"map": list(rivals), f"{photo}, above a flat map": list(rivals.values())})


explore(look_again, photo=[pretty, *(other for other in photos if other != pretty)], map=list(maps), seed=(0, 2, seed))

# %% [markdown]
# The impressive picture is no invention; in its seed it may even beat the edges. But over all photographs and seeds the gate is a
# little above a flat map, in one seed next to nothing; edges and a blob in the middle, which know nothing of the task, do better. Leave the border in,
# and the same gates fall *below* the flat map. **A conclusion that hangs on such a choice is not one yet.** Five photographs
# and three small networks are enough to refute, not to rank. And it is no proof that the gate is useless: nobody asked it to
# find things.
#
# **What to keep:** of all maps, seeds and photographs one will look right. Choose the control before you look.
#
# ## Experiment 2: order and cost, among clutter
#
# Digits at a random place on a canvas of 24 by 24, among scraps of other digits. Which digit is it? The network from above, with
# no gate, with channels alone, and with CBAM in three orders. Test digits are by other writers than the training digits.

# %% role="experiment"
digits, digit_labels = (torch.tensor(array) for array in load_digits())


def paste(canvas, patches):
    """Each patch at a random place of its canvas; returns the corners."""
    side, item = patches.shape[-1], torch.arange(len(patches))[:, None, None]
    y, x = torch.randint(25 - side, (2, len(patches), 1, 1), generator=draw)
    canvas[item, y + torch.arange(side)[:, None], x + torch.arange(side)] = patches
    return y, x


def cluttered(count, first, last):
    """Canvases (count, 1, 24, 24), labels, and where the digit is (count, 24, 24)."""
    canvas, where = torch.zeros(count, 24, 24), torch.zeros(count, 24, 24, dtype=torch.bool)
    for _ in range(6):
        scraps = digits[torch.randint(first, last, (count,), generator=draw), 2:6, 2:6] / 16
        paste(canvas, scraps)
    which = torch.randint(first, last, (count,), generator=draw)
    y, x = paste(canvas, digits[which] / 16)
    rows, columns = torch.arange(24)[:, None] - y, torch.arange(24) - x
    where |= (rows >= 0) & (rows < 8) & (columns >= 0) & (columns < 8)
    return canvas[:, None], digit_labels[which].long(), where


draw = torch.Generator().manual_seed(3)
canvases, labels, _ = cluttered(4000, 0, 1400)
test_canvases, test_labels, test_boxes = cluttered(600, 1400, 1797)
print("train", tuple(canvases.shape), "test", tuple(test_canvases.shape))

# %% role="experiment"
STEPS, models, accuracy, cost = 170, {}, {}, {}


def loss_on_canvases(model, generator):
    some = torch.randint(len(canvases), (32,), generator=generator)
    return F.cross_entropy(model(canvases[some]), labels[some])


def right_on_test(model):
    return 100 * (model(test_canvases).argmax(dim=1) == test_labels).float().mean()


def study(order):
    """Train three seeds with the gates in this order; keep accuracy, cost and models."""
    def run(seed):
        gates = (lambda c: nn.Identity()) if order == "none" else (lambda c: CBAMLayout(c, 4, order=order))
        models[order, seed] = built(seed, lambda: Net(1, 10, gates))
        start = time.process_time()
        train(models[order, seed], loss_on_canvases, STEPS, learning_rate=1e-2, seed=seed)
        cost[order] = min(cost.get(order, 1e9), 1e3 * (time.process_time() - start) / STEPS)
        return measured(models[order, seed], right_on_test)

    accuracy[order] = over_seeds(run)
    print(f"{order:>15}: {accuracy[order]} % right, {cost[order]:.1f} ms a step")


check.predict("order")

# %% role="experiment"
study("none")

# %% role="experiment"
study("channel")

# %% role="experiment"
study("channel, space")

# %% role="experiment"
study("space, channel")

# %% role="experiment"
study("parallel")
check.outcome("order")

# %% role="figure"
names = {"none": "no gate", "channel": "channels alone", "channel, space": "channels, then places (CBAM)",
         "space, channel": "places, then channels", "parallel": "both at once"}
apart = max(s.mean for s in accuracy.values()) - min(s.mean for s in accuracy.values())
seeds_apart = max(max(s.values) - min(s.values) for s in accuracy.values())
finding = f"Designs lie {apart:.1f} points apart, seeds of one design up to {seeds_apart:.1f}"
pic = bars({names[order]: s.values for order, s in accuracy.items()}, "right on test canvases, percent", finding, chance=10)
dearer = cost["channel, space"] / cost["none"]
counted = [multiply_accumulates(models[order, 0], test_canvases[:1]) for order in ("channel, space", "none")]
print(f"A step with CBAM takes {dearer:.2f} times as long as without a gate; counted: {counted[0] / counted[1]:.2f} times.")
figure(pic, alt="Percent right for five designs, mean of three seeds: "
       + ", ".join(f"{names[o]} {s.mean:.1f}" for o, s in accuracy.items()) + f". A step with CBAM costs {dearer:.2f} times.",
       table={"design": list(names.values()), "mean": [s.mean for s in accuracy.values()],
              "deviation": [s.deviation for s in accuracy.values()], "ms a step": list(cost.values())})

# %% [markdown]
# The paper reports, on ImageNet, that one gate after the other beats both at once, and that channels first is slightly
# better. At our size such differences drown in the seeds, and so does that no gate at all stands first: **we cannot confirm it, and cannot refute it.** What does show is
# the cost, measured and counted: the clock sees many small operations, each with its overhead, and the count does not.
# (On ImageNet the authors' readme gives 77.622 % top-1 for a ResNet-50 with CBAM. timm warns that its version is
# experimental and that results were mixed.)
#
# Did the gate find the digit here? Same score, two controls: a flat map, and the ink of the canvas.

# %% role="experiment"
small_boxes, ink = F.avg_pool2d(test_boxes[:, None].float(), 2)[:, 0] > 0.5, F.avg_pool2d(test_canvases, 2)[:, 0]


def gate_above(control):
    def run(seed):
        _, places = gates_of(models["channel, space", seed], test_canvases)
        return my_score(places, small_boxes, control).mean()
    return over_seeds(run)


print(f"share of the gate in the digit's box, above a flat map: {gate_above(None)}")
print(f"                                       above the ink:  {gate_above(ink)}")

# %% [markdown]
# A little more than a flat map, and far less than the ink itself: as with the photographs.
#
# ## Experiment 3: the same weights in another layout
#
# The authors' code stacks (max, mean); the paper and timm stack (mean, max). For training that makes no difference. Now
# take the networks that you trained, and load their weights into the other layout.

# %% role="predict"
check.predict("swapped")

# %% role="experiment"
others = []
for seed in SEEDS:
    others.append(Net(1, 10, lambda c: CBAMLayout(c, 4, max_first=True)).eval())
    others[seed].load_state_dict(models["channel, space", seed].state_dict())  # no complaint: all shapes agree


def gates_moved(seed):
    before, after = (gates_of(m, test_canvases)[1] for m in (models["channel, space", seed], others[seed]))
    return (before - after).abs().mean()


print(f"gates over places move by {over_seeds(gates_moved)}, on average")
print(f"right as trained: {accuracy['channel, space']} %;  "
      f"the two maps in the other order: {over_seeds(lambda seed: measured(others[seed], right_on_test))} %")
check.outcome("swapped")

# %% role="experiment"
with torch.device("meta"):  # sizes without numbers
    image = torch.empty(1, 3, 224, 224)
    for name, made in {"no gate": None, "authors' layout": official_cbam, "timm's layout": timm_cbam}.items():
        network = ResNet(50, gate=made).eval()
        macs = multiply_accumulates(network, image)
        print(f"ResNet-50, {name:>15}: {parameter_count(network):,} parameters, {macs / 1e9:.3f} G multiply-accumulates")

# %% [markdown] section="quiz"
# ## Quiz
#
# Six questions. Every choice has an answer, the wrong ones too.

# %% role="quiz"
check.quiz()

# %% [markdown] section="stretch"
# ## Stretch
#
# Take more when you have time: 15 minutes for the exercise, the rest for two tasks without a check.

# %% [markdown] exercise_text="coordinate_attention"
# A place is a row and a column. Coordinate attention (Hou et al. 2021) gives each channel a gate for its rows and one for its
# columns. Average over x: (b, c, y). Average over y: (b, c, x). Join both along the last axis, `shared` (hidden, c), h-swish
# (`F.hardswish`), split again, `to_rows` and `to_columns` (c, hidden), sigmoid. Return the gates as (b, c, y, 1) and
# (b, c, 1, x).
#
# **The classic error:** the mean over y makes the *columns*, and is easily taken for the rows. (We wrote the formula from
# memory; the authors' batch norm and biases are left out.)

# %% exercise="coordinate_attention"
def coordinate_attention(features, shared, to_rows, to_columns):
    """(b, c, y, x), (hidden, c), (c, hidden), (c, hidden) in; gates (b, c, y, 1) and (b, c, 1, x) out."""
    ### BEGIN SOLUTION
    height = features.shape[2]
    joined = torch.cat([features.mean(dim=3), features.mean(dim=2)], dim=2)
    summary = F.hardswish(shared @ joined)
    rows, columns = to_rows @ summary[:, :, :height], to_columns @ summary[:, :, height:]
    return rows.sigmoid()[:, :, :, None], columns.sigmoid()[:, :, None, :]
    ### END SOLUTION

# %% check="coordinate_attention"
check.coordinate_attention(coordinate_attention)

# %% [markdown]
# Two more tasks without a check:
#
# - Run `study("space")`: places alone. With which control would you compare its map?
# - Make the puzzle's picture harder: move the rocket by ten places. Which of the gates in this lesson change, and which of them
#   only move along? Show it with two lines for each.

# %% [markdown] section="sources"
# ## Sources
#
# - Woo, Park, Lee, Kweon 2018, *CBAM: Convolutional Block Attention Module*, section 3: both gates, one shared MLP, the 7 by 7
#   window; that one gate after the other is better than both at once, channels first slightly better, and both summaries
#   better than one.
# - The authors' code, Jongchan/attention-module, commit 459efad: the batch norm behind the window and its start at 0, (max,
#   mean), biases; its readme: 77.622 % top-1.
# - timm's `cbam.py`: (mean, max), no biases, and its warning.
# - External-Attention-pytorch, `CBAMBlock`: the residual connection and the window of 49.
# - Hou, Zhou, Feng 2021, *Coordinate Attention for Efficient Mobile Network Design*: from memory.
# - Photographs: cat (Stéfan van der Walt, CC0), coffee (Rachel Michetti, CC0), rocket (SpaceX, public domain), flower (Flickr
#   user vultilion, CC BY 2.0), pagoda (Flickr user danielbuechele, CC BY 2.0), all shrunk. Digits: Alpaydin and Kaynak 1998, CC BY 4.0.
#
# Next: lesson 04 weighs joints and moments of an action.
