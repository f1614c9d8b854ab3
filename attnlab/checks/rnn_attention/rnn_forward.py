"""Exercise: the plain recurrent network, step by step."""

from functools import partial

import torch
from torch import nn

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake, draw_sizes
from attnlab.checks.laws import Law, Seen, close
from attnlab.reference.rnn import rnn_forward as reference


def draw(generator: torch.Generator) -> list[Case]:
    size = draw_sizes(generator, "batch", "time", "width", "hidden")
    size["time"] = size["time"] if size["time"] > 3 else size["time"] + 8  # long enough to forget, and to have a half
    b, t, d, h = size.values()

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    inputs, state = normal(b, t, d), normal(b, h)
    weights = (normal(h, d) / d**0.5, normal(h, h) / h**0.5, normal(h))
    everything = (inputs, state, *weights)
    one_way, moved = torch.zeros(h, h), state.clone()
    one_way[0, 1], moved[:, 1] = 1.0, state[:, 1] - 1.0
    return [
        Case("plain", everything),
        Case("the first half", (inputs[:, : t // 2], state, *weights)),
        Case("another start", (inputs, state + 1.0, *weights)),
        Case("from unit 1 to unit 0", (inputs, state, weights[0], one_way, weights[2])),
        Case("from unit 1 to unit 0, another start", (inputs, moved, weights[0], one_way, weights[2])),
        Case("one step", (inputs[:, :1], state, *weights)),
        Case("no batch axis", (inputs[0], state[0], *weights)),
        Case("two batch axes", (normal(2, b, t, d), normal(2, b, h), *weights)),
        Case("float64", tuple(x.double() for x in everything)),
        Case("gradients", everything, gradients=True),
    ]


def past_stays(seen: Seen) -> str | None:
    half = seen.output("the first half", "states")
    if close(seen.output("plain", "states")[:, : half.shape[1]], half):
        return None
    return "The second half of the inputs was taken away, and the states of the first half moved."


def start_counts(seen: Seen) -> str | None:
    first, other = (seen.output(case, "states")[:, 0] for case in ("plain", "another start"))
    if close(first, other):
        return "Another state to start from, and the first state that comes out is the same."
    return None


def rows_come_out(seen: Seen) -> str | None:
    """Row 0, column 1: what unit 1 was goes into unit 0."""
    plain, moved = (seen.output(f"from unit 1 to unit 0{end}", "states")[:, 0] for end in ("", ", another start"))
    touched = [unit for unit in range(plain.shape[-1]) if not close(plain[:, unit], moved[:, unit])]
    if touched == [0]:
        return None
    told = f"unit {', '.join(map(str, touched))}" if touched else "nothing"
    return f"from_state[0, 1] alone is not zero; unit 1 of the start was changed, and {told} moved, not unit 0."


def states_stay_small(seen: Seen) -> str | None:
    largest = seen.output("plain", "states").abs().max().item()
    return None if largest <= 1.0 else f"tanh gives numbers between -1 and 1; one of your states is {largest:.3g}."


def inputs_and_dtype_kept(seen: Seen) -> str | None:
    return next((s for law in (laws.INPUTS_KEPT, laws.FLOAT64) if (s := law.broken_by(seen))), None)


def flawed(
    inputs,
    state,
    from_input,
    from_state,
    bias,
    *,
    squash=torch.tanh,
    begin=True,
    carry=True,
    transpose=True,
    biases=1,
    keep="after",
    backward=False,
    residual=False,
    cut=False,
    late=False,
    last_only=False,
):
    """The recurrence with one switch for each way of getting it wrong; with none set it is right."""
    state = state if begin else torch.zeros_like(state)
    states, start = [], state
    steps = inputs.unbind(-2)
    for token in reversed(steps) if backward else steps:
        old = state if carry else start
        old = old.detach() if cut else old
        states.append(old)
        sums = token @ from_input.mT + old @ (from_state.mT if transpose else from_state) + biases * bias
        new = sums if late else squash(sums)
        state = old + new if residual else new
        if keep == "after":
            states[-1] = state
    out = torch.stack(states, dim=-2)
    out = squash(out) if late else out
    return out[..., -1, :] if last_only else out


MISTAKES = (
    Mistake(
        "no tanh",
        "the sums are kept as they are, without the tanh.",
        "A linear recurrence can be multiplied out into one matrix. Its states have no bound, and a weight above 1\n"
        "makes them explode.",
        "put torch.tanh around the sum.",
        partial(flawed, squash=lambda x: x),
    ),
    Mistake(
        "sigmoid",
        "the sums go through a sigmoid.",
        "Elman's own network had it. The formula here, as torch.nn.RNN, takes tanh, whose values lie around zero and\n"
        "whose slope at zero is four times as large.",
        "use torch.tanh.",
        partial(flawed, squash=torch.sigmoid),
    ),
    Mistake(
        "starts from zero",
        "the state that is handed over is not used; it starts from zeros.",
        "A decoder starts from what the encoder found. If the start is ignored, nothing of the source arrives.",
        "begin the loop with the `state` of the argument.",
        partial(flawed, begin=False),
    ),
    Mistake(
        "state never carried on",
        "every step starts from the first state.",
        "Then step 7 knows nothing of steps 1 to 6: the network has no memory at all. The new state has to replace\n"
        "the old one before the next step.",
        "assign the result to `state` inside the loop.",
        partial(flawed, carry=False),
    ),
    Mistake(
        "state's weight turned round",
        "the state is multiplied with from_state, not with its transpose.",
        "A weight has a row for each number that comes out, as in nn.Linear. from_state is square, so the shape does\n"
        "not give it away.",
        "write state @ from_state.mT.",
        partial(flawed, transpose=False),
    ),
    Mistake(
        "no bias",
        "the bias is never added.",
        "Without it a silent input and a silent state stay silent for ever.",
        "add bias to the sum, inside the tanh.",
        partial(flawed, biases=0),
    ),
    Mistake(
        "bias twice",
        "the bias is added twice.",
        "torch.nn.RNN has two of them, one for the input and one for the state; the formula here has one.",
        "add it once.",
        partial(flawed, biases=2),
    ),
    Mistake(
        "one step late",
        "the states are collected before the step: the first is the start, and the last one is missing.",
        "Entry t should know input t. As it is, the last input leaves no trace.",
        "append the state after it has been computed.",
        partial(flawed, keep="before"),
    ),
    Mistake(
        "reads backwards",
        "the inputs are read from the end.",
        "That is the other half of a bidirectional network. Here the first state should know the first input only.",
        "loop over time from 0 upwards.",
        partial(flawed, backward=True),
    ),
    Mistake(
        "adds the old state",
        "the old state is added to the new one.",
        "Such a bypass does help against forgetting, and LSTM and GRU have one with gates. The plain network has none.",
        "keep the tanh alone.",
        partial(flawed, residual=True),
    ),
    Mistake(
        "tanh at the end only",
        "the recurrence runs without tanh, and the finished states go through it.",
        "Inside, the states are then unbounded and linear. The tanh is a part of each step.",
        "move torch.tanh into the loop.",
        partial(flawed, late=True),
    ),
    Mistake(
        "graph is cut",
        "the state is detached between the steps.",
        "The numbers are right, but no gradient flows back through time, so nothing older than one step is learnt.",
        "leave out .detach() and .data.",
        partial(flawed, cut=True),
    ),
    Mistake(
        "last state only",
        "only the last state comes back.",
        "Attention needs all of them: it chooses among the states.",
        "collect the states in a list and torch.stack them along the time axis, -2.",
        partial(flawed, last_only=True),
    ),
)


def _preallocated(inputs, state, from_input, from_state, bias):
    out = inputs.new_empty(*inputs.shape[:-1], len(bias))
    for t in range(inputs.shape[-2]):
        state = torch.tanh(from_input @ inputs[..., t, :, None] + from_state @ state[..., None] + bias[:, None])[..., 0]
        out = torch.cat([out[..., :t, :], state.unsqueeze(-2), out[..., t + 1 :, :]], dim=-2)
    return out


def _inputs_first(inputs, state, from_input, from_state, bias):
    """All inputs through their weight at once, before the loop."""
    ready, states = nn.functional.linear(inputs, from_input, bias), []
    for t in range(inputs.shape[-2]):
        state = (ready[..., t, :] + nn.functional.linear(state, from_state)).tanh()
        states += [state]
    return torch.stack(states, -2)


def _one_weight(inputs, state, from_input, from_state, bias):
    both, states = torch.cat([from_input, from_state], dim=1), []
    for token in inputs.movedim(-2, 0):
        state = torch.tanh(torch.cat([token, state], dim=-1) @ both.T + bias)
        states.append(state)
    return torch.stack(states).movedim(0, -2)


def _einsum(inputs, state, from_input, from_state, bias):
    states = [state]
    for t in range(inputs.shape[-2]):
        sums = torch.einsum("hd,...d->...h", from_input, inputs[..., t, :])
        sums = sums + torch.einsum("hg,...g->...h", from_state, states[-1]) + bias
        states.append(2 * torch.sigmoid(2 * sums) - 1)
    return torch.stack(states[1:], dim=-2)


def _recursive(inputs, state, from_input, from_state, bias):
    if inputs.shape[-2] == 0:
        return inputs.new_zeros(*inputs.shape[:-1], len(bias))
    state = torch.tanh(inputs[..., 0, :] @ from_input.T + state @ from_state.T + bias)
    rest = _recursive(inputs[..., 1:, :], state, from_input, from_state, bias)
    return torch.cat([state.unsqueeze(-2), rest], dim=-2)


rnn_forward = Exercise(
    name="rnn_forward",
    title="The plain recurrent network",
    stars=2,
    importance=4,
    minutes=10,
    answer=reference,
    returns=("states",),
    draw=draw,
    laws=(
        laws.RIGHT_SHAPES,
        Law(
            "right numbers",
            4,
            "Are the states the reference's?",
            laws.equals_reference("plain", "one step", "no batch axis", "two batch axes", "float64"),
        ),
        Law("past stays", 1, "Do early states not depend on late inputs?", past_stays),
        Law("the start counts", 1, "Does the first state depend on the state it starts from?", start_counts),
        Law("a row of from_state comes out", 1, "Does row i of from_state make unit i?", rows_come_out),
        Law("states stay small", 1, "Do all states lie between -1 and 1?", states_stay_small),
        laws.GRADIENT,
        Law(
            "inputs and dtype are kept",
            1,
            "Does it leave its inputs alone, and compute in their dtype?",
            inputs_and_dtype_kept,
        ),
    ),
    mistakes=MISTAKES,
    shortcuts=("torch.nn.RNN", "torch.nn.RNNCell", "torch.rnn_tanh", "torch.rnn_tanh_cell"),
    also_right={
        "written into one tensor": _preallocated,
        "inputs first": _inputs_first,
        "one weight for both": _one_weight,
        "einsum, tanh from a sigmoid": _einsum,
        "recursive": _recursive,
    },
    hints=(
        "Print the first state that comes out, and tanh of what you would compute by hand for it. Which state did it "
        "start from?",
        "Look at the law that the panel names. “Past stays” asks in which direction you read; “the start counts”, where you began.",
        "The loop has two lines: state = torch.tanh(...), and states.append(state). After it, torch.stack(states, dim=-2).",
        "A twin on another task, the balance of an account after each month:\n"
        "    balances = []\n"
        "    for paid in payments.unbind(dim=-1):\n"
        "        balance = balance * (1 + interest) + paid\n"
        "        balances.append(balance)\n"
        "    return torch.stack(balances, dim=-1)",
    ),
)
