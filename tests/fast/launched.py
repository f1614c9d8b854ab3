"""Starts every kernel as on an H100 that is not here: python -m tests.fast.launched

The tests of the numbers run kernels in the interpreter. It never sees what Triton makes of a call on a device: how it
binds and specialises the arguments, which choices of tiles it tries, what it compiles and whether that fits. Here all
of this is Triton's own, down to the machine code. Only the driver below is not: it takes a compiled kernel with its
arguments, looks at it, and does nothing. So results are no numbers to look at.

Each line that is printed is a launch, as JSON: the kernel and its constants, the grid, and what a program takes.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from pathlib import Path
from types import SimpleNamespace

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import _allocation

from attnlab import fast
from attnlab.fast import triton_attention
from attnlab.fast.ladder.triton_first import first

SHARED = 227 * 1024  # bytes of shared memory that a program may have
CHOICES = dict(triton_attention.CHOICES)
PROGRAMS = Path(triton.__file__).parent / "backends/nvidia/bin"


class Launcher:
    """Gets the memory that a kernel asks for, and writes the launch down."""

    def __init__(self, source, metadata):
        names = source.fn.arg_names
        constants = {names[place[0]]: value for place, value in source.constants.items() if len(place) == 1}
        self.kernel = {
            "kernel": f"{source.fn.module.removeprefix('attnlab.fast.')}.{metadata.name}",
            "dtypes": sorted({str(kind) for kind in source.signature.values() if str(kind).startswith("*")}),
            "constants": {name: value if isinstance(value, int) else str(value) for name, value in constants.items()},
        }
        self.scratch = metadata.global_scratch_size

    def __call__(self, x, y, z, stream, found, *rest) -> None:
        assert 0 < x < 2**31 and 0 < y < 2**16 and 0 < z < 2**16, (self.kernel, x, y, z)
        size = self.scratch * x * y * z
        if size:
            _allocation._allocator.get()(size, 128, stream)
        print(json.dumps({**self.kernel, "grid": (x, y, z), "scratch": size, **found}), flush=True)


class Driver:
    """What Triton asks of a driver, as an H100 would answer."""

    launcher_cls = Launcher

    def __init__(self):
        self.utils = SimpleNamespace(
            load_binary=lambda name, binary, shared, device: (1, {"shared": shared, **looked_at(binary)}, 0, 0, 1024),
            get_device_properties=lambda device: {"max_shared_mem": SHARED},
        )

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)

    def get_benchmarker(self):
        def once(call, quantiles):
            call()
            return [1.0] * len(quantiles)

        return once


def looked_at(binary: bytes) -> dict:
    """registers of a thread; stack: bytes of a thread that did not fit into them; instructions that make a matrix
    product on the tensor cores (products) or copy a tile by a descriptor (copies); loop: see below."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary)
        file.flush()
        used = _said_by("cuobjdump", "--dump-resource-usage", file.name)
        lines = _said_by("nvdisasm", "-c", file.name).splitlines()
    return {
        "registers": int(re.search(r"REG:(\d+)", used)[1]),
        "stack": int(re.search(r"STACK:(\d+)", used)[1]),
        "products": sum(map(makes_product, lines)),
        "copies": sum("UTMALDG" in line for line in lines),
        "loop": innermost_loop(lines),
    }


def makes_product(line: str) -> bool:
    return re.search(r"\bHG?MMA\.", line) is not None


def innermost_loop(lines: list[str]) -> int | None:
    """How many instructions the shortest loop has in which a matrix product is made, or None: what stands from a label
    to a jump back to it."""
    labels = {line.split(":")[0].strip(): i for i, line in enumerate(lines) if re.match(r"\s*\.L_x_\d+:", line)}
    jumps = ((i, re.search(r"BRA.*`\((\.L_x_\d+)\)", line)) for i, line in enumerate(lines))
    loops = [lines[labels[jump[1]] : i + 1] for i, jump in jumps if jump and labels.get(jump[1], i) < i]
    lengths = [sum("/*" in line for line in loop) for loop in loops if any(map(makes_product, loop))]
    return min(lengths, default=None)


def _said_by(program: str, *arguments: str) -> str:
    return subprocess.run([PROGRAMS / program, *arguments], capture_output=True, text=True, check=True).stdout


class There(torch.Tensor):
    """A tensor that says it is on a GPU, and is not."""

    is_cuda = property(lambda self: True)


def there(*shape: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    return torch.randn(shape).to(dtype).as_subclass(There).requires_grad_()


def back(output) -> None:
    outputs = output if isinstance(output, tuple) else (output,)
    sum(part.float().sum() for part in outputs).backward()


def choose_from(*which: str) -> None:
    """The choices of tiles that are left: each is compiled, and all of them would take minutes."""
    for name, choices in CHOICES.items():
        first, last = choices[0], choices[-1]
        sorts = {"first": first, "first without descriptors": (*first[:-1], False), "last": last}
        assert sorts["first without descriptors"] in choices
        triton_attention.CHOICES[name] = [sorts[sort] for sort in which]
    triton_attention._tuned.cache_clear()


def start_attention() -> None:
    first(*(there(100, 64) for _ in range(3)))
    choose_from("first", "first without descriptors")
    back(fast.attention(*(there(1, 2, 300, 128) for _ in range(3))))
    choose_from("first", "last")
    query, key = there(2, 4, 200, 64, dtype=torch.float16), there(2, 2, 230, 64, dtype=torch.float16)
    back(fast.attention(query, key, key, causal=True, return_lse=True))
    where = fast.layout([3, 0, 50], 60)
    back(fast.packed_attention(*(there(53, 2, 64) for _ in range(3)), where, causal=True))
    mask = (torch.rand(1, 1, 40, 40) > 0.5).as_subclass(There)
    back(fast.attention(*(there(1, 2, 40, 20) for _ in range(3)), mask, bias=there(2, 40, 40)))  # rows of 40 bytes
    choose_from("last")
    back(fast.attention(*(there(1, 1, 40, 64, dtype=torch.float32) for _ in range(3))))


def start_windows() -> None:
    for dtype in (torch.bfloat16, torch.float32):
        back(fast.dilated_attention(*(there(2, 8, 100, dtype=dtype) for _ in range(3)), there(8, 3, dtype=dtype), 4))
        back(fast.neighbourhood_attention(*(there(2, 9, 9, 48, dtype=dtype) for _ in range(3)), window=(3, 7)))


def start_gates() -> None:
    features, reduce, expand, kernel = there(2, 64, 56, 56), there(4, 64), there(64, 4), there(1, 2, 7, 7)
    back(fast.squeeze_excitation(features, reduce, expand))
    back(fast.channel_attention(features, reduce, expand))
    back(fast.spatial_attention(features, kernel))
    back(fast.cbam(features, reduce, expand, kernel))


def main() -> None:
    triton.runtime.driver.set_active(Driver())
    triton_attention._copies_tiles = lambda device: True
    triton_attention._scratch = lambda size, alignment, stream: torch.empty(size, dtype=torch.uint8)
    start_attention()
    start_windows()
    start_gates()


if __name__ == "__main__":
    main()
