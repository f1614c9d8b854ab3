# %% [markdown] section="card"
# # 01 · Attention in recurrent networks
#
# A recurrent network reads a sequence word by word and keeps one vector of what it has read. You show with your own code that
# such a vector forgets, and how fast. Then you let it look back.
#
# At the end you have written Bahdanau's attention from its parts, and it reads dates in four languages, with a picture of
# where it looked.
#
# {{card}}
#
# Planned for 90 minutes, and 30 more for the stretch. You need lesson 00 (softmax, weighted average) and some torch: `@`,
# `unsqueeze`, `torch.cat`, what a gradient is.

# %%
import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from attnlab.checks.rnn_attention import check
from attnlab.data import load_dates, load_number_words
from attnlab.training import SEEDS, Spread, built, train
from attnlab.viz import AttentionRecord, explore, figure, heatmap, links, runs

torch.set_num_threads(1)  # small tensors: one thread is fastest, and steady
torch.manual_seed(1)
print("torch", torch.__version__)

# %% [markdown] section="recall"
# ## Recall
#
# Three questions from lesson 00, without looking back.

# %% role="recall"
check.recall()

# %% [markdown] section="puzzle"
# ## Puzzle: what was the first number?
#
# A network reads noise. Only its first input means something: all +1 or all -1. At the end we ask its last state which of
# the two it was. We give the state the best linear read-out there is, fitted to 400 sequences.
#
# The one thing left to choose is how strongly the state feeds itself: the spectral radius of its weight, which is the largest
# size among its eigenvalues. Below 1 it damps, above 1 it amplifies. Change the two numbers in the list. Can you find a radius that still knows after 100 steps? You cannot
# break anything, and you are not expected to win.

# %% role="experiment"
def weights_of(radius, seed, hidden=64):
    """Input weight, state weight of this spectral radius, and bias of a plain RNN."""
    draw = torch.Generator().manual_seed(seed)
    from_state = torch.randn(hidden, hidden, generator=draw)
    from_state = from_state * radius / torch.linalg.eigvals(from_state).abs().max()
    return torch.eye(hidden), from_state, torch.zeros(hidden)


def remembered(radius, steps, sequences=800):
    from_input, from_state, bias = weights_of(radius, seed=0)
    first = torch.randint(2, (sequences,)) * 2.0 - 1
    state = torch.tanh(0.5 * first[:, None].expand(-1, 64))
    for _ in range(steps):
        state = torch.tanh(0.5 * torch.randn(sequences, 64) + state @ from_state.T)
    readout = torch.linalg.lstsq(state[:400], first[:400, None]).solution
    return ((state[400:] @ readout)[:, 0].sign() == first[400:]).float().mean().item()


for radius in (0.8, 1.2):
    print(f"radius {radius}:", {steps: f"{remembered(radius, steps):.0%}" for steps in (1, 5, 20, 100)})
print("50 % is guessing")

# %% [markdown] section="intuition"
# ## Intuition: one unit by hand
#
# One unit, no bend: $h_t = w\,h_{t-1} + x_t$. Change the first input by 1. By how much does the last state change after ten
# more steps? By $w^{10}$.
#
# **Work out on paper** the three cases $w = 0.5$, $w = 1$, $w = 2$, roughly. Then think of the tanh: its slope is 1 at
# zero and less everywhere else. It multiplies each step once more. Run the cell.

# %%
for w in (0.5, 1.0, 2.0):
    x = torch.zeros(11, requires_grad=True)
    linear = bent = torch.zeros(())
    for x_t in x + 0.5:
        linear, bent = w * linear + x_t, torch.tanh(w * bent + x_t)
    ways = [torch.autograd.grad(last, x, retain_graph=True)[0][0].item() for last in (linear, bent)]
    print(f"w = {w}: without a bend {ways[0]:9.4f}, with tanh {ways[1]:.1e}")

# %% [markdown] section="mechanism"
# ## Mechanism: a way back of one step
#
# A plain network makes a state of the input and of the state before:
#
# $$h_t = \tanh(W_x x_t + W_h h_{t-1} + b)$$
#
# What the last state knows of the first has to pass through every step, and the chain rule multiplies them all:
#
# $$\frac{\partial h_T}{\partial h_0} = \prod_{t=T}^{1} \operatorname{diag}(1 - h_t^2)\, W_h$$
#
# Attention keeps **all** states and lets a query choose. In translation one network, the encoder, reads and leaves a state
# $h_j$ for each word; a second, the decoder, writes word by word, and its own state $s$ asks. In five steps, as Bahdanau has them:
#
# 1. **Project** query $s$ and keys $h_j$ into one space: $W_a s$, $U_a h_j$.
# 2. **Score** each pair: $e_j = v_a^\top \tanh(W_a s + U_a h_j)$.
# 3. **Normalise** over the real keys, those with $j$ below the length $n$: $\alpha_j = \exp(e_j) / \sum_{k<n} \exp(e_k)$.
# 4. **Mix** the states, which are the values too: $c = \sum_j \alpha_j h_j$.
# 5. **Merge** the context $c$ into the next state of the decoder.
#
# From $h_j$ to $c$ there is one step, whatever $j$ is.

