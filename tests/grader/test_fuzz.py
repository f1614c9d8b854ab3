"""The grader does not die, whatever is handed in: each notebook gets a verdict, and the pair is the same at the end."""

import math

import pytest

from tests.grader.fuzz import Fuzzer, Summary, cases, faults, invented

COUNT = 400  # `python -m tests.grader.fuzz 2000` marks all of them
GROWN_MIB = {"checker": 150, "nursery": 60}


@pytest.fixture(scope="module")
def marked(tmp_path_factory) -> tuple[Fuzzer, int, Summary]:
    """The fuzzer, its pair's process id at the start, and what came of the cases."""
    fuzzer = Fuzzer(tmp_path_factory.mktemp("fuzz"))
    started = fuzzer.pair.process.pid
    yield fuzzer, started, fuzzer.run(cases(COUNT))
    fuzzer.close()


pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("fuzz")]


def test_every_notebook_gets_a_verdict_for_every_exercise_and_no_more_points_than_there_are(marked):
    _, _, summary = marked
    assert sum(summary.verdicts.values()) == COUNT
    assert summary.wrong == []


def test_the_pair_is_the_same_at_the_end_as_at_the_start(marked):
    fuzzer, started, summary = marked
    assert summary.deaths == 0
    assert fuzzer.pair.process.pid == started
    assert fuzzer.pair.process.poll() is None


def test_its_memory_does_not_grow(marked):
    _, _, summary = marked
    assert {who: size for who, size in summary.grown.items() if size > GROWN_MIB[who]} == {}
    assert summary.grown.keys() == GROWN_MIB.keys()


def test_the_cases_are_not_all_refused_at_the_door(marked):
    """A fuzzer whose notebooks are all unreadable tries nothing but the reader."""
    _, _, summary = marked
    assert summary.verdicts["unreadable notebook"] < COUNT / 2
    assert len(summary.exercises) >= 8


def test_the_same_arguments_make_the_same_notebooks():
    assert [case.data for case in cases(60)] == [case.data for case in cases(60)]
    assert [case.data for case in cases(60)] != [case.data for case in cases(60, seed=1)]
    assert len(invented(30)) == 30


def test_what_is_wrong_with_a_result_is_noticed(marked):
    fuzzer, _, _ = marked
    case = next(case for case in cases(60) if case.lesson == "tiny")
    result = fuzzer.mark(case)
    master = fuzzer.masters["tiny"]
    assert faults(result, master) == []
    result.exercises[0].points = math.inf
    assert "points" in faults(result, master)[0]
    del result.exercises[0]
    assert "expected a verdict for each" in faults(result, master)[0]
