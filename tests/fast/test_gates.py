"""The gates in all ways (Triton kernels in the interpreter, or on a GPU) against the reference: every gradient too."""

import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import functional_call

from attnlab import fast
from attnlab.fast import gates, plain_gates, tiled_gates
from attnlab.reference.cbam import CBAM
from attnlab.reference.channel_attention import channel_attention
from attnlab.reference.spatial_attention import spatial_attention
from attnlab.reference.squeeze_excitation import SqueezeExcitation

no_triton = pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")
WAYS = ["plain", "tiled", pytest.param("triton", marks=no_triton)]
ONCE = WAYS[1:]  # that know their gradients, but not the gradients' gradients
NAMES = ["squeeze_excitation", "channel_attention", "spatial_attention", "cbam"]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def reference(name, features, *weights):
    """The same arguments, as the reference takes them."""
    if name == "squeeze_excitation":
        parts = dict(zip(("down.weight", "up.weight", "down.bias", "up.bias"), weights, strict=False))
        layer = SqueezeExcitation(features.shape[-3], 1, bias=len(weights) == 4)
        return functional_call(layer, parts, features)
    if name == "cbam":
        parts = dict(zip(("reduce.weight", "expand.weight", "conv.weight"), weights, strict=True))
        return functional_call(CBAM(features.shape[1], 1), parts, features)
    return {"channel_attention": channel_attention, "spatial_attention": spatial_attention}[name](features, *weights)


def draw(name, batch=2, channels=6, y=5, x=4, hidden=3, side=3, dtype=torch.float64, seed=0):
    """The arguments of one function, with gradients."""
    generator = torch.Generator().manual_seed(seed)
    mlp, kernel = [(hidden, channels), (channels, hidden)], [(1, 2, side, side)]
    weights = {
        "squeeze_excitation": [*mlp, (hidden,), (channels,)],
        "channel_attention": mlp,
        "spatial_attention": kernel,
        "cbam": mlp + kernel,
    }
    shapes = [(batch, channels, y, x), *weights[name]]
    return [leaf(torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)) for shape in shapes]


def leaf(tensor):
    return tensor.detach().to(DEVICE).requires_grad_()


def like_a_relu(features):
    """With a channel that is zero everywhere, and a place where every channel is: maxima that many share."""
    features = features.detach().relu()
    features[:, 0], features[..., 0, :] = 0, 0
    return leaf(features)


def outputs_and_gradients(call, leaves):
    """What `call` returns, and the gradient of an uneven sum of it for each leaf."""
    output = call(*leaves)
    uneven = torch.arange(output.numel(), dtype=torch.float64, device=output.device).cos().reshape(output.shape)
    return [output.detach(), *torch.autograd.grad((output * uneven).sum(), leaves)]


def both(name, way, leaves):
    def mine(*arguments):
        return getattr(fast, name)(*arguments, using=way)

    def theirs(*arguments):
        return reference(name, *arguments)

    return outputs_and_gradients(mine, leaves), outputs_and_gradients(theirs, leaves)


def assert_like_the_reference(name, way, leaves, tolerance=1e-10):
    for i, (mine, theirs) in enumerate(zip(*both(name, way, leaves), strict=True)):
        assert mine.dtype == theirs.dtype
        torch.testing.assert_close(
            mine, theirs, rtol=tolerance, atol=tolerance, equal_nan=True, msg=lambda m, i=i: f"result {i}: {m}"
        )


# ---------------------------------------------------------------------- against the reference


SHAPES = [
    dict(),
    dict(batch=1, channels=9, y=5, x=7, hidden=2, side=7),
    dict(batch=1, channels=1, y=1, x=1, hidden=1, side=1),
    dict(batch=1, channels=13, y=2, x=1, hidden=5, side=5),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_output_and_every_gradient(way, name, shape):
    assert_like_the_reference(name, way, draw(name, **shape))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NAMES)
def test_the_output_without_gradients(way, name):
    frozen = [t.detach() for t in draw(name, channels=32)]
    mine, theirs = getattr(fast, name)(*frozen, using=way), reference(name, *frozen)
    torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])
