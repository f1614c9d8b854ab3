"""Each refusal names the file, the cell, what was expected, what came, and the way out."""

# ruff: noqa: E501  the messages are as long as they are

import pytest

from grader.pipeline.refusal import Refused
from grader.pipeline.refuse import refuse

SLUG = "90_tiny"
EXERCISE = '# %% exercise="mean"\n'
CHECK = '# %% check="mean"\ncheck.mean(mean)\n'
BODY = "    ### BEGIN SOLUTION\n    return sum(numbers) / len(numbers)\n    ### END SOLUTION\n"
TEXT = '# %% [markdown] exercise_text="mean"\n# Write the mean.\n\n\n'
MEAN = f'{EXERCISE}def mean(numbers):\n    """The mean of a list."""\n{BODY}'

REFUSALS = {
    "an exercise without a check": (
        CHECK,
        "",
        "cell 7: expected a check cell after exercise 'mean'; got none. Add `# %% check=\"mean\"` with the line"
        " `check.mean(mean)` below the exercise.",
    ),
    "a check without an exercise": (
        MEAN,
        "",
        "cell 6: expected an exercise cell for exercise_text 'mean'; got none. Add `# %% exercise=\"mean\"` between"
        " text and check, or take this cell out.",
    ),
    "a check alone": (
        TEXT + MEAN,
        "",
        "cell 6: expected an exercise cell for check 'mean'; got none.",
    ),
    "an exercise without its text": (
        '# %% [markdown] exercise_text="mean"',
        "# %% [markdown]",
        "cell 7: expected a text before exercise 'mean'; got none. Add `# %% [markdown] exercise_text=\"mean\"` above",
    ),
    "a name that the checks do not have": (
        TEXT + MEAN + "\n\n" + CHECK,
        (TEXT + MEAN + "\n\n" + CHECK).replace("mean", "median"),
        "cell 6: expected a name that the checks of 90_tiny have (mean, largest); got 'median'. Correct the"
        " name, or declare the exercise in attnlab/checks.",
    ),
    "an opening without an end": (
        BODY,
        BODY.replace("    ### END SOLUTION\n", ""),
        "cell 7: expected `### END SOLUTION`; got the end of the cell. Close the solution region.",
    ),
    "a region opened twice": (
        BODY,
        "    ### BEGIN SOLUTION\n" + BODY,
        "cell 7: expected `### END SOLUTION` first; got a second `### BEGIN SOLUTION`. Close the first region.",
    ),
    "a region closed twice": (
        BODY,
        BODY + "    ### END SOLUTION\n",
        "cell 7: expected `### BEGIN SOLUTION` first; got `### END SOLUTION`.",
    ),
    "a marker in a cell that is no exercise": (
        "numbers = load_numbers()\n",
        "### BEGIN SOLUTION\nnumbers = load_numbers()\n### END SOLUTION\n",
        "cell 2: expected solution markers in exercise cells only; got `### BEGIN SOLUTION`.",
    ),
    "a marker with words beside it": (
        "    ### BEGIN SOLUTION\n    return sum",
        "    ### BEGIN SOLUTION here\n    return sum",
        "cell 7: expected `### BEGIN SOLUTION` alone on its line; got `### BEGIN SOLUTION here`.",
    ),
    "an exercise without a solution region": (
        BODY,
        "    return sum(numbers) / len(numbers)\n",
        "cell 7: expected a solution region in exercise 'mean'; got none, so the learner would be given the answer.",
    ),
    "a region outside a function": (
        BODY,
        BODY + "### BEGIN SOLUTION\nassert mean([1])\n### END SOLUTION\n",
        "cell 7: expected solution regions inside a function; got one outside, where the stub would stop an untouched"
        " notebook.",
    ),
    "a stub that does not define the exercise": (
        "def mean(numbers):\n",
        "def average(numbers):\n",
        "cell 7: expected the stub to define `mean`; got average.",
    ),
    "a stub that is no Python": (
        BODY,
        "    if numbers:\n    ### BEGIN SOLUTION\n        return sum(numbers) / len(numbers)\n    ### END SOLUTION\n",
        "cell 7: expected Python when the solution is taken out; got expected an indented block",
    ),
    "a check cell with more than its line": (
        "check.mean(mean)\n",
        "check.mean(mean)\nprint(1)\n",
        "cell 8: expected exactly `check.mean(mean)`; got `check.mean(mean)\nprint(1)`. The cell is marked by its value",
    ),
    "the same exercise twice": (
        CHECK,
        MEAN + "\n" + CHECK,
        'cell 8: expected exercise="mean" once; got 2 cells.',
    ),
    "a magic": (
        "numbers = load_numbers()\n",
        "numbers = load_numbers(\n",
        "cell 2: expected Python; got '(' was never closed in its line 4.",
    ),
    "an unknown key": (
        '# %% role="figure"',
        '# %% roll="figure"',
        "cell 4: expected after %% of a code cell only exercise, check, role; got `roll`.",
    ),
    "a markdown key over code": (
        '# %% role="figure"',
        '# %% section="card"',
        "cell 4: expected after %% of a code cell only exercise, check, role; got `section`.",
    ),
    "an unknown role": (
        'role="figure"',
        'role="picture"',
        "cell 4: expected role to be one of predict, quiz",
    ),
    "an unknown section": (
        'section="card"',
        'section="cart"',
        "cell 1: expected section to be one of card, recall",
    ),
    "a role and an exercise": (
        EXERCISE,
        '# %% exercise="mean" role="figure"\n',
        "cell 7: expected a role or an exercise or a check; got exercise and role.",
    ),
    "a name with a dot": (
        EXERCISE,
        '# %% exercise="tiny.mean"\n',
        "cell 7: expected exercise to name a function or class; got 'tiny.mean'.",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refuses(name, course, rewrite):
    old, new, message = REFUSALS[name]
    rewrite(course, old, new)
    with pytest.raises(Refused) as refusal:
        refuse(course.source(SLUG), course.checks(SLUG))
    assert str(refusal.value).startswith(f"solutions/90_tiny/90_tiny.py, {message}")


def test_refuses_an_exercise_that_the_lesson_never_uses(course, rewrite):
    text = (course.solutions / SLUG / f"{SLUG}.py").read_text()
    rewrite(course, text[text.index('# %% [markdown] exercise_text="largest"') :], "")
    with pytest.raises(Refused) as refusal:
        refuse(course.source(SLUG), course.checks(SLUG))
    assert str(refusal.value) == (
        "solutions/90_tiny/90_tiny.py: expected every exercise of its checks in the lesson; got none for largest. "
        "Add text, exercise and check cells, or take the exercise out of attnlab/checks."
    )


def test_refuses_a_lesson_without_checks(course):
    (course.solutions / SLUG).rename(course.solutions / "91_tiny")
    (course.solutions / "91_tiny" / f"{SLUG}.py").rename(course.solutions / "91_tiny" / "91_tiny.py")
    with pytest.raises(Refused, match="expected checks for it .there are some for 90_tiny.; got none"):
        course.checks("91_tiny")


def test_refuses_a_number_that_no_lesson_has(course):
    assert course.slugs(("90",)) == [SLUG]
    with pytest.raises(Refused, match="expected one of 90_tiny; got 7. Name a lesson by its number."):
        course.slugs(("7",))


def test_accepts_the_tiny_lesson(course):
    refuse(course.source(SLUG), course.checks(SLUG))
