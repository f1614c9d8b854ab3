"""Twins of the references in plain Python: lists, loops and math, nothing to believe on trust.

A table is a list of rows. There is no batch axis; the tests take the items of a batch one by one.
"""

import math


def softmax(scores, temperature=1.0):
    powers = [math.exp(score / temperature) for score in scores]
    total = sum(powers)
    return [power / total for power in powers]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def scores(queries, keys):
    return [[dot(query, key) for key in keys] for query in queries]


def average(weights, values):
    """For each row of weights, the average of the values, feature by feature."""
    features = len(values[0])
    return [
        [sum(weight * value[f] for weight, value in zip(row, values, strict=True)) for f in range(features)]
        for row in weights
    ]


def attention(queries, keys, values, mask=None):
    """Each query in turn: only the keys it may see take part in the softmax; with none, zeros."""
    width = len(queries[0])
    weights = []
    for q, query in enumerate(queries):
        visible = [k for k in range(len(keys)) if mask is None or mask[q][k]]
        row = [0.0] * len(keys)
        if visible:
            shares = softmax([dot(query, keys[k]) / math.sqrt(width) for k in visible])
            for k, share in zip(visible, shares, strict=True):
                row[k] = share
        weights.append(row)
    return average(weights, values), weights


def causal_mask(length):
    return [[key <= query for key in range(length)] for query in range(length)]


def squared_distance(a, b):
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def nadaraya_watson(queries, keys, values, bandwidth):
    """Kernel by kernel, as in 1964: no softmax anywhere."""
    weights = []
    for query in queries:
        kernels = [math.exp(-squared_distance(query, key) / (2 * bandwidth**2)) for key in keys]
        weights.append([kernel / sum(kernels) for kernel in kernels])
    return average(weights, values), weights


def leave_one_out(keys, values, bandwidth):
    """Really take each key out, and predict it from the others."""
    outputs, weights = [], []
    for i in range(len(keys)):
        others = [k for k in range(len(keys)) if k != i]
        output, row = nadaraya_watson([keys[i]], [keys[k] for k in others], [values[k] for k in others], bandwidth)
        outputs += output
        weights.append([*row[0][:i], 0.0, *row[0][i:]])
    return outputs, weights


def entropy(weights):
    return -sum(weight * math.log(weight) for weight in weights if weight > 0)


def soft_lookup(queries, keys, values, temperature):
    def length(vector):
        return math.sqrt(dot(vector, vector))

    cosines = [[dot(q, k) / (length(q) * length(k)) for k in keys] for q in queries]
    weights = [softmax(row, temperature) for row in cosines]
    return average(weights, values), weights


def self_attention(tokens, to_query, to_key, to_value, mask=None):
    """The three weights are tables with a row for each feature that comes out, as in nn.Linear."""
    projected = [[[dot(row, token) for row in table] for token in tokens] for table in (to_query, to_key, to_value)]
    return attention(*projected, mask)
