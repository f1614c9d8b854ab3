"""Questions answered by typing and by button, in words for whoever sees no buttons."""

import pytest

from attnlab.checks import progress
from attnlab.checks.lesson import Lesson
from attnlab.checks.questions import Choice, Question

QUESTION = Question(
    "which_axis",
    "Over which axis does the softmax run?",
    {
        "a": Choice("the queries", "Then a key's column sums to one."),
        "b": Choice("the keys", "Each query shares itself out.", right=True),
        "c": Choice("<b>both</b>", "Then everything together sums to one."),
    },
)
check = Lesson("99_tiny", "tiny", [], recall=[QUESTION], predictions=[QUESTION], quiz=[QUESTION, QUESTION])


def test_a_question_is_shown_with_its_choices_and_how_to_type_the_answer():
    text = repr(check.quiz(1))
    assert "Over which axis" in text and "a)  the queries" in text and "b)  the keys" in text
    assert 'check.quiz(1, "a")' in text


@pytest.mark.parametrize("ask", [check.quiz, check.recall], ids=["quiz", "recall"])
def test_typing_a_choice_gives_its_verdict_and_its_feedback(ask):
    assert repr(ask(1, "b")) == "b: right. Each query shares itself out."
    assert repr(ask(1, "a")) == "a: not so. Then a key's column sums to one."


def test_a_letter_that_is_not_there_is_told_and_not_noted():
    assert repr(check.quiz(1, "z")) == "Expected one of a, b, c; got 'z'."
    assert progress.answer_to("which_axis") is None


def test_a_number_that_is_not_there_is_told():
    assert repr(check.quiz(3)) == "There is no quiz question 3. There are 1 to 2."


def test_a_prediction_is_noted_without_giving_the_answer_away():
    said = repr(check.predict("which_axis", "a"))
    assert "Noted: a" in said and "column" not in said and "right" not in said
    assert progress.answer_to("which_axis") == "a"


def test_the_outcome_holds_the_prediction_against_what_happened():
    assert "You made no prediction." in repr(check.outcome("which_axis"))
    check.predict("which_axis", "a")
    assert "You predicted a. Then a key's column sums to one." in repr(check.outcome("which_axis"))
    assert "b)  the keys" in repr(check.outcome("which_axis"))
    check.predict("which_axis", "b")
    assert "You predicted b: so it is." in repr(check.outcome("which_axis"))


def test_a_prediction_that_is_not_there_is_told():
    assert repr(check.predict("nothing")) == "There is no prediction 'nothing'. There are: which_axis."


def test_choices_never_become_markup():
    page = check.quiz(1)._repr_html_()
    assert "&lt;b&gt;both&lt;/b&gt;" in page and "<b>both" not in page


def test_a_button_says_what_typing_says():
    box = check.quiz(1).buttons()
    letters, said = box.children
    letters.value = "a"
    assert said.value == "a: not so. Then a key&#x27;s column sums to one."
    assert progress.answer_to("which_axis") == "a"
