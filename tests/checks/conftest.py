"""The checks are tested on one thread, without anybody's own progress file, seed or strictness."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch):
    """Practising, with a progress file of the test's own; gives the file's path."""
    for name in ("ATTNLAB_SEED", "ATTNLAB_STRICT", "NBGRADER_EXECUTION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ATTNLAB_PROGRESS", str(tmp_path / "progress.json"))
    return tmp_path / "progress.json"


@pytest.fixture
def subprocess_python(surroundings):
    """Run code in a fresh interpreter; the result has stdout and stderr."""

    def run(code: str) -> subprocess.CompletedProcess:
        surrounding = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [sys.executable, "-c", code],
            env=surrounding,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )

    return run
