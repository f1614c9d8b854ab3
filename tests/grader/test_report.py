"""The instructor's report: every number is one that can be counted by hand, at any size of class."""

import json
import random
import time
from dataclasses import replace
from functools import cache

import pytest

from attnlab.checks import lessons
from grader.pages.report import report_page, summary, write_report
from grader.referee.result import CellRead, ExerciseResult, LawResult, MistakeNamed, Result, Verdict
from tests.grader.test_feedback import HOSTILE, Skeleton, filled, in_turn, text_of

NOTES = (
    "The check cell of scale is missing; it was marked all the same.",
    "A check cell stands twice in the notebook; the first one was taken.",
)
CODE = "def {name}(query, key, value, mask=None):\n    # my {name}\n    return query @ key.mT  # <- 1 < 2 & 3 > 2\n"


@cache
def _bank():
    return next(lesson for lesson in lessons() if lesson.slug == "05_self_attention").exercises.values()


def made_up_class(size: int, seed: int = 0) -> list[Result]:
    """A class over the exercises of lesson 05 with its real laws and mistakes; who breaks which is drawn."""
    draw = random.Random(seed)
    return [_made_up(f"student{place:04}", draw, place) for place in range(size)]


def _made_up(student: str, draw: random.Random, place: int) -> Result:
    if place % 15 == 9:
        verdict = draw.choice([Verdict.UNREADABLE, Verdict.GRADER_FAULT])
        return Result(student, "05_self_attention", f"{place:064x}", verdict, staff="Expecting value: line 1 column 1")
    skill = draw.uniform(0.5, 1.1)
    exercises = [_answered(exercise, skill, draw) for exercise in _bank()]
    essay = ExerciseResult("explain", Verdict.MANUAL, None, 4, title="Explain it in your own words")
    cells = [CellRead("code", CODE.format(name=e.name), e.name, ran=True) for e in _bank()]
    cells.append(CellRead("code", "plt.plt()", ran=True, error=draw.choice(["", "", "AttributeError"])))
    cells.append(CellRead("markdown", "Attention is a soft lookup.", "explain"))
    notes = [draw.choice(NOTES)] if draw.random() < 0.2 else []
    return Result(
        student,
        "05_self_attention",
        f"{place:064x}",
        Verdict.PARTLY,
        [*exercises, essay],
        cells,
        notes,
        seconds=draw.lognormvariate(-1.0, 0.6),
    )


def _answered(exercise, skill: float, draw: random.Random) -> ExerciseResult:
    laws = [
        LawResult(law.name, law.asks, law.points, draw.random() < skill - 0.02 * place)
        for place, law in enumerate(exercise.laws)
    ]
    base = ExerciseResult(
        f"check_{exercise.name}",
        Verdict.PASSED,
        float(exercise.points),
        float(exercise.points),
        title=exercise.title,
        exercise=exercise.name,
        laws=laws,
        seconds=draw.lognormvariate(-3.0, 0.7),
    )
    fault = draw.random()
    if fault < 0.04:
        unheld = [replace(law, held=False) for law in laws]
        verdict = draw.choice([Verdict.TIMED_OUT, Verdict.NOT_ATTEMPTED, Verdict.DIED, Verdict.NOT_DEFINED])
        return replace(base, verdict=verdict, points=0.0, laws=unheld)
    if fault < 0.05:
        return replace(base, verdict=Verdict.GRADER_FAULT, points=None, laws=[], staff="the checker was killed")
    if fault < 0.08:
        base = replace(base, shortcuts=["calls torch.nn.functional.scaled_dot_product_attention"])
    points = sum(law.points for law in laws if law.held)
    if points == base.max_points:
        return base
    certainty = draw.choice(["same outputs", "same outputs", "same laws", "unknown"])
    rank = min(int(draw.expovariate(0.5)), len(exercise.mistakes) - 1)
    mistake = exercise.mistakes[rank]
    named = [MistakeNamed(mistake.name, mistake.belief, mistake.why, mistake.action)]
    return replace(
        base,
        verdict=Verdict.PARTLY if points else Verdict.FAILED,
        points=float(points),
        certainty=certainty,
        mistakes=named if certainty != "unknown" else [],
        hint=exercise.hints[0],
    )


