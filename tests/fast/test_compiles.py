"""Does the compiler take our kernels, for a GPU that is not here?"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("triton")

from attnlab.fast.triton_attention import CHOICES

ROOT = Path(__file__).parents[2]


def lines_of(program: str) -> list[dict]:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    said = subprocess.run([sys.executable, "-m", program], capture_output=True, text=True, env=environment, cwd=ROOT)
    assert said.returncode == 0, said.stderr[-3000:]
    return [json.loads(line) for line in said.stdout.splitlines()]


def test_every_kernel_is_started_as_on_a_gpu():
    """Up to the driver, with Triton's own binding of arguments, tuning and compiling."""
    started = lines_of("tests.fast.launched")
    assert {one["kernel"] for one in started} == set(kernels_of(ROOT / "attnlab/fast"))
    for name in CHOICES:
        scratch = [one["scratch"] for one in started if one["kernel"].startswith("ladder") and name in one["kernel"]]
        assert min(scratch) == 0 < max(scratch), "with descriptors, which need memory, and without"


def kernels_of(folder: Path) -> Iterator[str]:
    for file in folder.rglob("*.py"):
        module = ".".join(file.relative_to(folder).with_suffix("").parts)
        names = re.findall(r"^def ([a-z]\w*_kernel)\(", file.read_text(), re.MULTILINE)
        yield from (f"{module}.{name}" for name in names)


def test_every_kernel_compiles_for_hopper_and_keeps_its_tiles_in_registers():
    found = lines_of("tests.fast.compiled")
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
