"""The whole way, with real processes: hand in, grade, look into the books; again, and after changes."""

import json
import os
import subprocess
import sys

import pytest

from grader.books.errors import GraderError
from grader.books.journal import Journal
from grader.folder import Folder, seed_of
from grader.grading import grade_course
from tests.grader.course import DOUBLE, MEAN, SLUG, STUB, booked, cell, hand_in, make_course, marks, write

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("grade")]


def grade(folder: Folder, **options):
    said: list[str] = []
    return grade_course(folder, (), (), workers=1, tell=said.append, **options), said


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Folder:
    """A class with something of everything, graded once."""
    folder = make_course(tmp_path_factory.mktemp("course"))
    (folder.root / "grading.toml").write_text(
        "[budget]\ncell = 3\ncheck = 4\nsubmission = 15\n[limits]\nmemory_mb = 900\n"
    )
    hand_in(folder, "right")
    hand_in(folder, "partly", DOUBLE, "def mean(x):\n    return x.sum()")
    hand_in(folder, "stub", STUB, STUB)
    hand_in(folder, "helper", "def double(x):\n    return twice(x)", MEAN)
    helper = cell("def twice(x):\n    return x + x", tags=("not-for-marks",))
    made = json.loads((folder.submitted / "helper" / SLUG / f"{SLUG}.ipynb").read_text())
    made["cells"].insert(1, helper)
    write(folder.submitted / "helper" / SLUG / f"{SLUG}.ipynb", made)
    hand_in(folder, "loop", "def double(x):\n    while True:\n        pass", MEAN)
    hand_in(folder, "loop_in_cell", DOUBLE + "\nwhile True:\n    pass", MEAN)
    hand_in(folder, "exits", "import os\ndef double(x):\n    os._exit(0)", MEAN)
    hand_in(folder, "hog", "def double(x):\n    return [bytearray(1 << 26) for _ in range(100)]", MEAN)
    hand_in(folder, "raises", DOUBLE, "def mean(x):\n    raise ValueError('secret ' + str(x))")
    hand_in(folder, "syntax", "def double(x)\n    return 2 * x", MEAN)
    (folder.submitted / "broken" / SLUG).mkdir(parents=True)
    (folder.submitted / "broken" / SLUG / f"{SLUG}.ipynb").write_text("{")
    (folder.submitted / "bad\nname" / SLUG).mkdir(parents=True)
    (folder.submitted / "nothing").mkdir()
    return folder


@pytest.fixture(scope="module")
def graded(course):
    outcome, said = grade(course)
    return course, outcome, said


EXPECTED = {
    "right": ("passed", 2, "passed", 3),
    "partly": ("passed", 2, "partly passed", 1),
    "stub": ("not attempted", 0, "not attempted", 0),
    "helper": ("passed", 2, "passed", 3),
    "loop": ("timed out", 0, "passed", 3),
    "loop_in_cell": ("timed out", 0, "passed", 3),
    "exits": ("process died", 0, "passed", 3),
    "hog": ("out of memory", 0, "passed", 3),
    "raises": ("passed", 2, "error", 0),
    "syntax": ("error", 0, "passed", 3),
    "broken": ("unreadable notebook", 0, "unreadable notebook", 0),
}


class TestAClass:
    @pytest.mark.parametrize("student", EXPECTED)
    def test_everybody_gets_what_is_fair_and_a_verdict(self, graded, student):
        found = marks(graded[0])[f"{student}/{SLUG}"]
        double, mean = found["test_double"], found["test_mean"]
        assert (double[1], double[0], mean[1], mean[0]) == EXPECTED[student]

    def test_the_gradebook_says_the_same(self, graded):
        assert booked(graded[0]) == {
            key: {name: points for name, (points, _) in row.items()} for key, row in marks(graded[0]).items()
        }

    def test_a_bad_name_is_told_and_stops_nobody(self, graded):
        _, outcome, _ = graded
        assert [rejected.where for rejected in outcome.rejected] == [r"submitted/bad\nname"]
        assert outcome.marked == len(EXPECTED) and not outcome.faults

    def test_progress_says_how_far_it_is(self, graded):
        assert graded[2][-1].startswith(f"{len(EXPECTED)}/{len(EXPECTED)}, ")

    def test_once_more_marks_nothing(self, graded):
        before = marks(graded[0])
        outcome, said = grade(graded[0])
        assert (outcome.marked, outcome.already, said) == (0, len(EXPECTED), []) and marks(graded[0]) == before

    def test_what_an_error_says_is_for_staff_alone(self, graded):
        from grader.pages.feedback import feedback_page

        with Journal(graded[0].journal, read_only=True) as journal:
            result = next(r for r in journal.results() if r.student == "raises")
        assert "secret" in result.exercises[1].staff and "secret tensor" not in feedback_page(result)

    def test_no_process_is_left(self, graded):
        import psutil

        named = [" ".join(p.cmdline()) for p in psutil.Process().children(recursive=True) if p.status() != "zombie"]
        assert not [line for line in named if "grader.referee" in line]

    def test_the_audit_is_whole(self, graded):
        with Journal(graded[0].journal, read_only=True) as journal:
            assert journal.audit.verify() is None
            assert len(list(journal.audit.rows("right", SLUG))) >= 2


