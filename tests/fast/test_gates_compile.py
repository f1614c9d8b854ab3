"""Every kernel of the gates compiles for Hopper, without a GPU. What the interpreter takes, the compiler may refuse."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("dtype", "layout"), [("bfloat16", [])])
def test_every_kernel_compiles_and_spills_nothing(dtype, layout):
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "tests.fast.compile_gates", dtype, "64", "56", *layout]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    kernels = set(re.findall(r"def (\w+_kernel)\(", (ROOT / "attnlab/fast/gate_kernels.py").read_text()))
    assert {line.split()[0] for line in lines} == kernels
    assert [line for line in lines if ", 0 bytes spilled" not in line] == []