def small_class() -> list[Result]:
    """Five submissions, small enough to count everything in them by hand."""

    def answer(points, held, mistakes=(), verdict=Verdict.PARTLY, seconds=1.0, **rest):
        laws = [LawResult("first", "One?", 3, held[0]), LawResult("second", "Two?", 1, held[1])] if held else []
        named = [MistakeNamed(name, f"belief of {name}", "why", "act") for name in mistakes]
        return ExerciseResult(
            "check_a", verdict, points, 4, title="A", laws=laws, mistakes=named, seconds=seconds, **rest
        )

    def one(student, *exercises, **rest):
        rest = {"verdict": Verdict.PARTLY, "lesson": "90_tiny", "submission": "0" * 64} | rest
        return Result(student=student, exercises=list(exercises), **rest)

    essay = ExerciseResult("essay", Verdict.MANUAL, None, 6)
    return [
        one("ann", answer(4, (True, True), verdict=Verdict.PASSED, seconds=0.5), essay, notes=["copied"], seconds=2),
        one("bob", answer(3, (True, False), ["m1"], certainty="same outputs", seconds=1), essay, seconds=4),
        one("cy", answer(1, (False, True), ["m1", "m2"], certainty="two mistakes", seconds=9), notes=["copied"]),
        one("di", answer(0, (False, False), ["m1"], Verdict.FAILED, certainty="same laws", shortcuts=["sdpa"])),
        one("eve", verdict=Verdict.UNREADABLE, staff="<not JSON>"),
    ]


def test_every_number_is_the_one_counted_by_hand():
    (lesson,) = summary(small_class())["lessons"]
    first, essay = lesson["exercises"]
    assert lesson["results"] == 5
    assert lesson["verdicts"] == {"partly passed": 4, "unreadable notebook": 1}
    assert lesson["marks"] == {
        "marked": 4,
        "unmarked": 1,
        "full": 1,
        "none": 1,
        "median": pytest.approx(0.5),
        "mean": pytest.approx(0.5),
        "bins": [1, 0, 1, 0, 0, 0, 0, 1, 0, 1],
    }
    assert first["verdicts"] == {"passed": 1, "partly passed": 2, "failed": 1}
    assert first["mean_points"] == 2
    assert [(law["law"], law["held"], law["asked"], law["share"]) for law in first["laws"]] == [
        ("first", 2, 4, 0.5),
        ("second", 2, 4, 0.5),
    ]
    assert first["seconds"] == {"median": 1.0, "p95": 9, "slowest": 9, "slowest_student": "cy"}
    assert (essay["verdicts"], essay["mean_points"], essay["title"]) == ({"for a person": 2}, None, "essay")
    assert lesson["mistakes"] == [
        {"exercise": "A", "mistake": "m1", "belief": "belief of m1", "exactly": 2, "count": 3,
         "students": ["bob", "cy", "di"]},
        {"exercise": "A", "mistake": "m2", "belief": "belief of m2", "exactly": 1, "count": 1, "students": ["cy"]},
    ]  # fmt: skip
    assert lesson["shortcuts"] == [{"what": ["A", "sdpa"], "students": ["di"], "count": 1}]
    assert lesson["notes"] == [{"what": ["copied"], "students": ["ann", "cy"], "count": 2}]
    assert [(e["student"], e["grade_id"], e["verdict"]) for e in lesson["for_a_person"]] == [
        ("ann", "essay", "for a person"),
        ("bob", "essay", "for a person"),
        ("eve", "", "unreadable notebook"),
    ]


