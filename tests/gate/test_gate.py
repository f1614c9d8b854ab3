"""The gate, for every exercise of every lesson: what a check must do before anyone meets it."""

import random
import re
from itertools import combinations

import pytest
from spoiled import WAYS, spoiled, spoiled_without_batch

from attnlab.checks import lessons
from attnlab.checks.laws import close
from attnlab.checks.marking import mark
from grader.mutants import EQUIVALENT, mutants

SEEDS = (0, 1, 2, 20_260_417, 2**31 - 1)
LESSONS = lessons()
EXERCISES = [exercise for lesson in LESSONS for exercise in lesson.exercises.values()]
QUESTIONS = [
    question
    for lesson in LESSONS
    for question in (*lesson.recall_items, *lesson.predictions.values(), *lesson.quiz_items)
]

each_exercise = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.full_name)
# A bug hunt's answer shows only yes and no: every error is the same one there, and two at once look like another.
COMPUTED = [exercise for exercise in EXERCISES if not exercise.hunt]
HUNTS = [exercise for exercise in EXERCISES if exercise.hunt]
each_computed = pytest.mark.parametrize("exercise", COMPUTED, ids=lambda exercise: exercise.full_name)
each_hunt = pytest.mark.parametrize("exercise", HUNTS, ids=lambda exercise: exercise.full_name)
each_question = pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
under_each_seed = pytest.mark.parametrize("seed", SEEDS)


@each_exercise
@under_each_seed
def test_the_answer_gets_full_marks(exercise, seed):
    report = mark(exercise, exercise.answer, seed)
    assert report.passed, report.message
    assert report.points == report.max_points > 0


@each_exercise
def test_no_seed_costs_a_right_answer_a_point(exercise):
    """Marks are given under a secret seed: one unlucky draw in a hundred would hit ten students of a thousand."""
    draw = random.Random(exercise.full_name)
    seeds = [draw.getrandbits(31) for _ in range(200)]
    unlucky = {seed: report.message for seed in seeds if not (report := mark(exercise, exercise.answer, seed)).passed}
    assert not unlucky


@each_exercise
@under_each_seed
def test_right_answers_written_differently_get_full_marks(exercise, seed):
    reports = {name: mark(exercise, answer, seed) for name, answer in exercise.also_right.items()}
    rejected = {name: report.message for name, report in reports.items() if not report.passed}
    assert not rejected


@each_exercise
@under_each_seed
def test_every_mistake_loses_marks(exercise, seed):
    reports = {m.name: mark(exercise, m.answer, seed, diagnosed=False) for m in exercise.mistakes}
    assert not [name for name, report in reports.items() if report.points == report.max_points]


@each_exercise
def test_a_mistake_breaks_the_same_laws_under_every_seed(exercise):
    """Two students with the same wrong answer get the same points, and so does one who is marked twice."""
    draw = random.Random(exercise.full_name)
    seeds = [draw.getrandbits(31) for _ in range(16)]
    wavering = {}
    for mistake in exercise.mistakes:
        broken = [frozenset(mark(exercise, mistake.answer, seed, diagnosed=False).broken) for seed in seeds]
        always = frozenset.intersection(*broken)
        if sometimes := frozenset.union(*broken) - always:
            wavering[mistake.name] = {law: sum(law in laws for laws in broken) for law in sometimes}
    assert not wavering, f"how many of {len(seeds)} seeds broke a law: {wavering}"


@each_exercise
@under_each_seed
def test_every_mistake_gets_its_own_diagnosis(exercise, seed):
    given = {mistake.name: mark(exercise, mistake.answer, seed).diagnosis for mistake in exercise.mistakes}
    assert given == {name: name for name in given}


@each_exercise
def test_every_law_is_broken_by_at_least_one_mistake(exercise):
    broken = {law for m in exercise.mistakes for law in mark(exercise, m.answer, diagnosed=False).broken}
    assert {law.name for law in exercise.laws} == broken


@each_exercise
def test_generated_mutants_are_killed(exercise):
    made = mutants(exercise)
    alive = [f"{mutant.rule}: {mutant.line}" for mutant in made if not mutant.killed_by(exercise)]
    assert made
    assert len(alive) <= 0.05 * len(made), f"{len(alive)} of {len(made)} mutants pass the check: {alive}"


def test_the_table_of_equivalent_mutants_names_exercises_that_are_there():
    assert set(EQUIVALENT) <= {exercise.full_name for exercise in EXERCISES}


@each_exercise
def test_the_unsolved_stub_counts_as_not_attempted(exercise):
    def stub(*inputs, **keywords):
        raise NotImplementedError("Write this function.")

    report = mark(exercise, stub)
    assert not report.attempted
    assert report.points == 0 and not report.passed
    assert "not attempted yet" in report.message


