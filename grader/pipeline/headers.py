"""Text that is derived, never written by hand: an exercise's header and the lesson's card."""

CARD = "{{card}}"


def exercise_header(number: str, exercise) -> str:
    """Number, title, and what the learner wants to know before starting."""
    stretch = " (stretch)" if exercise.stretch else ""
    stars = "★" * exercise.stars + "☆" * (5 - exercise.stars)
    facts = (
        f"Difficulty {stars} ({exercise.stars} of 5)",
        f"importance {exercise.importance} of 5",
        points(exercise.points),
        f"about {exercise.minutes} minutes",
    )
    return f"### Exercise {number} · {exercise.title}{stretch}\n\n*{' · '.join(facts)}*"


def points(count: float) -> str:
    return f"{count:g} point" + ("" if count == 1 else "s")


def card(exercises: list, measured: dict | None) -> str:
    """The table in the lesson's first cell. Before the first execution nothing is measured."""
    core = [exercise for exercise in exercises if not exercise.stretch]
    stretch = [exercise for exercise in exercises if exercise.stretch]
    rows = [("Exercises", _summary(core) + (f"; stretch: {_summary(stretch)}" if stretch else ""))]
    if measured:
        run = f"{measured['seconds']:g} s and {measured['peak_mb']} MB of memory"
        rows.append(("A run of the whole solution, unattended", run))
    lines = [f"| {name} | {value} |" for name, value in rows]
    return "\n".join(["| What | How much |", "|---|---|", *lines])


def _summary(exercises: list) -> str:
    minutes = sum(exercise.minutes for exercise in exercises)
    total = points(sum(exercise.points for exercise in exercises))
    return f"{len(exercises)} in about {minutes} minutes, {total}"


def fill_card(notebook, lesson) -> None:
    """Put the card where the placeholder stands; what was measured is read from the notebook's metadata."""
    table = card(list(lesson.exercises.values()), notebook.metadata.get("attnlab"))
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = cell.source.replace(CARD, table)
