"""The class of 30: the cells made from a bank do what its callables do, and each student gets what is due."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from attnlab.checks import lessons
from attnlab.checks.marking import mark
from grader.referee.pair import Pair
from grader.referee.result import ExerciseResult, Result, Verdict
from grader.sample.cells import also_right, mistaken
from grader.sample.course import MAIN, ROOT, write_class
from grader.sample.draft import Draft
from grader.sample.people import CLASS
from tests.grader.fuzz import start_pair

SEED = 20240229
LESSONS = {lesson.slug: lesson for lesson in lessons() if lesson.slug in MAIN}
MOST = {slug: max(len(e.mistakes) for e in lesson.exercises.values()) for slug, lesson in LESSONS.items()}
RIGHT = {"ada_l", "bo_k", "cy_m", "di_n", "ed_p", "kim_a", "dot_t", "quin_g", "sam_i", "tia_j", "zoe_p"}
# What the main exercise of a lesson (`MAIN`) comes to.
DUE = {
    **dict.fromkeys(["flo_r", "gus_t", "lou_u", "hal_v", "ida_w", "jo_x", "cal_s"], Verdict.PARTLY),
    **dict.fromkeys(["mo_c", "ria_h"], Verdict.NOT_ATTEMPTED),
    **dict.fromkeys(["xan_n", "yan_o"], Verdict.UNREADABLE),
    **dict.fromkeys(["abe_q", "bea_r"], Verdict.ERROR),
    **dict.fromkeys(["lea_b", "nia_d", "pat_f"], Verdict.PASSED),
    **{"uli_k": Verdict.TIMED_OUT, "vi_l": Verdict.DIED},
}
DUE_ELSEWHERE = {("nia_d", "00_welcome"): Verdict.ERROR}  # there the misspelt exercise is the main one
DEAR = ("pat_f", "05_self_attention")  # a name is missing, so every cell is run, the figures too

pytestmark = pytest.mark.xdist_group("sample")


def paths(folder: str) -> dict[str, str]:
    return {slug: str(ROOT / folder / slug / f"{slug}.ipynb") for slug in MAIN}


@pytest.fixture(scope="module")
def pair() -> Pair:
    pair = start_pair(paths("lessons"), paths("solutions"), cell=10.0, check=6.0, submission=60.0)
    yield pair
    pair.kill()


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("course")
    write_class(folder)
    return folder


def marked(pair: Pair, lesson: str, notebook: bytes, student: str = "somebody") -> Result:
    pair.send(student, lesson, "", notebook, SEED, "")
    return pair.receive(seconds=200)


def essence(result: ExerciseResult) -> tuple:
    """Points, broken laws, and the diagnosis."""
    broken = {law.name for law in result.laws if not law.held}
    return result.points, broken, result.certainty, [mistake.name for mistake in result.mistakes]


# Cells from the banks.


@pytest.mark.slow
@pytest.mark.parametrize("slug, place", [(slug, place) for slug, most in MOST.items() for place in range(most)])
def test_a_mistake_written_out_as_a_cell_is_marked_as_the_banks_callable_is(pair, slug, place):
    """Every mistake of every exercise: those at one place of the banks share a notebook."""
    lesson = LESSONS[slug]
    draft = Draft.of(lesson, ROOT, MAIN[slug])
    chosen = {name: e.mistakes[place] for name, e in lesson.exercises.items() if place < len(e.mistakes)}
    for name, mistake in chosen.items():
        draft.mistake(name, mistake)
    results = {result.exercise: result for result in marked(pair, slug, draft.to_bytes()).exercises}
    for name, mistake in chosen.items():
        report = mark(lesson.exercises[name], mistake.answer, SEED, example=False)
        certainty = report.diagnosed.certainty if report.broken and report.attempted else ""
        named = [found.name for found in report.diagnosed.mistakes]
        wanted = (float(report.points), set(report.broken), certainty, named)
        assert essence(results[name]) == wanted, mistake.name


@pytest.mark.slow
@pytest.mark.parametrize("slug, place", [(slug, place) for slug in MAIN for place in range(5)])
def test_every_other_right_way_earns_all_points(pair, slug, place):
    draft = Draft.of(LESSONS[slug], ROOT, MAIN[slug])
    for name in draft.exercises:
        draft.right(name, place)
    result = marked(pair, slug, draft.to_bytes())
    assert result.points == result.max_points


def test_a_made_cell_stands_alone():
    for lesson in LESSONS.values():
        for exercise in lesson.exercises.values():
            texts = [mistaken(exercise, mistake) for mistake in exercise.mistakes]
            texts += [also_right(exercise, way) for way in exercise.also_right]
            for text in texts:
                assert "attnlab" not in text
                names: dict = {}
                exec(compile(text, exercise.name, "exec"), names)
                assert callable(names[exercise.name])


def test_two_mistakes_are_made_at_once_only_where_they_share_a_recipe():
    causal = LESSONS["05_self_attention"].exercises["rows_sum_to_one"]
    with pytest.raises(ValueError, match="mistakes of one recipe"):
        mistaken(causal, causal.mistakes[0], causal.mistakes[2])


# The class.


def test_there_are_thirty_with_plain_made_up_ids_and_a_line_each():
    assert len({student.id for student in CLASS}) == 30
    assert all(re.fullmatch(r"[a-z]{2,5}_[a-z]", student.id) for student in CLASS)
    assert len({student.says for student in CLASS}) == 30
    assert {student.id for student in CLASS} == RIGHT | DUE.keys() | {"wes_m"}


def test_the_course_folder_is_written_the_same_every_time(course, tmp_path):
    done = subprocess.run([sys.executable, "-m", "grader.sample", tmp_path / "c"], capture_output=True, text=True)
    assert done.returncode == 0 and all(student.says in done.stdout for student in CLASS), done.stderr
    written = {path.relative_to(course): path.read_bytes() for path in course.rglob("*.ipynb")}
    again = {path.relative_to(tmp_path / "c"): path.read_bytes() for path in (tmp_path / "c").rglob("*.ipynb")}
    assert written == again
    assert len(written) == (1 + 1 + 30) * len(MAIN)


def test_submissions_that_are_there_are_not_written_over(course):
    with pytest.raises(FileExistsError, match="Choose another folder"):
        write_class(course)


def test_a_copied_answer_is_not_the_same_text(course):
    for slug in MAIN:
        ours, theirs = (course / "submitted" / who / slug / f"{slug}.ipynb" for who in ("kim_a", "dot_t"))
        assert ours.read_bytes() != theirs.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("slug", MAIN)
def test_each_student_gets_what_is_due(pair, course, slug):
    for student in CLASS:
        if student.id == "wes_m" or (student.id, slug) == DEAR:
            continue  # the hog has a test of its own
        data = (course / "submitted" / student.id / slug / f"{slug}.ipynb").read_bytes()
        result = marked(pair, slug, data, student.id)
        (main,) = [e for e in result.exercises if e.grade_id == f"check_{MAIN[slug]}"]
        if student.id in RIGHT:
            assert result.points == result.max_points, student
        else:
            due = DUE_ELSEWHERE.get((student.id, slug), DUE[student.id])
            assert main.verdict is due, student
            assert result.points < result.max_points, student


@pytest.mark.slow
@pytest.mark.parametrize("slug", MAIN)
def test_an_endless_loop_a_dying_process_and_a_hog_cost_no_exercise_that_does_not_call_them(pair, course, slug):
    calls = {"softmax": {"nadaraya_watson", "leave_one_out"}, "attention": {"SelfAttention1d"}}[MAIN[slug]]
    for student in ("uli_k", "vi_l", "wes_m"):
        data = (course / "submitted" / student / slug / f"{slug}.ipynb").read_bytes()
        result = marked(pair, slug, data, student)
        lost = {e.grade_id for e in result.exercises if e.verdict is not Verdict.PASSED}
        assert lost == {f"check_{name}" for name in {MAIN[slug], *calls}}, student