@each_exercise
def test_there_are_enough_mistakes_and_right_variants_and_their_names_differ(exercise):
    names = [mistake.name for mistake in exercise.mistakes]
    assert len(set(names)) == len(names) >= 8
    assert len(exercise.also_right) >= 5
    laws = [law.name for law in exercise.laws]
    assert len(set(laws)) == len(laws)


@each_exercise
def test_every_mistake_says_what_is_believed_why_and_what_to_do(exercise):
    for mistake in exercise.mistakes:
        assert mistake.belief and mistake.why and mistake.action, mistake.name
        assert mistake.why.count("\n") <= 1, f"{mistake.name}: why is longer than two lines"


@each_exercise
def test_there_are_four_hints_and_none_is_empty_or_twice_there(exercise):
    assert len(exercise.hints) == len({hint.strip() for hint in exercise.hints} - {""}) == 4


@each_exercise
def test_names_are_valid_nbgrader_ids_and_python_names(exercise):
    assert re.fullmatch(r"[A-Za-z0-9_-]+", exercise.name)
    assert exercise.name.isidentifier()  # check.<name> is how a notebook calls it


@each_exercise
def test_header_numbers_are_in_their_ranges(exercise):
    assert 1 <= exercise.stars <= 5 and 1 <= exercise.importance <= 5 and exercise.minutes > 0
    assert all(law.points > 0 for law in exercise.laws)


def test_names_are_unique_in_the_course():
    names = [exercise.full_name for exercise in EXERCISES]
    assert len(set(names)) == len(names)


@each_exercise
@under_each_seed
def test_equal_seeds_draw_equal_cases_and_other_seeds_other_numbers(exercise, seed):
    once, again = exercise.cases(seed), exercise.cases(seed)
    assert [case.name for case in once] == [case.name for case in again]
    assert all(_alike(a, b) for a, b in zip(once, again, strict=True))
    assert len({case.name for case in once}) == len(once), "two cases of one name"


def _alike(a, b):
    tensors = [(x, y) for x, y in zip(a.inputs, b.inputs, strict=True) if hasattr(x, "shape")]
    return all(x.shape == y.shape and x.equal(y) for x, y in tensors)


def composed_pairs(exercise, count=8):
    """A fixed sample of two mistakes whose switches differ, with the answer that makes both."""
    pairs = [(a, b, a.composed_with(b)) for a, b in combinations(exercise.mistakes, 2) if a.composed_with(b)]
    return random.Random(exercise.full_name).sample(pairs, min(count, len(pairs)))


@each_computed
def test_two_mistakes_at_once_are_diagnosed_as_those_two(exercise):
    """Unless one of them hides the other: then what is named explains all that was seen just as well."""
    exact = 0
    for first, second, both in composed_pairs(exercise):
        report = mark(exercise, both)
        if report.passed:  # the two cancel
            continue
        certain = report.diagnosed.certainty in ("two mistakes", "same outputs")
        assert certain, f"{first.name} and {second.name}: {report.message}"
        exact += report.diagnosis == f"{first.name} + {second.name}"
    assert exact >= 3


@each_hunt
def test_a_law_with_two_mistakes_is_never_called_two_mistakes(exercise):
    for _, _, both in composed_pairs(exercise):
        assert mark(exercise, both).diagnosed.certainty != "two mistakes"


@each_computed
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_an_error_nobody_listed_is_never_passed_off_as_exactly_a_known_one(exercise, way):
    report = mark(exercise, spoiled(exercise, way))
    assert not report.passed
    assert report.diagnosed.certainty in ("unknown", "same laws"), report.message


@each_computed
def test_an_error_nobody_listed_is_honestly_unknown_with_an_example_that_differs(exercise):
    report = mark(exercise, spoiled_without_batch(exercise))
    assert not report.passed
    assert report.diagnosed.certainty == "unknown" and report.diagnosis is None, report.message
    assert "Not a mistake that we know." in report.message
    assert not close(report.example.got, report.example.want)


@each_question
def test_a_question_has_exactly_one_right_choice(question):
    assert [choice.right for choice in question.choices.values()].count(True) == 1
    assert len(question.choices) >= 2


@each_question
def test_every_choice_of_a_question_has_feedback_of_its_own(question):
    feedback = [choice.feedback.strip() for choice in question.choices.values()]
    assert all(feedback)
    assert len(set(feedback)) == len(feedback)


def test_names_of_questions_are_unique_in_the_course():
    names = [question.name for question in QUESTIONS]
    assert len(set(names)) == len(names)
