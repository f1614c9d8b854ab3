"""Builds lessons, and says whether what is committed is what a build would write."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from grader.pipeline import execute
from grader.pipeline.closure import made_from
from grader.pipeline.course import Course
from grader.pipeline.headers import fill_card
from grader.pipeline.notebook import make_notebook
from grader.pipeline.refuse import refuse
from grader.pipeline.release import release


def build(course: Course, slugs: list[str], say: Callable[[str], None] = print, again: bool = False) -> None:
    """Source -> executed -> released, lesson by lesson; `again` executes what has not changed too."""
    for slug in slugs:
        start = time.perf_counter()
        notebook, is_fresh = prepare(course, slug)
        if is_fresh and not again:
            say(f"{slug}: {len(notebook.cells)} cells, outputs kept (nothing that made them has changed)")
        else:
            say(f"{slug}: {len(notebook.cells)} cells, executing …")
            source = course.source(slug)
            hash = made_from(source, course.root, course.package)
            execute.run(notebook, hash, course.solutions / slug, course.root, source.shown_path)
        fill_card(notebook, course.checks(slug))
        _write(notebook, course.executed(slug))
        release([slug], course.solutions, course.lessons)
        measured = notebook.metadata["attnlab"]
        say(
            f"{slug}: released, {time.perf_counter() - start:.1f} s "
            f"(the run itself: {measured['seconds']:g} s, {measured['peak_mb']} MB)"
        )


def prepare(course: Course, slug: str) -> tuple[NotebookNode, bool]:
    """The notebook as its source says, with the old outputs if they still hold; and whether they do."""
    source, lesson = course.source(slug), course.checks(slug)
    refuse(source, lesson)
    notebook = make_notebook(source, lesson)
    hash = made_from(source, course.root, course.package)
    is_fresh = execute.stored_hash(course.executed(slug)) == hash
    if is_fresh:
        execute.keep(notebook, nbformat.read(course.executed(slug), as_version=4))
    return notebook, is_fresh


def stale(course: Course, slugs: list[str]) -> list[str]:
    """What a build would change, one sentence each; nothing is executed and nothing is written."""
    found, current = [], []
    for slug in slugs:
        notebook, is_fresh = prepare(course, slug)
        if not is_fresh:
            built = course.executed(slug).exists()
            why = "its code, or what that imports, has changed" if built else "was never built"
            found.append(f"solutions/{slug}/{slug}.ipynb: {why}")
            continue
        fill_card(notebook, course.checks(slug))
        if _text(notebook) != course.executed(slug).read_text(encoding="utf-8"):
            found.append(f"solutions/{slug}/{slug}.ipynb: text or metadata differ from the source")
            continue
        current.append(slug)
    return found + _stale_releases(course, current) + _strays(course) + _unwritten(course)


def _stale_releases(course: Course, slugs: list[str]) -> list[str]:
    with tempfile.TemporaryDirectory() as temporary:
        lessons = Path(temporary)
        release(slugs, course.solutions, lessons)
        return [
            f"lessons/{slug}/{slug}.ipynb: differs from what nbgrader releases"
            for slug in slugs
            if not course.released(slug).exists()
            or course.released(slug).read_bytes() != (lessons / slug / f"{slug}.ipynb").read_bytes()
        ]


def _strays(course: Course) -> list[str]:
    """Files in lessons/ that no source makes: the folder is a product, nothing is kept there by hand."""
    slugs = course.slugs()
    return [
        f"lessons/{path.relative_to(course.lessons).as_posix()}: no lesson in solutions/ makes it"
        for path in sorted(course.lessons.glob("*"))
        if path.name not in slugs
    ]


def _unwritten(course: Course) -> list[str]:
    return [
        f"solutions/{slug}/{slug}.py: missing, though attnlab.checks has this lesson"
        for slug in course.checked
        if slug not in course.slugs()
    ]


def _text(notebook: NotebookNode) -> str:
    return nbformat.writes(notebook) + "\n"


def _write(notebook: NotebookNode, path: Path) -> None:
    nbformat.validate(notebook)
    path.write_text(_text(notebook), encoding="utf-8")
