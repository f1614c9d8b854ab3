"""Holds a lesson against the template's numbers. One file a subject, one small function a rule."""

from collections.abc import Iterator

import nbformat

from grader.pipeline.course import Course
from grader.pipeline.lint import code, names, prose, questions, run, structure
from grader.pipeline.refusal import Refused
from grader.pipeline.refuse import refuse

SOURCE_RULES = (*structure.RULES, *prose.RULES, *code.RULES, *names.RULES)
CHECKED_RULES = questions.RULES
RUN_RULES = run.RULES


def lint(course: Course, slug: str) -> list[str]:
    """Everything that falls short in this lesson, a sentence each."""
    try:
        source, lesson = course.source(slug), course.checks(slug)
        refuse(source, lesson)
    except Refused as refusal:
        return [f"refused: {refusal}"]
    return [
        *_all(SOURCE_RULES, source),
        *_all(CHECKED_RULES, source, lesson),
        *_of_the_run(course, slug),
    ]


def _of_the_run(course: Course, slug: str) -> list[str]:
    path = course.executed(slug)
    if not path.exists():
        return [f"not executed yet: run `make lessons LESSON={slug[:2]}`"]
    return _all(RUN_RULES, nbformat.read(path, as_version=4))


def _all(rules: tuple, *arguments) -> list[str]:
    def found() -> Iterator[str]:
        for rule in rules:
            yield from rule(*arguments)

    return list(found())
