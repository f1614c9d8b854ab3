"""Each rung of the ladder does what the one below it does; what each adds is looked at by itself."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attnlab.fast import attention
from attnlab.fast.ladder import tiled_numpy
from attnlab.fast.ladder.naive import naive, visible
from attnlab.fast.ladder.online_softmax import merge, online
from attnlab.fast.ladder.tiled_numpy import tiled
from attnlab.fast.ladder.tiled_torch import Rule
from attnlab.fast.ladder.tiled_torch import tiled as tiled_torch
from attnlab.reference.attention import attention as reference

SIZES = [(1, 1), (5, 5), (16, 16), (17, 33), (33, 17), (40, 3), (64, 65)]


def one_head(queries, keys, width=8, features=6, seed=0):
    generator = np.random.default_rng(seed)
    return (generator.standard_normal((n, f)) for n, f in ((queries, width), (keys, width), (keys, features)))


def in_torch(function, *arrays, **options):
    return [result.numpy() for result in function(*map(torch.from_numpy, arrays), **options)]


def test_the_lowest_rung_is_the_reference():
    q, k, v = (torch.from_numpy(array) for array in one_head(9, 12))
    mask = torch.rand(9, 12, generator=torch.Generator().manual_seed(1)) > 0.5
    mask[4] = False
    output, lse = naive(q, k, v, mask)
    want, weights = reference(q, k, v, mask)
    assert torch.allclose(output, want, atol=1e-12)
    scores = (q @ k.mT / 8**0.5).masked_fill(~mask, -torch.inf)
    assert torch.allclose((scores - lse.masked_fill(lse == -torch.inf, 0)[:, None]).exp(), weights, atol=1e-12)
    assert lse[4] == -torch.inf and not output[4].any()


def test_the_last_query_sees_the_last_key():
    assert visible(2, 3).tolist() == [[True, True, False], [True, True, True]]
    assert visible(3, 2).tolist() == [[False, False], [True, False], [True, True]]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("queries", "keys"), SIZES)
def test_every_rung_does_what_the_one_below_does(queries, keys, causal):
    q, k, v = one_head(queries, keys)
    rungs = [
        in_torch(naive, q, k, v, causal=causal),
        tiled(q, k, v, causal=causal, tile=16),
        online(q, k, v, causal=causal, tile=16),
        [
            part[0, 0]
            for part in in_torch(
                lambda *qkv: tiled_torch(*(t[None, None] for t in qkv), Rule(causal=causal), 8**-0.5),
                q, k, v,
            )
        ],
    ]  # fmt: skip
    for lower, upper in zip(rungs, rungs[1:], strict=False):
        for mine, theirs in zip(upper, lower, strict=True):
            assert np.allclose(mine, theirs, atol=1e-12)


@pytest.mark.parametrize("rung", [tiled, online])
def test_a_nan_is_not_hidden(rung):
    q, k, v = one_head(5, 7)
    q[2, 0] = np.nan
    output, lse = rung(q, k, v, tile=4)
    assert np.isnan(output).any(axis=1).tolist() == np.isnan(lse).tolist() == [False, False, True, False, False]


@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (16, 16), (17, 33), (40, 3)])
def test_the_first_kernel_does_what_the_loop_of_numpy_does(queries, keys):
    pytest.importorskip("triton")
    from attnlab.fast.ladder.triton_first import first

    arrays = [array.astype(np.float32) for array in one_head(queries, keys, width=16, features=16)]
    for mine, theirs in zip(in_torch(first, *arrays, tile=16), online(*arrays, tile=16), strict=True):
        assert np.allclose(mine, theirs, atol=1e-6)


@pytest.mark.parametrize("scale", [None, 0.7])
def test_the_kernel_for_everything_does_what_the_first_one_does(scale):
    pytest.importorskip("triton")
    from attnlab.fast.ladder.triton_first import first

    arrays = [array.astype(np.float32) for array in one_head(17, 33, width=16, features=16)]
    everything = partial(attention, scale=scale, return_lse=True, using="triton")
    for mine, theirs in zip(in_torch(everything, *arrays), in_torch(first, *arrays, scale=scale), strict=True):
        assert np.allclose(mine, theirs, atol=1e-6)


@pytest.mark.parametrize("causal", [False, True])
def test_the_kernels_backward_is_that_of_the_rung_in_torch(causal):
    pytest.importorskip("triton")
    leaves = [torch.from_numpy(array)[None, None].requires_grad_() for array in one_head(17, 33)]

    def gradients(using):
        output, lse = attention(*leaves, causal=causal, return_lse=True, using=using)
        return torch.autograd.grad(output.sin().sum() + lse.cos().sum(), leaves)

    for mine, theirs in zip(gradients("triton"), gradients("tiled"), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-12)


def golden(shape, k):
    return np.sin(0.7 * np.arange(np.prod(shape)) + 0.3 * k).reshape(shape)


def test_numbers_worked_out_elsewhere():
    """Five tokens of width 4, causal: log-sum-exps, the last row of the output, and sums of the gradients."""
    q, k, v, g = (golden((5, 4), i) for i in (1, 2, 3, 4))
    for rung in (tiled, online):
        output, lse = rung(q, k, v, causal=True, scale=0.5, tile=2)
        assert np.allclose(lse, [1.084034, 1.175371, 1.599128, 1.681828, 1.814092], atol=1e-6)
        assert np.allclose(output[-1], [-0.054491, 0.274358, 0.474171, 0.450975], atol=1e-6)
        assert output.sum() == pytest.approx(2.497902, abs=1e-6)
    leaves = [torch.from_numpy(t)[None, None].requires_grad_() for t in (q, k, v)]
    output, _ = tiled_torch(*leaves, Rule(causal=True), 0.5)
    gradients = torch.autograd.grad(output, leaves, torch.from_numpy(g)[None, None])
    assert [t.abs().sum().item() for t in gradients] == pytest.approx([5.357339, 4.912331, 9.538863], abs=1e-6)


def test_causal_tiles_above_the_diagonal_are_not_visited():
    """1,024 tokens in tiles of 128: 8 * 9 / 2 = 36 of 64. Rung 1 walks three times, rung 2 once."""
    q, k, v = one_head(1024, 1024, width=2, features=2)
    for rung, walks in ((tiled, 3), (online, 1)):
        for causal, tiles in ((True, 36), (False, 64)):
            visited = []
            rung(q, k, v, causal=causal, tile=128, visited=visited)
            assert len(visited) == walks * tiles


def test_no_more_than_a_tile_of_scores_exists(monkeypatch):
    sizes = []
    scores_of = tiled_numpy.scores_of

    def watched(*arguments):
        scores = scores_of(*arguments)
        sizes.append(scores.size)
        return scores

    monkeypatch.setattr(tiled_numpy, "scores_of", watched)
    tiled(*one_head(100, 90), tile=16)
    assert max(sizes) == 16 * 16


def test_the_printed_rescaling_is_wrong_as_soon_as_a_second_tile_raises_the_maximum():
    """FlashAttention-2, algorithm 1, as printed: the accumulator is multiplied by the inverse of the factor."""

    def as_printed(q, k, v, tile):
        highest, total, acc = np.full(len(q), -np.inf), np.zeros(len(q)), np.zeros((len(q), v.shape[1]))
        for start in range(0, len(k), tile):
            scores = q @ k[start : start + tile].T / q.shape[1] ** 0.5
            higher = np.maximum(highest, scores.max(axis=1))
            weights, shrink = np.exp(scores - higher[:, None]), np.exp(highest - higher)
            total = total * shrink + weights.sum(axis=1)
            acc = (acc / shrink[:, None] if start else acc) + weights @ v[start : start + tile]
            highest = higher
        return acc / total[:, None]

    q, k, v = one_head(64, 128, width=64, features=64)
    right, _ = online(q, k, v, tile=64)
    first_half, _ = online(q, k[:64], v[:64])
    assert np.allclose(as_printed(q, k[:64], v[:64], 64), first_half)  # one tile: nothing to rescale
    off = np.linalg.norm(as_printed(q, k, v, 64) - right) / np.linalg.norm(right)
    assert off > 0.3


@given(st.lists(st.integers(0, 5), min_size=3, max_size=3), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_results_over_parts_of_the_keys_merge_in_any_order(parts, seed):
    q, k, v = one_head(4, sum(parts), seed=seed)
    cuts = np.cumsum([0, *parts])
    results = [online(q, k[a:b], v[a:b]) for a, b in zip(cuts, cuts[1:], strict=False)]
    whole = online(q, k, v)
    first, second, third = results
    for merged in (merge(merge(first, second), third), merge(first, merge(third, second))):
        for mine, theirs in zip(merged, whole, strict=True):
            assert np.allclose(mine, theirs, atol=1e-12)


def test_nothing_seen_merged_with_nothing_is_nothing():
    nothing = np.zeros((2, 3)), np.full(2, -np.inf)
    output, lse = merge(nothing, nothing)
    assert not output.any() and np.isneginf(lse).all()
