"""The set-up scripts behind make say in plain words what is missing."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bare_machine(tmp_path):
    """A PATH with a shell and little else: no browser, no apt-get, no Python."""
    for name in ("sh", "id", "mktemp"):
        (tmp_path / name).symlink_to(shutil.which(name))
    return tmp_path


def run(script: str, path: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [ROOT / "tools" / script, *arguments],
        cwd=path,
        env={"PATH": str(path), **variables},
        capture_output=True,
        text=True,
    )


def test_without_apt_get_it_says_why_browser_tests_are_skipped(bare_machine):
    done = run("chromium.sh", bare_machine)
    assert done.returncode == 0
    assert "browser tests will be skipped: there is no apt-get here" in done.stdout


def test_a_machine_that_must_run_every_test_fails_without_chromium(bare_machine):
    assert run("chromium.sh", bare_machine, NEED_CHROMIUM="1").returncode == 1


def test_a_chromium_that_is_there_is_left_alone(bare_machine):
    (bare_machine / "chromium").symlink_to(shutil.which("sh"))
    done = run("chromium.sh", bare_machine)
    assert (done.returncode, done.stdout) == (0, "")


def test_no_python_is_told_in_words(bare_machine):
    done = run("venv.sh", bare_machine, "python3.11")
    assert done.returncode == 1
    assert "expected Python 3.11 as 'python3.11', found none" in done.stderr
    assert "make lab PYTHON=" in done.stderr


def test_another_python_is_told_in_words(bare_machine):
    other = bare_machine / "python3.9"
    other.write_text("#!/bin/sh\necho 3.9\n")
    other.chmod(0o755)
    done = run("venv.sh", bare_machine, "python3.9")
    assert done.returncode == 1
    assert "expected Python 3.11, 'python3.9' is 3.9" in done.stderr


def test_make_alone_lists_every_target():
    listing = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True, env=dict(os.environ))
    for target in ("lab", "test", "lint", "lessons", "scoreboard", "constraints"):
        assert f"make {target} " in listing.stdout