class TestChanges:
    def test_a_new_file_is_marked_and_the_old_mark_gives_way(self, tmp_path):
        folder = make_course(tmp_path)
        hand_in(folder, "ada", STUB, MEAN)
        grade(folder)
        hand_in(folder, "ada")
        outcome, _ = grade(folder)
        assert outcome.marked == 1 and booked(folder)[f"ada/{SLUG}"] == {"test_double": 2, "test_mean": 3}

    def test_a_changed_test_marks_everybody_again_and_keeps_what_a_person_gave(self, tmp_path):
        from nbgrader.api import Gradebook

        folder = make_course(tmp_path)
        hand_in(folder, "ada", "def double(x):\n    return torch.tensor([2.0, 4.0])", MEAN)
        grade(folder)
        with Gradebook(folder.db_url, folder.settings.course_id) as book:
            grade_row = book.find_grade("test_double", SLUG, SLUG, "ada")
            grade_row.manual_score = 1.5
            book.db.commit()
        for kind in ("lessons", "solutions"):
            path = folder.root / kind / SLUG / f"{SLUG}.ipynb"
            path.write_text(path.read_text().replace("[1.0, 2.0]", "[1.0, 3.0]"))
        outcome, _ = grade(folder)
        assert outcome.marked == 1
        with Gradebook(folder.db_url, folder.settings.course_id) as book:
            grade_row = book.find_grade("test_double", SLUG, SLUG, "ada")
            assert (grade_row.auto_score, grade_row.manual_score, grade_row.needs_manual_grade) == (0, 1.5, True)

    def test_hidden_tests_of_the_source_are_run(self, tmp_path):
        folder = make_course(tmp_path)
        path = folder.root / "solutions" / SLUG / f"{SLUG}.ipynb"
        hidden = "\\n### BEGIN HIDDEN TESTS\\nassert double(torch.ones(1) * 7).item() == 14\\n### END HIDDEN TESTS"
        path.write_text(path.read_text().replace('2 * x)"', f'2 * x){hidden}"'))
        hand_in(folder, "memorised", "def double(x):\n    return torch.tensor([2.0, 4.0])", MEAN)
        hand_in(folder, "right")
        grade(folder)
        assert marks(folder)[f"memorised/{SLUG}"]["test_double"] == (0, "failed")
        assert marks(folder)[f"right/{SLUG}"]["test_double"] == (2, "passed")

    def test_what_is_exchanged_after_receipt_is_not_what_is_marked(self, tmp_path):
        folder = make_course(tmp_path)
        path = hand_in(folder, "ada", STUB, STUB)
        link = folder.submitted / "bob" / SLUG
        link.mkdir(parents=True)
        (link / f"{SLUG}.ipynb").symlink_to(path)
        outcome, _ = grade(folder)
        assert [r.where for r in outcome.rejected] == [f"submitted/bob/{SLUG}/{SLUG}.ipynb"]

    def test_a_file_over_the_cap_is_unreadable_with_the_reason(self, tmp_path):
        folder = make_course(tmp_path)
        (folder.root / "grading.toml").write_text("max_notebook_mb = 0.002\n")
        hand_in(folder, "ada", DOUBLE + "\n#" + "x" * 5000, MEAN)
        grade(folder)
        assert marks(folder)[f"ada/{SLUG}"]["test_double"] == (0, "unreadable notebook")


class TestCommands:
    def run(self, folder, *words, env=None):
        command = [sys.executable, "-m", "grader", *words, "--course", str(folder.root)]
        return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **(env or {})})

    def test_report_feedback_export_and_similar_write_what_they_say(self, graded, tmp_path):
        folder = graded[0]
        for words in (["report"], ["feedback"], ["similar"], ["export", "--to", str(tmp_path / "grades.csv")]):
            done = self.run(folder, *words)
            assert done.returncode == 0, done.stderr
        assert (folder.grading / "report.html").exists() and (folder.grading / f"similar-{SLUG}.html").exists()
        assert len(list(folder.feedback.glob("*/*/*.html"))) == len(EXPECTED)
        assert len((tmp_path / "grades.csv").read_text().splitlines()) == len(EXPECTED) + 1

    def test_json_for_programs(self, graded):
        done = self.run(graded[0], "report", "--json")
        assert json.loads(done.stdout)["results"] == len(EXPECTED)
        doctor = json.loads(self.run(graded[0], "doctor", "--json").stdout)
        assert doctor["tier"] in "ABC" and all(isinstance(probe["ok"], bool) for probe in doctor["probes"])

    def test_a_lesson_that_is_not_there_is_refused_in_one_line(self, graded):
        done = self.run(graded[0], "grade", "77")
        assert done.returncode == 1 and "expected one of 01_tiny" in done.stderr and "Traceback" not in done.stderr

    def test_too_weak_a_machine_is_refused(self, graded, monkeypatch):
        import grader.grading as grading
        from grader.jail.tiers import Tier

        hand_in(graded[0], "late_comer")
        monkeypatch.setattr(grading, "tier_reached", lambda found: Tier.C)
        with pytest.raises(GraderError, match="tier A or better.*tier C"):
            grade(graded[0])


def test_seeds_differ_between_students_files_and_courses_and_stay():
    one = seed_of(b"s", "ada", "05", "f")
    others = [seed_of(b"s", "bob", "05", "f"), seed_of(b"s", "ada", "05", "g"), seed_of(b"t", "ada", "05", "f")]
    assert one == seed_of(b"s", "ada", "05", "f") and len({one, *others}) == 4
