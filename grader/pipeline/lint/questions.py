"""What the lesson asks of the reader, held against what its checks declare."""

from collections.abc import Iterator

from grader.pipeline.lint.calls import first_arguments
from grader.pipeline.source import Source

PREDICTIONS, WHYS, RECALLS, QUIZ, CORE, HINTS = 4, 3, 3, 6, 5, 4


def predictions(source: Source, lesson) -> Iterator[str]:
    asked, resolved = first_arguments(source, "check.predict"), first_arguments(source, "check.outcome")
    if len(set(asked)) < PREDICTIONS:
        yield f"{len(set(asked))} predictions (check.predict); expected at least {PREDICTIONS}"
    for name in lesson.predictions:
        if name not in asked:
            yield f"prediction {name!r} is declared in the checks and never asked"
    for name in dict.fromkeys(asked):
        if name not in lesson.predictions:
            yield f"prediction {name!r} is asked and not declared in the checks"
        if name not in resolved:
            yield f"prediction {name!r} is never resolved: add check.outcome({name!r}) further down"


def why_questions(source: Source, lesson) -> Iterator[str]:
    cells = [cell for cell in source.markdown if cell.why]
    if len(cells) < WHYS:
        yield f"{len(cells)} why-questions (cells with why=true); expected at least {WHYS}"
    for cell in cells:
        if "<details>" not in cell.text or "</details>" not in cell.text:
            yield f"cell {cell.number}: a why-question without its answer inside <details> … </details>"


def numbered_questions(source: Source, lesson) -> Iterator[str]:
    for kind, expected, items in (
        ("recall", RECALLS, lesson.recall_items),
        ("quiz", QUIZ, lesson.quiz_items),
    ):
        asked = first_arguments(source, f"check.{kind}")
        asks_all = any(f"check.{kind}()" in cell.text for cell in source.code)  # without a number: all of them
        if asked != list(range(1, expected + 1)) and not asks_all:
            got = ", ".join(map(str, asked)) or "none"
            yield f"check.{kind}: expected 1 to {expected} in order; got {got}"
        if len(items) != expected:
            yield f"{len(items)} {kind} questions in the checks; expected {expected}"


def feedback_for_every_choice(source: Source, lesson) -> Iterator[str]:
    for question in (*lesson.recall_items, *lesson.predictions.values(), *lesson.quiz_items):
        for letter, choice in question.choices.items():
            if not choice.feedback.strip():
                yield f"question {question.name!r}: no feedback for choice {letter}"
        if sum(choice.right for choice in question.choices.values()) != 1:
            yield f"question {question.name!r}: expected exactly one right choice"


def core_exercises(source: Source, lesson) -> Iterator[str]:
    core = [exercise for exercise in lesson.exercises.values() if not exercise.stretch]
    if len(core) < CORE:
        yield f"{len(core)} core exercises; expected at least {CORE}"


def exercises_are_complete(source: Source, lesson) -> Iterator[str]:
    for exercise in lesson.exercises.values():
        if not exercise.mistakes:
            yield f"exercise {exercise.name}: no mistakes in its checks, so no diagnosis"
        if len([hint for hint in exercise.hints if hint.strip()]) < HINTS:
            yield f"exercise {exercise.name}: expected {HINTS} hints; got {len(exercise.hints)}"


RULES = (
    predictions,
    why_questions,
    numbered_questions,
    feedback_for_every_choice,
    core_exercises,
    exercises_are_complete,
)
