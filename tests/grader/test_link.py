"""Calls across the gap: the same values, gradients, errors and modules as in one process, and nothing else."""

import builtins
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from grader.referee.wire import Malformed
from tests.grader.gap import across

ATTENTION = """
import torch
def attention(q, k, v, mask=None):
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    weights = scores.softmax(-1)
    return weights @ v, weights
"""
LAYER = """
import torch
from torch import nn
class Layer(nn.Module):
    '''A linear map, a batch norm, a dropout, and a number of its own.'''
    def __init__(self, width, out=3):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(width, out), nn.BatchNorm1d(out))
        self.drop = nn.Dropout(0.5)
        self.out = out
    def forward(self, x):
        return self.drop(self.inner(x))
    def doubled(self, x):
        return 2 * self.inner(x)
"""


@pytest.fixture(autouse=True)
def streams():
    """A served call exchanges stdout; the next test gets its own back."""
    before = sys.stdout, sys.stderr
    yield
    sys.stdout, sys.stderr = before


def local(code: str) -> dict:
    names: dict = {}
    exec(code, names)
    return names


def inputs(grad: bool = True) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    shapes = [(2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 6)]
    return [torch.randn(shape, generator=draw, dtype=torch.float64).requires_grad_(grad) for shape in shapes]


class TestFunctions:
    def test_values_and_gradients_are_those_of_one_process(self):
        mine, theirs = inputs(), inputs()
        with across(ATTENTION) as names:
            out, weights = names["attention"](*mine)
            (out.sin().sum() + (weights**2).sum()).backward()
        want, want_weights = local(ATTENTION)["attention"](*theirs)
        (want.sin().sum() + (want_weights**2).sum()).backward()
        assert torch.equal(out, want) and torch.equal(weights, want_weights)
        for a, b in zip(mine, theirs, strict=True):
            assert torch.allclose(a.grad, b.grad, rtol=1e-12)

    def test_gradcheck_passes_through_it(self):
        with across(ATTENTION) as names:
            attention = names["attention"]
            assert torch.autograd.gradcheck(lambda *x: attention(*x)[0], [x[:1, :1, :2] for x in inputs()])

    def test_a_keyword_and_a_mask_arrive(self):
        mask = torch.ones(5, 7).tril().bool()
        with across(ATTENTION) as names:
            out, _ = names["attention"](*inputs(False), mask=mask)
        assert torch.allclose(out, F.scaled_dot_product_attention(*inputs(False), mask))

    def test_a_detached_output_needs_no_gradient(self):
        with across("def f(x): return x.detach() * 2, x * 2") as names:
            cut, kept = names["f"](torch.ones(3, requires_grad=True))
        assert not cut.requires_grad and kept.requires_grad

    def test_an_input_that_is_not_used_gets_none(self):
        a, b = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
        with across("def f(a, b): return a * 3") as names:
            names["f"](a, b).sum().backward()
        assert a.grad.tolist() == [3, 3] and b.grad is None

    def test_complex_numbers_get_their_gradients(self):
        x = torch.tensor([1 + 2j, 3 - 1j], requires_grad=True)
        y = x.detach().clone().requires_grad_()
        with across("def f(x): return x * x * (2 - 1j)") as names:
            names["f"](x).abs().sum().backward()
        (y * y * (2 - 1j)).abs().sum().backward()
        assert torch.allclose(x.grad, y.grad)

    def test_a_gradient_of_another_shape_is_refused_before_it_is_broadcast(self):
        with across("def f(x): return x * 2") as names:
            x = torch.ones(5, 1, requires_grad=True)
            number = names["f"](x).grad_fn.number
            with pytest.raises(RuntimeError, match="shape of its output"):
                names.link.backward(number, [torch.ones(1, 7)], [x.shape])

    def test_gradients_load_no_sympy(self):
        program = (
            "import sys, torch\nfrom tests.grader.gap import across\n"
            "with across('def f(x): return x * 2') as names:\n"
            "    names['f'](torch.ones(3, requires_grad=True)).sum().backward()\n"
            "sys.__stdout__.write(str('sympy' in sys.modules))"
        )
        assert subprocess.check_output([sys.executable, "-c", program], text=True) == "False"

    def test_the_same_tensor_twice_is_one_over_there(self):
        with across("def f(a, b): return a is b, a is not b") as names:
            x = torch.ones(2)
            assert names["f"](x, x) == (True, False)

    def test_a_transposed_tensor_arrives_transposed(self):
        x = torch.arange(24.0).reshape(2, 3, 4).transpose(1, 2)
        with across("def f(x): return x.stride(), x.is_contiguous(), x") as names:
            stride, contiguous, back = names["f"](x)
        assert (tuple(stride), contiguous) == (x.stride(), False)
        assert torch.equal(back, x) and back.stride() == x.stride()

    def test_changes_in_place_arrive_only_where_they_are_asked_for(self):
        with across("def f(x): x.mul_(2); return x.sum()") as names:
            x = torch.ones(3)
            names["f"](x)
            assert x.tolist() == [1, 1, 1]
            names.link.write_back = True
            names["f"](x)
            assert x.tolist() == [2, 2, 2]

    def test_it_gets_functions_of_ours_for_as_long_as_the_call_lasts(self):
        code = "kept = []\ndef f(g, x): kept.append(g); return g(x) + 1\ndef late(x): return kept[0](x)"
        with across(code) as names:
            x = torch.ones(2, requires_grad=True)
            out = names["f"](torch.exp, x)
            out.sum().backward()
            assert torch.allclose(x.grad, torch.e * torch.ones(2))
            with pytest.raises(Exception, match="not handed over"):
                names["late"](x)

    def test_dropout_draws_what_it_draws_in_one_process(self):
        code = "import torch\ndef f(x): return torch.dropout(x, 0.5, True)"
        with across(code) as names:
            torch.manual_seed(3)
            first, second = names["f"](torch.ones(50)), names["f"](torch.ones(50))
        torch.manual_seed(3)
        assert torch.equal(first, torch.dropout(torch.ones(50), 0.5, True))
        assert not torch.equal(first, second)


