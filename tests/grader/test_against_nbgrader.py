"""The referee gives honest work the marks that nbgrader's own autograder gives, cell by cell.

One class, handed in once, marked by both: lesson 05 (its checks give points law by law) and a lesson in plain nbgrader
style (asserts, a gradient through the student's function, partial credit, a module class, hidden tests).
"""

import os
import shutil
import subprocess
import sys

import nbformat
import pytest

from grader.folder import Folder
from grader.grading import grade_course
from grader.pipeline.kernel import environment
from tests.grader.course import ROOT, copy_lesson, marks, write
from tests.lessons.test_nbgrader import FORGOT_TO_SCALE, solved
from tests.redteam import plain_lesson

SLUG = "05_self_attention"
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("against nbgrader")]


def autograde(folder: Folder, lesson: str) -> None:
    """nbgrader's own generate_assignment and autograde, in the course folder."""
    (folder.root / "grader").mkdir(exist_ok=True)
    shutil.copy(ROOT / "grader" / "nbgrader_config.py", folder.root / "grader")
    home = str(folder.root / "home")
    scripts = os.path.dirname(sys.executable)
    env = environment(
        ROOT,
        folder.root / "progress.json",
        PATH=os.pathsep.join([scripts, os.environ["PATH"]]),
        HOME=home,
        JUPYTER_CONFIG_DIR=home,
    )
    for words in (["generate_assignment", lesson, "--force"], ["autograde", lesson]):
        run = subprocess.run(
            [sys.executable, "-m", "nbgrader", *words],
            cwd=folder.root / "grader",
            env=env,
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, run.stderr[-3000:]


def by_nbgrader(folder: Folder, lesson: str) -> dict[str, dict[str, float]]:
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{folder.root / 'gradebook.db'}", "attnlab") as book:
        return {
            s.student.id: {grade.name: grade.auto_score for n in s.notebooks for grade in n.grades}
            for s in book.find_assignment(lesson).submissions
        }


def by_us(folder: Folder, lesson: str, **options) -> dict[str, dict[str, float]]:
    grade_course(folder, (lesson,), (), workers=1, tell=lambda line: None, **options)
    return {key.split("/")[0]: {name: p for name, (p, _) in row.items()} for key, row in marks(folder).items()}


@pytest.mark.parametrize("every_cell", [False, True], ids=["needed cells", "every cell"])
def test_on_lesson_05(tmp_path_factory, every_cell, both):
    folder, theirs = both
    root = tmp_path_factory.mktemp("ours")
    for kind in ("lessons", "solutions", "submitted"):
        shutil.copytree(folder.root / kind, root / kind)
    assert by_us(Folder(root), SLUG, every_cell=every_cell) == theirs


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> tuple[Folder, dict]:
    """A class of lesson 05 and what nbgrader gives it."""
    folder = Folder(tmp_path_factory.mktemp("theirs"))
    copy_lesson(folder, SLUG)
    released = nbformat.read(folder.released(SLUG), as_version=4)
    solution = nbformat.read(folder.solution(SLUG), as_version=4)
    wrong = {"attention": lambda text: text + FORGOT_TO_SCALE}
    raising = {"scale": lambda text: text + "\n\ndef scale(scores, width):\n    raise ValueError(width)"}
    narrow = {"causal_mask": lambda text: text.replace("return ", "return ~")}
    class_ = {
        "right": solved(released, solution),
        "unscaled": solved(released, solution, **wrong),
        "raises": solved(released, solution, **raising, **narrow),
        "empty": released,
    }
    for student, notebook in class_.items():
        path = folder.submitted / student / SLUG / f"{SLUG}.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(notebook, path)
    autograde(folder, SLUG)
    return folder, by_nbgrader(folder, SLUG)


def test_nbgrader_tells_the_class_apart(both):
    totals = {student: sum(points.values()) for student, points in both[1].items()}
    assert totals["empty"] == 0 < totals["unscaled"] < totals["right"] and totals["raises"] < totals["right"]


def test_on_a_lesson_in_plain_style(tmp_path):
    """The released notebook has no hidden tests: both take them from the source."""
    folder, slug = Folder(tmp_path), plain_lesson.SLUG
    secrets = {"tests": "a note", "inputs": "one"}
    stubs = dict.fromkeys(plain_lesson.RIGHT, "raise NotImplementedError\n")
    right = plain_lesson.RIGHT
    made = {
        "lessons": plain_lesson.cells(stubs, secrets, tests=False),
        "solutions": plain_lesson.cells(right, secrets),
    }
    for kind, cells in made.items():
        write(folder.root / kind / slug / f"{slug}.ipynb", plain_lesson.notebook(cells))
    honest = {
        "right": right,
        "unscaled": plain_lesson.NO_SCALE,
        "half": right | {"evens": plain_lesson.NO_EVENS, "Head": plain_lesson.NO_HEAD},
        "stub": stubs,
    }
    for student, answers in honest.items():
        cells = plain_lesson.cells(answers, secrets, tests=False)
        write(folder.submitted / student / slug / f"{slug}.ipynb", plain_lesson.notebook(cells))
    ours = by_us(folder, slug)
    (folder.root / "gradebook.db").unlink()
    shutil.rmtree(folder.autograded)
    autograde(folder, slug)
    assert by_nbgrader(folder, slug) == ours
    assert [sum(ours[name].values()) for name in ("right", "stub")] == [plain_lesson.FULL, 0]
    assert 0 < sum(ours["unscaled"].values()) < plain_lesson.FULL
