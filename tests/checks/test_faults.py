"""Whatever is handed in gets a report in plain words, never a traceback of ours."""

import re
import time

import numpy as np
import pytest
import torch

from attnlab.checks import evaluate, find_exercise, lessons, marking
from attnlab.reference.attention import attention

NAME = "self_attention.attention"


def report(answer):
    return evaluate(NAME, answer)


@pytest.fixture
def half_a_second(monkeypatch):
    monkeypatch.setattr(marking, "SECONDS", 0.5)


def test_a_misnamed_exercise_is_not_marked_and_the_nearest_name_is_offered():
    got = evaluate("self_attention.atention", attention)
    assert not got.passed and not got.attempted and got.max_points == 0
    assert "There is no exercise called 'self_attention.atention'." in got.message
    assert "Did you mean 'self_attention.attention'?" in got.message


def test_a_name_like_no_other_gets_the_list_of_all():
    assert "There are: " in evaluate("xyzzy", attention).message


def test_evaluate_works_in_a_fresh_process(subprocess_python):
    code = f"from attnlab.checks import evaluate; print(evaluate({NAME!r}, 7).message)"
    assert "got 7" in subprocess_python(code).stdout


def test_a_misspelt_check_in_a_notebook_says_what_there_is():
    check = find_exercise(NAME) and lessons()[-1]
    assert "Did you mean 'attention'?" in check.atention(attention).message


@pytest.mark.parametrize("answer", [7, "attention", None, torch.zeros(2)], ids=["int", "str", "None", "tensor"])
def test_what_cannot_be_called_is_named(answer):
    got = report(answer)
    assert got.points == 0
    assert "Expected the function or class `attention`, got" in got.message
    assert "Pass it without calling it." in got.message


def test_an_exception_is_quoted_with_the_learners_own_line():
    def broken(query, key, value, mask=None):
        scale = query.shape[-1] ** 0.5
        return query @ key / scale

    got = report(broken)
    assert "It raised RuntimeError" in got.message
    assert "at the line `return query @ key / scale`" in got.message
    assert "attnlab/checks" not in str(got) and "Traceback" not in str(got)


def test_exit_is_an_error_like_any_other():
    assert "It raised SystemExit" in report(lambda *a, **k: exit()).message


def test_recursion_without_end_is_reported():
    def forever(*inputs, **keywords):
        return forever(*inputs, **keywords)

    assert "RecursionError" in report(forever).message


def test_too_few_parameters_is_said_in_pythons_words():
    assert "It raised TypeError" in report(lambda query: query).message


def test_an_endless_loop_is_stopped(half_a_second):
    def loop(*inputs, **keywords):
        while True:
            pass

    start = time.perf_counter()
    got = report(loop)
    assert time.perf_counter() - start < 3
    assert "Is there a loop that never ends?" in got.message and got.attempted and got.points == 0


def test_an_endless_loop_that_swallows_every_exception_is_stopped(half_a_second):
    def loop(*inputs, **keywords):
        while True:
            try:
                sum(range(1000))
            except:  # noqa: E722 - what learners write
                pass

    start = time.perf_counter()
    assert "Is there a loop that never ends?" in report(loop).message
    assert time.perf_counter() - start < 3


def test_a_function_that_sleeps_is_stopped(half_a_second):
    assert "had not come back" in report(lambda *a, **k: time.sleep(60)).message


def test_a_missing_return_is_guessed():
    assert "It returned None. Is the last line a `return`?" in report(lambda *a, **k: None).message


def test_a_list_of_tensors_unpacks_like_the_tuple_that_is_asked_for():
    got = report(lambda *a, **k: list(attention(*a, **k)))
    assert got.passed


def test_a_list_of_anything_else_is_named():
    assert "Expected a torch.Tensor, got a list." in report(lambda q, k, v, mask=None: [1.0, 2.0]).message
    assert "Expected a torch.Tensor, got a list." in report(lambda q, k, v, mask=None: [q]).message


def test_numpy_is_named_with_what_it_costs():
    got = report(lambda q, k, v, mask=None: (np.zeros(3), np.zeros(3)))
    assert "got a NumPy ndarray" in got.message and "no gradient flows" in got.message


def test_one_output_where_two_are_wanted_is_told():
    got = report(lambda *a, **k: attention(*a, **k)[0])
    assert "Expected it to return (output, weights), got one tensor." in got.message


