# %% [markdown] section="card"
# # 05 · Self-attention
#
# Until now somebody else asked the questions: a point asked its neighbours. Here every
# token of a sequence asks all the others, and we find out how it knows whom to listen to.
#
# At the end you can derive scaled dot-product attention from the correlation of a sequence with itself, mask it, make a
# layer of it, and put it into a real pretrained language model, where it runs as well as the original.
#
# {{card}}
#
# Planned for 90 minutes, and 30 more for the stretch. You need lesson 00 (softmax, weighted average, kernel regression) and some torch: `@`, `transpose`, `nn.Linear`.

# %%
import time
import warnings

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import nn

from attnlab.capture import capture
from attnlab.checks.self_attention import check
from attnlab.data import CLIP_SECONDS, load_clip, load_sentence_pairs, minilm_folder
from attnlab.viz import AttentionRecord, compare, curves, explore, figure, heads, heatmap, matrix

torch.set_num_threads(1)  # small tensors: one thread is fastest, and steady
torch.manual_seed(5)
print("torch", torch.__version__)

# %% [markdown] section="recall"
# ## Recall
#
# Three questions from earlier lessons, without looking back.

# %% role="recall"
check.recall()

# %% [markdown] section="puzzle"
# ## Puzzle: weights that know only the place
#
# Eight pairs of a key and a number, in random order, and then a question: one of the keys. The answer is its number.
#
# A convolution, or any average whose weights belong to *places*, has to choose its weights before it sees the keys.
# Below we give it the best weights there are, fitted to 2,000 sequences. Change `places` if you believe in others. You
# cannot break anything here, and you are not expected to win.

# %% role="experiment"
keys = F.normalize(torch.randn(2000, 8, 16), dim=-1)  # (sequences, keys, width)
numbers = torch.randn(2000, 8)
asked = torch.randint(8, (2000,))
answers = numbers[torch.arange(2000), asked]
places = torch.linalg.lstsq(numbers, answers[:, None]).solution[:, 0]
print("best weights by place:", [round(w, 2) for w in places.tolist()])
print(f"their mean squared error: {(numbers @ places - answers).square().mean():.2f}")
print(f"answering 0 every time:   {answers.square().mean():.2f}")

# %% role="experiment"
# Now a weight may depend on what stands in the place, compared with what is asked.
question = keys[torch.arange(2000), asked]
alike = (keys @ question[:, :, None])[..., 0]  # compare each key with the question
weights = (alike * 20).softmax(dim=-1)
error = ((weights * numbers).sum(dim=-1) - answers).square().mean()
print(f"weights by content, mean squared error: {error:.4f}")

# %% [markdown] section="intuition"
# ## Intuition: three tokens by hand
#
# Three tokens, two numbers each: $x_1 = (1, 0)$, $x_2 = (0, 1)$, $x_3 = (1, 1)$. Let the first one ask.
#
# Its scores are dot products: $x_1 \cdot x_1 = 1$, $x_1 \cdot x_2 = 0$, $x_1 \cdot x_3 = 1$. The exponentials are
# $e, 1, e$, about 2.7, 1, 2.7.
#
# **Work out on paper** the three weights, and the average of the three tokens under them. Then run the cell. The token ends
# between itself, its stranger $x_2$ and its relative $x_3$, closer to what is like it; nobody told it where $x_3$ stands.

# %%
tokens = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
scores = tokens @ tokens[0]
weights = scores.softmax(dim=-1)
print("scores ", scores.tolist())
print("weights", [round(w, 3) for w in weights.tolist()])
print("average", [round(x, 3) for x in (weights @ tokens).tolist()])

# %% [markdown] section="mechanism"
# ## Mechanism: from correlation to attention
#
# The clip from lesson 00: a rabbit comes out of its burrow, stretches, settles. Sixteen frames, each a long vector.
# Subtract the mean frame, so that the meadow is gone, and take the cosine of every frame with every other. That is the
# **correlation of the sequence with itself**.

# %% role="predict"
check.predict("frames")

