"""Does the compiler take our kernels, for a GPU that is not here?"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

from attnlab.fast.triton_attention import CHOICES


def test_every_kernel_compiles_for_hopper_and_keeps_its_tiles_in_registers():
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "tests.fast.compiled"]
    said = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=Path(__file__).parents[2])
    assert said.returncode == 0, said.stderr[-3000:]
    found = [json.loads(line) for line in said.stdout.splitlines()]
    assert len(found) == 5 * 5 - 1 + len(CHOICES)
    for one in found:
        if one["kernel"] != "delta_kernel" and one["dtype"] != "fp32":
            assert one["products"], f"no tensor core in {one}"
        if one["kind"] == "plain" and one["kernel"] != "bias_kernel":  # that one is rare, and its tiles are not tuned
            assert one["spilled"] == 0, one
        assert one["shared"] <= 227 * 1024, one
        assert bool(one["copies"]) == one["choice"][-1], (
            f"descriptors, and nothing copied by them, or the other way: {one}"
        )
    for kernel in CHOICES:  # the first choice beside the same tiles without descriptors
        with_them, by_address = (one for one in found if one["kernel"] == kernel and "bf16 plain" == kind_of(one))
        assert with_them["choice"][:-1] == by_address["choice"][:-1]
        assert with_them["loop"] < 0.95 * by_address["loop"], (with_them, by_address)


def kind_of(one: dict) -> str:
    return f"{one['dtype']} {one['kind']}"
