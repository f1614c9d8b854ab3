"""`attnlab.fast.attention` on a CPU: the reference's numbers, every way it may go, and what it says of itself."""

import subprocess
import sys
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from attnlab.fast import attention, explain
from attnlab.fast.ladder import tiled_torch
from attnlab.reference.attention import attention as reference
from tests.fast.gradients import assert_within_the_budget
from tests.fast.memory import extra_memory, forward_and_backward
from tests.fast.problems import (
    assert_like_naive,
    draw,
    draw_mask,
    naive_output,
    outputs_and_gradients,
)

WAYS = ["sdpa", "tiled"]
KINDS = ["plain", "causal", "mask", "bias", "everything"]


def options(kind, queries=37, keys=41, batch=(2, 4), dtype=torch.float64):
    generator = torch.Generator().manual_seed(3)
    found = {}
    if kind in ("mask", "everything"):
        found["mask"] = draw_mask(*batch, queries, keys)
    if kind in ("causal", "everything"):
        found["causal"] = True
    if kind in ("bias", "everything"):
        shape = (batch[-1], queries, keys)
        found["bias"] = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
    return found


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(tiled_torch, "KEYS", 16)


@pytest.mark.parametrize("using", [None, *WAYS])
@pytest.mark.parametrize("batch", [(), (3,), (2, 3), (2, 1, 3)])
def test_it_is_the_reference(using, batch, small_tiles):
    leaves = draw(9, 12, batch=batch, features=5)
    mask = draw_mask(9, 12)
    want = outputs_and_gradients(lambda: reference(*leaves, mask)[0], *leaves)
    got = outputs_and_gradients(lambda: attention(*leaves, mask, using=using), *leaves)
    for mine, theirs in zip(got, want, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-10)


