"""Which cells of a submission are run, and where its exercises are checked."""

import json

import pytest

from grader.referee.master import read_master
from grader.referee.plan import Plan, checked, make_plan
from grader.referee.reading import read_cells
from grader.referee.wire import Malformed
from tests.grader.course import SLUG, cell, make_course, notebook

LEFT_OUT = ("not-for-marks",)


@pytest.fixture(scope="module")
def master(tmp_path_factory):
    folder = make_course(tmp_path_factory.mktemp("plan"))
    return read_master(SLUG, folder.released(SLUG), folder.solution(SLUG))


def plan_of(master, made: dict, **options) -> Plan:
    return make_plan(checked(read_cells(json.dumps(made).encode())), master, **options)


def steps(plan: Plan) -> list[str]:
    return [f"check {step.check.grade_id}" if step.check else plan.cells[step.cell].text for step in plan.steps]


def with_cells(place: int, *cells: dict, **answers) -> dict:
    made = notebook(**answers)
    made["cells"][place:place] = cells
    return made


def test_tests_are_run_where_they_stand_and_from_the_master(master):
    made = notebook()
    made["cells"][2]["source"] = "pass  # passed!"
    plan = plan_of(master, made)
    assert [step.split("(")[0].split("\n")[0] for step in steps(plan)] == [
        "import torch",
        "def double",
        "check test_double",
        "def mean",
        "check test_mean",
    ]
    assert "torch.equal" in plan.steps[2].check.text and "was changed" in plan.notes[0]


def test_a_deleted_test_is_run_at_the_end(master):
    made = notebook()
    del made["cells"][2]
    plan = plan_of(master, made)
    assert steps(plan)[-1] == "check test_double" and "was missing" in plan.notes[0]


def test_a_copied_test_is_run_once_and_a_copied_answer_as_a_cell(master):
    made = notebook()
    made["cells"] += [dict(made["cells"][2]), dict(made["cells"][1], source="later = 1")]
    plan = plan_of(master, made)
    assert [step for step in steps(plan) if step == "check test_double"] == ["check test_double"]
    assert steps(plan)[-1] == "later = 1" and sum("more than once" in note for note in plan.notes) == 2


def test_a_cell_that_no_mark_needs_is_left_out(master):
    plan = plan_of(master, with_cells(1, cell("slow = train()", tags=LEFT_OUT)))
    assert "slow = train()" not in steps(plan) and plan.left_out


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("def twice(x):\n    return 2 * x", {"double": "def double(x):\n    return twice(x)"}),
        ("twice = lambda x: 2 * x", {"double": "def double(x, how=twice):\n    return how(x)"}),
        ("double = torch.add", {"double": "pass"}),
    ],
    ids=["called later", "needed at once", "the answer itself"],
)
def test_a_helper_is_run_wherever_it_is_tagged(master, text, answers):
    assert text in steps(plan_of(master, with_cells(1, cell(text, tags=LEFT_OUT), **answers)))


def test_what_a_helper_needs_is_run_too(master):
    chain = [cell("base = 2", tags=LEFT_OUT), cell("def twice(x):\n    return base * x", tags=LEFT_OUT)]
    plan = plan_of(master, with_cells(1, *chain, double="def double(x):\n    return twice(x)"))
    assert {"base = 2", "def twice(x):\n    return base * x"} <= set(steps(plan))


def test_a_name_that_a_cell_makes_itself_needs_no_other_cell(master):
    made = with_cells(1, cell("x = expensive()", tags=LEFT_OUT), cell("x = 1\nprint(x)"))
    assert "x = expensive()" not in steps(plan_of(master, made))


def test_every_cell_and_own_cells_leave_less_out(master):
    made = with_cells(1, cell("globals()['twice'] = 1", tags=LEFT_OUT))
    for options in ({"every_cell": True}, {"own_cells": True}):
        assert "globals()['twice'] = 1" in steps(plan_of(master, made, **options))


def test_a_long_chain_of_names_is_planned_in_no_time(master):
    chain = [cell(f"def f{i}():\n    return f{i + 1}", tags=LEFT_OUT) for i in range(800)]
    plan = plan_of(master, with_cells(1, *chain, double="def double(x):\n    return f0"))
    assert len(plan.steps) > 800


@pytest.mark.parametrize("rows", [None, [1], [{}], [{"kind": "code", "text": 1, "grade_id": ""}]])
def test_an_answer_that_is_no_reading_is_malformed(rows):
    with pytest.raises(Malformed):
        checked(rows)
