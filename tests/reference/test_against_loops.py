"""Each reference does what a few loops of plain Python do, to 1e-12 in float64."""

import checked
import loops
import pytest
import torch

B, Q, K, D, F = 2, 5, 7, 4, 6  # all different
SEEDS = (0, 1, 2)


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def agree(got, want):
    torch.testing.assert_close(got, torch.as_tensor(want, dtype=got.dtype), rtol=0, atol=1e-12)


def item_by_item(function, *tensors):
    """The loop twin over the batch; two results are stacked each on its own."""
    results = [function(*(tensor[i].tolist() for tensor in tensors)) for i in range(tensors[0].shape[0])]
    if isinstance(results[0], tuple):
        return [torch.tensor(part, dtype=torch.float64) for part in zip(*results, strict=True)]
    return torch.tensor(results, dtype=torch.float64)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("temperature", [0.3, 1.0, 5.0])
def test_softmax_is_exponentials_over_their_sum(seed, temperature):
    scores = normal(seed, B, K)
    agree(checked.softmax(scores, temperature), [loops.softmax(row, temperature) for row in scores.tolist()])


@pytest.mark.parametrize("seed", SEEDS)
def test_weighted_average_is_a_sum_over_the_keys(seed):
    weights, values = normal(seed, B, Q, K), normal(seed + 9, B, K, F)
    agree(checked.weighted_average(weights, values), item_by_item(loops.average, weights, values))


@pytest.mark.parametrize("seed", SEEDS)
def test_scores_are_dot_products_of_every_pair(seed):
    query, key = normal(seed, B, Q, D), normal(seed + 9, B, K, D)
    agree(checked.dot_product_scores(query, key), item_by_item(loops.scores, query, key))


@pytest.mark.parametrize("seed", SEEDS)
def test_attention_without_a_mask_asks_each_query_in_turn(seed):
    inputs = normal(seed, B, Q, D), normal(seed + 9, B, K, D), normal(seed + 99, B, K, F)
    for got, want in zip(checked.attention(*inputs), item_by_item(loops.attention, *inputs), strict=True):
        agree(got, want)


@pytest.mark.parametrize("seed", SEEDS)
def test_attention_with_a_mask_leaves_hidden_keys_out_of_the_softmax(seed):
    inputs = normal(seed, B, Q, D), normal(seed + 9, B, K, D), normal(seed + 99, B, K, F)
    mask = normal(seed + 999, B, Q, K) > 0
    mask[0, 2] = False  # one query sees nothing
    for got, want in zip(checked.attention(*inputs, mask), item_by_item(loops.attention, *inputs, mask), strict=True):
        agree(got, want)


@pytest.mark.parametrize("length", [1, 2, 5])
def test_causal_mask_compares_positions(length):
    assert checked.causal_mask(length).tolist() == loops.causal_mask(length)


@pytest.mark.parametrize("seed", SEEDS)
def test_nadaraya_watson_weighs_by_gaussian_kernels(seed):
    inputs = normal(seed, B, Q, D), normal(seed + 9, B, K, D), normal(seed + 99, B, K, F)
    want = item_by_item(lambda *tables: loops.nadaraya_watson(*tables, 0.8), *inputs)
    for got, expected in zip(checked.nadaraya_watson(*inputs, 0.8), want, strict=True):
        agree(got, expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_leave_one_out_predicts_each_key_from_the_others(seed):
    inputs = normal(seed, B, K, D), normal(seed + 9, B, K, F)
    want = item_by_item(lambda *tables: loops.leave_one_out(*tables, 0.8), *inputs)
    for got, expected in zip(checked.leave_one_out(*inputs, 0.8), want, strict=True):
        agree(got, expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_entropy_is_minus_the_sum_of_w_log_w(seed):
    weights = normal(seed, B, K).softmax(-1)
    agree(checked.entropy(weights), [loops.entropy(row) for row in weights.tolist()])


@pytest.mark.parametrize("seed", SEEDS)
def test_soft_lookup_is_a_softmax_of_cosines(seed):
    inputs = normal(seed, B, Q, D), normal(seed + 9, B, K, D), normal(seed + 99, B, K, F)
    want = item_by_item(lambda *tables: loops.soft_lookup(*tables, 0.4), *inputs)
    for got, expected in zip(checked.soft_lookup(*inputs, 0.4), want, strict=True):
        agree(got, expected)


@pytest.mark.parametrize("causal", [False, True], ids=["all seen", "causal"])
def test_the_module_projects_three_times_and_attends(causal):
    layer = checked.SelfAttention1d(D, F).double()
    tokens = normal(0, B, Q, D)
    mask = checked.causal_mask(Q) if causal else None
    tables = [weight.tolist() for weight in layer.state_dict().values()]
    want = item_by_item(
        lambda rows: loops.self_attention(rows, *tables, loops.causal_mask(Q) if causal else None), tokens
    )
    for got, expected in zip(layer(tokens, mask), want, strict=True):
        agree(got.detach(), expected)
