# %% [markdown] section="card"
# # 04 · Joints and frames
#
# Do we need the whole video to know what somebody does? An arm moves for half a second; the rest is kitchen. Today a skeleton
# says **where** and **when** to look, and a video's feature map says **what** is there.
#
# At the end you can weigh places and moments of a feature map by a skeleton, score a map of weights against a known truth, and
# tell an attention that looks from one that never learnt to.
#
# {{card}}
#
# Planned for 90 minutes, and 30 more for the stretch. You need lessons 00 (softmax, weighted average) and 02 and 03 (gates
# over channels and places), and some torch: `tanh`, `sigmoid`, `torch.cat`, broadcasting with `None`.

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from IPython.display import display
from torch import nn

from attnlab.checks.spatial_temporal import check
from attnlab.data.action_maps import make_action_maps
from attnlab.data.motion import MOTION_BONES, MOTION_JOINTS, load_motion, seen_from
from attnlab.data.skeletons import LIMBS, SKELETON_BONES, SKELETON_JOINTS, make_skeletons
from attnlab.training import SEEDS, Spread, built, train
from attnlab.viz import AttentionRecord, bars, explore, figure, heatmap, space_time
from attnlab.viz.skeletons import skeleton_pictures

torch.set_num_threads(1)  # small tensors: one thread is fastest, and steady
torch.manual_seed(4)
print("torch", torch.__version__)

# %% [markdown] section="recall"
# ## Recall
#
# Three questions from earlier lessons, without looking back.

# %% role="recall"
check.recall()

# %% [markdown] section="puzzle"
# ## Puzzle: what is written there?
#
# Made-up clips: in each, a person moves one limb for a moment. Beside the skeleton there is a feature map
# of the video, (t, y, x, c): 8 moments, 6 rows, 5 columns, 16 channels. Each of six classes has a pattern over the
# channels. The clip's own class is written into **one** cell, where the moving limb's end is, in the middle of the movement. A tenth
# of all other cells hold patterns too, of any class.
#
# Name the class! Below, the whole map is averaged, and compared with the mean map of each class. Change `view` to
# `amax`, or invent your own. You cannot break anything here, and you are not expected to win.

# %% role="experiment"
def clips(count, seed):
    """Skeletons and feature maps, with the truth about both, as tensors."""
    skeletons = make_skeletons(count, seed, shifts=(-0.5, 0.0, 0.5))
    maps = make_action_maps(skeletons, seed + 100, crowded=0.1)
    named = {"joints": skeletons.joints, "during": skeletons.during} | vars(maps) | {"limb": skeletons.limb}
    return {name: torch.tensor(values) for name, values in named.items()}


learn, test = clips(4000, seed=1), clips(500, seed=2)
view = torch.mean
seen, seen_later = (view(part["features"], dim=(1, 2, 3)) for part in (learn, test))
centres = torch.stack([seen[learn["label"] == k].mean(dim=0) for k in range(6)])
guessed = torch.cdist(seen_later, centres).argmin(dim=1)
print(f"from the whole map: {(guessed == test['label']).float().mean():.0%} right, chance is {1 / 6:.0%}")

# The same, if somebody shows you the cell.
cell = {name: (part["moment"][:, :, None, None] & part["place"][:, None]) for name, part in (("learn", learn), ("test", test))}
shown, shown_later = learn["features"][cell["learn"]], test["features"][cell["test"]]
centres = torch.stack([shown[learn["label"] == k].mean(dim=0) for k in range(6)])
guessed = torch.cdist(shown_later, centres).argmin(dim=1)
print(f"from the one cell:  {(guessed == test['label']).float().mean():.0%} right")

# %% role="figure"
frames, moving = test["joints"][3], test["during"][3].nonzero()[:, 0].tolist()
pictures = skeleton_pictures(frames[:, :, :2], SKELETON_BONES, left=-1.25, right=1.25, bottom=-0.05, top=1.8, height=120)
pic, axes = plt.subplots(2, 8, figsize=(11, 2.9))
for number, (ax, picture) in enumerate(zip(axes.flat, pictures)):
    ax.imshow(picture, cmap="gray", vmin=0, vmax=255)
    ax.set_title(f"frame {number}", fontsize=8)
    ax.axis("off")
limb, moment = list(LIMBS)[test["limb"][3]], int(test["moment"][3].int().argmax())
row, column = test["place"][3].nonzero()[0].tolist()
pic.suptitle(f"The {limb} swings in frames {moving[0]} to {moving[-1]}: moment {moment}, row {row}, column {column}")
figure(
    pic,
    alt=f"Sixteen frames of a stick figure that faces us. Its {limb} swings to and fro in frames {moving[0]} to {moving[-1]}, whose "
    f"middle lies in moment {moment}; in all others everything only trembles.",
    table={"moving limb": [limb], "moment": [moment], "row": [row], "column": [column]},
)

