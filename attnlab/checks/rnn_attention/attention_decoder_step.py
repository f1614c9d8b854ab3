"""Exercise: one step of Bahdanau's decoder."""

from functools import partial

import torch

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake, draw_sizes
from attnlab.checks.laws import Law, Seen, close
from attnlab.reference.additive_attention import additive_scores
from attnlab.reference.attention_decoder import attention_decoder_step as reference
from attnlab.reference.masked_softmax import masked_softmax


def draw(generator: torch.Generator) -> list[Case]:
    size = draw_sizes(generator, "batch", "keys", "width", "hidden", "memory_width", "units")
    size["keys"] += 8 if size["keys"] < 4 else 0
    size["batch"] += 16 if size["batch"] < 3 else 0
    b, k, d, h, m, n = size.values()

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    token, state, memory = normal(b, d), normal(b, h), normal(b, k, m)
    lengths = torch.randint(2, k, (b,), generator=generator)
    lengths[0], lengths[1] = k // 2, k
    weights = (
        *(normal(n, h) / h**0.5, normal(n, m) / m**0.5, normal(n)),
        *(normal(h, d + m) / (d + m) ** 0.5, normal(h, h) / h**0.5, normal(h)),
    )
    filler = (torch.arange(k) >= lengths[:, None])[..., None]
    other = torch.where(filler, memory - 2.0, memory)
    everything = (token, state, memory, lengths, *weights)
    return [
        Case("plain", everything),
        Case("other filler", (token, state, other, lengths, *weights)),
        Case("another token", (token + 1.0, state, memory, lengths, *weights)),
        Case("last item alone", (*(x[-1:] for x in everything[:4]), *weights)),
        Case("float64", tuple(x.double() if x.is_floating_point() else x for x in everything)),
        Case("gradients", everything, gradients=True),
    ]


def padding_does_not_matter(seen: Seen) -> str | None:
    for name in seen.returns:
        if not close(seen.output("other filler", name), seen.output("plain", name)):
            return f"The memory beyond the lengths was changed, and `{name}` moved."
    return None


def asked_before_the_step(seen: Seen) -> str | None:
    """Bahdanau's weights come from the state before the token was read."""
    if close(seen.output("another token", "weights"), seen.output("plain", "weights")):
        return None
    return "Another token was put in, and the weights moved: they should come from the state before this step."


def context_is_the_average(seen: Seen) -> str | None:
    weights, memory = seen.output("plain", "weights"), seen.cases["plain"].inputs[2]
    mixed = (weights.unsqueeze(-2) @ memory).squeeze(-2)
    return (
        None if close(seen.output("plain", "context"), mixed) else "`context` is not your `weights` times the memory."
    )


def items_apart(seen: Seen) -> str | None:
    """Of the last item: the first one is right too where its state asks for all."""
    for name in seen.returns:
        if not close(seen.output("last item alone", name), seen.output("plain", name)[-1:]):
            return f"`{name}` of the last item is another one when the item comes alone."
    return None


def inputs_and_dtype_kept(seen: Seen) -> str | None:
    return next((s for law in (laws.INPUTS_KEPT, laws.FLOAT64) if (s := law.broken_by(seen))), None)


