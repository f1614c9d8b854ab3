"""The three commands: what they print, and whether they succeed."""

import pytest
from click.testing import CliRunner

from grader.pipeline import __main__ as commands


@pytest.fixture
def command(monkeypatch, built):
    """command("check") -> (exit code, printed text), on a built tiny course."""
    monkeypatch.setattr(commands, "this_course", lambda: built)

    def command(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(commands.main, arguments)
        return result.exit_code, result.output

    return command


def test_build_says_what_it_does_and_how_long_it_took(command):
    code, printed = command("build", "90")
    assert code == 0
    assert "Building 1 lesson; those that changed are executed, up to two minutes each." in printed
    assert "90_tiny: 12 cells, outputs kept" in printed and "90_tiny: released, " in printed


def test_check_passes_on_what_was_built_and_fails_on_a_change(command, built, rewrite):
    code, printed = command("check")
    assert code == 0 and printed.startswith("1 lesson up to date")
    rewrite(built, "numbers = load_numbers()", "numbers = load_numbers()[:1]")
    code, printed = command("check")
    assert code == 1
    assert "90_tiny.ipynb: its code, or what that imports, has changed" in printed
    assert "Run `make lessons` and commit what it writes." in printed


def test_lint_lists_what_falls_short_and_fails(command):
    code, printed = command("lint")
    assert code == 1
    assert "90_tiny: " in printed and "  12 cells; expected 45 to 75" in printed