# %% role="figure"
clip = torch.tensor(load_clip()).float().flatten(start_dim=1) / 255  # (frames, pixels)
frames = F.normalize(clip - clip.mean(dim=0), dim=-1)
correlation = frames @ frames.mT
poses = load_clip()[::2, :, 10:90]  # every second frame, its left part
finding = {"Frames of one pose find each other": correlation}
pic = matrix(finding, "frame (key)", "frame (query)", "cosine", vmin=-1, thumbnails=poses)
alike = [int(correlation[i].topk(2).indices[1]) for i in range(16)]
figure(
    pic,
    alt="Correlation of 16 frames with each other: a bright block for the crouching rabbit at the "
    f"start, another for the upright one later, dark between the two. Frame 0 is most like frame {alike[0]}.",
    table={"frame": range(16), "seconds": CLIP_SECONDS, "most like frame": alike},
)

# %% role="predict"
check.outcome("frames")

# %% [markdown]
# Self-attention makes five steps of this picture; the formula below is steps 2 to 4:
#
# 1. **Project.** A token asks with one vector (its query $q$), is found by another (its key $k$), and passes on a
#    third (its value $v$). Each is a linear map of the token, and learnt.
# 2. **Score.** $S_{ij} = q_i \cdot k_j$, for every pair.
# 3. **Normalise.** Divide by the root of the width, softmax over the keys.
# 4. **Mix.** Each query takes the average of the values, under its weights.
# 5. **Merge.** With several heads, put their results side by side (lesson 08).
#
# $$\text{attention}(Q, K, V) = \text{softmax}\!\left(\frac{QK^\top}{\sqrt d}\right) V$$

# %% [markdown] why=true
# **Why two vectors, query and key, and not one?** Think of the word "it" and the word "cat", and of who should look at
# whom. Write a sentence before you unfold.
#
# <details><summary>Compare</summary>
#
# A correlation is symmetric: if "it" scores high with "cat", then "cat" scores as high with "it". And each token scores
# highest with its like, above all with itself. "It" needs the opposite: something *unlike* itself, and without being
# looked at in return. With two projections $S_{ij} = x_i^\top W_q W_k^\top x_j$ is any bilinear form of rank at most
# $d$, and need not be symmetric.
# </details>

# %%
W_q, W_k = torch.randn(2, 2), torch.randn(2, 2)
symmetric = tokens @ tokens.mT
asymmetric = (tokens @ W_q) @ (tokens @ W_k).mT
print("one view, table equals its mirror image: ", torch.equal(symmetric, symmetric.mT))
print("two views, table equals its mirror image:", torch.allclose(asymmetric, asymmetric.mT))

# %% [markdown] section="exercises_a"
# ## Exercises A
#
# Write, run the check, read what it says. A check that fails names the mistake when it knows it; `check.scale.hint()`
# gives a hint, and again the next one, up to a worked twin: the same idea on another task. Further down,
# `check.scale.carry_on(scale)` takes your function if it passes, else ours, so that you can always go on.

# %% [markdown] exercise_text="dot_product_scores"
# The scores of every query with every key, as one product. `query` is (b, q, d), `key` is (b, k, d), and a row of the
# result belongs to one query. There may be more axes in front, or none.
#
# **The classic error:** `reshape` or `.T` in place of a transpose of the last two axes. The first gives the right shape
# and wrong numbers; the second turns the batch too, which nobody sees while the batch is one.

# %% exercise="dot_product_scores"
def dot_product_scores(query, key):
    """(..., q, d) and (..., k, d) in, (..., q, k) out."""
    ### BEGIN SOLUTION
    return query @ key.transpose(-2, -1)
    ### END SOLUTION

# %% check="dot_product_scores"
check.dot_product_scores(dot_product_scores)

