"""The interpreter takes much that the compiler refuses."""

import os
import subprocess
import sys

import pytest


def test_every_kernel_of_windows_compiles_for_a_gpu(tmp_path):
    pytest.importorskip("triton", reason="needs triton")
    from tests.fast.compiled_kernels import CASES

    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment |= {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TRITON_CACHE_DIR": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-m", "tests.fast.compiled_kernels"], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert len(run.stdout.splitlines()) == 2 * len(CASES)
