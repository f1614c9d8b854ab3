"""Compile the kernels of windows for an H100, with Triton's own compiler and assembler: this needs no GPU.

Run as a program, without TRITON_INTERPRET: a kernel that was made for the interpreter cannot be compiled any more.
Prints a line for each kernel that went through.
"""

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from attnlab.fast import dilated_kernels, neighbourhood_kernels

NUMBERS = {"lse", "delta", "grad_relative"}  # always float32
SIZES = {"size": ("i32",) * 3, "step": ("i32",) * 3, "scale": "fp32"}
WIDTHS = {"WIDTH": 48, "FEATURES": 64, "BLOCK_WIDTH": 64, "BLOCK_FEATURES": 64, "BLOCK": 16}
CASES = [
    (dilated_kernels.forward_kernel, {"TAPS": 3, "BLOCK": 1024, "KEEP": True}),
    (dilated_kernels.forward_kernel, {"TAPS": 3, "BLOCK": 32, "KEEP": False}),
    (dilated_kernels.query_kernel, {"TAPS": 3, "BLOCK": 1024}),
    (dilated_kernels.key_value_kernel, {"TAPS": 3, "BLOCK": 1024}),
    (neighbourhood_kernels.forward_kernel, {"WINDOW": (1, 7, 7), **WIDTHS}),
    (neighbourhood_kernels.query_kernel, {"WINDOW": (3, 7, 7), **WIDTHS}),
    (neighbourhood_kernels.key_value_kernel, {"WINDOW": (1, 1, 9), **WIDTHS}),
]


def signature(kernel, constants: dict, tensor: str) -> dict:
    """The type of each argument: tensors of one dtype, and whole numbers unless said otherwise."""
    tensors = {"query", "key", "value", "relative", "output", "grad", "grad_query", "grad_key", "grad_value"}
    types = dict.fromkeys(kernel.arg_names, "i32") | SIZES | dict.fromkeys(NUMBERS, "*fp32")
    types |= dict.fromkeys(tensors, f"*{tensor}") | dict.fromkeys(constants, "constexpr")
    return {name: types[name] for name in kernel.arg_names}


if __name__ == "__main__":
    for tensor in ("bf16", "fp32"):
        for kernel, constants in CASES:
            constants = constants | {"ACC": tl.float32}
            places = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
            source = ASTSource(kernel, signature(kernel, constants, tensor), places)
            made = triton.compile(source, target=GPUTarget("cuda", 90, 32))
            assert made.asm["cubin"]
            print(kernel.__name__, tensor)
