"""Where the equations coincide, Keras' attention layers say the same: additive and dot-product scores, with a mask."""

import os

import numpy as np
import torch

os.environ["KERAS_BACKEND"] = "torch"
import keras  # noqa: E402

from attnlab.reference.additive_attention import additive_scores  # noqa: E402
from attnlab.reference.luong_attention import luong_scores  # noqa: E402
from attnlab.reference.masked_softmax import length_mask, masked_softmax  # noqa: E402

B, Q, K, D, E = 2, 5, 7, 4, 6
LENGTHS = torch.tensor([K, 3])


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def run(layer, query, key, value):
    masks = [None, length_mask(LENGTHS, K)]
    output, weights = layer([query, value, key], mask=masks, return_attention_scores=True)
    return output.detach(), weights.detach()


def agree(got, want):
    torch.testing.assert_close(got, torch.as_tensor(np.asarray(want.cpu())), rtol=1e-5, atol=1e-5)


def test_additive_attention_with_the_identity_for_both_weights():
    """Keras adds query and key as they are and learns one vector, its scale: W_a = U_a = identity, v_a = scale."""
    query, key, value = normal(0, B, Q, D), normal(1, B, K, D), normal(2, B, K, E)
    layer = keras.layers.AdditiveAttention()
    layer.build([query.shape, value.shape, key.shape])
    vector = normal(3, D)
    layer.scale.assign(vector)
    output, weights = run(layer, query, key, value)
    eye = torch.eye(D)
    mine = masked_softmax(additive_scores(query, key, eye, eye, vector), LENGTHS)
    agree(weights, mine)
    agree(output, mine @ value)


def test_luongs_dot_score():
    query, key, value = normal(0, B, Q, D), normal(1, B, K, D), normal(2, B, K, E)
    output, weights = run(keras.layers.Attention(use_scale=False), query, key, value)
    mine = masked_softmax(luong_scores(query, key), LENGTHS)
    agree(weights, mine)
    agree(output, mine @ value)
