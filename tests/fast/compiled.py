"""Compiles the kernels for a GPU that is not here: python -m tests.fast.compiled

The interpreter runs kernels as Python, so it takes what the compiler would refuse. Triton compiles without a device
when it is told the target, and its assembler says how many registers a kernel takes and whether they spill into memory.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from pathlib import Path

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from attnlab.fast.ladder import triton_backward, triton_forward
from attnlab.fast.triton_attention import CHOICES

HOPPER = GPUTarget("cuda", 90, 32)
NUMBERS = {"n_heads", "group", "n_queries", "n_keys", "bias_heads", "items", "heads"}
KINDS = {
    "plain": {},
    "causal": {"CAUSAL": True},
    "everything": {"CAUSAL": True, "HAS_MASK": True, "HAS_BIAS": True, "HAS_GRAD_LSE": True},
    "packed": {"CAUSAL": True, "PACKED": True},
}
KERNELS = [
    triton_forward.forward_kernel,
    triton_backward.delta_kernel,
    triton_backward.key_value_kernel,
    triton_backward.query_kernel,
    triton_backward.bias_kernel,
]


def constants(kernel, width: int, dtype: str, kind: str, tile: tuple[int, int], described: bool) -> dict:
    block = triton.next_power_of_2(width)
    wanted = {
        "WIDTH": width, "FEATURES": width, "BLOCK_WIDTH": block, "BLOCK_FEATURES": block, "BLOCK_Q": tile[0],
        "BLOCK_K": tile[1], "CAUSAL": False, "HAS_MASK": False, "HAS_BIAS": False, "PACKED": False,
        "DESCRIBED": described, "HAS_GRAD_LSE": False, "PRECISION": "ieee" if dtype == "fp32" else "tf32",
        "ACC": tl.float32,
    } | KINDS[kind]  # fmt: skip
    return {name: value for name, value in wanted.items() if name in kernel.arg_names}


def type_of(name: str, dtype: str, chosen: dict):
    """The type of an argument, as `triton_attention` passes it."""
    if name in chosen:
        return "constexpr"
    if name.endswith("_strides"):
        axes = {"mask": 4, "bias": 4, "db": 4, "lse": 2, "d": 2}.get(name.removesuffix("_strides"), 3)
        return ("i32",) * axes
    if name in NUMBERS:
        return "i32"
    if name == "scale":
        return "fp32"
    kinds = {"lse": "fp32", "delta": "fp32", "grad_lse": "fp32", "query_starts": "i32", "key_starts": "i32"}
    kinds |= {"mask": "u8" if chosen.get("HAS_MASK") else "i32"}
    if name == "bias" and not chosen.get("HAS_BIAS", True):
        return "*i32"
    return "*" + kinds.get(name, dtype)


def compile_for_hopper(kernel, width: int, dtype: str, kind: str, choice: tuple) -> dict:
    """Registers of a thread, bytes spilled, shared memory of a program, and matrix products of the tensor cores.

    loop: instructions of the innermost loop with such products, for one tile. copies: by the unit for whole tiles.
    """
    queries, keys, warps, stages, described = choice
    chosen = constants(kernel, width, dtype, kind, (queries, keys), described)
    types = {name: type_of(name, dtype, chosen) for name in kernel.arg_names}
    even = [["tt.divisibility", 16]]  # pointers and strides are multiples of 16, as they mostly are
    attributes = {}
    for i, kinds in enumerate(types.values()):
        if isinstance(kinds, tuple):
            attributes |= {(i, j): even for j in range(len(kinds))}
        elif kinds.startswith("*"):
            attributes[(i,)] = even
    places = {(kernel.arg_names.index(name),): value for name, value in chosen.items()}
    source = ASTSource(fn=kernel, signature=types, constexprs=places, attrs=attributes)
    made = triton.compile(source, target=HOPPER, options={"num_warps": warps, "num_stages": stages})
    counts = {
        "products": made.asm["ptx"].count("wgmma.mma_async"),
        "copies": made.asm["ptx"].count("cp.async.bulk.tensor"),
    }
    return {"shared": made.metadata.shared, **counts, **assembled(made)}


def assembled(made) -> dict:
    programs = Path(triton.__file__).parent / "backends/nvidia/bin"
    with tempfile.TemporaryDirectory() as folder:
        source, binary = Path(folder, "kernel.ptx"), Path(folder, "kernel.cubin")
        source.write_text(made.asm["ptx"])
        command = [programs / "ptxas", "-v", "--gpu-name=sm_90a", source, "-o", binary]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        listed = subprocess.run(
            [programs / "nvdisasm", "-c", binary], capture_output=True, text=True, check=True
        ).stdout
    return {
        "registers": int(re.search(r"Used (\d+) registers", said)[1]),
        "spilled": int(re.search(r"(\d+) bytes spill stores", said)[1]),
        "loop": innermost_loop(listed.splitlines()),
    }


def innermost_loop(lines: list[str]) -> int | None:
    """How many instructions the shortest loop has in which a matrix product is made: what stands from a label to the
    jump back to it. None where there is no such loop."""
    labels = {line.split(":")[0].strip(): i for i, line in enumerate(lines) if re.match(r"\s*\.L_x_\d+:", line)}
    jumps = ((i, re.search(r"BRA.*`\((\.L_x_\d+)\)", line)) for i, line in enumerate(lines))
    back = [lines[labels[jump[1]] : i + 1] for i, jump in jumps if jump and labels.get(jump[1], i) < i]
    with_products = [loop for loop in back if any("HGMMA" in line for line in loop)]
    return min((sum("/*" in line for line in loop) for loop in with_products), default=None)


def main() -> None:
    """Each kernel in each dtype, as the first choice of its tiles has it, and one of each other kind of problem."""
    for kernel in KERNELS:
        name = kernel.fn.__name__
        choices = CHOICES.get(name, [(64, 64, 8, 1, False)])
        by_address = next(choice for choice in choices if not choice[-1])
        kinds = [("bf16", "plain", choices[0]), ("fp16", "causal", choices[0]), ("bf16", "everything", by_address)]
        kinds += [("bf16", "packed", choices[0])] if "PACKED" in kernel.arg_names else []
        kinds += [("bf16", "plain", by_address)] if by_address != choices[0] else []
        for dtype, kind, choice in kinds:
            found = compile_for_hopper(kernel, 128, dtype, kind, choice)
            print(json.dumps({"kernel": name, "dtype": dtype, "kind": kind, "choice": choice, **found}), flush=True)
        found = compile_for_hopper(kernel, 64, "fp32", "plain", choices[-1])
        print(
            json.dumps({"kernel": name, "dtype": "fp32", "kind": "plain", "choice": choices[-1], **found}), flush=True
        )


if __name__ == "__main__":
    main()