# %% role="experiment"
my_scores = check.dot_product_scores.carry_on(dot_product_scores)
query, key = torch.randn(1, 64, 32), torch.randn(1, 64, 32)
start = time.perf_counter()
looped = torch.tensor([[float((q * k).sum()) for k in key[0]] for q in query[0]])
middle = time.perf_counter()
batched = my_scores(query, key)[0]
loops_ms, product_ms = 1e3 * (middle - start), 1e3 * (time.perf_counter() - middle)
print(f"loops {loops_ms:.1f} ms, product {product_ms:.3f} ms; difference {(looped - batched).abs().max():.0e}")

# %% role="predict"
check.predict("variance")

# %% role="experiment"
q, k = torch.randn(4000, 256), torch.randn(4000, 256)
products = (q * k).sum(dim=-1)
print(f"width 256: mean {products.mean():.2f}, standard deviation {products.std():.1f}")
check.outcome("variance")

# %% [markdown] exercise_text="scale"
# Bring scores of vectors of a width back to variance one, whatever the width.
#
# **The classic error:** dividing by the variance of the scores where their standard deviation is wanted.

# %% exercise="scale"
def scale(scores, width):
    """Scores divided so that their variance is one for random vectors of this width."""
    ### BEGIN SOLUTION
    return scores / width**0.5
    ### END SOLUTION

# %% check="scale"
check.scale(scale)

# %% [markdown] exercise_text="attention"
# Put the pieces together, and add a mask. Return `(output, weights)`.
#
# - `mask` is boolean, (q, k) or with a batch; **True means may be seen**. `None`: everybody sees everything.
# - A hidden key gets no weight at all, and the others share it: so hide *before* the softmax.
# - A query that may see nothing gets zeros. Such rows exist in every padded batch.
#
# **The classic errors:** softmax over the wrong axis; hiding with 0 (whose exponential is 1); NaN in a row where nothing
# may be seen.

# %% exercise="attention"
def attention(query, key, value, mask=None):
    """(..., q, d), (..., k, d), (..., k, e) in; output (..., q, e) and weights (..., q, k) out."""
    ### BEGIN SOLUTION
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    weights = scores.softmax(dim=-1)
    if mask is not None:
        weights = weights.masked_fill(~mask, 0.0)
    return weights @ value, weights
    ### END SOLUTION

# %% check="attention"
check.attention(attention)

# %% [markdown] section="look_inside"
# ## Look inside
#
# First the softmax under load, fed with your scores. We draw 400 queries and 64 keys for a growing width, take the scores raw
# and scaled, and look at two things: how many keys a query effectively sees (the exponential of the entropy: 64 equal
# weights give 64, a single weight of 1 gives 1), and how large a gradient comes back through the softmax.

# %% role="predict"
check.predict("gradient")

# %% role="experiment"
def through_the_softmax(width, scaled, queries=400):
    """Keys effectively seen, and the gradient at the scores, for random queries."""
    draw = torch.Generator().manual_seed(width)
    q, k = torch.randn(queries, width, generator=draw), torch.randn(64, width, generator=draw)
    scores = (my_scores(q, k) / (width**0.5 if scaled else 1.0)).requires_grad_()
    weights = scores.softmax(dim=-1)
    (weights * torch.randn(queries, 64, generator=draw)).sum().backward()
    seen = torch.special.entr(weights.detach()).sum(dim=-1).exp()
    return seen.mean().item(), scores.grad.norm(dim=-1).median().item()


widths = [4, 16, 64, 256, 1024]
raw, scaled = ([through_the_softmax(d, s) for d in widths] for s in (False, True))
print(f"width 1024, raw: sees {raw[-1][0]:.1f} of 64 keys; scaled: {scaled[-1][0]:.1f}")
check.outcome("gradient")

# %% role="figure"
keys_seen = {"raw": [r[0] for r in raw], "scaled": [s[0] for s in scaled]}
gradients = {"raw": [r[1] for r in raw], "scaled": [s[1] for s in scaled]}
panels = {"keys effectively seen, of 64": keys_seen, "gradient at the scores (norm)": gradients}
pic = curves(widths, panels, "width d", "Unscaled, the gradient dies as the width grows")
figure(
    pic,
    alt=f"From width 4 to 1024 the raw scores go from {raw[0][0]:.0f} effectively seen keys to "
    f"{raw[-1][0]:.1f}, and their gradient falls from {raw[0][1]:.2g} to {raw[-1][1]:.2g}; scaled, both stay level.",
    table={"width": widths}
    | {f"{name}: keys": values for name, values in keys_seen.items()}
    | {f"{name}: gradient": values for name, values in gradients.items()},
)