@pytest.mark.parametrize("kv_heads", [None, 2, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_the_tiled_way_is_the_naive_one(kind, kv_heads, small_tiles):
    queries, keys = 37, 41
    leaves = draw(queries, keys, kv_heads=kv_heads, features=20)
    key, value = (t.repeat_interleave(4 // (kv_heads or 4), dim=1).detach().requires_grad_() for t in leaves[1:])
    assert_like_naive("tiled", (leaves[0], key, value), 1e-10, **options(kind))
    got = attention(*leaves, **options(kind), using="tiled")
    assert torch.allclose(got, attention(leaves[0], key, value, **options(kind), using="naive"), atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_torchs_way_is_the_naive_one(kind):
    leaves, chosen = draw(kv_heads=2, features=20), options(kind)
    leaves += (chosen["bias"],) if "bias" in chosen else ()
    got, want = (
        outputs_and_gradients(lambda u=u: attention(*leaves[:3], **chosen, using=u), *leaves) for u in ("sdpa", "naive")
    )
    for mine, theirs in zip(got, want, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("using", WAYS)
@pytest.mark.parametrize("causal", [False, True])
def test_low_precision_stays_within_twice_the_naive_error(using, dtype, causal):
    leaves = draw(130, 130, width=64, kv_heads=2, dtype=dtype)
    assert_within_the_budget(
        lambda *t: attention(*t, causal=causal, using=using), lambda *t: naive_output(*t, causal=causal), leaves
    )


@given(
    st.integers(1, 40), st.integers(0, 40), st.sampled_from([1, 3, 16, 20]), st.sampled_from([1, 2, 4]),
    st.booleans(), st.booleans(), st.booleans(), st.integers(0, 10**6),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_any_shape_mask_and_layout(queries, keys, width, kv_heads, causal, masked, turned, seed):
    leaves = draw(queries, keys, width=width, kv_heads=kv_heads, seed=seed)
    mask = draw_mask(4, queries, keys, seed=seed) if masked and queries > 1 else None
    given_leaves = leaves
    if turned:  # tokens before heads in memory, as a projection leaves them
        given_leaves = tuple(t.transpose(1, 2).contiguous().transpose(1, 2) for t in leaves)
    want = outputs_and_gradients(lambda: naive_output(*leaves, mask=mask, causal=causal), *leaves)
    for using in (None, "tiled", *(["sdpa"] if keys else [])):
        got = outputs_and_gradients(
            lambda using=using: attention(*given_leaves, mask, causal=causal, using=using), *leaves
        )
        for mine, theirs in zip(got, want, strict=True):
            assert torch.allclose(mine, theirs, atol=1e-9)


@pytest.mark.parametrize("using", [None, *WAYS])
def test_a_query_that_sees_nothing_gets_zeros_and_gives_no_gradient(using):
    leaves = draw(5, 7, batch=(2,), dtype=torch.float32)
    mask = torch.ones(5, 7, dtype=torch.bool)
    mask[2] = False
    output = attention(*leaves, mask, using=using)
    gradients = torch.autograd.grad(output.sum(), leaves)
    assert not output[:, 2].any() and not gradients[0][:, 2].any()
    assert all(t.isfinite().all() for t in gradients)


def test_the_log_sum_exp_makes_the_weights_again_and_has_a_gradient():
    query, key, value = draw(6, 9, batch=(2,))
    output, lse = attention(query, key, value, return_lse=True)
    scores = query @ key.mT * 24**-0.5
    assert torch.allclose((scores - lse[..., None]).exp() @ value, output, atol=1e-10)
    assert torch.allclose(torch.autograd.grad(lse.sum(), query)[0], (scores.softmax(-1) @ key) * 24**-0.5, atol=1e-10)


@pytest.mark.parametrize("using", WAYS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_shows_where_torch_shows_it(using, bad):
    query, key, value = (t.detach().float() for t in draw(6, 40, batch=(1, 1), width=16))
    for tensor, place in ((query, (0, 0, 2, 3)), (key, (0, 0, 33, 1)), (value, (0, 0, 5, 0))):
        poisoned = [t.clone() for t in (query, key, value)]
        poisoned[[query, key, value].index(tensor) if tensor is query else (1 if tensor is key else 2)][place] = bad
        want = torch.nn.functional.scaled_dot_product_attention(*poisoned)
        got = attention(*poisoned, using=using)
        assert torch.equal(got.isnan(), want.isnan())
        assert torch.allclose(got, want, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("using", WAYS)
def test_large_scores_do_not_overflow(using):
    query, key, value = (t.detach().float() for t in draw(4, 40, batch=(1, 1)))
    key[..., 3, :] *= 1000
    assert attention(query, key, value, using=using).isfinite().all()


@pytest.mark.parametrize("using", [None, *WAYS])
@pytest.mark.parametrize("scale", [-0.3, 0.0])
def test_a_scale_of_zero_or_below_is_right_under_a_causal_mask(using, scale):
    """torch's fused kernel gives NaN there."""
    query, key, value = (t.detach() for t in draw(9, 9, batch=(2, 3)))
    got = attention(query, key, value, causal=True, scale=scale, using=using)
    torch.testing.assert_close(got, naive_output(query, key, value, causal=True, scale=scale))


@pytest.mark.parametrize("causal", [False, True])
def test_memory_grows_with_the_tokens_not_with_their_square(causal):
    def peak(tokens):
        leaves = draw(tokens, tokens, batch=(1, 1), width=16, dtype=torch.float32)
        grad = torch.ones(1, 1, tokens, 16)
        call = forward_and_backward(lambda *t: attention(*t, causal=causal, using="tiled"), *leaves, grad=grad)
        return extra_memory(call)

    small, large = peak(1024), peak(2048)
    assert large < 2.2 * small


def test_the_tiled_way_can_be_differentiated_twice():
    query, key, value = draw(4, 5, batch=(1, 2), width=3)
    bias = torch.randn(2, 4, 5, dtype=torch.float64, requires_grad=True)

    def both(query, key, value, bias):
        return attention(query, key, value, causal=True, bias=bias, return_lse=True, using="tiled")

    assert torch.autograd.gradgradcheck(both, (query, key, value, bias))
    assert torch.autograd.gradgradcheck(  # and where only the backward is tiled
        lambda *t: attention(*t[:3], causal=True, bias=t[3]), (query, key, value, bias)
    )


@pytest.mark.parametrize("scale", [1e-46, -1e-46, 0.0])
@pytest.mark.parametrize("using", [None, "tiled", "naive"])
def test_a_scale_of_next_to_nothing_gives_the_mean(scale, using):
    query, key, value = (tensor.detach().float() for tensor in draw(6, 6, batch=(1, 2)))
    output = attention(query, key, value, causal=True, scale=scale, using=using)
    torch.testing.assert_close(output, value.cumsum(dim=-2) / torch.arange(1, 7)[:, None])


def test_a_negative_scale_costs_no_digits():
    made = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, 1, 9, 16, generator=made).half() * size for size in (300, 0.03, 1))
    torch.testing.assert_close(
        attention(query, key, value, scale=-300.0), attention(-query, key, value, scale=300.0), rtol=0, atol=0
    )


@pytest.mark.parametrize("options", [{}, {"causal": True}, {"bias": torch.zeros(1, 1, 1, 8192)[..., ::2]}])
def test_memory_is_linear_in_any_layout(options):
    """torch's kernel wants the last axis contiguous, and builds the table without a word where it is not."""

    def peak(tokens):
        turned = torch.randn(1, 2, 16, tokens).mT
        own = {name: option[..., :tokens] if name == "bias" else option for name, option in options.items()}
        return extra_memory(lambda: [attention(turned, turned, turned, **own)])

    assert peak(4096) < 2.2 * peak(2048)


@pytest.mark.parametrize("options", [{}, {"return_lse": True}, {"causal": True, "mask": torch.ones(40) > 0}])
def test_under_autocast_tensors_are_cast_once_and_never_inside(options):
    query, key, value = (tensor.detach().float() for tensor in draw(40, 40))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = attention(query, key.bfloat16(), value, **options)
        of_torch = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    want = attention(query.bfloat16(), key.bfloat16(), value.bfloat16(), **options)
    for mine, theirs in zip(*(t if isinstance(t, tuple) else (t,) for t in (got, want)), strict=True):
        assert mine.dtype == theirs.dtype and torch.equal(mine, theirs)
    assert (got[0] if isinstance(got, tuple) else got).dtype == of_torch.dtype == torch.bfloat16


@pytest.mark.parametrize("options", [{"causal": True, "mask": torch.ones(64) > 0}, {"return_lse": True}, {}])
def test_nothing_is_held_after_the_backward(options):
    leaf = torch.randn(1, 2, 64, 8, requires_grad=True)
    given = leaf * 2
    held = weakref.ref(given)
    output = attention(given, given, given, **options)
    del given
    (output[0] if isinstance(output, tuple) else output).sum().backward()
    assert held() is None


def test_a_row_of_a_bias_that_hides_everything_has_no_gradient_in_the_naive_form_either():
    query, key, value = draw(4, 4, batch=(1, 1))
    bias = torch.zeros(4, 4, dtype=torch.float64)
    bias[1] = -torch.inf
    bias.requires_grad_()
    assert_like_naive("tiled", (query, key, value), 1e-10, bias=bias)
    assert torch.autograd.grad(attention(query, key, value, bias=bias, using="naive").sum(), query)[0].isfinite().all()


def test_the_interpreter_refuses_what_it_gets_wrong():
    pytest.importorskip("triton")
    with pytest.raises(TypeError, match="got bfloat16, whose products are wrong"):
        attention(*[torch.zeros(3, 16).bfloat16()] * 3, using="triton")


@pytest.mark.parametrize("shape", [(0, 2, 5, 4), (2, 0, 5, 4), (2, 2, 0, 4)])
@pytest.mark.parametrize("using", [None, "tiled"])
def test_nobody_who_looks(shape, using):
    leaves = [torch.zeros(shape, requires_grad=True) for _ in range(3)]
    output = attention(*leaves, using=using)
    assert output.shape == shape
    assert torch.autograd.grad(output.sum(), leaves[1])[0].shape == shape


@pytest.mark.parametrize("using", [None, "tiled", "triton"])
def test_a_mask_that_was_changed_before_the_backward_is_noticed(using):
    if using == "triton":
        pytest.importorskip("triton")
    leaves, mask = draw(4, 5, batch=(1, 2), width=3), draw_mask(4, 5)
    output = attention(*leaves, mask, causal=True, using=using)
    mask.fill_(True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


@pytest.mark.parametrize(
    ("arguments", "way", "why"),
    [
        ({}, "sdpa", "torch's function expresses it"),
        ({"causal": True}, "sdpa", "a band of queries at a time"),
        ({"causal": True, "mask": torch.ones(4).bool()}, "sdpa", "a band of queries at a time"),
        ({"return_lse": True}, "tiled", "log-sum-exp"),
        ({"bias": torch.zeros(3, 4, requires_grad=True)}, "sdpa", "our tiles, which give the bias its gradient"),
        ({"bias": torch.zeros(3, 4)}, "sdpa", "expresses it"),
    ],
)
def test_what_a_call_uses_can_be_asked(arguments, way, why):
    query, key, value = torch.randn(3, 8), torch.randn(4, 8), torch.randn(4, 8)
    plan = explain(query, key, value, **arguments)
    assert plan.using == way and why in plan.why and str(plan).startswith(way)
    with torch.no_grad():  # nobody learns a bias then
        assert explain(query, key, value, bias=torch.zeros(3, 4, requires_grad=True)).using == "sdpa"


@pytest.mark.parametrize(
    ("dtype", "width", "way", "why"),
    [
        (torch.bfloat16, 64, "triton", "torch.bfloat16 on cuda:0"),
        (torch.float64, 64, "sdpa", "float64 is for checking, torch's function expresses it"),
        (torch.float32, 300, "sdpa", "a head of width 300 is wider than our kernels' 256"),
    ],
)
def test_what_a_call_on_a_gpu_uses_can_be_asked_too(dtype, width, way, why):
    pytest.importorskip("triton")
    with FakeTensorMode():  # tensors on a device that need not be here
        tensors = [torch.empty(2, 4, 8, width, device="cuda", dtype=dtype) for _ in range(3)]
        plan = explain(*tensors)
    assert plan.using == way and why in plan.why


def test_kernels_need_a_device_unless_they_are_interpreted(monkeypatch):
    pytest.importorskip("triton")
    monkeypatch.setattr("attnlab.fast.triton_attention.INTERPRETED", False)
    with pytest.raises(ValueError, match='Expected tensors on a CUDA device for using="triton", got them on cpu'):
        attention(*[torch.zeros(3, 8)] * 3, using="triton")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"key": torch.zeros(4, 7)}, "Expected query and key of one width"),
        ({"value": torch.zeros(5, 8)}, "Expected a value for each key"),
        ({"key": torch.zeros(4, 8).double()}, "Expected `key` like the query, torch.float32 on cpu, got torch.float64"),
        ({"mask": torch.ones(3, 4)}, "Numbers to be added are a `bias`"),
        ({"mask": torch.ones(2, 4, dtype=torch.bool)}, "Expected a mask that broadcasts to (3, 4), got (2, 4)"),
        ({"mask": torch.ones(8, 8, dtype=torch.bool)}, "Expected a mask that broadcasts to (3, 4), got (8, 8)"),
        ({"bias": torch.zeros(8, 4)}, "Expected a bias that broadcasts to (3, 4), got (8, 4)"),
        ({"scale": torch.tensor(2.0)}, "To learn one, multiply the query by it"),
        ({"mask": True}, "Expected `mask` as a tensor or None, got bool. `causal` is given by name"),
        ({"key": None}, "Expected `key` as a tensor, got NoneType"),
        ({"query": torch.zeros(8)}, "Expected at least two axes"),
        ({"query": torch.zeros(2, 3, 8)}, "Expected the same batch axes"),
        ({"using": "magic"}, "Expected `using` to be one of triton, sdpa, tiled, naive"),
    ],
)
def test_what_does_not_fit_is_said(change, said):
    arguments = {"query": torch.zeros(3, 8), "key": torch.zeros(4, 8), "value": torch.zeros(4, 8)} | change
    with pytest.raises((ValueError, TypeError)) as error:
        attention(**arguments)
    assert said in str(error.value)


def test_a_request_never_turns_into_another_way():
    tensors = [torch.zeros(3, 8)] * 3
    no_keys = torch.zeros(3, 8), torch.zeros(0, 8), torch.zeros(0, 8)
    assert explain(*no_keys).using == "tiled" and not attention(*no_keys).any()
    with pytest.raises(ValueError, match="Expected at least one key"):
        attention(*no_keys, using="sdpa")
    with pytest.raises(ValueError, match="torch does not return it"):
        attention(*tensors, using="sdpa", return_lse=True)


def test_it_imports_and_works_without_triton():
    code = (
        "import sys; sys.modules['triton'] = None\n"
        "import torch, attnlab.fast as fast\n"
        "x = torch.randn(2, 5, 8)\n"
        "print(fast.attention(x, x, x).shape, fast.explain(x, x, x).using, 'attnlab.reference' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert said.stdout.strip() == "torch.Size([2, 5, 8]) sdpa False", said.stderr
