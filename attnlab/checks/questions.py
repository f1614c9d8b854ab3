"""Questions with a few choices and feedback for each: recall, predictions, quiz.

Shown as text with lettered choices, and below it as buttons where there are ipywidgets. Whoever uses the
keyboard alone tabs to the buttons, or types the line that the text names.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attnlab.checks import progress


@dataclass(frozen=True)
class Choice:
    """One thing to answer, and what is said to whoever answers it."""

    text: str
    feedback: str
    right: bool = False


@dataclass(frozen=True)
class Question:
    """name: unique in the course. choices: letter -> choice; exactly one is right."""

    name: str
    text: str
    choices: Mapping[str, Choice]

    @property
    def answer(self) -> str:
        return next(letter for letter, choice in self.choices.items() if choice.right)


def reply(question: Question, choice: str, feedback: bool = True) -> str:
    """What is said to a choice. Notes the choice, for the outcome of a prediction."""
    if choice not in question.choices:
        return f"Expected one of {', '.join(question.choices)}; got {choice!r}."
    progress.note_answer(question.name, choice)
    if not feedback:
        return f"Noted: {choice}. Run on; you will see."
    chosen = question.choices[choice]
    return f"{choice}: {'right' if chosen.right else 'not so'}. {chosen.feedback}"


class Said:
    """A few lines of text, as text and as HTML; `buttons` come alive below them in a notebook."""

    def __init__(self, lines: list[str], buttons: Any = None):
        self.lines, self.buttons = lines, buttons

    def __repr__(self) -> str:
        return "\n".join(self.lines)

    def _repr_html_(self) -> str:
        first, *rest = (html.escape(line) for line in self.lines)
        return f"<div><strong>{first}</strong>{''.join(f'<div>{line}</div>' for line in rest)}</div>"

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display({"text/plain": repr(self), "text/html": self._repr_html_()}, raw=True)
        if self.buttons is not None:
            display(self.buttons())


class All:
    """Several questions, one below the other."""

    def __init__(self, questions: list[Said]):
        self.questions = questions

    def __repr__(self) -> str:
        return "\n\n".join(map(repr, self.questions))

    def _ipython_display_(self) -> None:
        for question in self.questions:
            question._ipython_display_()


def ask(
    question: Question, typed: str, choice: str | None = None, feedback: bool = True, number: int | None = None
) -> Said:
    """Show a question; with a choice, the reply to it. `typed` is an example of answering by typing."""
    if choice is not None:
        return Said([reply(question, choice, feedback)])
    text = question.text if number is None else f"{number}. {question.text}"
    listed = [f"{letter})  {option.text}" for letter, option in question.choices.items()]
    return Said(
        [text, *listed, f"Press a button, or type {typed} with your letter."],
        buttons=lambda: _buttons(question, feedback),
    )


def outcome(question: Question) -> Said:
    """The learner's prediction, what happened, and why."""
    made, right = progress.answer_to(question.name), question.answer
    if made is None:
        opening = "You made no prediction."
    elif made == right:
        opening = f"You predicted {made}: so it is."
    else:
        opening = f"You predicted {made}. {question.choices[made].feedback}"
    return Said([opening, f"{right})  {question.choices[right].text}", question.choices[right].feedback])


def _buttons(question: Question, feedback: bool) -> Any:
    import ipywidgets

    said = ipywidgets.HTML()

    def answer(change: dict) -> None:
        said.value = html.escape(reply(question, change["new"], feedback))

    letters = ipywidgets.ToggleButtons(options=list(question.choices), value=None, description="Answer")
    letters.observe(answer, names="value")
    return ipywidgets.VBox([letters, said])
