"""The page that a student gets back: what was marked, law by law, what went wrong, and what to do next.

It never shows what was drawn in secret, nor the fields kept for staff.
"""

from __future__ import annotations

from pathlib import Path

from grader.books.names import plain_name
from grader.files import write_whole
from grader.pages.diagnosis import diagnosis_lines
from grader.pages.markup import CODE, code_block, lesson_name, number, page, safe, section, table
from grader.referee.result import WORDS, CellRead, ExerciseResult, Result, Verdict

TONE = {
    Verdict.PASSED: ("good", "✓"),
    Verdict.PARTLY: ("part", "◐"),
    Verdict.NOT_ATTEMPTED: ("calm", "○"),
    Verdict.MANUAL: ("calm", "◇"),
    Verdict.GRADER_FAULT: ("calm", "◇"),
}
BAD = ("bad", "✗")  # every other verdict


def write_feedback(result: Result, folder: Path, title: str = "") -> Path:
    """Write the page to folder/<student>/<lesson>/<lesson>.html, whole or not at all; returns where it lies.

    Raises GraderError where the student's or the lesson's name cannot be a folder.
    """
    student, lesson = plain_name(result.student, "student"), plain_name(result.lesson, "lesson")
    return write_whole(Path(folder) / student / lesson / f"{lesson}.html", feedback_page(result, title))


def feedback_page(result: Result, title: str = "") -> str:
    """The page as one HTML document; title: the lesson's, made from its name where there is none."""
    title = title or lesson_name(result.lesson)
    parts = [
        f'<header><h1>{safe(title)}</h1><p class="soft">Feedback for <bdi>{safe(result.student)}</bdi></p>',
        f'<p class="total">{total(result)}</p></header>',
        _whole(result),
        _notes(result),
        _errors(result),
        _overview(result),
        *(_section(place, exercise, result) for place, exercise in enumerate(result.exercises, start=1)),
        f'<footer class="soft"><p>Marked from the file with SHA-256 {safe(result.submission[:12])}….</p></footer>',
    ]
    return page(f"{title}: feedback for {result.student}", f"<main>{''.join(parts)}</main>")


def total(result: Result) -> str:
    """The points in words. What has no mark yet is left out of the sum and said apart."""
    marked = [exercise for exercise in result.exercises if exercise.points is not None]
    unmarked = sum(exercise.max_points for exercise in result.exercises if exercise.points is None)
    if not marked:
        return "Not marked yet" if result.faulty or unmarked else "0 points"
    text = f"{number(result.points)} of {number(sum(exercise.max_points for exercise in marked))} points"
    return text + (f", and {number(unmarked)} more not marked yet" if unmarked else "")


def _whole(result: Result) -> str:
    if result.verdict not in (Verdict.UNREADABLE, Verdict.GRADER_FAULT):
        return ""
    return f'<div class="box {_tone(result.verdict)[0]}"><p>{safe(WORDS[result.verdict])}</p></div>'


def _notes(result: Result) -> str:
    if not result.notes:
        return ""
    items = "".join(f"<li>{safe(note)}</li>" for note in result.notes)
    return f'<div class="box part"><p class="label">About the notebook you handed in</p><ul>{items}</ul></div>'


def _errors(result: Result) -> str:
    """The student's own cells that ended in an error, by their place in the notebook."""
    failed = [(place, cell) for place, cell in enumerate(result.cells, start=1) if cell.error and cell.own]
    if not failed:
        return ""
    items = "".join(
        f"<li>Cell {place}{_named(cell)} ended in <b>{safe(cell.error, 80)}</b>.</li>" for place, cell in failed
    )
    return (
        '<div class="box part"><p class="label">Cells of yours that ended in an error</p>'
        f'<ul>{items}</ul><p class="soft">Counted from the top of the notebook, text and code alike.</p></div>'
    )


def _named(cell: CellRead) -> str:
    return f" ({safe(cell.grade_id, 80)})" if cell.grade_id else ""


def _overview(result: Result) -> str:
    if not result.exercises:
        return ""
    rows = [
        (f'<a href="#exercise-{place}">{_name(exercise)}</a>', _verdict(exercise), points(exercise))
        for place, exercise in enumerate(result.exercises, start=1)
    ]
    return "<h2>Exercises</h2>" + table(
        "Each links to its section below.", ("Exercise", "Verdict", "Points"), rows, [2]
    )