def test_a_wrong_shape_is_told_with_the_names_of_the_axes():
    def averaged(query, key, value, mask=None):
        output, weights = attention(query, key, value, mask)
        return output.mean(-2), weights

    got = report(averaged)
    assert "Expected `output` of shape (batch " in got.message and " queries, " not in got.fault
    assert "The axis queries is gone" in got.message


def test_an_axis_of_another_length_is_not_told_as_gone():
    def longer(query, key, value, mask=None):
        output, weights = attention(query, key, value, mask)
        return torch.cat([output] * 9, dim=-2), weights

    assert re.search(r"The axis queries has \d+ places where \d+ are expected", report(longer).message)


def test_an_axis_summed_up_to_one_is_told():
    def kept(query, key, value, mask=None):
        output, weights = attention(query, key, value, mask)
        return output.sum(-2, keepdim=True), weights

    assert "The axis queries has shrunk to 1" in report(kept).message


def test_swapped_axes_are_told():
    def turned(query, key, value, mask=None):
        output, weights = attention(query, key, value, mask)
        return output, weights.transpose(-2, -1)

    assert "The axes queries and keys have changed places." in report(turned).message


def test_a_wrong_dtype_is_told():
    def doubled(query, key, value, mask=None):
        return tuple(x.double() for x in attention(query, key, value, mask))

    assert "Expected `output` of torch.float32, got torch.float64." in report(doubled).message


def test_another_device_is_told():
    def elsewhere(query, key, value, mask=None):
        return tuple(x.to("meta") for x in attention(query, key, value, mask))

    got = report(elsewhere)
    assert "Expected `output` on cpu like the inputs, got it on meta." in got.message


def test_a_tensor_without_gradient_is_told():
    def cut(query, key, value, mask=None):
        return tuple(x.detach() for x in attention(query, key, value, mask))

    got = report(cut)
    assert not got.laws["gradient reaches every input"]
    assert "No gradient reaches query: something cuts the graph" in got.broken["gradient reaches every input"]


def test_no_grad_inside_is_told_like_detach():
    with torch.no_grad():  # and whoever calls the check without gradients is not blamed
        assert report(attention).passed
    assert "No gradient reaches" in str(report(torch.no_grad()(attention)).broken)


def test_a_change_in_place_is_told():
    def scaled_in_place(query, key, value, mask=None):
        output = attention(query, key, value, mask)
        query.data.mul_(2)
        return output

    sentence = report(scaled_in_place).broken["inputs stay as they were"]
    assert "query was changed in place" in sentence and "the caller still needs it" in sentence


def test_a_class_that_is_no_module_is_told():
    class Plain:
        def __init__(self, width, head_width):
            pass

    got = evaluate("self_attention.SelfAttention1d", Plain)
    assert "Expected a class derived from torch.nn.Module" in got.message


def test_a_module_with_other_layer_names_is_told_which():
    class Renamed(torch.nn.Module):
        def __init__(self, width, head_width):
            super().__init__()
            self.query = torch.nn.Linear(width, head_width, bias=False)

    got = evaluate("self_attention.SelfAttention1d", Renamed)
    assert "Missing: to_query.weight" in got.message and "Too many: query.weight" in got.message


def test_what_is_not_written_yet_is_told_from_what_is_wrong():
    def stub(query, key, value, mask=None):
        raise NotImplementedError

    got = report(stub)
    assert not got.attempted and got.points == 0 and got.diagnosis is None
    assert "not attempted yet" in got.message and "Write the cell above" in got.message


def unwritten(query, key, value, mask=None):
    raise NotImplementedError("Write your answer here, then run the check below.")


def test_an_answer_that_calls_another_unwritten_one_names_it():
    def leaning_on_it(query, key, value, mask=None):
        return unwritten(query, key, value, mask)

    assert not report(unwritten).attempted
    got = report(leaning_on_it)
    assert got.attempted and got.points == 0
    assert "It calls `unwritten`, which is not written yet. Write that one first." in got.message


def test_torchs_own_not_implemented_is_not_taken_for_an_unwritten_answer():
    def on_another_device(query, key, value, mask=None):
        return query.to("meta").cpu(), query

    got = report(on_another_device)
    assert got.attempted
    assert "It raised NotImplementedError" in got.message