# %% role="interactive"
def weights_of_one_query(width, divide_by):  # move the width, with the scale and without
    draw = torch.Generator().manual_seed(1)
    divisor = {"root of the width": width**0.5, "nothing": 1.0, "the width": float(width)}[divide_by]
    keys, query = torch.randn(64, 1024, generator=draw), torch.randn(1024, generator=draw)
    weights = (keys[:, :width] @ query[:width] / divisor).softmax(dim=-1)
    seen = torch.special.entr(weights).sum().exp().item()
    pic, ax = plt.subplots(figsize=(7, 2.6))
    ax.bar(range(64), weights, color="#2166ac")
    ax.set(xlabel="key", ylabel="weight", ylim=(0, 1))
    ax.set_title(f"Divided by {divide_by}: as if it saw {seen:.1f} keys")
    top = weights.topk(5)
    return figure(pic, alt=f"Weights of one query over 64 keys at width {width}, scores divided by "
                  f"{divide_by}: the largest is {top.values[0]:.2f}, as if {seen:.1f} keys were seen.",
                  table={"key": top.indices.tolist(), "weight": top.values.tolist()})


choices = ["nothing", "root of the width", "the width"]
explore(weights_of_one_query, width=(2, 1024, 64), divide_by=choices)

# %% [markdown] why=true
# **Why does a saturated softmax stop learning?** Its derivative is $\partial w_i / \partial s_j = w_i(\delta_{ij} - w_j)$.
# Put in weights of 1 and 0, and say what comes out.
#
# <details><summary>Compare</summary>
#
# Each entry is a product of a weight with one minus a weight, or of two different weights. If one weight is 1 and all
# others 0, every one of these products is 0: whatever the loss wants, no score hears of it. A query that was wrong about
# its one key at the start stays wrong.
# </details>

# %% [markdown]
# Now the clip through your attention, with the frames as queries, keys and values. A sharpened copy of the frames serves
# as the query, because unit vectors alone have cosines too small to choose by.
#
# **A caution that holds for every such map:** it shows where weights are, not what mattered. Here poses decide, because we
# put pixels in and learnt nothing. In a trained model nobody knows beforehand; lesson 14 tests it.

# %% role="interactive"
my_attention = check.attention.carry_on(attention)


def attend_to_frames(sharpness, mask):
    seen = {"everything": None, "the past only": torch.ones(16, 16).tril().bool()}[mask]
    query = frames * sharpness * frames.shape[-1] ** 0.5  # undoes the scale: vectors of length 1
    weights = my_attention(query[None], frames[None], clip[None], seen)[1]
    record = AttentionRecord(weights, query_labels=range(16), mask=seen)
    return heatmap(record, title=f"Each frame looks at its own pose, seeing {mask}")


explore(attend_to_frames, sharpness=(1.0, 50.0, 6.0), mask=["everything", "the past only"])

# %% [markdown] section="exercises_b"
# ## Exercises B
#
# A mask, a layer, and a hunt.

# %% [markdown] exercise_text="causal_mask"
# A model that writes must not see what it has not written yet. Make the mask for a sequence: row = the token that looks,
# column = the token that is looked at, True = may be seen.
#
# **The classic error:** one diagonal too many or too few. Too many, and a language model reads the answer. Too few, and
# the first token sees nothing.

# %% exercise="causal_mask"
def causal_mask(length):
    """(length, length), boolean; a token may see itself and what came before."""
    ### BEGIN SOLUTION
    return torch.ones(length, length, dtype=torch.bool).tril()
    ### END SOLUTION

# %% check="causal_mask"
check.causal_mask(causal_mask)

