"""`python -m grader.sample FOLDER` writes the course folder of the class."""

from __future__ import annotations

from pathlib import Path

import click

from grader.sample.course import MAIN, write_class
from grader.sample.people import CLASS


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def main(folder: Path) -> None:
    """Write a course FOLDER with a class of 30 and what they handed in."""
    try:
        write_class(folder)
    except FileExistsError as error:
        raise click.ClickException(str(error)) from error
    width = max(len(student.id) for student in CLASS)
    for student in CLASS:
        click.echo(f"{student.id:<{width}}  {student.says}")
    click.echo(f"{len(CLASS)} students, {len(MAIN)} lessons each, in {folder}/submitted")


if __name__ == "__main__":
    main(prog_name="python -m grader.sample")
