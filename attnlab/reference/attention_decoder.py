"""One step of a decoder that looks back at the source, as Bahdanau and as Luong place it.

    Bahdanau et al. 2015, section 3.1    a_i = softmax_j(e(s_{i-1}, h_j)),  c_i = sum_j a_ij h_j,
                                         s_i = f(s_{i-1}, y_{i-1}, c_i)
    Luong et al. 2015, section 3         s_i = f(s_{i-1}, [y_{i-1} ; h~_{i-1}]),  a_i and c_i from s_i,
                                         h~_i = tanh(W_c [c_i ; s_i])

Bahdanau asks with the state before the step, and the context enters the recurrence. Luong asks with the state after
it, and the context enters the prediction; that the recurrence hears of it is input feeding (their section 3.3).
Departs from the papers: f is Elman's step here, a GRU there (Bahdanau) or a stack of LSTMs (Luong).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from attnlab.reference.additive_attention import additive_scores
from attnlab.reference.luong_attention import luong_scores
from attnlab.reference.masked_softmax import masked_softmax
from attnlab.reference.rnn import rnn_step
from attnlab.reference.weighted_average import weighted_average


def attention_decoder_step(
    token: Float[Tensor, "batch width"],
    state: Float[Tensor, "batch hidden"],
    memory: Float[Tensor, "batch keys memory_width"],
    lengths: Int[Tensor, "batch"],
    to_query: Float[Tensor, "units hidden"],
    to_key: Float[Tensor, "units memory_width"],
    vector: Float[Tensor, "units"],
    from_input: Float[Tensor, "hidden entering"],
    from_state: Float[Tensor, "hidden hidden"],
    bias: Float[Tensor, "hidden"],
) -> tuple[Float[Tensor, "batch hidden"], Float[Tensor, "batch memory_width"], Float[Tensor, "batch keys"]]:
    """Bahdanau's order: the next state, the context that entered it, and the weights.

    What enters the recurrence is the token, then the context: `entering` is width + memory_width.
    """
    scores = additive_scores(state.unsqueeze(-2), memory, to_query, to_key, vector)
    weights = masked_softmax(scores, lengths)
    context = weighted_average(weights, memory).squeeze(-2)
    state = rnn_step(torch.cat([token, context], dim=-1), state, from_input, from_state, bias)
    return state, context, weights.squeeze(-2)


def luong_decoder_step(
    token: Float[Tensor, "batch width"],
    state: Float[Tensor, "batch hidden"],
    attentional: Float[Tensor, "batch hidden"],
    memory: Float[Tensor, "batch keys memory_width"],
    lengths: Int[Tensor, "batch"],
    weight: Float[Tensor, "hidden memory_width"],
    to_attentional: Float[Tensor, "hidden merged"],
    from_input: Float[Tensor, "hidden entering"],
    from_state: Float[Tensor, "hidden hidden"],
    bias: Float[Tensor, "hidden"],
) -> tuple[Float[Tensor, "batch hidden"], Float[Tensor, "batch hidden"], Float[Tensor, "batch keys"]]:
    """Luong's order, general score, input feeding: the next state, the attentional state h~, and the weights.

    `attentional` is the h~ of the step before. The context comes before the state in `to_attentional`.
    """
    state = rnn_step(torch.cat([token, attentional], dim=-1), state, from_input, from_state, bias)
    weights = masked_softmax(luong_scores(state.unsqueeze(-2), memory, "general", weight), lengths)
    context = weighted_average(weights, memory).squeeze(-2)
    attentional = torch.tanh(torch.cat([context, state], dim=-1) @ to_attentional.mT)
    return state, attentional, weights.squeeze(-2)
