"""What the notebook says about each cell."""

import re

import nbformat
import pytest

from grader.pipeline.notebook import make_notebook

SLUG = "90_tiny"


@pytest.fixture
def notebook(course):
    return make_notebook(course.source(SLUG), course.checks(SLUG))


def cell_with(notebook, key: str, value: str):
    return next(cell for cell in notebook.cells if cell.metadata.get("attnlab", {}).get(key) == value)


def test_it_is_a_valid_notebook_with_different_ids(notebook):
    nbformat.validate(notebook)
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", id) for id in ids)


def test_ids_come_from_content_so_that_a_new_cell_moves_no_other(course, notebook, rewrite):
    rewrite(course, "# %% [markdown] why=true", "# %%\nnumbers\n\n# %%\nnumbers\n\n# %% [markdown] why=true")
    longer = make_notebook(course.source(SLUG), course.checks(SLUG))
    ids = [cell.id for cell in longer.cells]
    assert {cell.id for cell in notebook.cells} < set(ids)
    twins = [cell.id for cell in longer.cells if cell.source == "numbers"]
    assert twins[1] == f"{twins[0]}-2"


def test_the_header_of_an_exercise_is_derived_from_its_checks(notebook):
    assert cell_with(notebook, "exercise_text", "mean").source == (
        "### Exercise 90.1 · The mean\n\n"
        "*Difficulty ★★☆☆☆ (2 of 5) · importance 5 of 5 · 3 points · about 4 minutes*\n\nWrite the mean."
    )
    assert "### Exercise 90.2 · The largest (stretch)" in cell_with(notebook, "exercise_text", "largest").source


def test_nbgrader_stamps(notebook):
    base = {"schema_version": 3, "grade": False, "solution": False, "locked": False, "task": False}
    assert cell_with(notebook, "exercise", "mean").metadata.nbgrader == {
        **base,
        "solution": True,
        "grade_id": "mean",
    }
    assert cell_with(notebook, "check", "mean").metadata.nbgrader == {
        **base,
        "grade": True,
        "locked": True,
        "points": 3,
        "grade_id": "check_mean",
    }


def test_cells_with_a_role_are_tagged_and_no_others(notebook):
    tagged = [cell.metadata.attnlab.role for cell in notebook.cells if "tags" in cell.metadata]
    assert tagged == ["figure", "interactive", "carry_on"]
    assert all(cell.metadata.tags == ["not-for-marks"] for cell in notebook.cells if "tags" in cell.metadata)