# %% role="experiment"
states = torch.tensor([[1.0, 0.0], [0.0, 1.0], [9.0, 9.0]])  # two words and one place of filler
scores = torch.tensor([1.0, 4.0]).log()  # project and score: say they came out as 0 and ln 4
weights = scores.softmax(dim=-1)  # normalise, over the two real keys
print("weights ", [round(x, 2) for x in weights.tolist()])
print("context ", [round(x, 2) for x in (weights @ states[:2]).tolist()], "(mix)")
with_filler = torch.cat([scores, torch.tensor([2.0])]).softmax(dim=-1)
print("with the filler, should its score be 2:", [round(x, 2) for x in (with_filler @ states).tolist()])

# %% [markdown] why=true
# **Why does a larger $W_h$ not repair it?** Look at $\operatorname{diag}(1 - h_t^2)$: how large can its entries
# be, and when is one of them near 0? Write a sentence before you unfold.
#
# <details><summary>Compare</summary>
#
# $1 - h_t^2$ is at most 1, and it is 1 only for a unit at rest. A unit that is far out, with $h$ near 1 or -1, lets next to
# nothing through. So the tanh only shrinks. A larger $W_h$ would make up for it, but it also drives the units outward, where the
# slope is small. Where units stay near rest, it multiplies instead: then the gradient *explodes*. Between the two there is a knife's edge.
# </details>

# %% [markdown] section="exercises_a"
# ## Exercises A
#
# Write, run the check, read what it says. `check.rnn_forward.hint()` gives a hint, and again the next one.
# `check.rnn_forward.carry_on(rnn_forward)` takes your function if it passes, else ours, so that you can always go on.

# %% [markdown] exercise_text="rnn_forward"
# Run a plain RNN over a sequence and return **all** its states. `inputs` is (b, t, d), `state` (b, h) is where it starts;
# the weights have a row for each number that comes out, as in `nn.Linear`. There may be more axes in front, or none.
#
# **The classic errors:** `from_state` without its transpose, which no shape shows, because it is square. Starting from zeros
# although a state was handed over.

# %% exercise="rnn_forward"
def rnn_forward(inputs, state, from_input, from_state, bias):
    """(..., t, d) and (..., h) in, with weights (h, d), (h, h), (h,); states (..., t, h) out."""
    ### BEGIN SOLUTION
    states = []
    for token in inputs.unbind(dim=-2):
        state = torch.tanh(token @ from_input.mT + state @ from_state.mT + bias)
        states.append(state)
    return torch.stack(states, dim=-2)
    ### END SOLUTION

# %% check="rnn_forward"
check.rnn_forward(rnn_forward)

# %% role="experiment"
my_rnn = check.rnn_forward.carry_on(rnn_forward)
library = nn.RNN(3, 8, batch_first=True)
x, zeros = torch.randn(2, 20, 3), torch.zeros(2, 8)
W_x, W_h, b_x, b_h = (p.detach() for p in library.parameters())
difference = (my_rnn(x, zeros, W_x, W_h, b_x + b_h) - library(x)[0]).abs().max()
print(f"largest difference to nn.RNN with the same weights: {difference:.0e}")

# %% [markdown] exercise_text="additive_scores"
# The scores of every query with every key: project both, add, tanh, and weigh the units with `vector`. A row of the result
# belongs to one query. There may be more axes in front, or none.
#
# **The classic error:** leaving the tanh out, or bending each projection on its own. Then the query's part is the same number
# for all keys. The softmax cancels it, and every query looks at the same places.

# %% exercise="additive_scores"
def additive_scores(query, key, to_query, to_key, vector):
    """(..., q, d), (..., k, e) in, with weights (n, d), (n, e), (n,); scores (..., q, k) out."""
    ### BEGIN SOLUTION
    pairs = (query @ to_query.mT).unsqueeze(-2) + (key @ to_key.mT).unsqueeze(-3)
    return torch.tanh(pairs) @ vector
    ### END SOLUTION

# %% check="additive_scores"
check.additive_scores(additive_scores)

