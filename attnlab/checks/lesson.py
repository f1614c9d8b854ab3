"""All the checks and questions of one lesson: what a notebook imports as `check`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from attnlab.checks.exercise import Exercise
from attnlab.checks.questions import All, Question, ask, outcome


class Lesson:
    """`check.attention(attention)` marks an exercise; `check.quiz(1)` asks a question.

    slug: the lesson's number and name. module: the name of its checks, the first part of an exercise's full name.
    """

    def __init__(
        self,
        slug: str,
        module: str,
        exercises: Iterable[Exercise],
        recall: Iterable[Question] = (),
        predictions: Iterable[Question] = (),
        quiz: Iterable[Question] = (),
    ):
        self.slug, self.module = slug, module
        self.exercises = {exercise.name: exercise for exercise in exercises}
        self.recall_items, self.quiz_items = tuple(recall), tuple(quiz)
        self.predictions = {question.name: question for question in predictions}
        for exercise in self.exercises.values():
            exercise.lesson = module

    def recall(self, number: int | None = None, choice: str | None = None) -> Any:
        """Ask the recall questions, or one of them; with a choice such as "b", answer it."""
        return self._ask(self.recall_items, number, choice, "recall")

    def quiz(self, number: int | None = None, choice: str | None = None) -> Any:
        """Ask the quiz, or one of its questions; with a choice such as "b", answer it."""
        return self._ask(self.quiz_items, number, choice, "quiz")

    def predict(self, name: str, choice: str | None = None) -> Any:
        """Ask for a prediction before the answer is seen; with a choice, note it."""
        if name not in self.predictions:
            return _Plain(f"There is no prediction {name!r}. There are: {', '.join(self.predictions)}.")
        return ask(self.predictions[name], f'check.predict("{name}", "a")', choice, feedback=False)

    def outcome(self, name: str) -> Any:
        """Hold the learner's prediction against what happened."""
        if name not in self.predictions:
            return _Plain(f"There is no prediction {name!r}. There are: {', '.join(self.predictions)}.")
        return outcome(self.predictions[name])

    def _ask(self, items: tuple[Question, ...], number: int | None, choice: str | None, kind: str) -> Any:
        if number is None:
            return All([self._ask(items, i + 1, None, kind) for i in range(len(items))])
        if not 1 <= number <= len(items):
            return _Plain(f"There is no {kind} question {number}. There are 1 to {len(items)}.")
        return ask(items[number - 1], f'check.{kind}({number}, "a")', choice, number=number)

    def __getattr__(self, name: str) -> Callable:
        if name.startswith("_"):
            raise AttributeError(name)
        exercises = self.__dict__.get("exercises", {})
        return exercises[name] if name in exercises else _misnamed(self, name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.exercises]


class _Plain:
    """A sentence, shown without quotes."""

    def __init__(self, text: str):
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _misnamed(lesson: Lesson, name: str) -> Callable:
    """What a misspelt exercise gives: it can be called, or asked for a hint, and then says what there is."""

    def report(*_: Any) -> Any:
        from attnlab.checks import _no_such
        from attnlab.checks.notebook import delivered
        from attnlab.checks.report import Report

        return delivered(Report.without_exercise(name, _no_such(name, list(lesson.exercises))))

    report.hint = report
    report.carry_on = lambda answer: (print(report()), answer)[1]
    return report
