"""Releases executed notebooks to students with nbgrader's own generate_assignment, in a course of its own.

The course is temporary, with its own gradebook: nbgrader empties release folders and writes into
gradebooks, and nothing written by hand may lie where it works.
"""

import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

from grader.pipeline.refusal import Refused

CONFIG = Path(__file__).parents[1] / "nbgrader_config.py"


def release(slugs: list[str], solutions: Path, lessons: Path) -> None:
    """Write lessons/NN_slug/ anew from solutions/NN_slug/. Same notebook in, same bytes out."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        for slug in slugs:
            shutil.copytree(solutions / slug, root / "solutions" / slug)
        generate(slugs, root)
        for slug in slugs:
            shutil.rmtree(lessons / slug, ignore_errors=True)
            shutil.copytree(root / "lessons" / slug, lessons / slug)


def generate(slugs: list[str], root: Path) -> None:
    """`nbgrader generate_assignment` in the course at `root`. Raises Refused with nbgrader's own words."""
    # nbgrader takes a second to import; `lint` and `--help` do without.
    from nbgrader.converters import GenerateAssignment
    from nbgrader.coursedir import CourseDirectory
    from nbgrader.utils import capture_log

    config = course_config(root)
    with scripts_on_path():
        for slug in slugs:
            coursedir = CourseDirectory(config=config, assignment_id=slug)
            app = GenerateAssignment(coursedir=coursedir, config=config)
            app.force = True
            result = capture_log(app)
            if not result["success"]:
                raise Refused(
                    f"solutions/{slug}/{slug}.ipynb",
                    "nbgrader generate_assignment to release it",
                    "\n".join(filter(None, [result.get("log"), result.get("error")])),
                    "Look for a solution region or a grade cell that nbgrader cannot use.",
                )


def course_config(root: Path) -> Config:
    """The instructor's configuration (grader/nbgrader_config.py), moved to another course folder."""
    config = PyFileConfigLoader(CONFIG.name, path=str(CONFIG.parent)).load_config()
    config.CourseDirectory.root = str(root.resolve())
    config.CourseDirectory.db_url = f"sqlite:///{root.resolve() / 'gradebook.db'}"
    return config


@contextmanager
def scripts_on_path():
    """nbgrader starts `alembic` by name, which fails unless the environment's scripts are on the path."""
    before = os.environ["PATH"]
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), before])
    try:
        yield
    finally:
        os.environ["PATH"] = before