def points(exercise: ExerciseResult) -> str:
    """The points of an exercise in words, or that there are none yet."""
    of = f"of {number(exercise.max_points)}"
    return f"– {of}" if exercise.points is None else f"{number(exercise.points)} {of}"


def _name(exercise: ExerciseResult) -> str:
    return safe(exercise.title or exercise.exercise or exercise.grade_id)


def _tone(verdict: Verdict) -> tuple[str, str]:
    return TONE.get(verdict, BAD)


def _verdict(exercise: ExerciseResult) -> str:
    return _signed(*_tone(exercise.verdict), exercise.verdict)


def _signed(tone: str, sign: str, words: str) -> str:
    """Words with a sign before them, which is not read out: the words alone say it all."""
    return f'<span class="{tone}"><span class="sign" aria-hidden="true">{sign}</span>{safe(words)}</span>'


def _section(place: int, exercise: ExerciseResult, result: Result) -> str:
    verdict = _signed(*_tone(exercise.verdict), WORDS[exercise.verdict])
    head = f'<p class="verdict">{verdict}</p><p>{_earned(exercise)}</p>'
    own = "" if exercise.words in ("", WORDS[exercise.verdict]) else f'<p class="prose">{safe(exercise.words)}</p>'
    parts = (head, own, _shortcuts(exercise), _diagnosis(exercise), _hint(exercise), _laws(exercise))
    content = "".join([*parts, _code(place, exercise, result)])
    return section(f"exercise-{place}", f"{place}. {_name(exercise)}", content)


def _earned(exercise: ExerciseResult) -> str:
    if exercise.points is None:
        return f"No points given or taken yet ({number(exercise.max_points)} possible)."
    return f"{number(exercise.points)} of {number(exercise.max_points)} points."


def _shortcuts(exercise: ExerciseResult) -> str:
    if not exercise.shortcuts:
        return ""
    items = "".join(f"<li>{safe(shortcut)}</li>" for shortcut in exercise.shortcuts)
    return f'<div class="box part"><p class="label">Shortcuts found in your code</p><ul>{items}</ul></div>'


def _diagnosis(exercise: ExerciseResult) -> str:
    """What is known of the mistake and what to do next, in the panel's words."""
    lines = diagnosis_lines(exercise)
    told = "".join(f'<p class="prose {kind}">{safe(text)}</p>' for kind, text in lines)
    return f'<div class="box {_tone(exercise.verdict)[0]}">{told}</div>' if told else ""


def _hint(exercise: ExerciseResult) -> str:
    return f'<p class="hint"><span class="label">Hint:</span> {safe(exercise.hint)}</p>' if exercise.hint else ""


def _laws(exercise: ExerciseResult) -> str:
    if not exercise.laws:
        return ""
    rows = [
        (
            f'{safe(law.name)}<br><span class="soft">{safe(law.asks)}</span>',
            _held(law.held),
            f"{number(law.points if law.held else 0)} of {number(law.points)}",
        )
        for law in exercise.laws
    ]
    return table("Law by law", ("Law", "Held?", "Points"), rows, [2])


def _held(held: bool) -> str:
    return _signed("good", "✓", "held") if held else _signed("bad", "✗", "not held")


def _code(place: int, exercise: ExerciseResult, result: Result) -> str:
    """The student's own cells of this exercise: those named like it, without the check's prefix."""
    names = {exercise.grade_id, exercise.grade_id.removeprefix("check_"), exercise.exercise.rpartition(".")[2]} - {""}
    cells = [cell for cell in result.cells if cell.own and cell.grade_id in names]
    if not cells:
        return ""
    which = [f", cell {copy}" if len(cells) > 1 else "" for copy in range(1, len(cells) + 1)]
    blocks = [
        code_block(safe(cell.text, CODE), f"Exercise {place}, your answer{copy}")
        for cell, copy in zip(cells, which, strict=True)
    ]
    return f"<h3>What you handed in</h3>{''.join(blocks)}"