@pytest.mark.parametrize("channels", [1, 6, 7, 48])
def test_the_largest_channel_is_the_same_in_two_steps(channels, last):
    x = torch.randn(2, channels, 5, generator=torch.Generator().manual_seed(0))
    x[1, channels // 2, 3] = torch.nan
    x = x.mT.contiguous().mT if last else x
    torch.testing.assert_close(
        plain_gates.mean_and_largest(x, dim=1)[:, 1], x.amax(dim=1), rtol=0, atol=0, equal_nan=True
    )


@pytest.mark.parametrize(
    "differentiate",
    [torch.autograd.functional.jacobian, lambda f, x: torch.func.jacrev(f)(x)],
    ids=["autograd", "func"],
)
def test_three_channels_that_are_largest_share_evenly(differentiate):
    """Not a half, a quarter and a quarter."""
    features, kernel = (t.detach() for t in draw("spatial_attention", channels=32))
    features[:, :3] = 4
    mine = differentiate(lambda f: fast.spatial_attention(f, kernel, using="plain").sum(), features)
    theirs = differentiate(lambda f: reference("spatial_attention", f, kernel).sum(), features)
    torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("way", WAYS)
def test_squeeze_excitation_without_biases(way):
    assert_like_the_reference("squeeze_excitation", way, draw("squeeze_excitation")[:3])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NAMES)
def test_a_shared_maximum_shares_its_gradient_as_the_reference_does(way, name):
    features, *weights = draw(name, channels=7, side=3)
    assert_like_the_reference(name, way, [like_a_relu(features), *weights])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["channel_attention", "spatial_attention", "cbam"])
def test_twins_that_are_largest_share_too(way, name):
    """Two channels alike, with gates alike, at a place where others are not zero; and two places alike."""
    features, *weights = (t.detach().clone() for t in draw(name))
    features[:, 1:3] = 3 + features[:, 1:2].abs()
    features[..., 2, 1:3] = 4 + features[..., 2, 1:2].abs()
    if name == "cbam":
        weights[1][1] = weights[1][2] = weights[1][2].abs()
    assert_like_the_reference(name, way, [leaf(features), *map(leaf, weights)])


LAYOUTS = {
    "contiguous": lambda t: t,
    "channels last": lambda t: t.to(memory_format=torch.channels_last),
    "every second place": lambda t: t.repeat_interleave(2, dim=-1)[..., ::2],
    "x before y": lambda t: t.mT.contiguous().mT,
    "some channels of more": lambda t: torch.cat([t, t], dim=1)[:, : t.shape[1]],
    "one item for all": lambda t: t[:1].expand_as(t),
}


@settings(max_examples=4, deadline=None)
@given(st.data())
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NAMES)
def test_any_size_and_layout(way, name, data):
    sizes = dict(batch=(1, 3), channels=(1, 9), y=(1, 5), x=(1, 5), hidden=(1, 4))
    shape = {axis: data.draw(st.integers(*ends), label=axis) for axis, ends in sizes.items()}
    features, *weights = draw(name, **shape, side=data.draw(st.sampled_from([1, 3])))
    layout = LAYOUTS[data.draw(st.sampled_from(sorted(LAYOUTS)))]
    features = like_a_relu(features) if data.draw(st.booleans(), label="shared maxima") else features
    features = layout(features.detach()).requires_grad_()
    assert_like_the_reference(name, way, [features, *weights])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_low_precision_stays_within_twice_the_naive_error(way, name, dtype):
    """Against float64 from the same rounded numbers."""
    leaves = draw(name, batch=1, channels=20, y=5, x=7, hidden=4, dtype=dtype)
    mine, naive = both(name, way, leaves)
    exact = outputs_and_gradients(lambda *t: reference(name, *t), [leaf(t.double()) for t in leaves])
    for i, (got, rough, want) in enumerate(zip(mine, naive, exact, strict=True)):
        budget = 2 * (rough.double() - want).abs().max() + 1e-5
        assert (got.double() - want).abs().max() <= budget, i


@pytest.mark.parametrize("way", WAYS)
def test_bfloat16_is_taken(way):
    features, *weights = draw("cbam", dtype=torch.bfloat16)
    output = fast.cbam(features, *weights, using=way)
    torch.testing.assert_close(output, reference("cbam", features, *weights), rtol=0.03, atol=0.03)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["squeeze_excitation", "cbam"])  # all kernels are among theirs
def test_gradients_are_slopes(way, name):
    leaves = draw(name, batch=1, channels=5, y=2, x=3, hidden=2)
    assert torch.autograd.gradcheck(lambda *t: getattr(fast, name)(*t, using=way), leaves, fast_mode=True)


# ---------------------------------------------------------------------- by hand


