"""What is committed is what a build would write."""

import subprocess
import sys
from pathlib import Path


def test_no_committed_notebook_is_stale(root: Path):
    command = [sys.executable, "-m", "grader.pipeline", "check"]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
