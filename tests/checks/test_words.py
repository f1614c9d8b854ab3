"""The sentences of a diagnosis."""

from dataclasses import dataclass

from attnlab.checks.words import diagnosis_lines


@dataclass
class Mistake:
    belief: str
    action: str
    why: str = "Because."


def next_line(*mistakes):
    (line,) = [text for kind, text in diagnosis_lines("two mistakes", mistakes) if kind == "next"]
    return line


def test_two_mistakes_are_mended_one_after_the_other():
    line = next_line(Mistake("the scale is left out.", "divide."), Mistake("the mask is turned.", "turn it round."))
    assert line == "Next, one after the other: divide. Then: turn it round."


def test_one_action_for_two_mistakes_is_said_once():
    line = next_line(Mistake("gate is cut.", "leave out .detach()."), Mistake("score is cut.", "leave out .detach()."))
    assert line == "Next, at both places: leave out .detach()."