def test_the_95th_percentile_is_the_nearest_rank():
    timed = [ExerciseResult("e", Verdict.PASSED, 1, 1, seconds=float(taken)) for taken in range(1, 41)]
    results = [Result(f"s{e.seconds}", "90_tiny", "", Verdict.PASSED, [e]) for e in timed]
    taken = summary(results)["lessons"][0]["exercises"][0]["seconds"]
    assert (taken["median"], taken["p95"], taken["slowest"]) == (20.5, 38, 40)


def test_the_page_says_the_same_numbers():
    told = text_of(report_page(small_class(), {"90_tiny": "A tiny lesson"}))
    for expected in (
        "5 submissions of 5 students",
        "A tiny lesson",
        "Half of the 4 marks are at 50 % of the points or above",
        "Median 50 %, mean 50 % of the points; 1 with all, 1 with none. 1 have no mark",
        "A: “first” held least often, 2 of 4",
        "Most common: “m1” in A, 3 students",
        "Submissions as a whole: 4 partly passed, 1 unreadable notebook.",
        "A 2 of 4 1 passed, 2 partly passed, 1 failed",
        "essay – of 6 2 for a person",
        "m1 A belief of m1 3 2",
        "A person has to mark these (2)",
        "eve : <not JSON>",
        "1.00 s 9.00 s 9.00 s cy",
        "A sdpa di",
        "copied ann , cy",
    ):
        assert expected in told, told


def test_each_figure_has_its_finding_its_description_and_its_table():
    page = report_page(made_up_class(30))
    figures = page.split("<figure>")[1:]
    assert len(figures) == 1 + 7 + 1
    for figure in figures:
        figure = figure.split("</figure>")[0]
        assert len(text_of(figure.split("</figcaption>")[0])) > 10
        assert len(text_of(figure.split("<desc")[1].split("</desc>")[0])) > 20
        assert figure.count("<table>") == 1
        drawn, rows = figure.count('class="bar"'), figure.split("<tbody>")[1].count("<tr>")
        assert 0 < drawn <= rows
    assert " style=" not in page


def test_a_students_sentence_makes_no_tag_in_the_report():
    plain = Skeleton(report_page([filled(in_turn(["plain"]))])).shape
    for shift in range(len(HOSTILE)):
        page = report_page([filled(in_turn(HOSTILE, shift))])
        assert Skeleton(page).shape == plain
        page.encode("utf-8")


@pytest.mark.parametrize("size", [0, 1, 30])
def test_a_class_of_any_size_has_a_report(size, tmp_path):
    path = write_report(made_up_class(size), tmp_path / "grading/report.html")
    assert f"{size:,} submission" in path.read_text(encoding="utf-8")
    assert json.loads((tmp_path / "grading/report.json").read_text())["results"] == size


def test_a_thousand_students_fit_on_a_page_of_ordinary_size():
    page = report_page(made_up_class(1_000))
    assert len(page) < 500_000
    assert " more" in page


@pytest.mark.slow
def test_ten_thousand_students_are_counted_in_seconds_and_still_fit():
    results = made_up_class(10_000)
    start = time.process_time()
    page = report_page(results)
    assert time.process_time() - start < 20
    assert len(page) < 600_000


def test_ten_thousand_different_sentences_do_not_make_a_long_page():
    def noisy(place):
        exercise = ExerciseResult("e", Verdict.GRADER_FAULT, None, 1, shortcuts=[f"s{place}"], staff="x" * 10_000)
        return Result(f"student{place}", "90_tiny", "", Verdict.PARTLY, [exercise], notes=[f"note {place}" * 100])

    assert len(report_page(noisy(place) for place in range(10_000))) < 200_000


def test_lessons_are_told_apart_and_found_from_the_top():
    results = [replace(result, lesson=lesson) for lesson in ("05_b", "00_a") for result in small_class()]
    page = report_page(results)
    assert page.index('href="#lesson-1">00 a<') < page.index('href="#lesson-2">05 b<')
    assert "10 submissions of 5 students" in page