# %% [markdown] section="intuition"
# ## Intuition: two moments, three places
#
# One channel, two moments (rows), three places (columns):
#
# | | left | middle | right |
# |---|---|---|---|
# | before | 4 | 0 | 2 |
# | now | 1 | 3 | 5 |
#
# The skeleton says: *right* (weights of the places 0, 0, 1) and *now* (weights of the moments 0, 1).
#
# **Work out on paper** the sum of the table (a) under the weights of the places, (b) under those of the moments, (c) under
# both, one after the other. Which of the three is the number in the cell *right, now*? Then run the cell.

# %%
table = torch.tensor([[4.0, 0.0, 2.0], [1.0, 3.0, 5.0]])
places, moments = torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.0, 1.0])
print("(a) places: ", (table * places).sum().item())
print("(b) moments:", (table * moments[:, None]).sum().item())
print("(c) both:   ", (table * places * moments[:, None]).sum().item())

# %% [markdown] section="mechanism"
# ## Mechanism: the pose asks, the video answers
#
# The block of Das et al. 2019, five steps. (Often written m x n for our y x x. A *joint* is a joint of the body here.)
#
# 1. **Project.** A pose network sums the skeleton's movement up in one vector $h$; each head makes hidden units of it,
#    $\tanh(W_1 h + b_1)$.
# 2. **Score.** A second linear map gives one score for each place, another head one for each moment.
# 3. **Normalise.** Places by a sigmoid, moments by a softmax:
#
# $$\alpha = \sigma\big(W_2\tanh(W_1h+b_1)+b_2\big),\qquad \beta=\text{softmax}_t\big(W_4\tanh(W_3h+b_3)+b_4\big)$$
#
# 4. **Mix.** Weigh the map $g$ twice, each time as it came: $\alpha\odot g$ and $\beta\odot g$.
# 5. **Merge.** Average both over the places and over pairs of moments, and put them side by side as channels.
#
# The published loss adds two small terms on the weights themselves: the norm of $\alpha$, and $\sum_t (1 - \beta_t)^2$.
#
# This is no self-attention: nothing in the map asks anything. The weights come from another modality.

# %% [markdown] why=true
# **Why a sigmoid for places, and a softmax for moments?** Think of somebody who pours water from a bottle into a glass. Write
# a sentence before you unfold.
#
# <details><summary>Compare</summary>
#
# Two hands matter at once, in two places: a softmax would make them share one unit, and the more places matter the less
# each would get. A sigmoid opens both. For moments the authors chose competition: one stretch of the clip decides. It is a
# choice, not a law; another system (STA-LSTM, in the stretch) gates its frames without normalising them.
# </details>

# %% role="predict"
check.predict("shrink")

# %% role="experiment"
ones = torch.ones(8, 6, 5, 1)
by_place = (ones * torch.full((6, 5), 0.5)[None, :, :, None]).mean()
by_moment = (ones * torch.full((8,), 1 / 8)[:, None, None, None]).mean()
print(f"places: {by_place:.3f}   moments: {by_moment:.3f}")
check.outcome("shrink")

# %% [markdown] section="exercises_a"
# ## Exercises A
#
# Write, run the check, read what it says. `check.joint_attention.hint()` gives a hint, and again the next one, up to a worked
# twin on another task. Further down, `carry_on` takes your function if it passes, else ours.

# %% [markdown] exercise_text="joint_attention"
# A weight for each place, from how the joints move; hence the name. `pose` is (b, width). `hidden_weight` and `hidden_bias` are those of the first
# linear map, as in `nn.Linear`: (hidden, width) and (hidden). The second map has its places as two axes: `place_weight` is (y, x,
# hidden), `place_bias` (y, x). There may be more axes in front of `pose`, or none.
#
# **The classic errors:** a softmax over the places where a sigmoid belongs, which makes 30 places share one unit; and a flat list of
# weights reshaped to (y, x) the wrong way round. In the paper y = x = 7, and a turned map has the right shape.

# %% exercise="joint_attention"
def joint_attention(pose, hidden_weight, hidden_bias, place_weight, place_bias):
    """(..., width) in; a weight between 0 and 1 for each place, (..., y, x), out."""
    ### BEGIN SOLUTION
    hidden = torch.tanh(pose @ hidden_weight.mT + hidden_bias)
    return torch.sigmoid(torch.einsum("...h,yxh->...yx", hidden, place_weight) + place_bias)
    ### END SOLUTION

# %% check="joint_attention"
check.joint_attention(joint_attention)

# %% [markdown] exercise_text="frame_attention"
# A weight for each moment. The first map is as before; `frame_weight` is (t, hidden), `frame_bias` (t). The weights of a clip
# sum to one.
#
# **The classic error:** a softmax over the wrong axis. Over axis 0 the clips of a batch share their moments, and a clip
# alone gets 1 everywhere.