# %% [markdown] why=true
# **Why is the diagonal part of it?** A token that predicts its successor already knows itself. What would the first row
# be without it, and what would softmax make of that row?
#
# <details><summary>Compare</summary>
#
# Row 0 would have no visible key: all scores at minus infinity, and the softmax of that is 0/0, NaN. One NaN reaches every
# parameter in the next backward pass. Your `attention` gives zeros there, which is safe, but the first token would have
# nothing to build on.
# </details>

# %% [markdown] exercise_text="SelfAttention1d"
# Make it a layer. Three linear maps without bias, called `to_query`, `to_key` and `to_value`, each from `width` to
# `head_width`; then attention of the sequence with itself. Return `(output, weights)`. You may call your `attention`.
#
# **The classic error:** feeding one projection twice, or swapping query and key. All shapes stay right. The check loads
# its own weights under these names, so the names count.

# %% exercise="SelfAttention1d"
class SelfAttention1d(nn.Module):
    """Tokens (..., t, width) in; output (..., t, head_width) and weights (..., t, t) out."""

    def __init__(self, width, head_width):
        super().__init__()
        ### BEGIN SOLUTION
        self.to_query = nn.Linear(width, head_width, bias=False)
        self.to_key = nn.Linear(width, head_width, bias=False)
        self.to_value = nn.Linear(width, head_width, bias=False)
        ### END SOLUTION

    def forward(self, tokens, mask=None):
        ### BEGIN SOLUTION
        return attention(self.to_query(tokens), self.to_key(tokens), self.to_value(tokens), mask)
        ### END SOLUTION

# %% check="SelfAttention1d"
check.SelfAttention1d(SelfAttention1d)

# %% [markdown]
# ### Bug hunt: which axis?
#
# A bug with a long history. Once, `F.softmax(scores)` without a `dim` chose an axis itself, by the number of axes. torch
# still does, with a warning. Look at what it chose for attention scores of shape (b, q, k):

# %% role="experiment"
scores = torch.randn(2, 3, 4)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # "Implicit dimension choice for softmax has been deprecated"
    chosen = F.softmax(scores)
for axis, name in enumerate(("b", "q", "k")):
    sums = chosen.sum(dim=axis).flatten()[:4].tolist()
    print(f"sums over axis {axis} ({name}):", [round(x, 2) for x in sums])

# %% [markdown] exercise_text="rows_sum_to_one"
# The batch! In 2018 a library's attention layer was found to do so, with `dim=0`: with one item all weights were 1
# (PyTorch-NLP, issue 2). In 2022 a much-read diffusion model was found to normalise over the queries (labml, issue 146). Its
# author called it a big bug, and the reader who found it measured **no difference** in the quality of its pictures: a model
# trains around such a bug, and nobody sees it.
#
# So we do not look at results, we state a law. Write a function that takes an implementation of attention, such as yours,
# and returns `True` if the weights of every query sum to one, `False` if not. It should work with a mask too.
#
# **The classic error in a law:** inputs that cannot tell right from wrong. With one token, or with equal scores and as many
# queries as keys, a wrong axis sums to one by accident. In your mask every query should see at least one key: a row that
# sees nothing is zeros, and sums to 0.

# %% exercise="rows_sum_to_one"
def rows_sum_to_one(attention):
    """True if `attention(query, key, value, mask=None)` -> (output, weights) obeys the law."""
    ### BEGIN SOLUTION
    query, key = torch.randn(2, 5, 4), torch.randn(2, 7, 4)
    mask = torch.ones(5, 7, dtype=torch.bool).tril(diagonal=1)
    sums = torch.cat([attention(query, key, key, seen)[1].sum(dim=-1) for seen in (None, mask)])
    return torch.allclose(sums, torch.ones_like(sums), atol=1e-4)
    ### END SOLUTION

# %% check="rows_sum_to_one"
check.rows_sum_to_one(rows_sum_to_one)

# %% [markdown] section="experiment"
# ## Experiment 1: what it costs
#
# The paper's Table 1 compares layers by their multiplications: self-attention $n^2 d$, a convolution of window $k$ needs
# $k\,n\,d^2$. We count two products of $n^2 d$ for scores and mixing, and hold your attention against `nn.Conv1d`. A count
# is not a time: the softmax, memory traffic and how well a kernel is written count as well.

