"""nbval runs every solution again; with ATTNLAB_STRICT a check that does not pass is an error."""

import subprocess
import sys
from pathlib import Path

import pytest

from grader.pipeline.kernel import environment


@pytest.mark.slow
def test_a_solution_runs_again_under_nbval(solved: Path, root: Path, tmp_path: Path):
    # nbval-lax: a cell fails where it raises; measured times in outputs may differ.
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-cell-timeout=120", "-q", str(solved)]
    options = ["-p", "no:cacheprovider", "-p", "no:randomly", "--rootdir", str(root)]
    run = subprocess.run(
        [*command, *options],
        cwd=solved.parent,
        env=environment(root, tmp_path / "progress.json", ATTNLAB_STRICT="1"),
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