# %% exercise="frame_attention"
def frame_attention(pose, hidden_weight, hidden_bias, frame_weight, frame_bias):
    """(..., width) in; a share for each moment, (..., t), out."""
    ### BEGIN SOLUTION
    hidden = torch.tanh(pose @ hidden_weight.mT + hidden_bias)
    return (hidden @ frame_weight.mT + frame_bias).softmax(dim=-1)
    ### END SOLUTION

# %% check="frame_attention"
check.frame_attention(frame_attention)

# %% role="predict"
check.predict("loss_on_moments")

# %% role="experiment"
from attnlab.reference.counting import parameter_count
from attnlab.reference.frame_attention import FrameAttention
from attnlab.reference.joint_attention import JointAttention

uniform, single = torch.full((8,), 1 / 8), F.one_hot(torch.tensor(3), 8).float()
for name, weights in (("all moments alike", uniform), ("one moment only", single)):
    print(f"{name}: the loss adds {(1 - weights).square().sum():.3f} times its rate")
for name, head in (("places, 512 to 256 to 7 x 7", JointAttention()), ("moments, 512 to 256 to 8", FrameAttention())):
    print(f"the published head for {name}: {parameter_count(head):,} parameters")
print(f"weights for a clip: 7 * 7 + 8 = {7 * 7 + 8}; one table over space and time would have {8 * 7 * 7}")
check.outcome("loss_on_moments")

# %% [markdown] exercise_text="separable_attention"
# Both kinds of weights on the map, **side by side**. `features` is (b, t, y, x, c), `space` (b, y, x), `time` (b, t).
#
# - First half of the channels: features weighed by places. Second half: features weighed by moments.
# - Mean over all places; then the mean of each moment and the next one: t - 1 steps. The result is (b, t - 1, 2 c).
#
# **The classic errors:** weighing what is weighed already, so that both halves see both; and one table for space and time
# together, in which a moment can only win what a place loses.

# %% exercise="separable_attention"
def separable_attention(features, space, time):
    """(..., t, y, x, c), (..., y, x) and (..., t) in; (..., t - 1, 2 * c) out."""
    ### BEGIN SOLUTION
    in_space = features * space[..., None, :, :, None]
    in_time = features * time[..., :, None, None, None]
    moments = torch.cat([in_space, in_time], dim=-1).mean(dim=(-3, -2))
    return (moments[..., :-1, :] + moments[..., 1:, :]) / 2
    ### END SOLUTION

# %% check="separable_attention"
check.separable_attention(separable_attention)

# %% role="experiment"
my_separable = check.separable_attention.carry_on(separable_attention)
g, space, share = torch.randn(8, 6, 5, 4), torch.rand(6, 5), torch.rand(8).softmax(dim=0)
start = time.perf_counter()
looped = torch.zeros(7, 8)
for step in range(7):
    for t in (step, step + 1):
        for y in range(6):
            for x in range(5):
                looped[step] += torch.cat([space[y, x] * g[t, y, x], share[t] * g[t, y, x]]) / (2 * 6 * 5)
middle = time.perf_counter()
at_once = my_separable(g, space, share)
loops_ms, yours_ms = 1e3 * (middle - start), 1e3 * (time.perf_counter() - middle)
print(f"loops {loops_ms:.1f} ms, at once {yours_ms:.2f} ms; difference {(looped - at_once).abs().max():.0e}")

# %% [markdown] why=true
# **Why can the classifier not repair it when the weights of the places are turned?** Compare with the size of a branch, which
# it can repair.
#
# <details><summary>Compare</summary>
#
# A branch that is four times too small is undone by weights four times as large. A turned map mixes other cells into the mean:
# what was in the right cell is no longer in it. Still, a network trained with the bug learns places for the turned map, and its
# accuracy shows nothing. Only the picture, and a test with y different from x, do.
# </details>

# %% [markdown] section="look_inside"
# ## Look inside
#
# Your three functions in one model. The pose network was three LSTM layers of 512 units, trained first and frozen. Ours
# is one small layer over how fast each joint moves in each frame, and where the joints are at the beginning; it learns along. The factor
# 240 is the number of cells: it undoes the means.

# %% role="experiment"
my_joint = check.joint_attention.carry_on(joint_attention)
my_frame = check.frame_attention.carry_on(frame_attention)