# %% role="predict"
check.predict("cost")

# %% role="experiment"
def seconds(function, times=5):
    """The shortest of several runs: what the machine needs when nobody disturbs it."""
    function()
    runs = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        runs.append(time.perf_counter() - start)
    return min(runs)


d, lengths = 64, [64, 128, 256, 512, 1024, 2048]
conv = nn.Conv1d(d, d, kernel_size=3, padding=1)
attention_ms, conv_ms = [], []
with torch.no_grad():
    for n in lengths:
        x = torch.randn(1, n, d)
        attention_ms.append(1e3 * seconds(lambda: my_attention(x, x, x)))
        conv_ms.append(1e3 * seconds(lambda: conv(x.mT)))
cheaper = [n for n, a, c in zip(lengths, attention_ms, conv_ms) if a < c]
print(f"Counted, attention is cheaper below n = {3 * d / 2:.0f}; "
      f"measured, at {cheaper or 'none of these lengths'}.")
print(f"{lengths[-1]} tokens: attention {attention_ms[-1]:.1f} ms, convolution {conv_ms[-1]:.2f} ms")
check.outcome("cost")

# %% role="figure"
attention_macs, conv_macs = [2 * n * n * d for n in lengths], [3 * n * d * d for n in lengths]
times_for = attention_ms[-1] / attention_ms[-3], conv_ms[-1] / conv_ms[-3]  # four times the length
counted = {"attention": attention_macs, "convolution, window 3": conv_macs}
measured = {"attention": attention_ms, "convolution, window 3": conv_ms}
panels = {"multiply-accumulates, counted": counted, "milliseconds, measured": measured}
finding = "Attention grows with the square of the length, convolution with the length"
pic = curves(lengths, panels, "sequence length n", finding)
figure(
    pic,
    alt=f"Cost against length, counted and measured. Four times the length, from {lengths[-3]} to "
    f"{lengths[-1]}, takes attention {times_for[0]:.0f} times as long and the convolution {times_for[1]:.1f} times.",
    table={"n": lengths, "attention MACs": attention_macs, "convolution MACs": conv_macs,
           "attention ms": attention_ms, "convolution ms": conv_ms},
)

# %% [markdown]
# ## Experiment 2: your code in a real model
#
# MiniLM is a small language model that many people use to compare sentences: BERT, trained by others on a billion
# sentence pairs. It lies on your disk.
#
# Its attention can be exchanged. A few lines (`transplant`), and every head of every layer runs **your** function: the
# library hands over query, key, value and a mask in which True means may be seen.

# %% role="experiment"
from transformers import AttentionInterface, AttentionMaskInterface, AutoModel, AutoTokenizer
from transformers.masking_utils import sdpa_mask
from transformers.utils import logging

logging.set_verbosity_error(), logging.disable_progress_bar()
tokenizer = AutoTokenizer.from_pretrained(minilm_folder())
minilm = AutoModel.from_pretrained(minilm_folder()).eval()
print(f"{sum(p.numel() for p in minilm.parameters()):,} parameters (its card says 22.7 million), "
      f"{minilm.config.num_hidden_layers} layers of {minilm.config.num_attention_heads} heads")

# %% role="experiment"
def transplant(function):
    """From now on MiniLM computes its attention with this function."""

    def layer(module, query, key, value, attention_mask=None, **_):
        output, weights = function(query, key, value, attention_mask)
        return output.transpose(1, 2).contiguous(), weights  # (b, h, t, e) -> (b, t, h, e)

    AttentionInterface.register("yours", layer)
    AttentionMaskInterface.register("yours", sdpa_mask)
    minilm.set_attn_implementation("yours")


@torch.no_grad()
def embed(sentences):
    """One vector of length one for each sentence: the mean of its tokens."""
    batch = tokenizer(sentences, padding=True, return_tensors="pt")
    real = batch["attention_mask"][..., None]
    mean = (minilm(**batch).last_hidden_state * real).sum(dim=1) / real.sum(dim=1)
    return F.normalize(mean, dim=-1)