class TestErrors:
    @pytest.mark.parametrize("kind", ["ValueError", "KeyError", "RuntimeError", "NotImplementedError", "IndexError"])
    def test_they_can_be_caught_by_their_own_kind(self, kind):
        with across(f"def f(): raise {kind}('a reason')") as names:
            with pytest.raises(getattr(builtins, kind)) as caught:
                names["f"]()
        assert type(caught.value).__name__ == kind and str(caught.value).strip("'") == "a reason"
        assert caught.value.remote_frames[-1].name == "f"

    def test_exit_is_an_error_like_any_other(self):
        with across("def f(): raise SystemExit(0)") as names, pytest.raises(Exception) as caught:
            names["f"]()
        assert type(caught.value).__name__ == "SystemExit" and isinstance(caught.value, Exception)

    def test_an_exception_with_a_lying_str_is_still_told(self):
        code = "class Bad(Exception):\n    def __str__(self): raise ValueError\ndef f(): raise Bad"
        with across(code) as names, pytest.raises(Exception) as caught:
            names["f"]()
        assert type(caught.value).__name__ == "Bad"

    def test_a_name_that_was_never_bound_is_a_name_error(self):
        with across("") as names, pytest.raises(NameError):
            exec("attention(1)", names)


class TestValues:
    @pytest.mark.parametrize(
        "code",
        [
            "[1, 2.5, 'text', None, True, (1, 2), {'a': [1]}, {3}, 10**30, float('inf'), 1j, range(3), slice(1, 2)]",
            "{1: 'a', (1, 2): 'b'}",
            "__import__('torch').Size([1, 2])",
            "__import__('torch').float16",
            "...",
        ],
    )
    def test_plain_ones_come_by_copy_with_their_types(self, code):
        with across(f"value = {code}") as names:
            assert repr(names["value"]) == repr(eval(code))

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "int8", "bool", "complex64"])
    def test_tensors_of_every_kind(self, dtype):
        code = f"""
import torch
t = torch.{dtype}
value = [torch.arange(6).reshape(2, 3).to(t), torch.zeros(0, 2, dtype=t), torch.ones((), dtype=t)]
"""
        with across(code) as names:
            for got, want in zip(names["value"], local(code)["value"], strict=True):
                assert got.dtype == want.dtype and torch.equal(got, want)

    def test_arrays_and_their_scalars(self):
        code = (
            "import numpy as np\nvalue = [np.arange(6.).reshape(2, 3), np.float32(2), np.array(['a']), np.bool_(True)]"
        )
        with across(code) as names:
            array, scalar, text, truth = names["value"]
        assert isinstance(array, np.ndarray) and array.tolist() == [[0, 1, 2], [3, 4, 5]]
        assert scalar == np.float32(2) and scalar.dtype == np.float32 and truth.dtype == bool
        assert not isinstance(text, np.ndarray)  # objects and text stay over there

    def test_a_tensor_subclass_comes_as_the_tensor_that_it_is(self):
        code = (
            "import torch\nclass Liar(torch.Tensor):\n"
            "    @classmethod\n    def __torch_function__(cls, f, types, args=(), kwargs=None): return True\n"
            "    def __eq__(self, other): return True\n"
            "value = torch.zeros(3).as_subclass(Liar)"
        )
        with across(code) as names:
            assert type(names["value"]) is torch.Tensor and not torch.equal(names["value"], torch.ones(3))

    def test_no_method_of_an_object_runs_here(self):
        code = """
class Liar:
    size = 3
    def __eq__(self, other): return True
    def __bool__(self): raise ValueError
    def __len__(self): return 2
value = Liar()
"""
        with across(code) as names:
            liar = names["value"]
            assert liar != 3 and liar.size == 3 and len(liar) == 2 and type(liar).__name__ == "Liar"

    def test_a_list_that_holds_itself_is_refused(self):
        with across("value = []\nvalue.append(value)") as names, pytest.raises(Exception, match="nested deeper"):
            names["value"]

    def test_a_value_over_the_cap_is_refused(self):
        with across("import torch\nvalue = torch.ones(1).expand(1 << 25)") as names:
            with pytest.raises(Exception, match="64 MiB"):
                names["value"]

    def test_modules_are_handed_over_only_where_they_are_libraries(self):
        with across("import torch.nn.functional as F, subprocess") as names:
            assert names["F"] is F
            with pytest.raises(Malformed, match="module"):
                names["subprocess"]


