"""The `similar` command: gathers the texts to compare from the journal, the release and the solution."""

from __future__ import annotations

from pathlib import Path

from grader.books.journal import Journal
from grader.folder import Folder
from grader.pages.similar import Comparison, compare
from grader.pages.similar_page import write_similar
from grader.referee.master import read_master


def compare_lesson(folder: Folder, journal: Journal, lesson: str) -> tuple[Comparison, Path]:
    """Compare all solution cells of a lesson; the comparison, and the page that shows it."""
    master = read_master(lesson, folder.released(lesson), folder.source_of(lesson))
    stubs = {cell.grade_id: cell.text for cell in master.cells if cell.solution and cell.kind == "code"}
    sources = {result.student: _answers(result.cells, stubs) for result in journal.results(lesson)}
    reference = {cell.grade_id: cell.text for cell in master.solved if cell.grade_id in stubs}
    comparison = compare(sources, stubs, reference)
    path = write_similar(comparison, sources, stubs, reference, folder.grading / f"similar-{lesson}.html").resolve()
    return comparison, path


def _answers(cells, stubs: dict[str, str]) -> dict[str, str]:
    return {cell.grade_id: cell.text for cell in cells if cell.grade_id in stubs and cell.own}
