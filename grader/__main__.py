"""`python -m grader grade | doctor | report | feedback | export | similar`: marks a course, and says what came out."""

from __future__ import annotations

import errno
import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from grader.books.errors import GraderError
from grader.folder import Folder

# jsonschema, which comes with nbgrader, would build a grammar for a kind of address that nothing here uses: 3 seconds.
sys.modules.setdefault("rfc3987_syntax", None)

COURSE = click.option(
    "--course",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path("."),
    help="The course folder: lessons/, submitted/, gradebook.db (default: this one).",
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")
LESSONS = click.argument("lessons", nargs=-1)


class Commands(click.Group):
    """Tells what is refused in a sentence, without a traceback."""

    def invoke(self, ctx: click.Context):
        try:
            return super().invoke(ctx)
        except GraderError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            where = error.filename or "the course folder"
            raise click.ClickException(
                f"{where}: expected room; got a full disk. Free space and run it again."
            ) from error


@click.group(cls=Commands)
def main() -> None:
    """Mark what students hand in. Lessons are named by number (05) or name; without any, all."""


@main.command()
@LESSONS
@click.option("--students", help="Only these, with commas between them.")
@click.option("--workers", type=click.IntRange(1), help="Submissions at a time (default: one for each processor).")
@click.option("--scheduler", help="A Dask scheduler, such as tls://host:8786, to mark on many machines.")
@click.option("--every-cell", is_flag=True, help="Run also the cells that no mark needs.")
@click.option("--any-tier", is_flag=True, help="Mark even where this machine isolates less than the course asks for.")
@COURSE
@AS_JSON
def grade(
    lessons: tuple[str, ...],
    students: str | None,
    workers: int | None,
    scheduler: str | None,
    every_cell: bool,
    any_tier: bool,
    course: Path,
    as_json: bool,
) -> None:
    """Mark all that is handed in and not marked yet, and write it into the gradebook."""
    from grader.grading import grade_course

    outcome = grade_course(
        Folder(course),
        lessons,
        [name.strip() for name in students.split(",")] if students else [],
        workers=workers,
        scheduler=scheduler,
        every_cell=every_cell,
        any_tier=any_tier,
        tell=click.echo,
        as_json=as_json,
    )
    if as_json:
        return click.echo(json.dumps({"finished": True, **asdict(outcome)}))
    for rejected in outcome.rejected:
        click.echo(f"not received: {rejected.where}: {rejected.why}", err=True)
    click.echo(f"marked {outcome.marked}; {outcome.already} were marked already; {len(outcome.rejected)} not received.")
    if outcome.faults:
        click.echo(f"The grader failed on {outcome.faults}: `python -m grader report` lists them.", err=True)
        sys.exit(3)


@main.command()
@AS_JSON
@COURSE
def doctor(as_json: bool, course: Path) -> None:
    """Say how well this machine can isolate a submission, each probe by name."""
    from grader.jail.tiers import Tier, probes, tier_reached

    found = probes()
    tier, wanted = tier_reached(found), Tier(Folder(course).settings.minimum_tier)
    enough = tier >= wanted
    if as_json:
        rows = [{"name": p.name, "ok": p.ok, "detail": p.detail} for p in found]
        click.echo(json.dumps({"tier": tier, "minimum": wanted, "enough": enough, "probes": rows}))
    else:
        for probe in found:
            click.echo(f"{'yes' if probe.ok else 'no ':3}  {probe.name:28} {probe.detail}")
        click.echo(f"This machine reaches tier {tier} ({tier.words}); the course asks for {wanted}.")
    sys.exit(0 if enough else 1)


@main.command()
@LESSONS
@COURSE
@AS_JSON
def report(lessons: tuple[str, ...], course: Path, as_json: bool) -> None:
    """Write grading/report.html: marks, points by law, the misconceptions of the class, time."""
    from grader.pages.report import write_report
    from grader.pages.summary import summary

    folder = Folder(course)
    with _journal(folder) as journal:
        chosen = folder.lessons(lessons)
        results = [result for lesson in chosen for result in journal.results(lesson)]
        broken, (rows, last) = journal.audit.verify(), journal.audit.head()
    path = write_report(results, folder.grading / "report.html")
    if as_json:
        audit = {"rows": rows, "last": last, "broken_at": broken}
        return click.echo(json.dumps(summary(results) | {"audit": audit}))
    click.echo(
        f"The audit of all marks: {rows} rows, {'whole' if broken is None else f'broken at row {broken}'}; "
        f"the last one is {last[:16]}. Note that down: rows cut off at the end show only there."
    )
    click.echo(f"The report: {path}")


@main.command()
@LESSONS
@COURSE
def feedback(lessons: tuple[str, ...], course: Path) -> None:
    """Write a page for each student and lesson: feedback/STUDENT/LESSON/LESSON.html."""
    from grader.pages.feedback import write_feedback

    folder, written = Folder(course), 0
    with _journal(folder) as journal:
        for lesson in folder.lessons(lessons):
            for result in journal.results(lesson):
                write_feedback(result, folder.feedback)
                written += 1
    click.echo(f"{written} pages under {folder.feedback}")


@main.command()
@LESSONS
@click.option(
    "--to", "path", type=click.Path(dir_okay=False, path_type=Path), help="Default: grades.csv in the course folder."
)
@click.option("--format", "kind", type=click.Choice(["nbgrader", "canvas", "moodle"]), default="nbgrader")
@COURSE
def export(lessons: tuple[str, ...], path: Path | None, kind: str, course: Path) -> None:
    """Write the marks, by hand ones included, as CSV for nbgrader, Canvas or Moodle."""
    from grader.books import export as to
    from grader.books.gradebook import Book
    from grader.books.posting import notice_people

    folder = Folder(course)
    path = path or folder.root / "grades.csv"
    with _journal(folder, read_only=False) as journal, Book(folder.db_url, folder.settings.course_id) as book:
        marked = {result.lesson for result in journal.results()}
        chosen = [lesson for lesson in folder.lessons(lessons) if lesson in marked]
        for lesson in chosen:
            notice_people(journal, book, lesson)
        rows = to.rows(book, chosen)
    writers = {"nbgrader": to.to_nbgrader_csv, "canvas": to.to_canvas_csv, "moodle": to.to_moodle_csv}
    writers[kind](rows, path)
    click.echo(f"{len(rows)} rows in {path}")


@main.command()
@LESSONS
@COURSE
@AS_JSON
def similar(lessons: tuple[str, ...], course: Path, as_json: bool) -> None:
    """List answers that are alike, for a person to look at: grading/similar-LESSON.html. It is no verdict."""
    from grader.likeness import compare_lesson

    folder = Folder(course)
    with _journal(folder) as journal:
        for lesson in folder.lessons(lessons):
            comparison, path = compare_lesson(folder, journal, lesson)
            if as_json:
                click.echo(json.dumps({"lesson": lesson, **comparison.to_dict()}))
            else:
                click.echo(f"{lesson}: {len(comparison.pairs)} pairs to look at in {path}")


def _journal(folder: Folder, read_only: bool = True):
    from grader.books.journal import Journal

    if not folder.journal.exists():
        do = "Run `python -m grader grade` first."
        raise GraderError(str(folder.journal), "the journal of a marked course", "none", do)
    return Journal(folder.journal, read_only)


if __name__ == "__main__":
    main()