class Recogniser(nn.Module):
    """Pose to weights, weights on the map, map to class scores; `form` says which weights take part, and how."""

    def __init__(self, form):
        super().__init__()
        self.form = form
        self.pose = nn.Sequential(nn.Linear(15 * 25 + 75, 64), nn.Tanh())
        self.hidden_of_places, self.hidden_of_moments = nn.Linear(64, 64), nn.Linear(64, 64)
        self.place_weight, self.place_bias = nn.Parameter(torch.randn(6, 5, 64) / 8), nn.Parameter(torch.zeros(6, 5))
        self.moments, self.classify = nn.Linear(64, 8), nn.Linear(32, 6)

    def forward(self, joints, features):
        speed = 5 * joints.diff(dim=1).norm(dim=-1).flatten(start_dim=1)
        pose = self.pose(torch.cat([speed, joints[:, 0].flatten(start_dim=1)], dim=1))
        space = my_joint(pose, self.hidden_of_places.weight, self.hidden_of_places.bias, self.place_weight, self.place_bias)
        share = my_frame(pose, *self.hidden_of_moments.parameters(), *self.moments.parameters())
        if self.form in ("no attention", "moments only"):
            space = torch.ones_like(space)
        if self.form in ("no attention", "places only"):
            share = torch.full_like(share, 1 / 8)
        if self.form == "in sequence":  # both halves see the product
            features = features * space[:, None, :, :, None] * share[:, :, None, None, None]
            return self.classify(240 * my_separable(features, space * 0 + 1, share * 0 + 1)).mean(dim=1), space, share
        return self.classify(240 * my_separable(features, space, share)).mean(dim=1), space, share

# %% role="experiment"
def trained(form, seed, steps=300):
    """A model of this form, trained from this seed on the class alone."""

    def loss(model, generator):
        some = torch.randint(4000, (48,), generator=generator)
        scores = model(learn["joints"][some], learn["features"][some])[0]
        return F.cross_entropy(scores, learn["label"][some])

    model = built(seed, lambda: Recogniser(form))
    train(model, loss, steps, learning_rate=5e-3, seed=seed)
    return model


@torch.no_grad()
def on_test(model):
    """Class scores, weights of the places and of the moments, for the 500 clips kept apart."""
    return model(test["joints"], test["features"])


models = {("in sequence", 0): trained("in sequence", 0)}
scores, space, share = on_test(models["in sequence", 0])
print(f"in sequence: {(scores.argmax(dim=1) == test['label']).float().mean():.0%} right")

# %% [markdown]
# Now look: the weights that your functions gave, laid over the skeletons, moment by moment. Press play, or Tab to
# the figure and use Page up and down. Choose other clips, and then the lit frame in the strip below. Does the brightest cell lie at the limb that moves, and when it
# moves?
#
# **A caution:** the map shows where weights are. Whether that is where they should be is known here, because we made the clips;
# in a real video it is not. Then compare the untrained model: some maps look good by chance.

# %% role="interactive"
untrained = built(0, lambda: Recogniser("in sequence"))


def weights_of_clip(clip, model):
    space, share = on_test(models["in sequence", 0] if model == "trained" else untrained)[1:]
    values = share[clip, :, None, None] * space[clip]
    points = test["joints"][clip, :, :, :2]
    under = skeleton_pictures(points, SKELETON_BONES, left=-1.25, right=1.25, bottom=0, top=1.8)
    best, true = int(share[clip].argmax()), int(test["moment"][clip].int().argmax())
    hit = "the true place" if test["place"][clip].flatten()[space[clip].argmax()] else "another place"
    record = AttentionRecord.gate(values, over="space-time", items=[f"clip {clip}"])
    limb = list(LIMBS)[test["limb"][clip]]
    return space_time(record, under, title=f"The {limb} moves at moment {true}; {model}, the model looks at moment {best}, {hit}")


true_place = test["place"].flatten(start_dim=1).gather(1, space.flatten(start_dim=1).argmax(dim=1, keepdim=True))
hits = true_place[:41].flatten().nonzero().flatten().tolist()
print(f"of clips 0 to 40, the trained model points at the true place in {len(hits)}; the first of them is shown first")
explore(weights_of_clip, clip=(0, 40, hits[0] if hits else 0), model=["trained", "untrained"])

# %% [markdown] section="exercises_b"
# ## Exercises B
#
# Looking is not enough. A score, and a hunt.

# %% [markdown] exercise_text="pointing_game"
# Does the largest weight of a map lie in the truth? `weights` is (..., y, x), `inside` a boolean of the same shape, True in
# the truth. Return a number for each map: 1 if its largest weight lies inside, 0 if not. Where several
# places share the largest weight, return **the share of them** that lies inside.
#
# **The classic error:** `argmax`, which takes the first of equals. A map that is the same everywhere then wins whenever the truth
# lies in the first corner. With the share, it scores what guessing scores.

# %% exercise="pointing_game"
def pointing_game(weights, inside):
    """(..., y, x) and a boolean (..., y, x) in; a score between 0 and 1 for each map, (...), out."""
    ### BEGIN SOLUTION
    largest = weights == weights.amax(dim=(-2, -1), keepdim=True)
    hits = (largest & inside).sum(dim=(-2, -1))
    return hits.to(weights.dtype) / largest.sum(dim=(-2, -1))
    ### END SOLUTION

# %% check="pointing_game"
check.pointing_game(pointing_game)

