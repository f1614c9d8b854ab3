"""Every rule of the lint finds what it is for, and says where."""

from types import SimpleNamespace

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from grader.pipeline.lint import code, lint, names, prose, questions, run, structure
from grader.pipeline.source import SECTIONS, read


@pytest.fixture
def source(tmp_path):
    """source(text) -> the parsed lesson."""

    def source(text: str):
        path = tmp_path / "90_tiny.py"
        path.write_text(text)
        return read(path)

    return source


def choice(right=False, feedback="Because."):
    return SimpleNamespace(text="so", feedback=feedback, right=right)


def question(name="q", **changed):
    return SimpleNamespace(name=name, text="?", choices={"a": choice(right=True), "b": choice(), **changed})


def exercise(name="mean", stretch=False, mistakes=("one",), hints=("1", "2", "3", "4")):
    return SimpleNamespace(name=name, stretch=stretch, mistakes=mistakes, hints=hints)


def checks(exercises=(), predictions=(), recall=3, quiz=6):
    return SimpleNamespace(
        exercises={exercise.name: exercise for exercise in exercises},
        predictions={name: question(name) for name in predictions},
        recall_items=(question(),) * recall,
        quiz_items=(question(),) * quiz,
    )


def test_sections_missing_and_out_of_order(source):
    text = "\n".join(f'# %% [markdown] section="{section}"\n# text\n' for section in SECTIONS)
    assert list(structure.sections_in_order(source(text))) == []
    found = source('# %% [markdown] section="quiz"\n# a\n\n# %% [markdown] section="card"\n# b\n')
    missing, order = structure.sections_in_order(found)
    assert missing.startswith("sections: recall, puzzle, intuition") and missing.endswith("sources missing")
    assert order.endswith("got quiz, card")


def test_card_first_with_its_placeholder(source):
    assert list(structure.card_first(source("# %% [markdown]\n# a"))) == ['cell 1: expected the card (section="card")']
    assert "{{card}} missing" in next(structure.card_first(source('# %% [markdown] section="card"\n# a')))
    assert list(structure.card_first(source('# %% [markdown] section="card"\n# {{card}}'))) == []


def test_number_of_cells(source):
    assert list(structure.number_of_cells(source("# %%\n1\n" * 44))) == ["44 cells; expected 45 to 75"]
    assert list(structure.number_of_cells(source("# %%\n1\n" * 75))) == []


def test_interactive_figures(source):
    two = '# %% role="interactive"\n1\n' * 2
    assert list(structure.interactive_figures(source(two))) == []
    assert next(structure.interactive_figures(source("# %%\n1"))).startswith("0 interactive figures")


def test_long_markdown_cells_without_counting_code_and_formulas(source):
    long = "# %% [markdown]\n# " + "word " * 181
    assert list(prose.short_cells(source(long))) == ["cell 1: 181 words; expected at most 180"]
    assert prose.words("two words ```\nnot these\n``` $$ x + y $$ <b>three</b> - |") == 3


def test_prose_for_each_code_cell(source):
    text = "# %% [markdown]\n# " + "word " * 111 + "\n\n# %%\n1\n"
    assert next(prose.prose_for_code(source(text))).startswith("111 words of prose for each code cell")


@pytest.mark.parametrize("word", ["Just", "simply", "obviously"])
def test_forbidden_words(source, word):
    found = list(prose.forbidden_words(source(f"# %% [markdown]\n# It is {word} so.\n# `just` is code; adjust it")))
    assert len(found) == 1 and f"cell 1: the word {word.lower()!r}" in found[0]


def test_code_of_more_than_thirty_lines_without_markers(source):
    text = (
        '# %% exercise="mean"\ndef mean(x):\n    ### BEGIN SOLUTION\n' + "    x += 1\n" * 29 + "    ### END SOLUTION\n"
    )
    assert list(code.no_long_cells(source(text))) == []
    assert list(code.no_long_cells(source("# %%\n" + "x = 1\n" * 31)))[0].startswith("cell 1: 31 lines")


def test_median_length_ignores_checks_and_questions(source):
    text = "# %%\na = 1\nb = 1\nprint(a)\n" + '# %% role="quiz"\ncheck.quiz(1)\n' * 5
    assert list(code.usual_length(source(text))) == []
    assert list(code.usual_length(source("# %%\n1\n"))) == ["code cells of 1 lines (median); expected 3 to 8"]


def test_figures_need_alt_and_table(source):
    text = '# %%\nfigure(f, alt="a", table=t)\nplt.figure()\nfigure(f, alt="a")\n'
    assert list(code.figures_have_words(source(text))) == ["cell 1: figure(...) without table="]


def test_views_need_their_finding_as_a_title(source):
    text = '# %%\nheads(record, title="One head looks back")\nviz.links(record)\n'
    assert list(code.figures_have_words(source(text))) == ["cell 1: links(...) without title="]


def test_every_view_is_held_to_it():
    from attnlab.viz import views

    assert set(code.WORDS) - {"figure"} == {name for name in views.__all__ if name[0].islower()} - {"fitting_view"}


def test_names_that_only_role_cells_define(source):
    text = (
        '# %% role="experiment"\nimport math\nslope, other = 2, 3\n\n'
        "# %%\nother = 1\n\n"
        '# %% exercise="mean"\ndef mean(x):\n    local = slope * other\n    return math.pi * local\n'
    )
    first, second = names.names_of_role_cells(source(text))
    assert first.startswith("cell 3: uses `math`, which cell 1 (role='experiment') defines")
    assert second.startswith("cell 3: uses `slope`, which cell 1")