sentences = load_sentence_pairs()  # 8 pairs that mean about the same, in other words
print(sentences[:2])
original = embed(sentences)
transplant(my_attention)
difference = (embed(sentences) - original).abs().max()
print(f"largest difference between its vectors with its own attention and with yours: {difference:.1e}")

# %% [markdown]
# Which of its heads did what? `capture` watches the model run and keeps all the weights that your function computed, here
# for a sentence in which "it" stands for something. Click a small table, or Tab to the figure and use the arrow keys, comma
# and full stop.

# %% role="experiment"
batch = tokenizer("The cat was tired because it had run from the dogs all day.", return_tensors="pt")
record = capture(minilm, **batch).record(labels=tokenizer)
print(record)
before = torch.tensor(record.weights).diagonal(offset=-1, dim1=-2, dim2=-1).mean(dim=-1)
layer, head = divmod(int(before.argmax()), 12)
print(f"layer {layer}, head {head} puts {before.max():.2f} of its weight on the token before")
print("mean weight on [CLS], layer by layer:", record.weights[..., 0].mean(axis=(1, 2)).round(2).tolist())

# %% role="interactive"
heads(record, layer=layer, head=head, title=f"Layer {layer}, head {head} looks at the token before; others do not")

# %% role="figure"
it, cat = record.query_names.index("it"), record.key_names.index("cat")
to_cat = torch.tensor(record.weights)[..., cat]  # (layer, head, query)
others = to_cat[..., torch.arange(len(record.query_names)) != it].mean(dim=-1)
for difference in (to_cat[..., it], to_cat[..., it] - others):  # first without a control, then with one
    layer, head = divmod(int(difference.argmax()), 12)
    print(f'{layer}.{head}: "it" looks at "cat" with {to_cat[layer, head, it]:.2f}, the others with {others[layer, head]:.2f}')
my_layer = check.SelfAttention1d.carry_on(SelfAttention1d)(384, 32)
untrained = AttentionRecord(my_layer(minilm.embeddings(batch["input_ids"]))[1], query_labels=record.query_names)
theirs, names = record.select(layer=layer, head=head), ("yours, untrained", f"MiniLM {layer}.{head}")
compare(untrained, theirs, names=names, title=f'Training adds where to look: in head {layer}.{head} "it" finds "cat"')

# %% [markdown]
# Look through a few. One head of the first layer looks at the token before; after the first layer many rest on `[CLS]`,
# the bright first column, where there is nothing to say.
#
# **Always look for a control.** The head in which "it" looks hardest at "cat" says nothing about "it": there, *every* word
# looks at "cat". Only where the others do not has "it" found something of its own.
#
# Now the other way round: the mistakes. We put wrong attention into the trained model and ask each of 16 sentences for
# its nearest neighbour. How often is it the partner?

# %% role="predict"
check.predict("transplant")

# %% role="experiment"
wanted = ["no scale", "scale by width", "scale by number of keys",
          "softmax over queries", "hidden scores are zero", "mask upside down"]
known = {mistake.name: mistake.answer for mistake in check.attention.mistakes}
versions = {"yours": my_attention} | {name: known[name] for name in wanted}
found, likeness = [], []
for function in versions.values():
    transplant(function)
    vectors = embed(sentences)
    table = (vectors @ vectors.mT).fill_diagonal_(-2)
    found.append(int((table.argmax(dim=1) == torch.arange(16) ^ 1).sum()))
    likeness.append(float((vectors * original).sum(dim=-1).mean()))
transplant(my_attention)
print({name: f"{n} of 16" for name, n in zip(versions, found)})
check.outcome("transplant")

# %% role="figure"
pic, ax = plt.subplots(figsize=(7, 3.2))
ax.barh(list(versions), found, color=["#2166ac"] + ["#b35806"] * (len(versions) - 1))
for row, (n, cosine) in enumerate(zip(found, likeness)):
    ax.text(n + 0.2, row, f"{n}   (cosine to the original {cosine:.2f})", va="center")