# %% [markdown]
# ### Bug hunt: weights that never learn
#
# A relative of today's block weighs three body parts: left hand, right hand, whole body (P-I3D, Das et al., WACV 2019). Its last
# layer begins at zero, so that all parts start at one third. In the released builder, by reading, both layers of the attention
# are created with `trainable=False`, and only layers whose name contains "lstm" are loaded from a file. Unless another script
# replaces them, the weights stay exactly one third, for every clip and for ever.
#
# Below, both ways: frozen, and learning. Ten numbers of the pose are noise, two say which part matters.

# %% role="experiment"
from attnlab.reference.part_attention import PartWeights


def taught(frozen, steps=200):
    """Weights for three parts; the loss wants the part that the first two numbers of the pose name."""
    weigh = built(0, lambda: PartWeights(12, frozen=frozen))
    to_read = nn.Parameter(torch.tensor(0.1))  # something behind the attention that learns in any case
    optimizer = torch.optim.Adam([*(p for p in weigh.parameters() if p.requires_grad), to_read], lr=0.01)
    draw = torch.Generator().manual_seed(0)
    for _ in range(steps):
        pose = torch.randn(64, 12, generator=draw)
        part = (pose[:, 0] > 0).long() + (pose[:, 1] > 0).long()
        loss = F.nll_loss((to_read * weigh(pose)).log_softmax(dim=-1), part)
        optimizer.zero_grad(), loss.backward(), optimizer.step()
    return weigh


attentions = {"frozen": taught(frozen=True), "learning": taught(frozen=False)}
for name, attend in attentions.items():
    with torch.no_grad():
        shown = attend(torch.randn(3, 12, generator=torch.Generator().manual_seed(1)))
    print(name, [[round(w, 3) for w in row] for row in shown.tolist()])

# %% [markdown] exercise_text="depends_on_the_pose"
# Nothing fails: the shapes are right, the rows sum to one, the loss goes down, because what comes after learns. How would a unit test
# have caught it? By a law: **the weights differ from pose to pose, because of the pose.**
#
# Write a function that takes an attention and returns `True` if it obeys, `False` if not. `attend(pose)` takes poses (b, 12) and
# returns weights (b, 3), one row for each pose of the batch. Within one batch, different poses should get different weights
# (by more than rounding, 1e-4), and a pose the same ones wherever it stands in the batch.
#
# **The classic error in a law:** a spread that has another cause. Noise varies too, such as a dropout left on, and so does what
# hangs on the place in the batch.

# %% exercise="depends_on_the_pose"
def depends_on_the_pose(attend):
    """True if `attend(pose)`, (b, 12) to (b, 3), gives weights that depend on the pose, and on nothing else."""
    ### BEGIN SOLUTION
    pose = torch.randn(16, 12)
    weights, turned = attend(pose), attend(pose.flip(0)).flip(0)
    differs = weights.std(dim=0).max() > 1e-4
    return bool(differs) and torch.allclose(weights, turned, atol=1e-4)
    ### END SOLUTION

# %% check="depends_on_the_pose"
check.depends_on_the_pose(depends_on_the_pose)

# %% role="experiment"
my_law = check.depends_on_the_pose.carry_on(depends_on_the_pose)
with torch.no_grad():
    spreads = {name: attend(torch.randn(500, 12)).std(dim=0).max().item() for name, attend in attentions.items()}
    print({name: bool(my_law(attend)) for name, attend in attentions.items()})
print("spread of the weights over 500 poses:", spreads)

# %% [markdown] why=true
# **Why would this law fail on a right attention, if it were asked before training?**
#
# <details><summary>Compare</summary>
#
# The last layer begins at zero on purpose, so every pose gets one third at first, in the right code too. The law has to be asked
# after a step or two: then the learning one moves, and the frozen one does not. (The step before the last layer gets no gradient
# while that layer is zero; it moves from the second step on.)
# </details>

# %% [markdown] section="experiment"
# ## Experiment 1: where, when, or both
#
# Five forms of one model, with equal parameters: no attention, places only, moments only, both side by side (as
# published), both in sequence (the product). Each learns from the class alone; nobody tells it where or when. Three seeds
# each; a row is printed when its three have run.

# %% role="predict"
check.predict("together")

# %% role="experiment"
my_game = check.pointing_game.carry_on(pointing_game)
print(f"pointing game of a flat map: {my_game(torch.ones(500, 6, 5), test['place']).mean():.3f}")


def over_the_seeds(form):
    """Train three models; print and return what is right of the class, the place and the moment, a value a seed."""
    measured = {"class": [], "place": [], "moment": []}
    for seed in SEEDS:
        if (form, seed) not in models:
            models[form, seed] = trained(form, seed)
        scores, space, share = on_test(models[form, seed])
        measured["class"].append((scores.argmax(dim=1) == test["label"]).float().mean().item())
        measured["place"].append(my_game(space, test["place"]).mean().item())
        measured["moment"].append(my_game(share[:, None], test["moment"][:, None]).mean().item())
    print(f"{form:>13}: " + "   ".join(f"{name} {Spread(tuple(values))}" for name, values in measured.items()))
    return measured


