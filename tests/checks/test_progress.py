"""The progress file keeps the best, survives what it meets, and `attnlab progress` shows it."""

import json

import pytest
from click.testing import CliRunner

from attnlab.checks import find_exercise, progress
from attnlab.checks.notebook import check
from attnlab.cli import main
from attnlab.reference.attention import attention

NAME = "self_attention.attention"
EXERCISE = find_exercise(NAME)


def unscaled(query, key, value, mask=None):
    return attention(query * 3, key, value, mask)


def stub(*inputs, **keywords):
    raise NotImplementedError


def shown(*arguments):
    return CliRunner().invoke(main, ["progress", *arguments])


def test_the_best_points_are_kept_and_attempts_counted():
    for answer in (unscaled, attention, unscaled):
        check(EXERCISE, answer)
    assert progress.load()["exercises"][NAME] == {
        "points": EXERCISE.points,
        "max_points": EXERCISE.points,
        "attempts": 3,
    }


def test_what_is_not_attempted_is_not_noted(surroundings):
    check(EXERCISE, stub)
    assert not surroundings.exists()


@pytest.mark.parametrize("content", ["{half", "[]", '{"exercises": 7}', '{"exercises": {"' + NAME + '": null}}', ""])
def test_a_corrupt_file_never_stands_between_a_learner_and_a_check(surroundings, content):
    surroundings.write_text(content)
    assert check(EXERCISE, attention).passed
    assert surroundings.read_text() == content  # and it is not written over: somebody may want to mend it


def test_a_folder_that_cannot_be_made_never_stands_between_a_learner_and_a_check(tmp_path, monkeypatch):
    in_the_way = tmp_path / "a file"
    in_the_way.write_text("not a folder")
    monkeypatch.setenv("ATTNLAB_PROGRESS", str(in_the_way / "progress.json"))
    assert check(EXERCISE, attention).passed
    assert progress.answer_to("anything") is None


def test_no_half_written_file_is_left_behind(surroundings):
    check(EXERCISE, attention)
    assert [path.name for path in surroundings.parent.iterdir()] == ["progress.json"]


def test_the_command_shows_points_and_checks_lesson_by_lesson(surroundings):
    check(EXERCISE, attention)
    check(find_exercise("self_attention.causal_mask"), lambda length: None)
    result = shown()
    assert result.exit_code == 0
    lines = {
        line.split()[1]: line for line in result.output.splitlines() if line.startswith("  ") and len(line.split()) > 1
    }
    assert lines["attention"].split()[:6] == [
        "✓",
        "attention",
        str(EXERCISE.points),
        "of",
        str(EXERCISE.points),
        "1",
    ]
    assert lines["causal_mask"].strip().startswith("· causal_mask")
    assert f"05_self_attention: {EXERCISE.points} of " in result.output
    assert f"Noted in {surroundings}" in result.output
    assert "not tried" in result.output


def test_the_command_gives_json():
    check(EXERCISE, attention)
    assert json.loads(shown("--json").output)[NAME]["points"] == EXERCISE.points


def test_the_command_works_before_anything_is_done():
    assert json.loads(shown("--json").output) == {}
    assert shown().exit_code == 0


@pytest.mark.parametrize("content", ["{half", "[]", '{"exercises": 7}', '{"exercises": {"' + NAME + '": null}}'])
def test_the_command_says_what_to_do_about_a_corrupt_file(surroundings, content):
    surroundings.write_text(content)
    result = shown()
    assert result.exit_code == 1
    assert f"{surroundings} cannot be read" in result.output
    assert "Move it away, and the next check begins a new one." in result.output
