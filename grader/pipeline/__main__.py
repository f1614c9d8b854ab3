"""`python -m grader.pipeline build | lint | check`, each with lesson numbers or for all lessons."""

import sys
import time

import click

from grader.pipeline.build import build as build_lessons
from grader.pipeline.build import stale
from grader.pipeline.course import this_course
from grader.pipeline.lint import lint as lint_lesson
from grader.pipeline.refusal import Refused


@click.group()
def main() -> None:
    """Build, lint or check the lessons. Name lessons by number (05); without numbers, all."""


@main.command()
@click.argument("numbers", nargs=-1)
@click.option("--again", is_flag=True, help="Execute even if nothing has changed.")
def build(numbers: tuple[str, ...], again: bool) -> None:
    """Make the notebooks in solutions/ and lessons/ (a lesson that changed takes its own running time)."""
    course = this_course()
    slugs = course.slugs(numbers)
    click.echo(f"Building {_count(slugs)}; those that changed are executed, up to two minutes each.")
    build_lessons(course, slugs, click.echo, again)


@main.command()
@click.argument("numbers", nargs=-1)
def lint(numbers: tuple[str, ...]) -> None:
    """Hold the lessons against the template's numbers."""
    course = this_course()
    shortfalls = 0
    for slug in course.slugs(numbers):
        found = lint_lesson(course, slug)
        shortfalls += len(found)
        click.echo(f"{slug}: " + (f"{len(found)} to mend" if found else "as the template wants it"))
        for line in found:
            click.echo(f"  {line}")
    sys.exit(1 if shortfalls else 0)


@main.command()
@click.argument("numbers", nargs=-1)
def check(numbers: tuple[str, ...]) -> None:
    """Say which committed notebooks are not what a build would write. Executes nothing."""
    start = time.perf_counter()
    course = this_course()
    slugs = course.slugs(numbers)
    found = stale(course, slugs)
    for line in found:
        click.echo(line)
    if found:
        click.echo("Run `make lessons` and commit what it writes.")
        sys.exit(1)
    click.echo(f"{_count(slugs)} up to date ({time.perf_counter() - start:.1f} s).")


def _count(slugs: list[str]) -> str:
    return f"{len(slugs)} lesson" + ("" if len(slugs) == 1 else "s")


if __name__ == "__main__":
    try:
        main(prog_name="python -m grader.pipeline", standalone_mode=False)
    except Refused as refusal:
        sys.exit(f"Refused. {refusal}")
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
