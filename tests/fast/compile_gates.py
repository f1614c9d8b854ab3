"""Compile every launch of the gates for Hopper, on a machine without a GPU: python -m tests.fast.compile_gates float16

A program of its own, because a kernel that was imported for the interpreter cannot be compiled. The functions are
called as ever, forward and backward, on a CPU; where a kernel would be launched, it is compiled for these arguments
instead. Their results are therefore not numbers to look at. Prints, for each kernel: registers, bytes spilled, bytes of
shared memory, and how many instructions read or write several numbers at once.
"""

import re
import subprocess
import sys
import tempfile

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from attnlab.fast import triton_gates

HOPPER = GPUTarget("cuda", 90, 32)
POINTERS = {
    torch.float16: "*fp16",
    torch.bfloat16: "*bf16",
    torch.float32: "*fp32",
    torch.float64: "*fp64",
    torch.int32: "*i32",
}


def kind_of(argument, path: tuple[int, ...], constants: dict, hints: dict):
    """What the compiler is told of an argument: as a launch would tell it, with what it may assume."""
    if isinstance(argument, tuple):
        return tuple(kind_of(part, (*path, i), constants, hints) for i, part in enumerate(argument))
    if isinstance(argument, int) and argument == 1:
        constants[path] = 1
        return "constexpr"
    if isinstance(argument, torch.Tensor) or argument % 16 == 0:
        hints[path] = [["tt.divisibility", 16]]
    return POINTERS[argument.dtype] if isinstance(argument, torch.Tensor) else "i32"


def compiled(kernel, arguments: tuple, constants: dict):
    constexprs, hints = {}, {}
    names = kernel.arg_names
    signature = {names[i]: kind_of(a, (i,), constexprs, hints) for i, a in enumerate(arguments)}
    signature |= dict.fromkeys(constants, "constexpr")
    constexprs |= {(names.index(name),): value for name, value in constants.items()}
    return triton.compile(ASTSource(kernel, signature, constexprs, hints), target=HOPPER)


def registers_and_spills(ptx: str) -> tuple[int, int]:
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(ptx)
        file.flush()
        command = [triton.knobs.nvidia.ptxas.path, "-v", "--gpu-name=sm_90a", file.name, "-o", "/dev/null"]
        words = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    spilled = sum(int(number) for number in re.findall(r"(\d+) bytes spill", words))
    return int(re.search(r"Used (\d+) registers", words)[1]), spilled


def main(dtype: torch.dtype, channels: int, side: int, last: bool) -> None:
    def compile_only(kernel, grid, *arguments, **constants):
        binary = compiled(kernel, arguments, constants)
        registers, spilled = registers_and_spills(binary.asm["ptx"])
        options = " ".join(f"{name}={value}" for name, value in constants.items() if name != "ACC")
        wide = len(re.findall(r"(?:ld|st)\.global\S*\.v[24]", binary.asm["ptx"]))
        print(
            f"{kernel.fn.__name__:20} {registers:3} registers, {spilled} bytes spilled, "
            f"{binary.metadata.shared} shared, {wide} wide accesses  {options}"
        )

    triton_gates._run = compile_only
    hidden = max(channels // 16, 1)
    shapes = (2, channels, side, side), (hidden, channels), (channels, hidden), (hidden,), (channels,), (1, 2, 7, 7)
    features, down, up, down_bias, up_bias, kernel = (torch.randn(s).to(dtype).requires_grad_() for s in shapes)
    if last:
        features = features.to(memory_format=torch.channels_last)
    for output in (
        triton_gates.squeeze_excitation(features, down, up, down_bias, up_bias),
        triton_gates.channel_attention(features, down, up),
        triton_gates.spatial_attention(features, kernel),
        triton_gates.cbam(features, down, up, kernel),
    ):
        output.backward(torch.zeros_like(output))


if __name__ == "__main__":
    name, channels, side, *last = sys.argv[1:]
    main(getattr(torch, name), int(channels), int(side), bool(last))