# %% [markdown] exercise_text="masked_softmax"
# Sentences of a batch differ in length, so the short ones are filled up. Filler must get **no** weight, and the real keys share
# all of it. `scores` is (b, q, k), `lengths` (b): the first `lengths[i]` keys of item i are real. An item of length 0 gets zeros. There may be more axes in front, or none: count from the back, as in `lengths[..., None, None]`.
#
# **The classic errors:** hiding with 0, whose exponential is 1. Hiding after the softmax, when the filler has taken its share
# already. NaN for an item of length 0.

# %% exercise="masked_softmax"
def masked_softmax(scores, lengths):
    """(..., q, k) and (...) in; weights (..., q, k) out."""
    ### BEGIN SOLUTION
    mask = torch.arange(scores.shape[-1]) < lengths[..., None, None]
    weights = scores.masked_fill(~mask, -torch.inf).softmax(dim=-1)
    return weights.masked_fill(~mask, 0.0)
    ### END SOLUTION

# %% check="masked_softmax"
check.masked_softmax(masked_softmax)

# %% [markdown] section="look_inside"
# ## Look inside
#
# Your RNN reads noise, 64 units, spectral radius 1. How far back does a gradient reach? We measure it at the first input, once
# from the last state, and once from a context that your additive scores and your softmax take of all states.

# %% role="predict"
check.predict("gradient_length")

# %% role="experiment"
my_scores = check.additive_scores.carry_on(additive_scores)
my_softmax = check.masked_softmax.carry_on(masked_softmax)


def ways_back(radius, noise, seed, lengths):
    """Size of the gradient at the first input, from the last state and through attention, by length."""
    draw = torch.Generator().manual_seed(seed)
    long = noise * torch.randn(max(lengths), 64, generator=draw)
    W_a, U_a, v_a = (torch.randn(32, n, generator=draw) / 8 for n in (64, 64, 1))
    readout, found = F.normalize(torch.randn(64, generator=draw), dim=0), []
    for n in lengths:
        inputs = long[:n].clone().requires_grad_()
        states = my_rnn(inputs, torch.zeros(64), *weights_of(radius, seed))
        weights = my_softmax(my_scores(states[-1:], states, W_a, U_a, v_a[:, 0]), torch.tensor(n))
        ends = states[-1] @ readout, (weights @ states)[0] @ readout
        found.append([torch.autograd.grad(end, inputs, retain_graph=True)[0][0].norm().item() for end in ends])
    return torch.tensor(found).T


lengths = [2, 5, 10, 20, 40, 60, 80, 100]
both = torch.stack([ways_back(1.0, 0.5, seed, lengths) for seed in SEEDS], dim=1)  # (way, seed, length)
last, looking = both.log10().mean(dim=1)
print(f"from 20 steps to 100: last state {10 ** (last[-1] - last[3]):.0e} of it is left, attention {10 ** (looking[-1] - looking[3]):.2f}")
check.outcome("gradient_length")

# %% role="figure"
panels = {"gradient at the first input (norm)": {"from the last state": both[0], "through attention": both[1]}}
pic = runs(lengths, panels, "length of the sequence", "The last state forgets its first input; attention does not", "log")
figure(
    pic,
    alt=f"Gradient at the first input against length, three seeds. From the last state it falls from {10 ** last[0]:.1g} at "
    f"length 2 to {10 ** last[-1]:.0e} at 100, a straight line on a logarithmic axis; through attention it goes from "
    f"{10 ** looking[0]:.1g} to {10 ** looking[-1]:.1g} only, about as 1 / length.",
    table={"length": lengths, "last state": (10**last).tolist(), "attention": (10**looking).tolist()},
)

# %% [markdown]
# A straight line on a logarithmic axis: a fixed *factor* for each step. Through attention the gradient falls too, about as 1 / length,
# since untrained weights are nearly uniform. Training sharpens them.
#
# Move the radius. Is there one that saves the last state?

# %% role="interactive"
def forgetting(spectral_radius, noise):  # move both; each figure is one seed
    lengths = [2, 5, 10, 20, 40, 70, 100]
    last, looking = ways_back(spectral_radius, noise, 0, lengths).tolist()
    pic, ax = plt.subplots(figsize=(6.5, 3))
    ax.semilogy(lengths, last, "o--", color="#b35806", label="from the last state")
    ax.semilogy(lengths, looking, "s-", color="#2166ac", label="through attention")
    ax.set(xlabel="length of the sequence", ylabel="gradient at the first input", ylim=(1e-25, 1e6))
    ax.set_title(f"Radius {spectral_radius:.2f}: at length 100, {last[-1]:.0e} from the last state, {looking[-1]:.0e} by attention")
    ax.legend()
    return figure(pic, alt=f"At spectral radius {spectral_radius:.2f} the gradient from the last state falls to {last[-1]:.0e} "
                  f"at length 100, and through attention to {looking[-1]:.0e}.",
                  table={"length": lengths, "last state": last, "attention": looking})