class TestModules:
    def test_a_class_builds_a_module_with_the_same_names_and_shapes(self):
        with across(LAYER) as names:
            layer = names["Layer"](4, out=2)
            own = local(LAYER)["Layer"](4, out=2)
            assert issubclass(names["Layer"], nn.Module) and isinstance(layer, names["Layer"])
            assert {k: v.shape for k, v in layer.state_dict().items()} == {
                k: v.shape for k, v in own.state_dict().items()
            }
            assert [k for k, _ in layer.named_parameters()] == [k for k, _ in own.named_parameters()]
            assert layer.out == 2 and layer.inner[0].weight.shape == (2, 4)

    def test_loaded_weights_count_and_gradients_reach_them(self):
        own = local(LAYER)["Layer"](4).eval()
        x, y = (torch.arange(8.0).reshape(2, 4).requires_grad_() for _ in range(2))
        with across(LAYER) as names:
            layer = names["Layer"](4)
            layer.load_state_dict(own.state_dict())
            layer.eval()
            out, want = layer(x), own(y)
            out.square().sum().backward()
            want.square().sum().backward()
            assert torch.equal(out, want) and torch.allclose(x.grad, y.grad)
            for (name, mine), (_, theirs) in zip(layer.named_parameters(), own.named_parameters(), strict=True):
                assert torch.allclose(mine.grad, theirs.grad), name

    def test_training_here_trains_it_there(self):
        with across(LAYER) as names:
            layer = names["Layer"](4)
            layer.eval()
            optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
            losses = []
            for _ in range(5):
                loss = (layer(torch.ones(2, 4)) - 1).square().mean()
                optimizer.zero_grad(), loss.backward(), optimizer.step()
                losses.append(loss.item())
        assert losses[-1] < losses[0]

    def test_training_mode_moves_the_running_mean(self):
        with across(LAYER) as names:
            layer = names["Layer"](4)
            before = layer.inner[1].running_mean.clone()
            layer(torch.randn(8, 4) + 5)
            assert not torch.equal(layer.inner[1].running_mean, before)

    def test_its_other_methods_can_be_called(self):
        with across(LAYER) as names:
            layer = names["Layer"](4).eval()
            x = torch.ones(2, 4)
            assert torch.allclose(layer.doubled(x), 2 * layer(x))

    def test_a_class_that_is_no_module_gives_an_object(self):
        with across("class Plain:\n    def __init__(self, n): self.n = n") as names:
            plain = names["Plain"](3)
            assert not isinstance(plain, nn.Module) and plain.n == 3
