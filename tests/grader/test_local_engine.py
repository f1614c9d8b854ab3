"""The local engine with real pairs: what happens when a checker dies, hangs, or does not start."""

import json
import os
import signal
import time
from collections.abc import Callable

import psutil
import pytest

from grader.books.errors import GraderError
from grader.books.journal import Journal
from grader.engines import local
from grader.engines.local import LocalEngine
from grader.engines.task import Done, Task
from grader.folder import Folder
from grader.grading import grade_course
from grader.referee.pair import Setup
from grader.referee.result import Verdict
from tests.grader.course import MEAN, SLUG, booked, hand_in, make_course, marks, notebook

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("local engine")]

BUDGET = {"cell": 4.0, "check": 4.0, "submission": 8.0}
ALL = {"test_double": (2, "passed"), "test_mean": (3, "passed")}
SLEEPS = "import time\n\n\ndef double(x):\n    time.sleep(2)\n    return 2 * x"


def task(student: str) -> Task:
    return Task(student, student, SLUG, "0" * 64, json.dumps(notebook(SLEEPS, MEAN)).encode(), seed=1, seed_id="")


def until_room(engine: LocalEngine) -> None:
    end = time.monotonic() + 120
    while not engine.room():
        assert engine.wait(0.5) == [] and time.monotonic() < end


def until_done(engine: LocalEngine, do: Callable[[], None] | None = None) -> Done:
    """Wait as the supervisor does; `do` something once a student's process runs."""
    end = time.monotonic() + 60
    while True:
        if do is not None and student_runs(engine):
            do, _ = None, do()
        if found := engine.wait(0.05):
            assert do is None and len(found) == 1
            return found[0]
        assert time.monotonic() < end


def family(engine: LocalEngine) -> list[psutil.Process]:
    """The engine's checkers with all that they have started."""
    checkers = [psutil.Process(worker.pair.process.pid) for worker in engine.workers]
    return checkers + [child for checker in checkers for child in checker.children(recursive=True)]


def student_runs(engine: LocalEngine) -> bool:
    return len(family(engine)) > 3  # a checker, the wall that waits, the nursery, and what it has forked


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run: what was killed may take a moment to go."""
    return psutil.wait_procs(processes, timeout=5)[1]


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = make_course(tmp_path_factory.mktemp("course"))
    lessons = {SLUG: str(folder.released(SLUG))}
    made = LocalEngine(Setup(lessons=lessons, solutions={}, hidden=[str(folder.root)], budget=BUDGET), 1)
    until_room(made)
    yield made
    made.close()


class TestOneWorker:
    """One engine, one thing after the other."""

    def test_a_checker_killed_in_the_middle_is_replaced_and_the_submission_marked(self, engine):
        before, theirs = engine.workers[0].pair, family(engine)
        engine.submit(task("ada"))
        done = until_done(engine, do=before.process.kill)
        assert done.task.student == "ada" and done.result is None and done.why
        assert engine.workers[0].pair is not before and engine.room() == 0 and not alive(theirs)
        until_room(engine)
        engine.submit(done.task)
        assert until_done(engine).result.points == 5

    def test_a_checker_that_hangs_is_replaced_after_its_time(self, engine, monkeypatch):
        assert engine.seconds == BUDGET["submission"] + local.SPARE_S
        hanging, theirs = engine.workers[0].pair.process, family(engine)
        monkeypatch.setattr(engine, "seconds", 2.5)
        engine.submit(task("bob"))
        done = until_done(engine, do=lambda: os.kill(hanging.pid, signal.SIGSTOP))
        assert (done.task.student, done.result, done.why) == ("bob", None, "did not come back in time")
        assert hanging.poll() == -signal.SIGKILL and not alive(theirs)
        monkeypatch.undo()
        until_room(engine)

    def test_close_leaves_no_process_even_in_the_middle_of_a_submission(self, engine):
        engine.submit(task("cyd"))
        end = time.monotonic() + 20
        while not student_runs(engine):
            assert time.monotonic() < end
        everybody = family(engine)
        engine.close()
        assert not alive(everybody)


def grade(folder: Folder):
    return grade_course(folder, (), (), workers=1, tell=lambda line: None)


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    folder = make_course(tmp_path_factory.mktemp("deaths"))
    for student in ("ada", "unlucky", "zoe"):
        hand_in(folder, student)
    submit = LocalEngine.submit

    def submit_and_kill(engine: LocalEngine, task: Task) -> None:
        submit(engine, task)
        for worker in engine.workers:
            if worker.task is task and task.student == "unlucky":
                worker.pair.process.kill()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalEngine, "submit", submit_and_kill)
        outcome = grade(folder)
    return folder, outcome


class TestThreeDeaths:
    """Whoever marks `unlucky` is killed, in the first run; two others have handed in too."""

    def test_give_a_fault_that_costs_no_points_and_stops_nobody(self, course):
        folder, outcome = course
        assert (outcome.marked, outcome.faults) == (3, 1)
        found = marks(folder)
        assert found[f"unlucky/{SLUG}"] == {"test_double": (None, "grader fault"), "test_mean": (None, "grader fault")}
        assert (
            found[f"ada/{SLUG}"] == found[f"zoe/{SLUG}"] == {"test_double": (2, "passed"), "test_mean": (3, "passed")}
        )
        assert 0 not in booked(folder).get(f"unlucky/{SLUG}", {}).values()
        with Journal(folder.journal, read_only=True) as journal:
            entry, result = journal.latest("unlucky", SLUG), list(journal.results())[1]
            assert entry.tries == 3 and entry.faulty
            assert result.verdict is Verdict.GRADER_FAULT and "ended" in result.staff

    def test_are_tried_again_by_the_next_run(self, course):
        folder, _ = course
        outcome = grade(folder)
        assert (outcome.marked, outcome.already, outcome.faults) == (1, 2, 0)
        assert marks(folder)[f"unlucky/{SLUG}"] == ALL
        assert booked(folder)[f"unlucky/{SLUG}"] == {"test_double": 2, "test_mean": 3}


def test_a_checker_that_cannot_start_is_an_error_and_no_endless_loop(tmp_path, monkeypatch):
    folder = make_course(tmp_path / "course")
    hand_in(folder, "ada")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "torch.py").write_text("raise ImportError('this torch is broken')")
    monkeypatch.setenv("PYTHONPATH", str(broken))
    start = time.monotonic()
    with pytest.raises(GraderError, match="the checker: expected it to start"):
        grade(folder)
    assert time.monotonic() - start < 60 and marks(folder) == {}
    assert not [p for p in psutil.Process().children(recursive=True) if "grader.referee" in " ".join(p.cmdline())]
