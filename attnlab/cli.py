"""`attnlab progress`: what is done, points, per lesson."""

import json

import click


@click.group()
def main() -> None:
    """A hands-on course on attention."""


@main.command()
@click.option("--json", "as_json", is_flag=True, help="The noted points as JSON.")
def progress(as_json: bool) -> None:
    """Show what is done and the points, lesson by lesson."""
    from attnlab.checks import lessons
    from attnlab.checks import progress as noted

    try:
        done = noted.load()["exercises"]
    except (OSError, ValueError) as error:
        raise click.ClickException(
            f"{noted.path()} cannot be read: {error}. Move it away, and the next check begins a new one."
        ) from error
    if as_json:
        click.echo(json.dumps(done, indent=1))
        return
    for lesson in lessons():
        click.echo(_lesson_lines(lesson, done))
    click.echo(f"Noted in {noted.path()}")


def _lesson_lines(lesson, done: dict) -> str:
    rows = []
    for exercise in lesson.exercises.values():
        entry = done.get(exercise.full_name, {"points": 0, "attempts": 0})
        sign = "✓" if entry["points"] == exercise.points else "·" if entry["attempts"] else " "
        tries = f"{entry['attempts']} checks" if entry["attempts"] else "not tried"
        rows.append(
            (entry["points"], f"  {sign} {exercise.name:<24} {entry['points']:>3} of {exercise.points:<3} {tries}")
        )
    total = sum(points for points, _ in rows)
    head = f"{lesson.slug}: {total} of {sum(e.points for e in lesson.exercises.values())} points"
    return "\n".join([head, *(line for _, line in rows)])
