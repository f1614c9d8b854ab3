"""A check is quiet, leaves no trace in the process, and works wherever it is called from."""

import logging
import random
import sys
import threading
import warnings

import pytest
import torch

from attnlab.checks import evaluate, marking
from attnlab.reference.attention import attention

NAME = "self_attention.attention"


def noisy(query, key, value, mask=None):
    print("scores come next")
    print("oh", file=sys.stderr)
    warnings.warn("deprecated", stacklevel=1)
    logging.getLogger("learner").error("logged")
    return attention(query, key, value, mask)


def test_what_is_printed_is_captured_and_shown_in_the_report(capfd):
    report = evaluate(NAME, noisy)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
    assert report.passed
    assert "Your code printed: scores come next" in str(report)


def test_an_endless_print_is_cut_short():
    def chatty(query, key, value, mask=None):
        print("x" * 100_000)
        return attention(query, key, value, mask)

    assert len(evaluate(NAME, chatty).printed) <= 500


def test_nothing_at_all_reaches_stderr_not_even_from_c(subprocess_python):
    """One line on stderr costs a right answer its marks in stock nbgrader."""
    code = f"""
import logging, os, sys, warnings
from attnlab.checks import evaluate
from attnlab.reference.attention import attention

def noisy(query, key, value, mask=None):
    os.write(2, b"from a descriptor")
    print("from print", file=sys.stderr)
    print("from the interpreter's own", file=sys.__stderr__)
    warnings.warn("from a warning")
    logging.error("from logging")
    return attention(query, key, value, mask)

print(evaluate({NAME!r}, noisy).points)
"""
    done = subprocess_python(code)
    assert done.stderr == ""
    assert float(done.stdout) > 0


def test_stderr_logging_and_warnings_speak_again_afterwards(capfd):
    evaluate(NAME, noisy)
    print("still here", file=sys.stderr)
    assert capfd.readouterr().err == "still here\n"
    assert logging.root.manager.disable == 0
    with pytest.warns(UserWarning):
        warnings.warn("heard", stacklevel=1)


def test_the_random_stream_is_left_where_it_was():
    torch.manual_seed(7)
    random.seed(7)
    want = torch.rand(3), random.random()
    torch.manual_seed(7)
    random.seed(7)
    evaluate(NAME, lambda *a, **k: (torch.rand(2), random.random()))
    got = torch.rand(3), random.random()
    assert torch.equal(got[0], want[0]) and got[1] == want[1]


def test_the_report_does_not_depend_on_the_random_stream():
    law = "self_attention.rows_sum_to_one"
    answer = next(m.answer for m in marking_exercise(law).mistakes if m.name == "no tolerance")
    torch.manual_seed(1)
    first = evaluate(law, answer).laws
    torch.manual_seed(2)
    assert evaluate(law, answer).laws == first


def marking_exercise(name):
    from attnlab.checks import find_exercise

    return find_exercise(name)


def test_it_works_from_another_thread_and_stops_hangs_there_too(monkeypatch):
    monkeypatch.setattr(marking, "SECONDS", 0.5)
    stop = threading.Event()
    reports = {}

    def work():
        reports["right"] = evaluate(NAME, attention)
        reports["hang"] = evaluate(NAME, lambda *a, **k: stop.wait())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    stop.set()
    assert reports["right"].passed
    assert "Is there a loop that never ends?" in reports["hang"].message


def test_ctrl_c_is_the_learners_and_is_passed_on():
    def interrupted(*inputs, **keywords):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(NAME, interrupted)