def test_a_name_redefined_by_carry_on_may_be_used(source):
    text = (
        "# %%\ndef mean(x):\n    return x\n\n"
        + '# %% role="carry_on"\nmean = check.mean.carry_on(mean)\n\n# %%\nmean(1)\n'
    )
    assert list(names.names_of_role_cells(source(text))) == []


def test_predictions_are_asked_declared_and_resolved(source):
    asked = '# %%\ncheck.predict("a")\ncheck.predict("b")\ncheck.outcome("a")\n'
    assert list(questions.predictions(source(asked), checks(predictions=("a", "c")))) == [
        "2 predictions (check.predict); expected at least 4",
        "prediction 'c' is declared in the checks and never asked",
        "prediction 'b' is asked and not declared in the checks",
        "prediction 'b' is never resolved: add check.outcome('b') further down",
    ]


def test_why_questions(source):
    found = questions.why_questions(source("# %% [markdown] why=true\n# Why?"), checks())
    assert list(found) == [
        "1 why-questions (cells with why=true); expected at least 3",
        "cell 1: a why-question without its answer inside <details> … </details>",
    ]


def test_recall_and_quiz(source):
    text = (
        "# %%\n" + "".join(f"check.recall({n})\n" for n in (1, 2)) + "".join(f"check.quiz({n})\n" for n in range(1, 7))
    )
    assert list(questions.numbered_questions(source(text), checks(quiz=5))) == [
        "check.recall: expected 1 to 3 in order; got 1, 2",
        "5 quiz questions in the checks; expected 6",
    ]


def test_feedback_for_every_choice(source):
    lesson = checks(recall=0, quiz=0)
    lesson.quiz_items = (question("mask", c=choice(right=True, feedback=" ")),)
    assert list(questions.feedback_for_every_choice(source(""), lesson)) == [
        "question 'mask': no feedback for choice c",
        "question 'mask': expected exactly one right choice",
    ]


def test_core_exercises_and_what_belongs_to_each(source):
    lesson = checks([exercise("a"), exercise("b", stretch=True), exercise("c", mistakes=(), hints=("1",))])
    assert list(questions.core_exercises(source(""), lesson)) == ["2 core exercises; expected at least 5"]
    assert list(questions.exercises_are_complete(source(""), lesson)) == [
        "exercise c: no mistakes in its checks, so no diagnosis",
        "exercise c: expected 4 hints; got 1",
    ]


def executed(*cells, **measured):
    return new_notebook(cells=list(cells), metadata={"attnlab": measured})


def shown(data, **metadata):
    return new_code_cell("1", outputs=[new_output("display_data", data)], metadata={"attnlab": metadata})


def test_almost_every_cell_shows_something():
    talking = [shown({"text/plain": "1"}) for _ in range(4)]
    silent, exercise_cell = (
        new_code_cell("x = 1"),
        new_code_cell("def f(): ...", metadata={"attnlab": {"exercise": "f"}}),
    )
    assert list(run.almost_every_cell_shows_something(executed(*talking, exercise_cell, silent))) == []
    found = next(run.almost_every_cell_shows_something(executed(*talking[1:], exercise_cell, silent)))
    assert found == "3 of 4 code cells show something; expected 80%: nothing after cells 5"


def test_pictures_have_words():
    notebook = executed(
        shown({"image/png": "", "text/plain": "<Figure>"}),
        shown({"text/html": '<img src="x" alt="A line that falls">'}),
        shown({"text/html": '<img src="x" alt="">'}),
    )
    assert list(run.pictures_have_words(notebook)) == [
        "cell 1: a bare picture; show it with attnlab.viz.figure(..., alt=, table=)",
        "cell 3: a picture without alt text",
    ]


def test_figure_cells_hold_a_static_picture():
    notebook = executed(shown({"text/html": "<img>"}, role="figure"), shown({"text/plain": "a"}, role="interactive"))
    found = list(run.figures_are_in_the_notebook(notebook))
    assert found == ["cell 2: role 'interactive', but no static picture in its output"]


def test_time_and_memory():
    assert list(run.quick_and_small(executed(seconds=120, peak_mb=1200, slowest_cell_s=10))) == []
    assert list(run.quick_and_small(executed(seconds=130.5, slowest_cell_s=11))) == [
        "11 s for the slowest cell; expected at most 10",
        "130.5 s for the whole lesson; expected at most 120",
        "peak_mb was not measured: build the lesson again",
    ]


def test_a_refused_lesson_is_one_shortfall(course, rewrite):
    rewrite(course, "check.mean(mean)\n", "check.mean(mean);\n")
    assert lint(course, "90_tiny")[0].startswith("refused: solutions/90_tiny/90_tiny.py, cell 8")


def test_lint_of_a_whole_lesson(built_once):
    found = lint(built_once, "90_tiny")
    assert "12 cells; expected 45 to 75" in found
    assert "cell 4: a bare picture; show it with attnlab.viz.figure(..., alt=, table=)" in found
    assert "1 core exercises; expected at least 5" in found
    assert not any("slowest" in line or "memory" in line for line in found)


def test_cells_that_are_run_when_marking_do_not_import_the_answers(source):
    imports = "from attnlab.reference.softmax import softmax\nimport attnlab.papers.dhvt\nimport torch\n"
    found = list(code.answers_stay_out_of_marking(source(f"# %%\n{imports}")))
    assert [sentence.split(",")[0] for sentence in found] == [
        "cell 1: imports attnlab.reference.softmax",
        "cell 1: imports attnlab.papers.dhvt",
    ]
    assert list(code.answers_stay_out_of_marking(source(f'# %% role="experiment"\n{imports}'))) == []