explore(forgetting, spectral_radius=(0.5, 1.5, 1.0), noise=(0.1, 1.0, 0.5))

# %% role="predict"
check.predict("uniform")

# %% role="experiment"
query, memory = torch.randn(1, 1, 64), torch.randn(1, 7, 64)
W_a, U_a = (0.001 * torch.randn(32, 64)).requires_grad_(), (0.001 * torch.randn(32, 64)).requires_grad_()
v_a = torch.zeros(32, requires_grad=True)
weights = my_softmax(my_scores(query, memory, W_a, U_a, v_a), torch.tensor([5]))
print("weights:", [round(w, 3) for w in weights[0, 0].tolist()])
(weights @ memory).sin().sum().backward()
print("gradients:", {name: f"{p.grad.norm():.1e}" for name, p in {"W_a": W_a, "U_a": U_a, "v_a": v_a}.items()})
check.outcome("uniform")

# %% [markdown] why=true
# **Why do $W_a$ and $U_a$ learn nothing in the very first step, and yet learn later?** Take the derivative of the score by $W_a$.
# Which factor stands in front?
#
# <details><summary>Compare</summary>
#
# $\partial e / \partial W_a$ is a multiple of $v_a$, and $v_a$ is zero. $v_a$ itself gets a gradient, $\tanh(\ldots)$. After one step
# it is no longer zero, and the way to $W_a$ and $U_a$ is open. Were $v_a$ zero *and frozen*, attention would stay uniform for ever.
# </details>

# %% [markdown] section="exercises_b"
# ## Exercises B
#
# Luong's other scores, a hunt, and the decoder.

# %% [markdown] exercise_text="luong_scores"
# Three ways to compare, none of them scaled: **dot** $q \cdot k$ (equal widths); **general** $q^\top W k$, with `weight` (d, e);
# **concat** $v^\top \tanh(W [q ; k])$, with `weight` (n, d + e), the query's columns first. There may be more axes in front, or none.
#
# **The classic error:** general with its weight transposed. As long as query and key are as wide, it runs, and nobody sees it.

# %% exercise="luong_scores"
def luong_scores(query, key, method="dot", weight=None, vector=None):
    """(..., q, d), (..., k, e) in; scores (..., q, k) out. method: "dot", "general" or "concat"."""
    ### BEGIN SOLUTION
    if method == "dot":
        return query @ key.mT
    if method == "general":
        return query @ weight @ key.mT
    to_query, to_key = weight.split([query.shape[-1], key.shape[-1]], dim=-1)
    pairs = (query @ to_query.mT).unsqueeze(-2) + (key @ to_key.mT).unsqueeze(-3)
    return torch.tanh(pairs) @ vector
    ### END SOLUTION

# %% check="luong_scores"
check.luong_scores(luong_scores)

# %% [markdown]
# ### Bug hunt: who reads the padding?
#
# In December 2015 a reader asked about TensorFlow's own sequence-to-sequence code: it takes the softmax over all places of
# the padded source, and where is the mask? (Issue 512; the pull request 2079 that was to repair it calls it a bug.) In 2018 the same was
# found in a library for PyTorch (IBM's pytorch-seq2seq, issue 141), and ESPnet lost its mask in a rewrite (pull request 397). There the
# error rates with and without the mask came out almost the same. **No result showed it.** A sentence that changes with its neighbours does:

# %% role="experiment"
def unmasked(query, memory, lengths):
    weights = (query @ memory.mT).softmax(dim=-1)
    return weights @ memory, weights


query, memory = torch.randn(1, 1, 4), torch.randn(1, 12, 4)
for padded_to in (3, 6, 12):  # one sentence of three words, in batches whose longest has 3, 6, 12
    context, weights = unmasked(query, memory[:, :padded_to], torch.tensor([3]))
    print(f"padded to {padded_to:>2}: context {[round(x, 2) for x in context[0, 0].tolist()]}, on filler {weights[0, 0, 3:].sum():.2f}")

# %% [markdown] exercise_text="padding_changes_nothing"
# State the law. Write a function that takes an implementation, `attend(query, memory, lengths)` → `(context, weights)` with query (b, q, d)
# and memory (b, k, d), and returns `True` if a sentence's context does not depend on its padding.
#
# **The classic error in a law:** it changes *what* the filler holds and never *how much* there is. Code that sets the filler to zero
# passes, and each zero still takes its share of the softmax. A batch of one sentence hides a mask that is made from the longest length.

