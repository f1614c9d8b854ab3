"""Our own mutation operators change what they say, and the scoreboard adds up and fills the README."""

import pytest
from cosmic_ray.mutating import mutate_code

from attnlab.checks import find_exercise
from grader.mutants import mutants
from grader.mutation_operators import OWN
from grader.scoreboard import BEGIN, END, Budget, Row, budgets, fill, percentile_95, readme_table

EXAMPLES = [(operator, example) for operator in OWN for example in operator.examples()]


@pytest.mark.parametrize(("operator", "example"), EXAMPLES, ids=lambda value: getattr(value, "__name__", None))
def test_an_operator_does_what_its_example_says(operator, example):
    mutated = mutate_code(example.pre_mutation_code, operator(), example.occurrence)
    assert mutated == example.post_mutation_code


@pytest.mark.parametrize(
    ("operator", "code"),
    [
        ("SwapArguments", "x.transpose(-2, -1)"),
        ("SwapArguments", "f(a, a)"),
        ("DropStatement", 'def f():\n    """Docstring."""\n'),
        ("MatrixProduct", "def f(*, a): ..."),
    ],
)
def test_an_operator_leaves_alone_what_would_change_nothing(operator, code):
    by_name = {cls.__name__: cls for cls in OWN}
    assert mutate_code(code, by_name[operator](), 0) is None


def test_mutants_of_attention_change_scale_mask_and_product_and_differ_from_one_another():
    made = mutants(find_exercise("self_attention.attention"))
    lines = [mutant.line for mutant in made]
    assert len(made) >= 15
    assert any("masked_fill(mask, -torch.inf)" in line.replace("( mask", "(mask") for line in lines)
    assert "without: scores = scores.masked_fill(~mask, -torch.inf)" in lines
    assert len({(m.rule, m.line) for m in made}) == len(made)


def test_mutants_reach_the_helpers_of_the_same_file_and_no_others():
    lines = " ".join(mutant.line for mutant in mutants(find_exercise("welcome.nadaraya_watson")))
    assert "unsqueeze" in lines  # squared_distances, which nadaraya_watson uses
    assert "itself" not in lines  # leave_one_out, which it does not


def row(**changed):
    numbers = dict(caught=(9, 9), diagnosed=(9, 9), killed=(20, 20), accepted=(5, 5), right_ms=4.0, wrong_ms=30.0)
    return Row("tiny.mean", **(numbers | changed))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"caught": (7, 7)}, "has 7 mistakes, wants 8"),
        ({"caught": (8, 9)}, "catches 8/9 mistakes"),
        ({"diagnosed": (8, 9)}, "diagnoses 8/9 mistakes as themselves"),
        ({"accepted": (4, 4)}, "has 4 right variants, wants 5"),
        ({"accepted": (4, 5)}, "accepts 4/5 right variants"),
        ({"killed": (18, 20)}, "kills 18/20 mutants, wants 95%"),
        ({"killed": (0, 0)}, "kills 0/0 mutants, wants 95%"),
    ],
)
def test_a_bar_that_is_missed_is_named(changed, words):
    assert row(**changed).shortfalls() == [f"tiny.mean {words}"]


def test_bars_that_are_just_met_are_no_shortfall():
    assert row(caught=(8, 8), killed=(19, 20)).shortfalls() == []


def test_the_95th_percentile_is_a_value_that_95_percent_do_not_exceed():
    assert percentile_95([float(n) for n in range(1, 101)]) == 95.0
    assert percentile_95([3.0]) == 3.0
    assert percentile_95([1.0, 9.0]) == 9.0


def test_budgets_say_held_or_not_held():
    assert all(budget.held for budget in budgets([row()]))
    assert "NOT HELD" in Budget("A right answer", 20, 21.0).line()


def test_the_readme_is_filled_between_its_markers_and_nowhere_else():
    text = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    once = fill(text, readme_table([row()]))
    assert once.startswith(f"before\n{BEGIN}\n| exercise |") and once.endswith(f"{END}\nafter\n")
    assert "old" not in once and "| tiny.mean | 9/9 |" in once
    assert fill(once, readme_table([row(right_ms=5.0)])) == once, "other times do not change the README"


@pytest.mark.parametrize("text", ["nothing", BEGIN, f"{END}\n{BEGIN}"])
def test_a_readme_without_markers_is_refused_with_what_to_add(text):
    with pytest.raises(ValueError, match="expected a line <!-- scoreboard:begin -->"):
        fill(text, "table")
