"""Starts every kernel as on an H100 that is not here: python -m tests.fast.launched

The tests of the numbers run kernels in the interpreter, which never sees what Triton makes of a call on a device: how
it binds and specialises the arguments, which choices of tiles it tries, what it compiles and whether that fits. Here
all of this is Triton's own. Only the driver below is not: it takes the compiled kernel and the arguments, and does
nothing. Each line that is printed is a launch: the kernel, its grid, the bytes of its scratch memory.
"""

from __future__ import annotations

import json
from types import SimpleNamespace

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import _allocation

from attnlab import fast
from attnlab.fast import triton_attention

SHARED = 227 * 1024  # bytes of shared memory that a program may have
launches: list[dict] = []


class Launcher:
    """Gets the memory that a kernel asks for, and writes the launch down."""

    def __init__(self, source, metadata):
        self.name = f"{source.fn.module.removeprefix('attnlab.fast.')}.{metadata.name}"
        self.scratch = metadata.global_scratch_size

    def __call__(self, x, y, z, stream, *rest) -> None:
        assert 0 < x < 2**31 and 0 < y < 2**16 and 0 < z < 2**16, (self.name, x, y, z)
        size = self.scratch * x * y * z
        if size:
            _allocation._allocator.get()(size, 128, stream)
        launches.append({"kernel": self.name, "grid": (x, y, z), "scratch": size})


class Driver:
    """What Triton asks of a driver, as an H100 would answer."""

    launcher_cls = Launcher

    def __init__(self):
        self.utils = SimpleNamespace(
            load_binary=lambda name, binary, shared, device: (1, name, 0, 0, 1024),
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


class There(torch.Tensor):
    """A tensor that says it is on a GPU, and is not."""

    is_cuda = property(lambda self: True)


def there(*shape: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    return torch.randn(shape).to(dtype).as_subclass(There).requires_grad_()


def back(output) -> None:
    outputs = output if isinstance(output, tuple) else (output,)
    sum(part.float().sum() for part in outputs).backward()


def all_kernels() -> None:
    query, key = there(2, 4, 200, 64), there(2, 2, 230, 64)
    back(fast.attention(query, key, key, causal=True, return_lse=True))
    mask = (torch.rand(1, 1, 40, 40) > 0.5).as_subclass(There)
    back(fast.attention(*(there(1, 2, 40, 20) for _ in range(3)), mask, bias=there(2, 40, 40)))  # rows of 40 bytes
    where = fast.layout([3, 0, 50], 60)
    back(fast.packed_attention(*(there(53, 2, 64) for _ in range(3)), where))
    for dtype in (torch.bfloat16, torch.float32):
        back(fast.dilated_attention(*(there(2, 8, 100, dtype=dtype) for _ in range(3)), there(8, 3, dtype=dtype), 4))
        back(fast.neighbourhood_attention(*(there(2, 9, 9, 48, dtype=dtype) for _ in range(3)), window=(3, 7)))
    features, reduce, expand, kernel = there(2, 32, 7, 7), there(4, 32), there(32, 4), there(1, 2, 7, 7)
    back(fast.squeeze_excitation(features, reduce, expand))
    back(fast.channel_attention(features, reduce, expand))
    back(fast.spatial_attention(features, kernel))
    back(fast.cbam(features, reduce, expand, kernel))


def main() -> None:
    triton.runtime.driver.set_active(Driver())
    triton_attention._copies_tiles = lambda device: True
    triton_attention._scratch = lambda size, alignment, stream: torch.empty(size, dtype=torch.uint8)
    for name, choices in triton_attention.CHOICES.items():  # one of each sort: all would take a minute
        triton_attention.CHOICES[name] = [choices[0], choices[-1]]
    all_kernels()
    for launch in launches:
        print(json.dumps(launch))


if __name__ == "__main__":
    main()