# %% exercise="padding_changes_nothing"
def padding_changes_nothing(attend):
    """True if `attend(query, memory, lengths)` -> (context, weights) does not look at filler."""
    ### BEGIN SOLUTION
    query, memory, lengths = torch.randn(2, 3, 4), torch.randn(2, 7, 4), torch.tensor([7, 5])
    together = attend(query, memory, lengths)[0]
    alone = attend(query[1:], memory[1:, :5], lengths[1:])[0]  # without any filler
    return torch.allclose(together[1:], alone, atol=1e-4)
    ### END SOLUTION

# %% check="padding_changes_nothing"
check.padding_changes_nothing(padding_changes_nothing)

# %% [markdown] exercise_text="attention_decoder_step"
# One step of Bahdanau's decoder. The state that **comes in** asks the memory; the context and the token then make the next state:
#
# $$s_i = \tanh(W_x [y_{i-1} ; c_i] + W_h s_{i-1} + b)$$
#
# Return `(state, context, weights)`. You may call your functions. (Bahdanau's step is a gated one; the order is the same.)
#
# **The classic error:** asking with the new state. That is Luong's order, and here it is circular: the new state needs the context.
# The alignment picture then sits one row off.

# %% exercise="attention_decoder_step"
def attention_decoder_step(token, state, memory, lengths, to_query, to_key, vector, from_input, from_state, bias):
    """token (b, d), state (b, h), memory (b, k, m), lengths (b); state (b, h), context (b, m), weights (b, k) out."""
    ### BEGIN SOLUTION
    scores = additive_scores(state[:, None], memory, to_query, to_key, vector)
    weights = masked_softmax(scores, lengths)
    context = (weights @ memory)[:, 0]
    state = torch.tanh(torch.cat([token, context], dim=-1) @ from_input.mT + state @ from_state.mT + bias)
    return state, context, weights[:, 0]
    ### END SOLUTION

# %% check="attention_decoder_step"
check.attention_decoder_step(attention_decoder_step)

# %% [markdown] section="experiment"
# ## Experiment 1: find the marked token
#
# Every token carries a sign, one of them a mark. Which sign has the marked one? A plain RNN with 24 units reads the sequence, and we
# train it three times the same: with the last state, with the mean of all states, and with attention by one learnt query. Same steps,
# three seeds.

# %% role="predict"
check.predict("marked")

# %% role="experiment"
class Finder(nn.Module):
    """A plain RNN, and one of three ways to read its states."""

    def __init__(self, way):
        super().__init__()
        self.way, self.rnn, self.read = way, nn.RNN(8, 24, batch_first=True), nn.Linear(24, 1)
        self.query, self.vector = nn.Parameter(torch.randn(1, 16)), nn.Parameter(torch.randn(16))
        self.to_query, self.to_key = nn.Parameter(torch.eye(16)), nn.Parameter(torch.randn(16, 24) / 5)

    def forward(self, tokens):
        states = self.rnn(tokens)[0]
        if self.way == "attention":
            scores = my_scores(self.query, states, self.to_query, self.to_key, self.vector)
            states = my_softmax(scores, torch.full(states.shape[:1], states.shape[1])) @ states
        return self.read(states[:, -1] if self.way == "last state" else states.mean(dim=1))[:, 0]


def marked_tokens(count, length, generator):
    tokens = torch.randn(count, length, 8, generator=generator) / 2
    tokens[..., 0] = torch.randint(2, (count, length), generator=generator) * 2.0 - 1
    place = torch.nn.functional.one_hot(torch.randint(length, (count,), generator=generator), length)
    tokens[..., 1] = place
    return tokens, ((tokens[..., 0] * place).sum(dim=1) > 0).float()


def accuracy(way, length, seed, steps=100):
    model = built(seed, lambda: Finder(way))

    def loss(model, generator):
        tokens, sign = marked_tokens(64, length, generator)
        return F.binary_cross_entropy_with_logits(model(tokens), sign)

    train(model, loss, steps, learning_rate=1e-2, seed=seed)
    tokens, sign = marked_tokens(1000, length, torch.Generator().manual_seed(99))
    with torch.no_grad():
        return ((model(tokens) > 0) == (sign > 0)).float().mean().item()


ways, steps_long = ("last state", "mean", "attention"), (10, 30, 80)
print(sum(p.numel() for p in Finder("attention").parameters()), "parameters (the other two ways leave those of attention unused)")

# %% role="experiment"
found = {way: [[accuracy(way, n, seed=0) for n in steps_long]] for way in ways}
print({way: [f"{a:.0%}" for a in runs_[0]] for way, runs_ in found.items()})

# %% role="experiment"
for way in ways:
    found[way].append([accuracy(way, n, seed=1) for n in steps_long])
print({way: [f"{a:.0%}" for a in runs_[1]] for way, runs_ in found.items()})

# %% role="experiment"
for way in ways:
    found[way].append([accuracy(way, n, seed=2) for n in steps_long])