def flawed(
    token,
    state,
    memory,
    lengths,
    to_query,
    to_key,
    vector,
    from_input,
    from_state,
    bias,
    *,
    asks="before",
    masked=True,
    mix="weights",
    feeds="context",
    order="token first",
    squash=torch.tanh,
    carry=True,
    shown="weights",
    gives="new",
    cut=False,
    axis=-1,
    keeps_axis=False,
    in_place=False,
    transpose=True,
    biased=True,
    whose="own",
):
    """One step with one switch for each way of getting it wrong."""

    if in_place:
        memory *= (torch.arange(memory.shape[-2]) < lengths[:, None])[..., None]

    def look(query):
        query = query if whose == "own" else query[:1].expand_as(query)
        scores = additive_scores(query.unsqueeze(-2), memory, to_query, to_key, vector)
        if not masked:
            weights = scores.softmax(-1)
        elif axis == -1:
            weights = masked_softmax(scores, lengths)
        else:
            weights = scores.softmax(axis)
        used = weights
        if mix == "largest":
            used = (weights == weights.amax(-1, keepdim=True)).to(weights.dtype)
        if mix == "mean":
            real = torch.arange(memory.shape[-2]) < lengths[:, None]
            used = (real / lengths[:, None]).to(weights.dtype).unsqueeze(-2)
        if mix == "last":
            used = torch.nn.functional.one_hot(lengths - 1, memory.shape[-2]).to(weights.dtype).unsqueeze(-2)
        context = (used @ memory).squeeze(-2)
        return scores.squeeze(-2), weights.squeeze(-2), context.detach() if cut else context

    def step(context, state=state):
        fed = context if feeds == "context" else torch.zeros_like(context)
        both = torch.cat([token, fed] if order == "token first" else [fed, token], dim=-1)
        old = state if carry else torch.zeros_like(state)
        sums = both @ from_input.mT + old @ (from_state.mT if transpose else from_state)
        return squash(sums + bias if biased else sums)

    asker = state
    if asks in ("between", "between, and steps on"):
        asker = step(torch.zeros_like(memory[:, 0]))
    scores, weights, context = look(asker)
    new = step(context, asker if asks == "between, and steps on" else state)
    if asks == "after":
        scores, weights, context = look(new)
    weights = weights.unsqueeze(-2) if keeps_axis else weights
    return new if gives == "new" else state, context, weights if shown == "weights" else scores


