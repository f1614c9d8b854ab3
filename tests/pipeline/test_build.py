"""Source -> executed -> released, on the tiny course."""

import json

import nbformat
import pytest

from grader.pipeline.build import build, stale
from grader.pipeline.course import Course
from grader.pipeline.refusal import Refused

SLUG = "90_tiny"


def bytes_of(course) -> dict:
    return {path.relative_to(course.root): path.read_bytes() for path in course.root.rglob("*.ipynb")}


def quiet(line: str) -> None:
    pass


def cell_with(notebook, key: str, value: str):
    return next(cell for cell in notebook.cells if cell.metadata.get("attnlab", {}).get(key) == value)


def test_building_twice_changes_no_byte(built):
    before = bytes_of(built)
    lines = []
    build(built, [SLUG], lines.append)
    assert bytes_of(built) == before
    assert "outputs kept" in lines[0]


def test_release_folder_can_be_deleted_and_comes_back_byte_for_byte(built):
    before = bytes_of(built)
    built.released(SLUG).unlink()
    build(built, [SLUG], quiet)
    assert bytes_of(built) == before


def test_what_is_built_is_not_stale(built):
    assert stale(built, [SLUG]) == []


def test_changed_code_is_stale_and_runs_again(built, rewrite):
    rewrite(built, "numbers = load_numbers()\nnumbers", "numbers = load_numbers()[:2]\nnumbers")
    assert stale(built, [SLUG]) == ["solutions/90_tiny/90_tiny.ipynb: its code, or what that imports, has changed"]
    build(built, [SLUG], quiet)
    assert "[1.0, 2.0]" in built.executed(SLUG).read_text()
    assert stale(built, [SLUG]) == []


def test_changed_prose_is_stale_but_keeps_the_outputs(built, rewrite):
    before = nbformat.read(built.executed(SLUG), as_version=4)
    rewrite(built, "# Write the mean.", "# Write the mean of a list.")
    assert "differ from the source" in stale(built, [SLUG])[0]
    lines = []
    build(built, [SLUG], lines.append)
    after = nbformat.read(built.executed(SLUG), as_version=4)
    assert "outputs kept" in lines[0]
    assert before.metadata == after.metadata
    assert [c.outputs for c in before.cells if "outputs" in c] == [c.outputs for c in after.cells if "outputs" in c]


def test_a_change_in_what_the_lesson_imports_is_stale(built):
    with open(built.root / "tinylab" / "mean.py", "a") as file:
        file.write("\n# changed\n")
    assert "its code, or what that imports" in stale(built, [SLUG])[0]


def test_an_edited_release_and_a_stray_file_are_found(built):
    path = built.released(SLUG)
    path.write_text(path.read_text().replace("Write the mean", "Write a mean"))
    (built.lessons / "notes.txt").write_text("by hand")
    assert stale(built, [SLUG]) == [
        "lessons/90_tiny/90_tiny.ipynb: differs from what nbgrader releases",
        "lessons/notes.txt: no lesson in solutions/ makes it",
    ]


def test_checks_without_a_lesson_are_found(built):
    course = Course(built.root, {**built.checked, "91_next": built.checked[SLUG]}, built.package)
    assert stale(course, [SLUG]) == ["solutions/91_next/91_next.py: missing, though attnlab.checks has this lesson"]


def test_only_the_notebook_is_released_and_it_has_no_solution(built):
    assert [path.name for path in (built.lessons / SLUG).iterdir()] == ["90_tiny.ipynb"]
    text = built.released(SLUG).read_text()
    assert "SOLUTION" not in text and "len(numbers)" not in text
    notebook = nbformat.reads(text, as_version=4)
    assert cell_with(notebook, "exercise", "mean").source == (
        'def mean(numbers):\n    """The mean of a list."""\n'
        '    raise NotImplementedError("write this, then run the check below")'
    )
    assert all(not cell.outputs for cell in notebook.cells if cell.cell_type == "code")


def test_a_wrong_solution_is_refused_with_its_cell(course, rewrite):
    rewrite(course, "return sum(numbers) / len(numbers)", "return 7")
    with pytest.raises(Refused, match=r"(?s)90_tiny.py, cell 8: expected the lesson to run.*mean does not pass"):
        build(course, [SLUG], quiet)
    assert not course.executed(SLUG).exists()


def test_the_card_shows_what_was_measured(built):
    notebook = nbformat.read(built.executed(SLUG), as_version=4)
    measured = notebook.metadata["attnlab"]
    assert set(measured) == {"hash", "seconds", "peak_mb", "slowest_cell_s"}
    assert 0 < measured["slowest_cell_s"] <= measured["seconds"] < 60
    assert 30 < measured["peak_mb"] < 1000
    card = notebook.cells[0].source
    assert f"{measured['seconds']:g} s and {measured['peak_mb']} MB" in card
    assert "1 in about 4 minutes, 3 points; stretch: 1 in about 4 minutes, 3 points" in card


def test_the_executed_notebook_holds_pictures_and_no_widget_or_time(built):
    text = built.executed(SLUG).read_text()
    assert "image/png" in text
    for word in ("widget-view", "IntSlider(value", "iopub", "timestamp", "shell.execute_reply", "jupytext"):
        assert word not in text
    assert json.loads(text)["metadata"]["language_info"] == {"name": "python"}