results = {"no attention": over_the_seeds("no attention")}

# %% role="experiment"
results["moments only"] = over_the_seeds("moments only")

# %% role="experiment"
results["places only"] = over_the_seeds("places only")

# %% role="experiment"
results["side by side"] = over_the_seeds("side by side")

# %% role="experiment"
results["in sequence"] = over_the_seeds("in sequence")
check.outcome("together")

# %% role="figure"
right = {form: results[form]["class"] for form in results}
means = {form: sum(values) / 3 for form, values in right.items()}
best, published = max(means, key=means.get), means["side by side"]
pic = bars(right, "share of 500 clips that are recognised", f"Here, {best} recognises most", chance=1 / 6)
figure(
    pic,
    alt="Recognised clips, mean of three seeds: " + ", ".join(f"{form} {mean:.2f}" for form, mean in means.items()) + ".",
    table={"form": list(right), "mean": list(means.values()), "lowest": [min(v) for v in right.values()],
           "highest": [max(v) for v in right.values()]},
)

# %% [markdown]
# Places alone leave one place at all moments; moments alone leave a whole picture full of other patterns. Side by side the
# classifier may get both, and cannot multiply them; that it beats places alone is not shown, their seeds overlap. This task was made so that one cell counts, and its settings were chosen until that showed: it says nothing
# against the published block on real videos, whose features have seen wide surroundings and many frames already. Mind the dots
# below, one a seed: where the moments are not multiplied in, one training of three finds them.
#
# Are the best recognisers the best pointers? The pointing game was played for the places, and the same for the moments.

# %% role="predict"
check.predict("scored")

# %% role="figure"
points = {f"{form}, {what}": results[form][what] for what, forms in (
    ("place", ("places only", "side by side", "in sequence")), ("moment", ("moments only", "side by side", "in sequence")),
) for form in forms}
pic = bars(points, "share of clips whose largest weight is true", "Recognising well and pointing well are two things")
display(figure(
    pic,
    alt="Pointing game, mean of three seeds: " + ", ".join(f"{n} {sum(v) / 3:.2f}" for n, v in points.items()) + ".",
    table={"form and weights": list(points), "mean": [sum(v) / 3 for v in points.values()],
           "lowest": [min(v) for v in points.values()], "highest": [max(v) for v in points.values()]},
))
check.outcome("scored")

# %% [markdown]
# ## Experiment 2: recorded people
#
# The package pybullet carries recorded motion; where it is not installed, made-up limbs take its place, and a line says so. Six
# takes, one for each action. We see them from random directions as points in a picture, a second at a time; training has
# three quarters of all directions, the test the last quarter.
#
# A skeleton is a map too: (t, y, x, c) with one row, a column for each joint, and what is known of the joint as channels. So
# your three functions serve again, without a video; a *place* is now a joint.
#
# **Keep in mind:** one recording for each class is not a data set. We test new views of the same performance, nothing more.

# %% role="experiment"
try:
    takes = {name: load_motion(name).resampled(12) for name in ("walk", "run", "jump", "kick", "punch", "spin")}
    joint_names, bones = MOTION_JOINTS, MOTION_BONES
except FileNotFoundError as missing:
    print(missing)
    made_up = make_skeletons(60, seed=7, frames=24, lasts=24, often=(2,))
    takes = {limb: made_up.joints[made_up.limb == i][0] for i, limb in enumerate(LIMBS)}
    joint_names, bones = SKELETON_JOINTS, SKELETON_BONES
joints_each = len(joint_names)


def views(count, seed, sector):
    """Random takes, ten frames of each from a random start, seen from a random direction of the sector."""
    draw = np.random.default_rng(seed)
    label, starts = draw.integers(len(takes), size=count), draw.random(count)
    many = [take if len(take) >= 10 else np.tile(take, (2, 1, 1)) for take in takes.values()]  # a short one goes round twice
    windows = np.stack([many[k][(i := int(u * (len(many[k]) - 9))) : i + 10] for k, u in zip(label, starts)])
    seen = seen_from(windows, 2 * np.pi * draw.uniform(*sector, size=count))
    return torch.tensor(seen).float(), torch.tensor(label)


