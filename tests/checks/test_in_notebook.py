"""`check.attention(attention)`: practising, being graded, strict; hints, carrying on."""

import json

import pytest

from attnlab.checks import lessons, notebook
from attnlab.checks.notebook import CheckFailed
from attnlab.checks.report import Report
from attnlab.reference.attention import attention

check = next(lesson for lesson in lessons() if lesson.module == "self_attention")


def unscaled(query, key, value, mask=None):
    return attention(query * query.shape[-1] ** 0.5, key, value, mask)


@pytest.fixture(autouse=True)
def no_hints_given(monkeypatch):
    monkeypatch.setattr(notebook, "_hints_given", {})


def test_practising_gives_a_panel_and_notes_the_points(surroundings):
    report = check.attention(attention)
    assert isinstance(report, Report) and report.passed
    assert set(report._repr_mimebundle_()) == {"text/plain", "text/html"}
    noted = json.loads(surroundings.read_text())["exercises"]["self_attention.attention"]
    assert noted == {"points": report.points, "max_points": report.max_points, "attempts": 1}


def test_practising_never_raises():
    assert not check.attention(unscaled).passed


@pytest.mark.parametrize(
    "how",
    [{"ATTNLAB_SEED": "41"}, {"ATTNLAB_SEED": "a secret phrase"}, {"NBGRADER_EXECUTION": "autograde"}],
    ids=lambda how: next(iter(how)),
)
def test_graded_it_returns_the_points_as_a_float_and_notes_nothing(how, monkeypatch, surroundings):
    for name, value in how.items():
        monkeypatch.setenv(name, value)
    full, partial, none = check.attention(attention), check.attention(unscaled), check.attention(None)
    assert [type(points) for points in (full, partial, none)] == [float] * 3
    assert full == check.exercises["attention"].points > partial > none == 0.0
    assert check.atention(attention) == 0.0
    assert not surroundings.exists()


def test_marks_do_not_hang_on_the_seed(monkeypatch):
    points = set()
    for seed in ("1", "99", "123456789"):
        monkeypatch.setenv("ATTNLAB_SEED", seed)
        points.add(check.attention(unscaled))
    assert len(points) == 1


def test_strict_raises_what_the_report_says(monkeypatch):
    monkeypatch.setenv("ATTNLAB_STRICT", "1")
    assert check.attention(attention).passed
    with pytest.raises(CheckFailed, match="the scores go into the softmax as they are"):
        check.attention(unscaled)
    assert issubclass(CheckFailed, AssertionError)


def test_hints_come_one_after_the_other_and_the_last_one_stays():
    said = [repr(check.attention.hint()) for _ in range(5)]
    assert [text.split(":")[0] for text in said] == [f"Hint {n} of 4" for n in (1, 2, 3, 4, 4)]
    assert ["Call it again" in text for text in said] == [True, True, True, False, False]


@pytest.mark.parametrize(("asked", "given"), [(2, 2), (0, 1), (-3, 1), (9, 4)])
def test_a_hint_of_a_level_outside_1_to_4_is_the_nearest(asked, given):
    said = repr(check.attention.hint(asked))
    assert said.startswith(f"Hint {given} of 4: ") and check.attention.hints[given - 1][:30] in said


def test_the_first_hint_tells_how_to_begin_until_something_is_written():
    assert "Nothing written yet?" in repr(check.attention.hint(1))
    check.attention(unscaled)
    assert "Nothing written yet?" not in repr(check.attention.hint(1))


def test_a_misspelt_exercise_answers_a_call_for_a_hint_too():
    assert "Did you mean 'attention'?" in str(check.atention.hint())


def test_carry_on_keeps_what_passes_and_says_so(capsys):
    own = lambda query, key, value, mask=None: attention(query, key, value, mask)  # noqa: E731
    assert check.attention.carry_on(own) is own
    assert capsys.readouterr().out == "Carrying on with your own `attention`.\n"


def test_carry_on_takes_the_reference_where_the_answer_does_not_pass_and_says_so(capsys):
    assert check.attention.carry_on(unscaled) is attention
    assert "Carrying on with the reference `attention`, because yours does not pass" in capsys.readouterr().out


def test_graded_one_carries_on_with_ones_own_whatever_it_is(monkeypatch, capsys):
    monkeypatch.setenv("ATTNLAB_SEED", "5")
    assert check.attention.carry_on(unscaled) is unscaled
    assert capsys.readouterr().out == ""


def test_the_exercises_of_a_lesson_are_offered_by_completion():
    assert {"attention", "causal_mask"} <= set(dir(check))
