"""Packed sequences: the padded result where there are tokens, and nothing of the padding anywhere."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attnlab.fast import attention
from attnlab.fast.packing import layout, layout_of, pack, packed_attention, unpack
from attnlab.fast.problem import problem
from attnlab.fast.triton_attention import Packed, triton_attention
from tests.fast.problems import outputs_and_gradients


def kernels(query, key, value, queries, keys=None, *, causal=False, scale=None):
    """`packed_attention` as it goes on a GPU."""
    keys = queries if keys is None else keys
    given_to_it = problem(*(t.transpose(0, 1)[None] for t in (query, key, value)), causal=causal, scale=scale)
    packed = Packed(queries.starts, keys.starts, queries.longest, keys.longest)
    return triton_attention(given_to_it, packed)[0][0].transpose(0, 1)


WAYS = pytest.mark.parametrize("packed", [packed_attention, kernels])


def test_the_layout_of_a_mask():
    where = layout_of(torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 0, 0]]).bool())
    assert where.starts.tolist() == [0, 3, 4, 6] and where.starts.dtype == torch.int32
    assert where.rows().tolist() == [0, 1, 2, 4, 8, 9]
    assert (where.total, where.longest, where.lengths) == (6, 3, (3, 1, 2))


def test_holes_and_padding_in_front_are_refused():
    for row in ([0, 1, 1], [1, 0, 1]):
        with pytest.raises(ValueError, match="tokens of each sequence first"):
            layout_of(torch.tensor([row]).bool())


@given(st.lists(st.integers(0, 7), min_size=1, max_size=5), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_unpacking_undoes_packing(lengths, more):
    where = layout(lengths, max(lengths) + more)
    padded = torch.randn(len(lengths), where.tokens, 3, requires_grad=True)
    packed = pack(padded, where)
    back = unpack(packed, where)
    token = torch.arange(where.tokens) < torch.tensor(lengths)[:, None]
    assert packed.shape == (sum(lengths), 3)
    assert torch.equal(back, padded.where(token[..., None], torch.zeros(())))
    (gradient,) = torch.autograd.grad(back.sum(), padded)
    assert torch.equal(gradient, token[..., None].expand_as(padded).float())


@WAYS
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kv_heads", [4, 2])
def test_it_is_the_padded_form_where_there_are_tokens(packed, causal, kv_heads):
    lengths, k_lengths = [3, 0, 18, 1, 18, 5], [4, 2, 20, 0, 20, 3]
    queries, keys = layout(lengths, 20), layout(k_lengths, 21)
    generator = torch.Generator().manual_seed(0)
    padded = [
        torch.randn(6, heads, tokens, 8, dtype=torch.float64, generator=generator)
        for heads, tokens in ((4, 20), (kv_heads, 21), (kv_heads, 21))
    ]
    for tensor, sizes in zip(padded, (lengths, k_lengths, k_lengths), strict=True):
        for item, length in enumerate(sizes):
            tensor[item, :, length:] = float("nan")  # whoever reads the padding will be seen
    leaves = [
        pack(t.transpose(1, 2), where).requires_grad_() for t, where in zip(padded, (queries, keys, keys), strict=True)
    ]

    def one_by_one(query, key, value):
        rows = zip(query.split(lengths), key.split(k_lengths), value.split(k_lengths), strict=True)
        parts = [
            attention(*(t.transpose(0, 1) for t in qkv), causal=causal, using="tiled").transpose(0, 1) for qkv in rows
        ]
        return torch.cat(parts)

    got = outputs_and_gradients(lambda: packed(*leaves, queries, keys, causal=causal), *leaves)
    want = outputs_and_gradients(lambda: one_by_one(*leaves), *leaves)
    for mine, theirs in zip(got, want, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-10)
    again = unpack(got[0], queries)
    assert again.isfinite().all()


@WAYS
def test_a_sequence_does_not_see_its_neighbours(packed):
    where = layout([4, 6, 3])
    query, key, value = (torch.randn(13, 2, 8, dtype=torch.float64) for _ in range(3))
    before = packed(query, key, value, where)
    key[4:10], value[4:10] = 7.0, -3.0
    after = packed(query, key, value, where)
    assert torch.equal(before[:4], after[:4]) and torch.equal(before[10:], after[10:])
    assert not torch.allclose(before[4:10], after[4:10])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: layout([3, 5], 4), "Expected lengths from 0 to 4"),
        (lambda: pack(torch.zeros(2, 5, 1), layout([3, 4])), "Expected 2 sequences padded to 4, got (2, 5)"),
        (
            lambda: packed_attention(*[torch.zeros(6, 1, 4)] * 3, layout([3, 4])),
            "Expected 7 rows of queries and 7 of keys and values, got [6, 6, 6]",
        ),
        (
            lambda: packed_attention(*[torch.zeros(6, 1, 4)] * 3, layout([3, 3]), layout([6])),
            "Expected as many sequences of keys as of queries",
        ),
    ],
)
def test_what_does_not_fit_is_said(call, said):
    with pytest.raises(ValueError) as error:
        call()
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: layout([2.7, 1.0]), TypeError, "Expected lengths as whole numbers"),
        (lambda: layout_of(torch.ones(2, 3)), ValueError, "Expected a mask (batch, tokens) of torch.bool"),
        (lambda: packed_attention(*[torch.zeros(6, 16)] * 3, layout([4, 2])), ValueError, "Expected three axes"),
    ],
)
def test_what_is_no_layout_is_said(call, error, said):
    with pytest.raises(error) as raised:
        call()
    assert said in str(raised.value)


def test_no_sequence_at_all_is_still_a_part_of_the_graph():
    rows = torch.zeros(0, 2, 4, requires_grad=True)
    packed_attention(rows, rows, rows, layout([])).sum().backward()
    assert rows.grad.shape == rows.shape


def test_lengths_on_a_device_are_read_at_once():
    lengths = torch.tensor([3, 0, 2], dtype=torch.int32)
    assert layout(lengths).lengths == layout([3, 0, 2]).lengths == (3, 0, 2)