MISTAKES = (
    Mistake(
        "asks with the new state",
        "the query is the state after the step.",
        "That is Luong's order. Bahdanau asks first and steps afterwards, because the context enters the recurrence. In\n"
        "an alignment picture the difference is a diagonal that sits one row off.",
        "compute weights and context from the state that came in, then step.",
        partial(flawed, asks="after"),
    ),
    Mistake(
        "steps on the token first",
        "the state first takes a step on the token alone, and asks after it.",
        "Which token was written last is then in the question. Bahdanau's question is the state that came in; token and\n"
        "context enter together, in the one step that follows.",
        "compute weights and context from the state that came in, then step.",
        partial(flawed, asks="between"),
    ),
    Mistake(
        "steps twice",
        "the state takes a step on the token alone, asks, and from there takes the step with the context.",
        "That is two steps for one token, and the question comes too late by one.",
        "ask with the state that came in, and step once, from it.",
        partial(flawed, asks="between, and steps on"),
    ),
    Mistake(
        "the first state asks for all",
        "every sentence is asked by the first state of the batch.",
        "additive_scores takes a table of queries. Without an axis for the one query the batch becomes that table, every\n"
        "sentence is asked by all states, and [:, 0] takes the first.",
        "give the state an axis for its one query: state[:, None].",
        partial(flawed, whose="first"),
    ),
    Mistake(
        "state's weight turned round",
        "the state is multiplied with from_state, not with its transpose.",
        "A weight has a row for each number that comes out. from_state is square, so the shape does not give it away.",
        "write state @ from_state.mT.",
        partial(flawed, transpose=False),
    ),
    Mistake(
        "no bias",
        "the bias is never added.",
        "The step is the one of rnn_forward: tanh of input, state and bias.",
        "add bias to the sum, inside the tanh.",
        partial(flawed, biased=False),
    ),
    Mistake(
        "lengths ignored",
        "the weights are a softmax over all places, filler too.",
        "Then what a sentence means depends on how long the others in its batch are.",
        "use masked_softmax with the lengths.",
        partial(flawed, masked=False),
    ),
    Mistake(
        "softmax over the batch",
        "the softmax runs over the batch.",
        "Then the sentences of a batch compete for each place.",
        "normalise over the keys, the last axis, up to each length.",
        partial(flawed, axis=0),
    ),
    Mistake(
        "takes the largest alone",
        "the context is the memory at the largest weight.",
        "A choice like that has no gradient, so it cannot learn to choose otherwise. The average can.",
        "multiply the weights with the memory.",
        partial(flawed, mix="largest"),
    ),
    Mistake(
        "plain mean",
        "the context is the mean of the real states, whatever the weights are.",
        "Then every step of the decoder reads the same, and the weights are a picture without effect.",
        "multiply the weights with the memory.",
        partial(flawed, mix="mean"),
    ),
    Mistake(
        "last state as context",
        "the context is the last real state of the memory.",
        "That is the encoder-decoder before attention: one vector for the whole sentence.",
        "multiply the weights with the memory.",
        partial(flawed, mix="last"),
    ),
    Mistake(
        "context not fed",
        "the recurrence does not hear of the context.",
        "Then nothing that the decoder looked at reaches its next state.",
        "concatenate token and context, and put both through from_input.",
        partial(flawed, feeds="nothing"),
    ),
    Mistake(
        "context first",
        "the context stands before the token.",
        "The first columns of from_input belong to the token. The sum of the two widths is the same, so no shape shows it.",
        "concatenate in the order [token ; context].",
        partial(flawed, order="context first"),
    ),
    Mistake(
        "no tanh",
        "the new state is the sum, without the tanh.",
        "The step is the one of rnn_forward: tanh of input, state and bias.",
        "put torch.tanh around the sum.",
        partial(flawed, squash=lambda x: x),
    ),
    Mistake(
        "state dropped",
        "the old state has no part in the new one.",
        "Then the decoder does not know what it has written so far, except for the last token.",
        "add state @ from_state.mT.",
        partial(flawed, carry=False),
    ),
    Mistake(
        "returns the old state",
        "the state that comes back is the one that went in.",
        "The next step would begin where this one began.",
        "return the new state.",
        partial(flawed, gives="old"),
    ),
    Mistake(
        "returns the scores",
        "the third thing returned is the scores.",
        "The weights are what comes out of the softmax, and what one draws.",
        "return (state, context, weights).",
        partial(flawed, shown="scores"),
    ),
    Mistake(
        "axis of the one query kept",
        "the weights still have an axis of length one for the query.",
        "The scores were made for a table of queries, here of one. Its axis has to go before the weights are returned, or\n"
        "the steps cannot be stacked to an alignment.",
        "take it out with [:, 0] or .squeeze(-2).",
        partial(flawed, keeps_axis=True),
    ),
    Mistake(
        "changes the memory",
        "the filler of the memory is zeroed in place.",
        "`memory *= ...` writes into the caller's tensor, which the next step and the gradient still need. The mask in the\n"
        "softmax is enough.",
        "leave the memory as it is.",
        partial(flawed, in_place=True),
    ),
    Mistake(
        "context is cut",
        "the context is detached from the graph.",
        "The numbers are right, but neither the encoder nor the scores can learn from it.",
        "leave out .detach(), .data and no_grad().",
        partial(flawed, cut=True),
    ),
)


def _by_hand(token, state, memory, lengths, to_query, to_key, vector, from_input, from_state, bias):
    scores = torch.tanh((state @ to_query.T)[:, None] + memory @ to_key.T) @ vector
    real = torch.arange(memory.shape[1]) < lengths[:, None]
    weights = scores.masked_fill(~real, -torch.inf).softmax(-1)
    context = (weights[..., None] * memory).sum(1)
    return torch.tanh(torch.cat([token, context], 1) @ from_input.T + state @ from_state.T + bias), context, weights


def _einsum(token, state, memory, lengths, to_query, to_key, vector, from_input, from_state, bias):
    scores = additive_scores(state[:, None], memory, to_query, to_key, vector)
    weights = masked_softmax(scores, lengths)[:, 0]
    context = torch.einsum("bk,bkm->bm", weights, memory)
    new = torch.einsum("hd,bd->bh", from_input, torch.cat([token, context], dim=-1))
    return (new + torch.einsum("hg,bg->bh", from_state, state) + bias).tanh(), context, weights


