"""Kernels as the compiler makes them, for a GPU that is not here: see `tests.fast.launched`."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("triton")

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.xdist_group("kernels as compiled")  # on one worker: they are compiled once


@pytest.fixture(scope="module")
def started() -> list[dict]:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "tests.fast.launched"]
    said = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
    assert said.returncode == 0, said.stderr[-3000:]
    return [json.loads(line) for line in said.stdout.splitlines()]


def test_every_kernel_is_started_and_fits(started):
    assert {one["kernel"] for one in started} == set(kernels_of(ROOT / "attnlab/fast"))
    assert all(one["shared"] <= 227 * 1024 for one in started)


def kernels_of(folder: Path) -> Iterator[str]:
    for file in folder.rglob("*.py"):
        module = ".".join(file.relative_to(folder).with_suffix("").parts)
        names = re.findall(r"^def ([a-z]\w*_kernel)\(", file.read_text(), re.MULTILINE)
        yield from (f"{module}.{name}" for name in names)


def test_products_are_made_by_the_tensor_cores(started):
    by_hand = ("delta_kernel", "dilated", "neighbourhood", "gate_kernels")
    for one in started:
        if not any(name in one["kernel"] for name in by_hand) and one["constants"].get("PRECISION", "tf32") == "tf32":
            assert one["products"], one


def test_first_choices_of_tiles_and_all_gates_stay_in_the_registers(started):
    of_gates = [one for one in started if one["kernel"].startswith("gate_kernels")]
    plain = [one for one in started if one["constants"].get("WIDTH") == 128]
    assert len(of_gates) >= 10 and len(plain) >= 6
    for one in of_gates + plain:
        assert one["stack"] == 0, one


def test_descriptors_copy_tiles_and_shorten_the_loop(started):
    plain = [one for one in started if one["constants"].get("WIDTH") == 128]
    for name in {one["kernel"] for one in plain}:
        with_them, without = (
            next(one for one in plain if one["kernel"] == name and one["constants"]["DESCRIBED"] is described)
            for described in (True, False)
        )
        assert with_them["copies"] and with_them["scratch"] and not without["copies"] and not without["scratch"]
        assert with_them["loop"] < 0.95 * without["loop"], (with_them, without)