known, unseen = views(2400, seed=5, sector=(0, 0.75)), views(600, seed=6, sector=(0.75, 1))
rows = [
    skeleton_pictures(seen_from(take[None], np.array([0.4]))[0][: 6 * (step := max(1, len(take) // 6)) : step], bones, -0.9, 0.9, -0.1, 1.9, 80)
    for take in takes.values()
]
pic, ax = plt.subplots(figsize=(6, 6.6))
ax.imshow(np.vstack([np.hstack(row) for row in rows]), cmap="gray")
ax.set_yticks([40 + 80 * i for i in range(len(rows))], list(takes)), ax.set_xticks([])
ax.set_title("One recording of each action, six of its frames")
figure(pic, alt=f"Stick figures, a row for each of {', '.join(takes)}, six frames of each from one direction.",
       table={"action": list(takes), "frames": [len(take) for take in takes.values()]})

# %% role="experiment"
class OnJoints(nn.Module):
    """Weights of joints and of frames, side by side. form: joints weigh "all alike", by "gates", or by "shares" of one unit."""

    def __init__(self, form):
        super().__init__()
        self.form = form
        self.pose = nn.Sequential(nn.Flatten(), nn.Linear(10 * joints_each * 2, 64), nn.Tanh())
        self.look, self.name = nn.Linear(4, 32), nn.Parameter(0.3 * torch.randn(joints_each, 32))
        self.hidden_of_joints, self.hidden_of_frames = nn.Linear(64, 32), nn.Linear(64, 32)
        self.joint_weight = nn.Parameter(torch.randn(1, joints_each, 32) / 6)
        self.joint_bias = nn.Parameter(torch.zeros(1, joints_each))
        self.frames, self.classify = nn.Linear(32, 10), nn.Linear(64, len(takes))

    def forward(self, points):
        pose = self.pose(points)
        space = my_joint(pose, *self.hidden_of_joints.parameters(), self.joint_weight, self.joint_bias)
        share = my_frame(pose, *self.hidden_of_frames.parameters(), *self.frames.parameters())
        if self.form == "shares":  # one unit for all joints: your softmax, over joints in place of moments
            space = my_frame(pose, *self.hidden_of_joints.parameters(), self.joint_weight[0], self.joint_bias[0])[:, None]
        if self.form == "all alike":
            space, share = torch.full_like(space, 0.5), torch.full_like(share, 0.1)
        speed = 5 * points.diff(dim=1, prepend=points[:, :1])
        features = (self.look(torch.cat([points, speed], dim=-1)) + self.name).relu()[:, :, None]
        loud = joints_each / 2 if self.form == "shares" else 1  # shares are small: bring them to the size of gates
        return self.classify(my_separable(features, loud * space, 10 * share)).mean(dim=1), space[:, 0], share

# %% role="experiment"
@torch.no_grad()
def accuracy(model, points):
    return (model(points)[0].argmax(dim=1) == unseen[1]).float().mean().item()


def on_takes(form, steps=300):
    """Three models, trained on the known directions; prints and keeps what they get right from the others."""

    def loss(model, generator):
        some = torch.randint(2400, (48,), generator=generator)
        return F.cross_entropy(model(known[0][some])[0], known[1][some])

    made = [built(seed, lambda: OnJoints(form)) for seed in SEEDS]
    for seed, model in zip(SEEDS, made):
        train(model, loss, steps, learning_rate=5e-3, seed=seed)
    print(f"from new directions, joints weigh {form}:", Spread(tuple(accuracy(model, unseen[0]) for model in made)))
    return made


on_joints = {"all alike": on_takes("all alike")}

# %% role="experiment"
on_joints["gates"] = on_takes("gates")

# %% role="experiment"
on_joints["shares"] = on_takes("shares")

# %% role="predict"
check.predict("joints")

# %% role="experiment"
@torch.no_grad()
def hidden(model, which):
    """Accuracy when these joints stand at the middle of all others: nothing can be read from them."""
    points = unseen[0].clone()
    points[:, :, which] = points.mean(dim=2, keepdim=True)
    return accuracy(model, points)


draw = torch.Generator().manual_seed(0)
lots = [torch.randperm(joints_each, generator=draw)[:3] for _ in range(20)]
heavy, drawn, weight_of = [], [], []
for model in on_joints["shares"]:
    with torch.no_grad():
        weight_of.append(model(unseen[0])[1].mean(dim=0))
    most = weight_of[-1].topk(3).indices
    heavy.append(hidden(model, most))
    drawn.append(sum(hidden(model, lot) for lot in lots) / 20)
    print("weighs most:", ", ".join(joint_names[i] for i in most))
whole = [accuracy(model, unseen[0]) for model in on_joints["shares"]]
print("right with all joints:", Spread(tuple(whole)), "  the heavy three hidden:", Spread(tuple(heavy)),
      "  three by lot (heavy ones may be among them):", Spread(tuple(drawn)))
check.outcome("joints")

# %% role="interactive"
def joints_of_actions(joints_by, seed):
    with torch.no_grad():
        weights = on_joints[joints_by][int(seed)](unseen[0])[1]
    table = torch.stack([weights[unseen[1] == k].mean(dim=0) for k in range(len(takes))])
    record = AttentionRecord(table, kind="gate", query_labels=list(takes), key_labels=joint_names, over="joint")
    action, joint = divmod(int(table.argmax()), joints_each)
    most = f"from {table.mean(dim=1).min():.2f} to {table.mean(dim=1).max():.2f} on average"
    if joints_by == "shares":
        most = f"{list(takes)[action]} is read from the {joint_names[joint]}"
    return heatmap(record, title=f"By {joints_by}, seed {seed}: {most}")


explore(joints_of_actions, joints_by=["shares", "gates"], seed=["0", "1", "2"])

# %% [markdown]
# Change the seed, and compare shares with gates, before you read on.
#
# With gates, rows tend to be bright or dark as a whole. The gate does not choose joints: it is loud for some actions and silent for
# others, and so **tells the classifier the action**. With shares nobody can be loud. Then which joint is read helps to
# spell the action, and every seed has its own spelling.
#
# The pose network has seen the whole body; its answer travels through the weights. Hiding the heavy joints does harm, more than
# the control: they carry the message. That they matter *to this model* is true. That the
# action is in those joints is not shown.
#
# Published, of a successor on the same idea, VPN (2020), from its readme: 60.8 on Toyota Smarthome
# across subjects, 43.8 and 53.5 on its two splits across views; mean accuracy per class, in percent. The numbers of the
# block that you wrote stand in a paper that we have not read, so they are not given here.

# %% [markdown] section="quiz"
# ## Quiz
#
# Six questions. Every choice has an answer, the wrong ones too.

# %% role="quiz"
check.quiz()

# %% [markdown] section="stretch"
# ## Stretch
#
# Take more when you have time: about 18 minutes for two exercises, and a task without a check: give the recogniser one table over
# space and time, 240 scores under one softmax, and train it. Does it recognise as well as the product? Does it point as well?

# %% [markdown] exercise_text="sta_penalty"
# STA-LSTM (Song et al. 2017) weighs joints at every frame by a softmax, $\alpha_{tk}$, and frames by a gate $\beta_t$ that nothing
# normalises. Two terms keep both in bounds (from memory; the paper was not read for this course):
#
# $$\lambda_1 \sum_k \Big(1 - \frac1T\sum_t \alpha_{tk}\Big)^2 + \frac{\lambda_2}{T} \sum_t |\beta_t|$$
#
# Return a penalty for each clip. `joints` is (..., t, k), `frames` (..., t).
#
# **The classic error:** squaring before the mean over time. A joint may be left alone for a while, only not for ever.

# %% exercise="sta_penalty"
def sta_penalty(joints, frames, joint_rate, frame_rate):
    """(..., t, k), (..., t) and two rates in; a penalty for each clip, (...), out."""
    ### BEGIN SOLUTION
    neglect = (1 - joints.mean(dim=-2)).square().sum(dim=-1)
    return joint_rate * neglect + frame_rate * frames.abs().mean(dim=-1)
    ### END SOLUTION

# %% check="sta_penalty"
check.sta_penalty(sta_penalty)

# %% [markdown] exercise_text="body_regions"
# From joints to regions of the body: add up the weights of the joints of each region. `weights` is (..., joints), `region_of` holds the
# number of each joint's region, `regions` says how many there are.
#
# **The classic error:** `out[..., region_of] += weights`. Where an index stands there twice, torch keeps one of the two, without
# an error.

# %% exercise="body_regions"
def body_regions(weights, region_of, regions):
    """(..., joints) in; the sum of the weights of each region, (..., regions), out."""
    ### BEGIN SOLUTION
    empty = torch.zeros(*weights.shape[:-1], regions, dtype=weights.dtype)
    return empty.index_add(-1, region_of, weights)
    ### END SOLUTION

# %% check="body_regions"
check.body_regions(body_regions)

# %% role="experiment"
my_regions = check.body_regions.carry_on(body_regions)
sides = torch.tensor([0 if "left" in name else 1 if "right" in name else 2 for name in joint_names])
for seed, weights in enumerate(weight_of):
    shares = my_regions(weights, sides, 3).tolist()
    print(f"seed {seed}:", {name: round(s, 2) for name, s in zip(("left", "right", "middle"), shares)})

# %% [markdown] section="sources"
# ## Sources
#
# - Das et al. 2019, *Toyota Smarthome* (ICCV): the block. Read in a third party's code, DAIGroup/separable_STA: two heads with
#   tanh, then sigmoid for 7 x 7 places and softmax for 8 moments; both applied to the map as it came; pooling over (2, 7, 7);
#   both rates 1e-5; three LSTM layers of 512 units as pose network, trained first and then frozen.
# - Das et al. 2019, *Where to focus on for human action recognition?* (WACV), P-I3D: the frozen attention, by reading of the released
#   code; it was not run.
# - Song et al. 2017, STA-LSTM (AAAI): the two terms, from memory.
# - Das et al. 2020, VPN: the three figures, from the readme of its code.
# - The pointing game's rule for ties is ours.
# - Recorded motion: the takes inside pybullet 3.2.7 (zlib licence), read where they are installed. Who moved is not recorded there, so we
#   pass none of it on. Skeletons and maps: made up by `attnlab.data`, 25 joints in the order of NTU RGB+D.
#
# Next: lesson 05, where every token asks all the others.