ax.invert_yaxis()
ax.set(xlabel="sentences that find their partner, of 16", xlim=(0, 30))
ax.set_title("Some wrong versions look right from outside")
ax.set_xticks(range(0, 17, 4))
figure(
    pic,
    alt="Sentences of 16 that find their partner with each version of attention: "
    + ", ".join(f"{name} {n}" for name, n in zip(versions, found)) + ".",
    table={"version": list(versions), "partners found": found, "cosine to original": likeness},
)

# %% [markdown]
# Sixteen sentences, one model, no retraining: too little to rank mistakes by. Enough for this: **a good result does not
# prove right code.** The vectors have moved in every wrong version, and laws see it at once.

# %% [markdown] section="quiz"
# ## Quiz
#
# Six questions. Every choice has an answer, the wrong ones too.

# %% role="quiz"
check.quiz()

# %% [markdown] section="stretch"
# ## Stretch
#
# Take more when you have time: about 30 minutes, 10 for the exercise and 20 for two tasks without a check.

# %% [markdown] exercise_text="soft_lookup"
# Attention as a dictionary that forgives. Compare query and keys by their **cosine**, divide by a temperature, softmax,
# average the values. Cold, it returns exactly the value of a key that is there; hot, the mean of all. Return
# `(output, weights)`.
#
# **The classic error:** normalising one side only. Then a loud key wins by its length.

# %% exercise="soft_lookup"
def soft_lookup(query, key, value, temperature):
    """(..., q, d), (..., k, d), (..., k, e) in; output (..., q, e) and weights (..., q, k) out."""
    ### BEGIN SOLUTION
    similarity = F.normalize(query, dim=-1) @ F.normalize(key, dim=-1).mT
    weights = (similarity / temperature).softmax(dim=-1)
    return weights @ value, weights
    ### END SOLUTION

# %% check="soft_lookup"
check.soft_lookup(soft_lookup)

# %% role="experiment"
look_up = check.soft_lookup.carry_on(soft_lookup)
print("temperature   effective keys   error against the exact value")
for temperature in (0.01, 0.1, 0.3, 1.0, 10.0):
    output, weights = look_up(question[:, None], keys, numbers[..., None], temperature)
    seen = torch.special.entr(weights).sum(dim=-1).exp().mean()
    print(f"{temperature:>11}   {seen:>14.2f}   {(output[:, 0, 0] - answers).square().mean():.4f}")

# %% [markdown]
# That is the puzzle from the beginning, solved by your function. Two more tasks without a check:
#
# - At which temperature is the mean entropy $\frac12 \ln 8$, about 2.8 effective keys? Find it by bisection; then derive the
#   derivative of the entropy by the temperature, and check it with autograd.
# - Feed your `SelfAttention1d` a sequence twice, the second time in reverse, and show with one line that it cannot tell.

# %% [markdown] section="sources"
# ## Sources
#
# - Vaswani et al. 2017, *Attention Is All You Need*, section 3.2.1: equation 1, and in footnote 4 that a dot product of
#   independent entries of mean 0 and variance 1 has variance $d_k$; section 3.2.3: the causal mask; Table 1: cost of
#   layers, $n^2 d$ against $k n d^2$.
# - Graves et al. 2014, *Neural Turing Machines*, section 3.3.1: addressing by content with a sharpened cosine.
# - Wang et al. 2020, *MiniLM*; the model is sentence-transformers' all-MiniLM-L6-v2 (Apache-2.0), 22.7 million parameters.
# - Bugs: PyTorch-NLP issue 2 (2018, softmax over axis 0); labml annotated papers issue 146 (2022, softmax over queries in
#   a diffusion model; the reader reports no difference in FID).
# - Clip: *Big Buck Bunny*, (c) 2008 Blender Foundation, www.bigbuckbunny.org, CC BY 3.0, shrunk to 16 frames.
#
# Next: lesson 06 puts self-attention into convolutional video networks.
