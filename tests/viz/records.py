"""Small records whose numbers are known."""

import numpy as np

from attnlab.viz import AttentionRecord

WORDS = ("the", "cat", "sat", "on", "it")
CAUSAL = np.tril(np.ones((5, 5), dtype=bool))

# Two layers of three tokens, with rollout worked out by hand (Abnar and Zuidema's definition).
TWO_LAYERS = np.array(
    [[[[0.8, 0.1, 0.1], [0.3, 0.4, 0.3], [0.2, 0.2, 0.6]]], [[[0.1, 0.6, 0.3], [0.2, 0.5, 0.3], [0.4, 0.4, 0.2]]]]
)
ROLLOUT = np.array([[0.555, 0.2525, 0.1925], [0.2175, 0.545, 0.2375], [0.27, 0.21, 0.52]])


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def random_weights(*shape: int, sharpness: float = 2.0, seed: int = 0) -> np.ndarray:
    return softmax(sharpness * np.random.default_rng(seed).normal(size=shape))


def random_record(layers: int = 2, count: int = 3, **fields) -> AttentionRecord:
    """Self-attention over five words."""
    return AttentionRecord(random_weights(layers, count, 5, 5), query_labels=WORDS, **fields)
