"""Which lessons there are, and how to run a notebook as a student, as a marker or as a test."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RELEASED = sorted(ROOT.glob("lessons/*/*.ipynb"))
SOLVED = sorted(ROOT.glob("solutions/*/*.ipynb"))


def pytest_generate_tests(metafunc):
    """Every lesson that is there is a test of its own."""
    for name, paths in (("released", RELEASED), ("solved", SOLVED)):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, paths, ids=[path.stem for path in paths])


@pytest.fixture
def root() -> Path:
    return ROOT
