"""Where torch has the function too, the reference agrees with it to 1e-12 in float64, gradients included."""

import checked
import pytest
import torch
from torch.autograd import gradcheck
from torch.nn.functional import cosine_similarity, scaled_dot_product_attention

B, H, Q, K, D, F = 2, 3, 5, 7, 4, 6


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def agree(got, want):
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12)


def inputs(*leading):
    return normal(0, *leading, Q, D), normal(1, *leading, K, D), normal(2, *leading, K, F)


def masks():
    seen = normal(3, Q, K) > 0
    seen[:, 0] = True
    each = normal(4, B, Q, K) > 0
    each[..., 0] = True
    return {"none": None, "shared": seen, "for each item": each, "causal": checked.causal_mask(K)[:Q]}


@pytest.mark.parametrize("temperature", [0.1, 1.0, 7.0])
def test_softmax_is_torch_softmax_of_scores_over_temperature(temperature):
    scores = 5 * normal(0, B, Q, K)
    agree(checked.softmax(scores, temperature), torch.softmax(scores / temperature, dim=-1))


@pytest.mark.parametrize("name", masks())
def test_attention_is_torch_scaled_dot_product_attention(name):
    query, key, value = inputs(B)
    mask = masks()[name]
    output, weights = checked.attention(query, key, value, mask)
    agree(output, scaled_dot_product_attention(query, key, value, mask))
    one_hot = torch.eye(K, dtype=torch.float64).expand(B, K, K)
    agree(weights, scaled_dot_product_attention(query, key, one_hot, mask))


def test_attention_with_batch_and_heads_is_torch_scaled_dot_product_attention():
    query, key, value = inputs(B, H)
    agree(checked.attention(query, key, value)[0], scaled_dot_product_attention(query, key, value))


def test_the_gradients_of_attention_are_those_of_torch():
    leaves = [x.requires_grad_() for x in inputs(B)]
    mask = masks()["shared"]
    own = torch.autograd.grad(checked.attention(*leaves, mask)[0].sin().sum(), leaves)
    theirs = torch.autograd.grad(scaled_dot_product_attention(*leaves, mask).sin().sum(), leaves)
    for got, want in zip(own, theirs, strict=True):
        agree(got, want)


def test_the_module_is_torch_attention_of_its_projections():
    layer, tokens = checked.SelfAttention1d(D, F).double(), normal(5, B, Q, D)
    projected = layer.to_query(tokens), layer.to_key(tokens), layer.to_value(tokens)
    agree(layer(tokens)[0], scaled_dot_product_attention(*projected))
    causal = layer(tokens, checked.causal_mask(Q))[0]
    agree(causal, scaled_dot_product_attention(*projected, is_causal=True))


def test_squared_distances_are_those_of_cdist():
    query, key, _ = inputs(B)
    agree(checked.squared_distances(query, key), torch.cdist(query, key).square())


def test_soft_lookup_weighs_by_torch_cosine_similarity():
    query, key, value = inputs(B)
    cosine = cosine_similarity(query.unsqueeze(-2), key.unsqueeze(-3), dim=-1)
    agree(checked.soft_lookup(query, key, value, 0.3)[1], (cosine / 0.3).softmax(-1))


def test_entropy_is_that_of_torch_distributions():
    weights = normal(6, B, K).softmax(-1)
    agree(checked.entropy(weights), torch.distributions.Categorical(probs=weights).entropy())


GRADCHECKED = {
    "softmax": lambda: (lambda s: checked.softmax(s, 0.7), (normal(0, 2, 3),)),
    "weighted average": lambda: (checked.weighted_average, (normal(0, 2, 3), normal(1, 3, 4))),
    "scores": lambda: (checked.dot_product_scores, (normal(0, 2, 4), normal(1, 3, 4))),
    "scale": lambda: (lambda s: checked.scale(s, 5), (normal(0, 2, 3),)),
    "attention": lambda: (checked.attention, (normal(0, 2, 4), normal(1, 3, 4), normal(2, 3, 5))),
    "masked attention": lambda: (
        lambda q, k, v: checked.attention(q, k, v, checked.causal_mask(3)[1:]),
        (normal(0, 2, 4), normal(1, 3, 4), normal(2, 3, 5)),
    ),
    "Nadaraya-Watson": lambda: (
        lambda q, k, v: checked.nadaraya_watson(q, k, v, 0.9),
        (normal(0, 2, 4), normal(1, 3, 4), normal(2, 3, 5)),
    ),
    "leave one out": lambda: (
        lambda k, v: checked.leave_one_out(k, v, 0.9)[0],
        (normal(1, 3, 4), normal(2, 3, 5)),
    ),
    "entropy": lambda: (checked.entropy, (normal(0, 2, 3).softmax(-1),)),
    "soft look-up": lambda: (
        lambda q, k, v: checked.soft_lookup(q, k, v, 0.5),
        (normal(0, 2, 4), normal(1, 3, 4), normal(2, 3, 5)),
    ),
}


@pytest.mark.parametrize("name", GRADCHECKED)
def test_gradients_are_those_of_finite_differences(name):
    function, leaves = GRADCHECKED[name]()
    assert gradcheck(function, tuple(leaf.requires_grad_() for leaf in leaves))
