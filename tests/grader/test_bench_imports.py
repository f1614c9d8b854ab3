"""The checker imports what the tests use of what a lesson imports, and the rest only when a test asks for it."""

import subprocess
import sys

import pytest

from grader.referee.master import Master, MasterCell
from grader.referee.names import Names
from grader.referee.test_cells import TestBench

IMPORTS = "import math\nimport fractions as parts\nimport colorsys, wave\nfrom string import *"


def bench_of(test: str, helper: str = "") -> TestBench:
    cells = [MasterCell("code", IMPORTS), MasterCell("code", test, "check", grade=True, locked=True, points=1.0)]
    cells += [MasterCell("code", helper, "helper", locked=True)] if helper else []
    return TestBench.of(Master("90_lesson", tuple(cells), digest=""))


@pytest.fixture
def bench() -> TestBench:
    return bench_of("assert math.sqrt(4) == 2", helper="def double(x):\n    return parts.Fraction(2) * x")


def worth(bench: TestBench, test: str) -> float:
    cell = MasterCell("code", test, "check", grade=True, points=1.0)
    return bench.run(cell, bench.names(0, [], "warn"), seconds=5).points


def test_what_tests_and_helpers_use_is_there_and_stars_too(bench):
    assert {"math", "parts", "ascii_lowercase"} <= bench.own.keys()


def test_what_only_the_lesson_uses_waits(bench):
    assert not bench.own.keys() & {"colorsys", "wave"}
    assert bench.waiting.keys() == {"colorsys", "wave"}


def test_a_name_that_waits_comes_when_it_is_asked_for(bench):
    assert worth(bench, "assert eval('colorsys').rgb_to_hsv(0, 0, 0) == (0, 0, 0)") == 1
    assert "colorsys" in bench.own and "wave" in bench.own, "one statement brought both"
    assert bench.waiting == {}
    assert worth(bench, "assert wave.__name__ == 'wave'") == 1, "for the next submission it is there"


def test_a_check_that_waits_marks_under_the_seed_of_the_submission():
    cells = (MasterCell("code", "from attnlab.checks.welcome import check"),)
    bench = TestBench.of(Master("90_lesson", cells, digest=""))
    names: Names = bench.names(7, ["ran"], "refuse")
    recorder = names["check"]
    assert (recorder.seed, recorder.ran, recorder.policy, recorder.names) == (7, ["ran"], "refuse", names)


def test_a_lessons_figures_cost_the_checker_nothing():
    program = (
        "import sys\nfrom pathlib import Path\nfrom grader.referee.master import read_master\n"
        "from grader.referee.test_cells import TestBench\n"
        "slug = '05_self_attention'\nTestBench.of(read_master(slug, Path(f'lessons/{slug}/{slug}.ipynb')))\n"
        "print('matplotlib.pyplot' in sys.modules, 'attnlab.capture' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).split() == ["False", "False"]
