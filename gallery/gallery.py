# %% [markdown]
# # Views of attention
#
# Every view that attnlab has, on real data. Each figure is alive in JupyterLab, in Notebook 7 and in a saved HTML page:
# point at it, or Tab to it and use the arrow keys. No kernel and no network is needed for that. Where scripts may not
# run, its picture stands; below it the same in words and numbers.
#
# A caution that holds for all of them: a map shows where weights are, not what mattered.

# %%
import torch
from torch import nn
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging

from attnlab.capture import capture
from attnlab.data import load_clip, load_digits, minilm_folder
from attnlab.reference.attention import attention
from attnlab.viz import AttentionRecord, Grid, compare, explore, gate, heads, heatmap, links, neuron, overlay, space_time

torch.set_num_threads(1)
torch.manual_seed(0)
logging.set_verbosity_error(), logging.disable_progress_bar()

# %% [markdown]
# ## A language model
#
# MiniLM, pretrained, reads a sentence. One line captures all its attention, whatever function computed it.

# %%
tokenizer = AutoTokenizer.from_pretrained(minilm_folder())
minilm = AutoModel.from_pretrained(minilm_folder()).eval()


def read(sentence):
    with torch.no_grad():
        return capture(minilm, **tokenizer(sentence, return_tensors="pt")).record(labels=tokenizer)


record = read("The cat was tired because it had run from the dogs all day.")
print(record.describe())

# %% view="heads"
heads(record, title="One head of the first layer looks at the token before; many later ones rest on [CLS]")

# %% [markdown]
# ### One head as a table, as lines, and number by number
#
# The three figures below show one record: move in one, and the others follow.

# %%
before = torch.tensor(record.weights).diagonal(offset=-1, dim1=2, dim2=3).mean(dim=-1)
layer, head = divmod(int(before.argmax()), before.shape[1])
print(f"layer {layer}, head {head} puts {before.max():.2f} of its weight on the token before")

# %% view="heatmap"
heatmap(record, layer=layer, head=head, title="This head looks at the token before")

# %% view="links"
links(record, layer=layer, head=head, title="The same head as lines: one step back, each")

# %% view="neuron"
neuron(record, layer=layer, head=head, query=6, key=5, title='Which of the products make "it" look at "because"')

# %% [markdown]
# ### Two sentences that differ in one word
#
# What the street was, or what the animal was: one word at the end changes what "it" stands for.

# %%
tired = read("The animal did not cross the street because it was too tired.")
wide = read("The animal did not cross the street because it was too wide.")
it, animal = tired.query_names.index("it"), tired.key_names.index("animal")
change = torch.tensor(wide.weights - tired.weights)[:, :, it]  # what "it" looks at, (layer, head, key)
layer, head = divmod(int(change.abs().amax(dim=-1).argmax()), change.shape[1])
before, after = (float(record.weights[layer, head, it, animal]) for record in (tired, wide))

# %% view="compare"
title = f'In one head "it" looks at "animal" with {before:.2f} where it was tired, {after:.2f} where it was wide'
compare(tired, wide, names=("tired", "wide"), layer=layer, head=head, title=title)

# %% [markdown]
# ### A playground
#
# `explore` puts Python behind a figure: edit the sentence, flatten or sharpen its attention, hide what comes later. These
# controls need a running kernel; without one the figure below them still answers.

# %% view="explore"
def played(sentence, temperature, hide):
    record = read(sentence).select(layer=0).at_temperature(temperature)
    if hide == "what comes later":
        record = record.masked(torch.ones(record.shape[2:]).tril() > 0)
    return heatmap(record, title=f"Layer 0 at temperature {temperature:.2g}, hidden: {hide}")


explore(played, sentence="The dogs ran and the cat was tired.", temperature=(0.2, 5.0, 1.0), hide=["nothing", "what comes later"])

# %% [markdown]
# ## Pictures and clips
#
# A frame of *Big Buck Bunny* in patches of 8 x 8 pixels; each patch asks which patches look like itself. Nothing is
# learnt here: queries and keys are the pixels, and the weights are what attention makes of them.

# %%
clip = torch.tensor(load_clip()).float() / 255  # (t, y, x, 3)


def patches(frames, rows, columns):
    """(t, y, x, 3) to (tokens, numbers), the mean of all patches removed, length one."""
    t, y, x, _ = frames.shape
    cut = frames.reshape(t, rows, y // rows, columns, x // columns, 3).transpose(2, 3).reshape(t * rows * columns, -1)
    return nn.functional.normalize(cut - cut.mean(dim=0), dim=-1), Grid(t=t, y=rows, x=columns)


def of_pixels(frames, rows, columns, sharpness):
    tokens, grid = patches(frames, rows, columns)
    weights = attention(tokens * sharpness * tokens.shape[-1] ** 0.5, tokens, tokens)[1]
    return AttentionRecord(weights, query_grid=grid, source=["pixels"])

# %% view="overlay"
frame = 8
overlay(of_pixels(clip[frame : frame + 1], 9, 16, 12.0), clip[frame].numpy(), query=4 * 16 + 5, title="Pixels alone: a patch of fur finds what is as bright, the sky too")

# %% view="space_time"
whole = of_pixels(clip, 6, 8, 14.0)
space_time(whole, clip.numpy(), query=8 * 48 + 3 * 8 + 2, title="A patch of fur finds itself in the frames before and after")

# %% [markdown]
# ## Gates
#
# A small convolutional network with a squeeze-and-excitation gate over its channels and a gate over places, trained for
# a few seconds on handwritten digits. The gates are captured while it reads ten digits, one of each kind.

# %%
class ChannelGate(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.decide = nn.Sequential(nn.Linear(channels, 4), nn.ReLU(), nn.Linear(4, channels), nn.Sigmoid())

    def forward(self, maps):
        return maps * self.decide(maps.mean(dim=(2, 3)))[:, :, None, None]


class PlaceGate(nn.Module):
    def __init__(self):
        super().__init__()
        self.decide = nn.Conv2d(2, 1, 3, padding=1)

    def forward(self, maps):
        both = torch.cat([maps.mean(dim=1, keepdim=True), maps.amax(dim=1, keepdim=True)], dim=1)
        return maps * self.decide(both).sigmoid()


images, classes = (torch.tensor(array) for array in load_digits())
images = images.float()[:, None] / images.max()
model = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), ChannelGate(16), PlaceGate(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(256, 10)
)
optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
for step in range(300):
    batch = torch.randint(len(images) - 300, (64,))
    loss = nn.functional.cross_entropy(model(images[batch]), classes[batch].long())
    optimiser.zero_grad(), loss.backward(), optimiser.step()
model.eval()
with torch.no_grad():
    right = (model(images[-300:]).argmax(dim=1) == classes[-300:]).float().mean()
    ten = images[[int((classes == digit).nonzero()[0]) for digit in range(10)]]
    trace = capture(model, ten)
print(f"{right:.0%} of 300 digits that it has not seen are right")
print(trace)

# %% view="gate"
names = [f"a {digit}" for digit in range(10)]
channels = trace.record(where="2", query_labels=names)
mean = channels.mean("query").weights[0, 0, 0]
gate(channels, title=f"Channel {mean.argmin()} stays mostly closed ({mean.min():.2f} on average), whatever the digit")

# %% view="gate_space"
gate(trace.record(where="3", query_labels=names), images=list(ten[:, 0].numpy()), title="The gate over places is open on the strokes, more closed beside them")

# %% [markdown]
# ## BertViz
#
# The same record in the tool that most people know, in a frame that needs no network (`pip install 'attnlab[bertviz]'`).

# %% view="bertviz"
record.bertviz("head")
