"""nbgrader's own way, command by command: generate_assignment, autograde, generate_feedback, export.

Four students hand in the same lesson: one has everything right, one forgot to scale, one wrote nothing, and
one has everything right but is noisy on stderr, which costs a right answer its marks in stock nbgrader unless
the check silences it.
"""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from grader.pipeline.kernel import environment
from grader.pipeline.stub import BEGIN

SLUG = "05_self_attention"
EXERCISE = "attention"

FORGOT_TO_SCALE = f"""

_scaled = {EXERCISE}


def {EXERCISE}(queries, *rest, **more):
    return _scaled(queries * queries.shape[-1] ** 0.5, *rest, **more)
"""
NOISE = """
import os, sys, warnings
warnings.warn("by warnings.warn")
print("by print", file=sys.stderr)
os.write(2, b"by os.write\\n")
"""


class Nbgrader:
    """A course of its own in `root`, with the instructor's configuration, and the commands run in it."""

    def __init__(self, root: Path, project: Path):
        self.root = root
        (root / "grader").mkdir()
        shutil.copy(project / "grader" / "nbgrader_config.py", root / "grader")
        scripts = str(Path(sys.executable).parent)
        home = {"HOME": str(root / "home"), "JUPYTER_CONFIG_DIR": str(root / "home")}
        path = os.pathsep.join([scripts, os.environ["PATH"]])
        self.environment = environment(project, root / "progress.json", PATH=path, **home)

    def __call__(self, *arguments: str) -> None:
        run = subprocess.run(
            [sys.executable, "-m", "nbgrader", *arguments],
            cwd=self.root / "grader",
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-4000:]

    def submit(self, student: str, notebook: nbformat.NotebookNode, slug: str) -> None:
        folder = self.root / "submitted" / student / slug
        folder.mkdir(parents=True)
        nbformat.write(notebook, folder / f"{slug}.ipynb")

    def marks(self, student: str, slug: str) -> dict[str, tuple[float, float]]:
        """grade_id -> (points, most points), from the gradebook."""
        from nbgrader.api import Gradebook

        with Gradebook(f"sqlite:///{self.root / 'gradebook.db'}", "attnlab") as gradebook:
            grades = gradebook.find_submission_notebook(slug, slug, student).grades
            return {grade.name: (grade.score, grade.max_score) for grade in grades}

    def exported(self) -> dict[str, tuple[float, float]]:
        """student -> (points, most points), from the CSV file."""
        with open(self.root / "grader" / "grades.csv", newline="") as file:
            return {row["student_id"]: (float(row["score"]), float(row["max_score"])) for row in csv.DictReader(file)}


def solved(released: nbformat.NotebookNode, solution: nbformat.NotebookNode, **changed) -> nbformat.NotebookNode:
    """The released notebook with the solution's exercise cells, each as `changed` says."""
    texts = {cell.metadata.nbgrader.grade_id: cell.source for cell in solution.cells if "nbgrader" in cell.metadata}
    notebook = nbformat.from_dict(released)
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("solution"):
            name = cell.metadata.nbgrader.grade_id
            cell.source = changed.get(name, lambda text: text)(texts[name])
    return notebook


def noisy(text: str) -> str:
    """The noise, at the place in the function where the learner's own lines begin."""
    line = next(line for line in text.split("\n") if BEGIN in line)
    indent = line[: line.index("#")]
    return text.replace(line, "\n".join(indent + noise for noise in NOISE.strip().split("\n")) + "\n" + line, 1)


def grade_four_students(root: Path, project: Path, slug: str, exercise: str) -> Nbgrader:
    """The whole of nbgrader's way, once; `root` is an empty folder."""
    nbgrader = Nbgrader(root, project)
    shutil.copytree(project / "solutions" / slug, root / "solutions" / slug)
    nbgrader("generate_assignment", slug)

    released = nbformat.read(root / "lessons" / slug / f"{slug}.ipynb", as_version=4)
    solution = nbformat.read(root / "solutions" / slug / f"{slug}.ipynb", as_version=4)
    nbgrader.submit("right", solved(released, solution), slug)
    wrong = solved(released, solution, **{exercise: lambda text: text + FORGOT_TO_SCALE})
    nbgrader.submit("wrong_scale", wrong, slug)
    nbgrader.submit("empty", released, slug)
    nbgrader.submit("stderr", solved(released, solution, **{exercise: noisy}), slug)

    nbgrader("autograde", slug)
    nbgrader("generate_feedback", slug)
    nbgrader("export", "--to", "grades.csv")
    return nbgrader


@pytest.fixture(scope="module")
def nbgrader(tmp_path_factory) -> Nbgrader:
    return grade_four_students(tmp_path_factory.mktemp("course"), Path(__file__).parents[2], SLUG, EXERCISE)


@pytest.mark.slow
@pytest.mark.xdist_group("nbgrader")
class TestNbgradersOwnWay:
    """One course, graded once, looked at from several sides."""

    def test_it_releases_the_very_notebook_that_is_committed(self, nbgrader, root):
        path = f"lessons/{SLUG}/{SLUG}.ipynb"
        assert (nbgrader.root / path).read_bytes() == (root / path).read_bytes()
        assert [file.name for file in (nbgrader.root / path).parent.iterdir()] == [f"{SLUG}.ipynb"]

    def test_a_right_submission_gets_every_point(self, nbgrader):
        marks = nbgrader.marks("right", SLUG)
        assert marks and all(points == most > 0 for points, most in marks.values()), marks

    def test_a_wrong_scale_gets_part_of_the_points_law_by_law(self, nbgrader):
        points, most = nbgrader.marks("wrong_scale", SLUG)[f"check_{EXERCISE}"]
        assert 0 < points < most

    def test_a_wrong_scale_costs_nothing_in_the_exercises_before_it(self, nbgrader):
        marks = nbgrader.marks("wrong_scale", SLUG)
        solution = nbformat.read(nbgrader.root / "solutions" / SLUG / f"{SLUG}.ipynb", as_version=4)
        order = [cell.metadata.attnlab.check for cell in solution.cells if "check" in cell.metadata.get("attnlab", {})]
        for name in order[: order.index(EXERCISE)]:
            points, most = marks[f"check_{name}"]
            assert points == most, name

    def test_an_empty_submission_gets_nothing(self, nbgrader):
        assert {points for points, _ in nbgrader.marks("empty", SLUG).values()} == {0}

    def test_noise_on_stderr_costs_nothing(self, nbgrader):
        assert nbgrader.marks("stderr", SLUG) == nbgrader.marks("right", SLUG)

    def test_feedback_pages_show_the_score(self, nbgrader):
        for student in ("right", "wrong_scale", "empty", "stderr"):
            page = (nbgrader.root / "feedback" / student / SLUG / f"{SLUG}.html").read_text()
            score = sum(points for points, _ in nbgrader.marks(student, SLUG).values())
            assert f"(Score: {float(score)} / " in page

    def test_the_exported_file_holds_the_same_marks(self, nbgrader):
        for student, exported in nbgrader.exported().items():
            marks = nbgrader.marks(student, SLUG).values()
            assert exported == (sum(points for points, _ in marks), sum(most for _, most in marks))
        assert len(nbgrader.exported()) == 4