@pytest.mark.parametrize("way", WAYS)
def test_two_channels_of_four_places_by_hand(way):
    features = torch.tensor([[[[1.0, 3.0], [2.0, 2.0]], [[4.0, 0.0], [0.0, 0.0]]]], device=DEVICE)  # means 2 and 1
    down, up = torch.tensor([[1.0, -1.0]], device=DEVICE), torch.tensor([[1.0], [-1.0]], device=DEVICE)
    up = up * torch.log(torch.tensor(3.0))  # hidden 1; sigmoid(ln 3) = 3/4
    output = fast.squeeze_excitation(features, down, up, using=way)
    want = features * torch.tensor([0.75, 0.25], device=DEVICE)[:, None, None]
    torch.testing.assert_close(output, want)


# ---------------------------------------------------------------------- properties


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NAMES)
def test_the_same_bits_every_time(way, name):
    leaves = draw(name, channels=9, y=4, x=5, dtype=torch.float32)
    for mine, again in zip(*(both(name, way, leaves)[0] for _ in range(2)), strict=True):
        assert torch.equal(mine, again)


@pytest.mark.filterwarnings("ignore:invalid value")  # numpy's, in the interpreter
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_a_number_stays_in_its_item(way, name):
    features, *weights = draw(name)
    spoiled = features.detach().clone()
    spoiled[1, 2, 3, 1] = torch.nan
    clean, _ = both(name, way, [features, *weights])
    got, want = both(name, way, [leaf(spoiled), *weights])
    for mine, theirs, before in zip(got[:2], want[:2], clean[:2], strict=True):  # weights hear of every item
        assert torch.equal(mine.isnan(), theirs.isnan()) and mine[1].isnan().any()
        assert torch.equal(mine[0], before[0])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["squeeze_excitation", "cbam"])
def test_channels_last_comes_out_as_it_went_in(way, name):
    features, *weights = draw(name)
    last = features.detach().to(memory_format=torch.channels_last).requires_grad_()
    output = getattr(fast, name)(last, *weights, using=way)
    assert output.is_contiguous(memory_format=torch.channels_last)
    gradient = torch.autograd.grad(output.square().sum(), last)[0]
    assert way == "plain" or gradient.is_contiguous(memory_format=torch.channels_last)  # plain: as autograd has it


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("batch", [(), (2, 3), (2, 0)])
def test_squeeze_excitation_takes_any_batch_axes(way, batch):
    _, *weights = draw("squeeze_excitation")
    features = leaf(torch.randn(*batch, 6, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
    assert_like_the_reference("squeeze_excitation", way, [features, *weights])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NAMES)
def test_a_batch_of_nothing(way, name):
    features, *weights = draw(name, batch=0)
    output, *gradients = outputs_and_gradients(lambda *t: getattr(fast, name)(*t, using=way), [features, *weights])
    assert output.shape == reference(name, features, *weights).shape
    assert all(not gradient.any() for gradient in gradients)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["squeeze_excitation", "cbam"])
def test_weights_or_features_without_a_gradient(way, name):
    features, *weights = draw(name)
    full = both(name, way, [features, *weights])[0]
    frozen = [t.detach() for t in weights]
    gradient = outputs_and_gradients(lambda f: getattr(fast, name)(f, *frozen, using=way), [features])[1]
    assert torch.equal(gradient, full[1])
    fixed = features.detach()
    gradients = outputs_and_gradients(lambda *w: getattr(fast, name)(fixed, *w, using=way), weights)[1:]
    for mine, whole in zip(gradients, full[2:], strict=True):
        assert torch.equal(mine, whole)


@pytest.mark.parametrize("way", ONCE)
@pytest.mark.parametrize("name", NAMES)
def test_of_the_features_size_only_the_features_are_kept(way, name):
    features, *weights = draw(name, batch=1, y=9, x=10)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        getattr(fast, name)(features, *weights, using=way)
    large = [t for t in kept if t.numel() >= features.numel()]
    assert len(large) == 1 and large[0].data_ptr() == features.data_ptr()


@pytest.mark.parametrize("way", ONCE)
def test_a_second_derivative_is_refused(way):
    features, *weights = draw("cbam")
    output = fast.cbam(features, *weights, using=way)
    (gradient,) = torch.autograd.grad(output.square().sum(), features, create_graph=True)
    with pytest.raises(RuntimeError, match="Expected one derivative"):
        gradient.sum().backward()


@pytest.mark.parametrize("name", NAMES)
def test_several_tiles_are_as_good_as_one(name, monkeypatch):
    monkeypatch.setattr(tiled_gates, "CACHED", 2 * 6 * 5 * 4 * 8)  # two items of seven
    assert_like_the_reference(name, "tiled", draw(name, batch=7))


