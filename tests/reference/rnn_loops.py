"""Twins of lesson 01's references in plain Python: lists, loops and math, one item of the batch at a time."""

import math

from loops import average, dot, softmax


def linear(table, vector):
    """One number for each row of the table, as nn.Linear without bias."""
    return [dot(row, vector) for row in table]


def rnn_step(token, state, from_input, from_state, bias):
    sums = zip(linear(from_input, token), linear(from_state, state), bias, strict=True)
    return [math.tanh(x + h + b) for x, h, b in sums]


def rnn_forward(inputs, state, from_input, from_state, bias):
    states = []
    for token in inputs:
        state = rnn_step(token, state, from_input, from_state, bias)
        states.append(state)
    return states


def additive_score(query, key, to_query, to_key, vector):
    hidden = zip(linear(to_query, query), linear(to_key, key), strict=True)
    return dot(vector, [math.tanh(a + b) for a, b in hidden])


def additive_scores(queries, keys, to_query, to_key, vector):
    return [[additive_score(q, k, to_query, to_key, vector) for k in keys] for q in queries]


def general_scores(queries, keys, weight):
    """Summed over every pair of features, with the weight between them."""
    return [
        [sum(q[i] * weight[i][j] * k[j] for i in range(len(q)) for j in range(len(k))) for k in keys] for q in queries
    ]


def concat_scores(queries, keys, weight, vector):
    return [[dot(vector, [math.tanh(x) for x in linear(weight, q + k)]) for k in keys] for q in queries]


def location_scores(queries, weight, keys):
    return [[dot(weight[s], query) for s in range(keys)] for query in queries]


def masked_softmax(scores, length):
    """Take the filler away, make the softmax of what is left, and put zeros in its place."""
    return [(softmax(row[:length]) if length else []) + [0.0] * (len(row) - length) for row in scores]


def attention_decoder_step(token, state, memory, length, to_query, to_key, vector, from_input, from_state, bias):
    weights = masked_softmax(additive_scores([state], memory, to_query, to_key, vector), length)[0]
    context = average([weights], memory)[0]
    return rnn_step(token + context, state, from_input, from_state, bias), context, weights


def luong_decoder_step(token, state, attentional, memory, length, weight, to_attentional, from_input, from_state, bias):
    state = rnn_step(token + attentional, state, from_input, from_state, bias)
    weights = masked_softmax(general_scores([state], memory, weight), length)[0]
    context = average([weights], memory)[0]
    return state, [math.tanh(x) for x in linear(to_attentional, context + state)], weights


def local_attention(queries, keys, length, to_position, vector, half_width):
    weights = []
    for query in queries:
        share = 1 / (1 + math.exp(-dot(vector, [math.tanh(x) for x in linear(to_position, query)])))
        position = length * share
        row = window([dot(query, key) for key in keys], position, length, half_width)
        sigma = half_width / 2
        weights.append([w * math.exp(-((s - position) ** 2) / (2 * sigma**2)) for s, w in enumerate(row)])
    return average(weights, keys), weights


def monotonic_attention(queries, keys, length, half_width):
    rows = [window([dot(q, key) for key in keys], t, length, half_width) for t, q in enumerate(queries)]
    return average(rows, keys), rows


def window(scores, position, length, half_width):
    seen = [s for s in range(length) if position - half_width <= s <= position + half_width]
    row = [0.0] * len(scores)
    for s, share in zip(seen, softmax([scores[s] for s in seen]) if seen else [], strict=True):
        row[s] = share
    return row


def attention_pooling(states, length, weight, bias, query):
    hidden = [[math.tanh(x + b) for x, b in zip(linear(weight, state), bias, strict=True)] for state in states]
    weights = masked_softmax([[dot(query, u) for u in hidden]], length)
    return average(weights, states)[0], weights[0]