def _two_weights(token, state, memory, lengths, to_query, to_key, vector, from_input, from_state, bias):
    weights = masked_softmax(additive_scores(state[:, None], memory, to_query, to_key, vector), lengths)
    context = torch.bmm(weights, memory)[:, 0]
    from_token, from_context = from_input.split([token.shape[-1], memory.shape[-1]], dim=1)
    return (
        torch.tanh(token @ from_token.T + context @ from_context.T + state @ from_state.T + bias),
        context,
        weights[:, 0],
    )


def _library(token, state, memory, lengths, to_query, to_key, vector, from_input, from_state, bias):
    weights = masked_softmax(additive_scores(state[:, None], memory, to_query, to_key, vector), lengths).squeeze(1)
    context = weights.unsqueeze(1).matmul(memory).squeeze(1)
    both = torch.cat([token, context], dim=-1)
    return torch.rnn_tanh_cell(both, state, from_input, from_state, bias, torch.zeros_like(bias)), context, weights


def _sentence_by_sentence(token, state, memory, lengths, *parameters):
    results = []
    for i, length in enumerate(lengths.tolist()):
        own = memory[i : i + 1, :length]
        new, context, weights = reference(token[i : i + 1], state[i : i + 1], own, lengths[i : i + 1], *parameters)
        filler = memory.shape[1] - length
        results.append((new, context, torch.nn.functional.pad(weights, (0, filler))))
    return tuple(torch.cat(parts) for parts in zip(*results, strict=True))


attention_decoder_step = Exercise(
    name="attention_decoder_step",
    title="One step of a decoder that looks back",
    stars=4,
    importance=5,
    minutes=15,
    answer=reference,
    returns=("state", "context", "weights"),
    draw=draw,
    laws=(
        laws.RIGHT_SHAPES,
        Law("right weights", 2, "Are the weights the reference's?", laws.equals_reference("plain", of="weights")),
        Law("right context", 1, "Is the context the reference's?", laws.equals_reference("plain", of="context")),
        Law("right state", 4, "Is the new state the reference's?", laws.equals_reference("plain", of="state")),
        Law("context is the average", 1, "Is the context the weights times the memory?", context_is_the_average),
        Law("padding does not matter", 1, "Does the memory beyond a length change nothing?", padding_does_not_matter),
        Law("asked before the step", 1, "Do the weights not depend on this step's token?", asked_before_the_step),
        Law("items stay apart", 1, "Does an item not depend on its batch?", items_apart),
        laws.GRADIENT,
        Law(
            "inputs and dtype are kept",
            1,
            "Does it leave its inputs alone, and compute in their dtype?",
            inputs_and_dtype_kept,
        ),
    ),
    mistakes=MISTAKES,
    shortcuts=("keras.layers.AdditiveAttention",),
    also_right={
        "by hand": _by_hand,
        "einsum": _einsum,
        "a weight for each": _two_weights,
        "torch's cell": _library,
        "sentence by sentence": _sentence_by_sentence,
    },
    hints=(
        "Write down the order of the steps: score, normalise, mix, then the recurrence. Which state does each of them use?",
        "“Asked before the step” and “padding does not matter” need no numbers. The first says which state asks.",
        "Four lines: additive_scores(state[:, None], memory, ...), masked_softmax(scores, lengths), weights @ memory, and "
        "tanh(cat([token, context]) @ from_input.mT + state @ from_state.mT + bias). The axis of the one query has to go.",
        "A twin on another task, a cook who looks into the fridge before each dish:\n"
        "    wish = masked_softmax(appetite(mood[:, None], fridge), shelves)     # (b, 1, shelves)\n"
        "    taken = (wish @ fridge)[:, 0]\n"
        "    mood = torch.tanh(torch.cat([order, taken], dim=-1) @ recipe.mT + mood @ habit.mT)",
    ),
)
