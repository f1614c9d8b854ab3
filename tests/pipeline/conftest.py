"""A tiny course, copied fresh for each test, with its own package and its own checks."""

import shutil
import sys
from pathlib import Path

import pytest

from grader.pipeline.build import build
from grader.pipeline.course import Course

TINY = Path(__file__).parent / "tiny_course"
SLUG = "90_tiny"


@pytest.fixture(scope="session")
def tiny_checks():
    """The checks of the tiny lesson, as this process sees them."""
    sys.path.insert(0, str(TINY))
    try:
        from tinylab.checks import lesson
    finally:
        sys.path.remove(str(TINY))
    return lesson


@pytest.fixture
def course(tmp_path, tiny_checks) -> Course:
    shutil.copytree(TINY, tmp_path / "course", ignore=shutil.ignore_patterns("__pycache__"))
    return Course(tmp_path / "course", {SLUG: tiny_checks}, package="tinylab")


@pytest.fixture(scope="session")
def built_once(tmp_path_factory, tiny_checks) -> Course:
    """The tiny course, built; for tests that only look."""
    root = tmp_path_factory.mktemp("built") / "course"
    shutil.copytree(TINY, root, ignore=shutil.ignore_patterns("__pycache__"))
    course = Course(root, {SLUG: tiny_checks}, package="tinylab")
    build(course, [SLUG], say=lambda line: None)
    return course


@pytest.fixture
def built(built_once, tmp_path) -> Course:
    """A copy of the built course, to change."""
    shutil.copytree(built_once.root, tmp_path / "built")
    return Course(tmp_path / "built", built_once.checked, built_once.package)


@pytest.fixture
def rewrite():
    """rewrite(course, old, new): change the tiny lesson's source."""

    def rewrite(course: Course, old: str, new: str) -> None:
        path = course.solutions / SLUG / f"{SLUG}.py"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return rewrite