at_80 = {way: Spread(tuple(run[-1] for run in found[way])) for way in ways}
print("length 80, mean of three seeds ± standard deviation:", {way: str(s) for way, s in at_80.items()})
check.outcome("marked")

# %% role="figure"
pic = runs(steps_long, {"accuracy, three seeds": found}, "length of the sequence", "After the same training only attention finds the token, at every length")
figure(
    pic,
    alt="Accuracy against length after the same training. At length 80: "
    + ", ".join(f"{way} {s.mean:.2f}" for way, s in at_80.items()) + ". Guessing gives 0.5.",
    table={"length": steps_long} | {way: torch.tensor(found[way]).mean(dim=0).tolist() for way in ways},
)

# %% [markdown]
# ## Experiment 2: dates
#
# `samedi 26 septembre 2026` → `2026-09-26`. Four languages, the formats from Unicode's CLDR. A plain bidirectional RNN reads the letters;
# your `attention_decoder_step` writes ten symbols. Days that occur in training do not occur in the test. One cell a seed, each with two
# trainings of the same steps: with attention, and from the last states alone.

# %% role="experiment"
pairs = load_dates(7000, seed=1)
words = [(written, digits.zfill(3)) for written, digits in load_number_words(range(1000))]  # for later
letters = sorted({letter for written, _ in pairs + words for letter in written})
SYMBOLS = "0123456789-"


def coded(pairs):
    """Source letters (b, k), padded with 0; lengths (b); target symbols (b, 10)."""
    numbers = [torch.tensor([letters.index(c) + 1 if c in letters else 0 for c in source]) for source, _ in pairs]
    target = torch.tensor([[SYMBOLS.index(c) for c in symbols] for _, symbols in pairs])
    return pad_sequence(numbers, batch_first=True), torch.tensor([len(n) for n in numbers]), target


known = {iso for _, iso in pairs[:6000]}
training, test = coded(pairs[:6000]), coded([pair for pair in pairs[6000:] if pair[1] not in known][:500])
print(*pairs[:6], sep="\n")
print(len(training[1]), "to learn from,", len(test[1]), "to test on")

# %% role="experiment"
my_step = check.attention_decoder_step.carry_on(attention_decoder_step)


