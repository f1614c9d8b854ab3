"""Numbers worked out on paper, and the edges that the docstrings speak of."""

import math

import checked
import pytest
import torch
from torch import nn

E = math.e


def table(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def agree(got, *want):
    torch.testing.assert_close(got.flatten(), torch.tensor(want, dtype=got.dtype), rtol=0, atol=1e-12)


def test_scores_0_and_ln_3_give_a_quarter_and_three_quarters():
    agree(checked.softmax(table([0.0, math.log(3)])), 1 / 4, 3 / 4)


def test_halving_the_temperature_squares_the_odds():
    agree(checked.softmax(table([0.0, math.log(3)]), temperature=0.5), 1 / 10, 9 / 10)


def test_scores_0_and_1_give_e_over_1_plus_e():
    agree(checked.softmax(table([0.0, 1.0])), 1 / (1 + E), E / (1 + E))


def test_softmax_of_ten_thousand_is_exact():
    agree(checked.softmax(table([1e4, 1e4, -1e4])), 0.5, 0.5, 0.0)
    agree(checked.softmax(table([1e4, 1e4 + math.log(3)])), 1 / 4, 3 / 4)


def test_a_score_of_minus_infinity_gets_weight_zero_and_a_row_of_them_is_nan():
    agree(checked.softmax(table([-math.inf, 2.0])), 0.0, 1.0)
    assert checked.softmax(table([-math.inf, -math.inf])).isnan().all()


def test_average_of_4_and_8_with_a_quarter_and_three_quarters_is_7():
    agree(checked.weighted_average(table([0.25, 0.75]), table([4.0], [8.0])), 7.0)


def test_dot_product_of_3_4_with_1_2_is_11():
    agree(checked.dot_product_scores(table([3.0, 4.0]), table([1.0, 2.0], [0.0, -1.0])), 11.0, -4.0)


def test_a_score_of_6_at_width_9_scales_to_2():
    agree(checked.scale(table([6.0]), width=9), 2.0)


def test_attention_of_one_query_with_two_keys_by_hand():
    """Width 4, so the scale is 1/2: scores 0 and 2 ln 3 become 0 and ln 3, weights 1/4 and 3/4."""
    query = table([math.log(3), 0.0, 0.0, 0.0])
    key = table([0.0, 1.0, 5.0, 0.0], [2.0, 0.0, 0.0, 7.0])
    output, weights = checked.attention(query, key, table([4.0, 0.0], [8.0, 1.0]))
    agree(weights, 1 / 4, 3 / 4)
    agree(output, 7.0, 0.75)


def test_a_hidden_key_leaves_its_share_to_the_others():
    zeros = torch.zeros(1, 4, dtype=torch.float64), torch.zeros(3, 4, dtype=torch.float64)
    mask = torch.tensor([[True, False, True]])
    output, weights = checked.attention(*zeros, table([1.0], [100.0], [3.0]), mask)
    agree(weights, 0.5, 0.0, 0.5)
    agree(output, 2.0)


def test_a_query_that_may_see_nothing_takes_zeros_and_its_gradient_is_finite():
    query, key, value = (torch.randn(3, 4, dtype=torch.float64, requires_grad=True) for _ in range(3))
    mask = torch.tensor([[True, True, False], [False, False, False], [True, False, True]])
    output, weights = checked.attention(query, key, value, mask)
    assert output[1].eq(0).all() and weights[1].eq(0).all()
    output.square().sum().backward()
    leaves = {"query": query.grad, "key": key.grad, "value": value.grad}
    assert {name: bool(grad.isfinite().all()) for name, grad in leaves.items()} == dict.fromkeys(leaves, True)
    assert query.grad[1].eq(0).all()


def test_causal_mask_of_three_tokens():
    assert checked.causal_mask(3).int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]


def test_tensors_are_made_on_the_device_that_is_asked_for():
    """The meta device stands for any device that is not the CPU."""
    assert checked.causal_mask(3, device=torch.device("meta")).device.type == "meta"
    keys, values = torch.empty(5, 4, device="meta"), torch.empty(5, 6, device="meta")
    assert checked.leave_one_out(keys, values, 0.5)[0].device.type == "meta"


def test_entropy_of_one_hot_is_zero_and_of_four_alike_log_4():
    agree(checked.entropy(table([0.0, 1.0, 0.0])), 0.0)
    agree(checked.entropy(table([0.25] * 4)), math.log(4))
    agree(checked.entropy(table([0.5, 0.5, 0.0, 0.0])), math.log(2))


def test_entropy_of_weights_that_are_all_zero_is_zero():
    """So it is for a query that may see nothing."""
    agree(checked.entropy(table([0.0, 0.0, 0.0])), 0.0)


def test_nadaraya_watson_at_distances_0_and_h_by_hand():
    """At distance h the Gaussian is exp(-1/2) of its height."""
    down = math.exp(-0.5)
    output, weights = checked.nadaraya_watson(table([0.0]), table([0.0], [2.0]), table([10.0], [20.0]), 2.0)
    agree(weights, 1 / (1 + down), down / (1 + down))
    agree(output, (10 + 20 * down) / (1 + down))


def test_squared_distance_of_3_4_to_the_origin_is_25():
    agree(checked.squared_distances(table([3.0, 4.0]), table([0.0, 0.0])), 25.0)


def test_leave_one_out_of_two_keys_swaps_their_values():
    output, weights = checked.leave_one_out(table([0.0], [3.0]), table([10.0], [20.0]), 0.5)
    agree(output, 20.0, 10.0)
    agree(weights, 0.0, 1.0, 1.0, 0.0)


def test_soft_lookup_at_cosines_1_and_0_by_hand():
    """Temperature 1 / ln 3 makes the odds three to one, whatever the lengths of the keys."""
    query, key = table([2.0, 0.0]), table([5.0, 0.0], [0.0, 0.1])
    output, weights = checked.soft_lookup(query, key, table([4.0], [8.0]), 1 / math.log(3))
    agree(weights, 3 / 4, 1 / 4)
    agree(output, 5.0)


def test_a_cold_look_up_finds_the_exact_key():
    keys = table([1.0, 2.0], [-2.0, 1.0])
    agree(checked.soft_lookup(keys, keys, table([4.0], [8.0]), 1e-3)[0], 4.0, 8.0)


@pytest.mark.parametrize(("width", "head_width"), [(5, 3), (3, 5), (64, 16)])
def test_the_module_has_three_times_width_times_head_width_parameters(width, head_width):
    layer = checked.SelfAttention1d(width, head_width)
    assert sum(p.numel() for p in layer.parameters()) == 3 * width * head_width


def test_the_state_dict_names_three_projections_without_bias():
    shapes = {name: tuple(value.shape) for name, value in checked.SelfAttention1d(5, 3).state_dict().items()}
    assert shapes == {"to_query.weight": (3, 5), "to_key.weight": (3, 5), "to_value.weight": (3, 5)}


def test_a_gradient_reaches_each_of_the_three_projections():
    layer = checked.SelfAttention1d(5, 3)
    layer(torch.randn(2, 7, 5))[0].sin().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in layer.parameters())
    assert isinstance(layer, nn.Module)