@pytest.mark.skipif(DEVICE == "cuda", reason="on a GPU the kernels are always the fastest")
def test_the_size_and_whether_gradients_are_wanted_decide_the_way():
    small, large, huge = (torch.zeros(1).expand(1, 1, size, 1) for size in (100, gates.SMALL + 1, gates.LARGE + 1))
    weight = torch.zeros(1, requires_grad=True)
    ways = [gates._way(None, features, weight) for features in (small, large, huge)]
    assert ways == [plain_gates, tiled_gates, tiled_gates]
    with torch.no_grad():
        ways = [gates._way(None, features, weight, forward_pays=pays) for features in (large, huge) for pays in (0, 1)]
    assert ways == [plain_gates, plain_gates, plain_gates, tiled_gates]


# ---------------------------------------------------------------------- what is said to wrong arguments


F, D, U, K = torch.zeros(2, 6, 5, 4), torch.zeros(3, 6), torch.zeros(6, 3), torch.zeros(2, 2, 4, 4)
WRONG = [
    (
        lambda: fast.squeeze_excitation(F[0, 0], D, U),
        ValueError,
        "Expected features (..., channels, y, x), got (5, 4).",
    ),
    (
        lambda: fast.cbam(F[0], D, U, K[:1, :, :3, :3]),
        ValueError,
        "Expected features (batch, channels, y, x), got (6, 5, 4).",
    ),
    (
        lambda: fast.channel_attention(F.long(), D, U),
        TypeError,
        "Expected numbers with a point, got torch.int64. Call .float() first.",
    ),
    (
        lambda: fast.squeeze_excitation(F[:, :, :0], D, U),
        ValueError,
        "Expected at least one channel and one place, got (2, 6, 0, 4): no mean of nothing.",
    ),
    (
        lambda: fast.squeeze_excitation(F, D[:, :5], U),
        ValueError,
        "Expected `down` (3, 6) for features (2, 6, 5, 4), got (3, 5).",
    ),
    (
        lambda: fast.squeeze_excitation(F, D, D),
        ValueError,
        "Expected `up` (6, 3) for features (2, 6, 5, 4), got (3, 6).",
    ),
    (
        lambda: fast.squeeze_excitation(F, D, U, D[0]),
        ValueError,
        "Expected `down_bias` (3,) for features (2, 6, 5, 4), got (6,).",
    ),
    (
        lambda: fast.channel_attention(F, D, U[:, :2]),
        ValueError,
        "Expected `expand` (6, 3) for features (2, 6, 5, 4), got (6, 2).",
    ),
    (
        lambda: fast.cbam(F, D.double(), U, K[:1, :, :3, :3]),
        TypeError,
        "Expected `reduce` like the features, torch.float32 on cpu, got torch.float64 on cpu. "
        "Bring both to one dtype and device.",
    ),
    (
        lambda: fast.spatial_attention(F, K[:, :1, :3, :3]),
        ValueError,
        "Expected `kernel` (1, 2, 3, 3) for features (2, 6, 5, 4), got (2, 1, 3, 3).",
    ),
    (
        lambda: fast.cbam(F, D, U, K[:1]),
        ValueError,
        "Expected a kernel with an odd side, got 4: an even one has no centre, and shifts the map.",
    ),
    (
        lambda: fast.spatial_attention(F, K[:1, :, :3, :3], using="cuda"),
        ValueError,
        "Expected `using` to be triton, tiled or plain, got 'cuda'.",
    ),
]


@pytest.mark.parametrize(("call", "error", "words"), WRONG)
def test_wrong_arguments_are_told_what_was_expected(call, error, words):
    with pytest.raises(error) as raised:
        call()
    assert str(raised.value) == words


@no_triton
def test_kernels_need_a_device_unless_they_are_interpreted(monkeypatch):
    monkeypatch.setattr("attnlab.fast.triton_gates.INTERPRETED", False)
    with pytest.raises(ValueError, match='Expected features on a CUDA device for using="triton", got them on cpu'):
        fast.spatial_attention(F, K[:1, :, :3, :3], using="triton")


def test_it_works_without_triton():
    code = """
import sys
sys.modules["triton"] = None  # import triton now raises ImportError
import torch
from attnlab import fast
print(tuple(fast.cbam(torch.ones(1, 2, 3, 3), torch.ones(1, 2), torch.ones(2, 1), torch.ones(1, 2, 3, 3)).shape))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "(1, 2, 3, 3)\n", done.stderr[-1000:]