class Reader(nn.Module):
    """A plain RNN reads letters; a decoder writes symbols, with attention or from the last states alone."""

    def __init__(self, attends, letters, hidden=48, units=32):
        super().__init__()
        self.attends, self.embed, self.token = attends, nn.Embedding(letters + 1, 32, padding_idx=0), nn.Embedding(12, 16)
        self.encoder = nn.RNN(32, hidden // 2, batch_first=True, bidirectional=True)
        shapes = ((units, hidden), (units, hidden), (units,), (hidden, 16 + hidden), (hidden, hidden), (hidden,))
        self.weights = nn.ParameterList([(torch.rand(s) * 2 - 1) / s[-1] ** 0.5 for s in shapes])
        self.begin, self.write = nn.Linear(hidden, hidden), nn.Linear(2 * hidden, 11)

    def forward(self, source, lengths, target):
        """Scores of the symbols; with target=None each symbol that is written is read as the next token."""
        packed = pack_padded_sequence(self.embed(source), lengths, batch_first=True, enforce_sorted=False)
        states, last = self.encoder(packed)
        memory, last = pad_packed_sequence(states, batch_first=True)[0], last.transpose(0, 1).flatten(1)
        if not self.attends:  # a memory of one place: the last states of both directions
            memory, lengths = last[:, None], torch.ones_like(lengths)
        state, symbol, written, weights = torch.tanh(self.begin(last)), torch.full_like(lengths, 11), [], []
        for i in range(self.symbols if target is None else target.shape[1]):
            state, context, row = my_step(self.token(symbol), state, memory, lengths, *self.weights)
            written.append(self.write(torch.cat([state, context], dim=-1)))
            weights.append(row)
            symbol = written[-1].argmax(dim=-1) if target is None else target[:, i]
        return torch.stack(written, dim=1), torch.stack(weights, dim=1)


print(f"{sum(p.numel() for p in Reader(True, len(letters)).parameters()):,} parameters (without attention, those of its scores stay unused)")

# %% role="predict"
check.predict("no_attention")

# %% role="experiment"
def taught(attends, training, test, steps=150, seed=0):
    """A trained reader, and the share of test items that it writes right in full, every 25 steps."""
    model = built(seed, lambda: Reader(attends, len(letters)))
    model.symbols = training[2].shape[1]

    def loss(model, generator):
        chosen = torch.randint(len(training[1]), (64,), generator=generator)
        source, lengths, target = (part[chosen] for part in training)
        return F.cross_entropy(model(source, lengths, target)[0].flatten(0, 1), target.flatten())

    def right(model):
        return (model(*test[:2], None)[0].argmax(dim=-1) == test[2]).all(dim=1).float().mean().item()

    history = train(model, loss, steps, learning_rate=1e-2, seed=seed, watch=right, every=25)
    return model, history


reader, history = taught(True, training, test, seed=0)
curves_of = {"without": [taught(False, training, test, seed=0)[1].watched], "with attention": [history.watched]}
print({name: [f"{share:.0%}" for share in seeds[0]] for name, seeds in curves_of.items()})

# %% role="experiment"
for name, attends in (("with attention", True), ("without", False)):
    curves_of[name].append(taught(attends, training, test, seed=1)[1].watched)
print({name: [f"{share:.0%}" for share in seeds[1]] for name, seeds in curves_of.items()})

# %% role="experiment"
for name, attends in (("with attention", True), ("without", False)):
    curves_of[name].append(taught(attends, training, test, seed=2)[1].watched)
ends = {name: Spread(tuple(seed[-1] for seed in seeds)) for name, seeds in curves_of.items()}
print("dates right in full, mean of three seeds ± standard deviation:", {name: str(s) for name, s in ends.items()})
check.outcome("no_attention")

# %% role="figure"
pic = runs(history.steps, {"dates right in full, three seeds": curves_of}, "steps of training", "Attention learns the dates while the last state learns almost none")
figure(
    pic,
    alt=f"Share of test dates written right in full, every 25 steps. With attention it ends at {ends['with attention'].mean:.2f}, "
    f"without at {ends['without'].mean:.2f}, means of three seeds.",
    table={"steps": history.steps} | {name: torch.tensor(seeds).mean(dim=0).tolist() for name, seeds in curves_of.items()},
)

# %% [markdown]
# Be fair to the loser: we stopped early, and gave it no gates. Does it learn later, or with `nn.GRU` in place of `nn.RNN` (its `last` is the
# same)? Try it; that was not run here. What attention buys is the early steps. Bahdanau's Table 1, read in a transcription, tells it of English to French, sentences up to 50 words: BLEU 17.82 without
# attention, 26.75 with it. Another task and another measure; the direction is the same.
#
# Where does it look? Type a date of your own: the rows are the symbols as they are written, the columns your letters.

# %% role="predict"
check.predict("dates")

# %% role="interactive"
@torch.no_grad()
def read(text, model):
    """What the reader makes of a text, and its weights (symbols, letters)."""
    source, lengths, _ = coded([(text, "")])
    scores, weights = model(source, lengths, None)
    return "".join(SYMBOLS[i] for i in scores[0].argmax(dim=-1)), weights[0]


def aligned(date):
    date = date.lower().strip() or "monday, july 20, 2026"
    written, weights = read(date, reader)
    record = AttentionRecord(weights, kind="cross", query_labels=[f"{i}: {s}" for i, s in enumerate(written)],
                             key_labels=[f"{i}: {c}" for i, c in enumerate(date)])
    wide = min(4, len(date))
    start = int(weights[:4].sum(dim=0).unfold(0, wide, 1).sum(dim=1).argmax())  # where most of the year's weight lies
    return heatmap(record, title=f"Written as {written}; the year looks most at “{date[start : start + wide]}”")


_, weights = read("monday, july 20, 2026", reader)
print(f"while it writes the year, {weights[:4, -6:].sum(dim=1).mean():.0%} of the weight lies on the last six characters")
explore(aligned, date="monday, july 20, 2026")
check.outcome("dates")

# %% [markdown] why=true
# **Why may a digit look one letter beside "its" letter, and still be right?** What does a state of a bidirectional RNN know?
#
# <details><summary>Compare</summary>
#
# A state has read everything up to its letter, from both sides, the nearest best. The state beside a letter often knows that letter as well.
# So a picture of weights says which *state* was read, not which *letter* decided. To know that, change the letter and see whether the answer
# changes. Lesson 14 comes back to it.
# </details>

# %% [markdown]
# Dates run backwards, and French numbers are stranger still: `quatre-vingt-dix-sept`, four twenties ten seven, is 97. Here many letters make one digit, and
# the nine needs three words of it. (One of them may get little weight: the state beside it knows it too.) Three digits, zeros in front.

# %% role="interactive"
order = torch.randperm(len(words), generator=torch.Generator().manual_seed(0)).tolist()
shuffled = [words[i] for i in order]
counter, history = taught(True, coded(shuffled[200:]), coded(shuffled[:200]), steps=150)
print("numbers right in full, one seed:", [f"{share:.0%}" for share in history.watched])

number = "quatre-vingt-dix-sept"
written, weights = read(number, counter)
record = AttentionRecord(weights, kind="cross", query_labels=[f"{i}: {s}" for i, s in enumerate(written)],
                         key_labels=[f"{i}: {c}" for i, c in enumerate(number)])
share, at = {}, 0
for word in number.split("-"):
    share[word], at = weights[1, at : at + len(word)].sum().item(), at + len(word) + 1
told = ", ".join(f"{word} {part:.0%}" for word, part in share.items())
links(record, query=1, share=0.8, title=f"“{number}” is {written}: its tens read {told}")

# %% [markdown] section="quiz"
# ## Quiz
#
# Six questions. Every choice has an answer, the wrong ones too.

# %% role="quiz"
check.quiz()

# %% [markdown] section="stretch"
# ## Stretch
#
# Take more when you have time: about 30 minutes for two exercises and two tasks without a check.

# %% [markdown] exercise_text="attention_pooling"
# What read the states in experiment 1, as a function: $u_t = \tanh(W h_t + b)$, weights from $u_t \cdot q$ with one learnt query $q$, and the
# average of the **states**. Return `(pooled, weights)`.
#
# **The classic error:** averaging the $u_t$. They decide where to look; the states are what is taken.

# %% exercise="attention_pooling"
def attention_pooling(states, lengths, weight, bias, query):
    """(..., t, d), (...) in, with (n, d), (n,), (n,); pooled (..., d) and weights (..., t) out."""
    ### BEGIN SOLUTION
    scores = torch.tanh(states @ weight.mT + bias) @ query
    weights = masked_softmax(scores.unsqueeze(-2), lengths)
    return (weights @ states).squeeze(-2), weights.squeeze(-2)
    ### END SOLUTION

# %% check="attention_pooling"
check.attention_pooling(attention_pooling)

# %% [markdown] exercise_text="local_attention"
# Luong's local-p looks near a predicted place only. With the sentence's length $S$ and half width $D$:
# $p = S\,\sigma(v^\top \tanh(W q))$; softmax of the dot scores over $|s - p| \le D$, real keys only; **times**
# $\exp(-(s - p)^2 / (2\sigma^2))$ with $\sigma = D / 2$, and not normalised again. Return `(context, weights)`; the keys are the values.
#
# **The classic error:** leaving the Gaussian out, or rounding $p$: then no gradient reaches what predicts the place.

# %% exercise="local_attention"
def local_attention(query, key, lengths, to_position, vector, half_width):
    """(..., q, d), (..., k, d), (...) in, with (n, d), (n,); context (..., q, d) and weights (..., q, k) out."""
    ### BEGIN SOLUTION
    position = lengths[..., None] * torch.sigmoid(torch.tanh(query @ to_position.mT) @ vector)
    places = torch.arange(key.shape[-2])
    away = places - position[..., None]
    seen = (away.abs() <= half_width) & (places < lengths[..., None, None])
    weights = (query @ key.mT).masked_fill(~seen, -torch.inf).softmax(dim=-1).masked_fill(~seen, 0.0)
    weights = weights * torch.exp(-away.square() / (2 * (half_width / 2) ** 2))
    return weights @ key, weights
    ### END SOLUTION

# %% check="local_attention"
check.local_attention(local_attention)

# %% [markdown]
# Two tasks without a check:
#
# - Show with your `attention_pooling` that a query of zeros gives the mean. Can parameters give the last state? What must the states carry for that?
# - Put `unmasked` into a copy of your decoder step, train once more, and test one date at a time. How much is lost against a test in one batch?

# %% [markdown] section="sources"
# ## Sources
#
# - Elman 1990, *Finding Structure in Time*: the plain network. Hochreiter 1991; Bengio et al. 1994: gradients that vanish.
# - Bahdanau, Cho, Bengio 2015, *Neural Machine Translation by Jointly Learning to Align and Translate*: section 3.1, the score from the
#   state before; appendix B, $v_a$ starts at zero, $W_a$ and $U_a$ at 0.001; Table 1, BLEU, read in a transcription.
# - Luong, Pham, Manning 2015, *Effective Approaches to Attention-based NMT*: dot, general, concat, location; local-m and local-p.
# - Yang et al. 2016, *Hierarchical Attention Networks*; Raffel and Ellis 2015: attention pooling (named from memory).
# - Bugs: tensorflow issue 512 (2015) and pull request 2079 (2016); IBM/pytorch-seq2seq issue 141 (2018); espnet pull request 397 (2018, error
#   rates 3.5 and 4.7 before, 3.5 and 4.8 with the mask).
# - Dates: Unicode CLDR through Babel (BSD-3; Unicode licence). Number words: num2words (LGPL).
#
# Next: lesson 02 gives a weight to each channel of an image.
