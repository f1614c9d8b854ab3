"""The Triton kernels as one differentiable function, with their launches and the sizes of their tiles."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from attnlab.fast.ladder import triton_backward, triton_forward
from attnlab.fast.ladder.triton_tiles import LOG2_E
from attnlab.fast.once import once_differentiable
from attnlab.fast.problem import Problem
from attnlab.fast.start import start
from attnlab.fast.tensors import accumulator, rows_together

INTERPRETED = triton.knobs.runtime.interpret


@dataclass(frozen=True)
class Packed:
    """Sequences one behind the other: where each begins, (batch + 1) int32, and the longest, for queries and keys."""

    query_starts: Tensor
    key_starts: Tensor
    longest_query: int
    longest_key: int


def triton_attention(problem: Problem, packed: Packed | None = None) -> tuple[Tensor, Tensor]:
    """Output like the query, with the value's features, and the log-sum-exp (batch, heads, queries) in float32.

    Packed: the batch axis has size 1, and the axis of the tokens holds all sequences.
    """
    return _Flash.apply(problem.query, problem.key, problem.value, problem.bias, problem, packed)


class _Flash(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query, key, value, bias, problem, packed):
        query, key, value = rows_together(query, key, value)
        launch = _Launch(problem, packed)
        output = query.new_empty(*query.shape[:3], value.shape[-1])
        lse = torch.empty(query.shape[:3], dtype=launch.accumulator, device=query.device)
        launch.run(
            triton_forward.forward_kernel, launch.longest_query, launch.items * query.shape[1],
            *launch.tensors(query, key, value, output, lse), *launch.tables(problem.mask, bias), *launch.starts,
            *launch.sizes, **launch.constants, described=(key, value),
        )  # fmt: skip
        ctx.save_for_backward(query, key, value, bias, output, lse, problem.mask)
        ctx.launch = launch
        ctx.set_materialize_grads(False)
        return output, lse

    @staticmethod
    @once_differentiable
    def backward(ctx, grad, grad_lse):
        query, key, value, bias, output, lse, mask = ctx.saved_tensors
        launch = ctx.launch
        tables = launch.tables(mask, bias)
        (grad,) = rows_together(torch.zeros_like(output) if grad is None else grad)
        delta = torch.empty_like(lse)
        launch.run(
            triton_backward.delta_kernel, launch.longest_query, launch.items * query.shape[1],
            *launch.tensors(output, grad), lse if grad_lse is None else grad_lse.contiguous(), *launch.tensors(delta),
            launch.starts[0], query.shape[1], launch.sizes[2],
            **launch.some("FEATURES", "BLOCK_FEATURES", "PACKED", "ACC"), HAS_GRAD_LSE=grad_lse is not None,
        )  # fmt: skip
        common = (*launch.tensors(query, key, value, grad), lse, *launch.tensors(delta))
        grads = [torch.empty_like(tensor) for tensor in (query, key, value)]
        launch.run(
            triton_backward.key_value_kernel, launch.longest_key, launch.items * key.shape[1],
            *common, *launch.tensors(grads[1], grads[2]), *tables, *launch.starts, *launch.sizes,
            **launch.constants, over_keys=True, described=(query, grad),
        )  # fmt: skip
        launch.run(
            triton_backward.query_kernel, launch.longest_query, launch.items * query.shape[1],
            *common, *launch.tensors(grads[0]), *tables, *launch.starts, *launch.sizes, **launch.constants,
            described=(key, value),
        )  # fmt: skip
        return *grads, _bias_grad(launch, common, tables, bias) if ctx.needs_input_grad[3] else None, None, None


def _bias_grad(launch: _Launch, common: tuple, tables: list, bias: Tensor) -> Tensor:
    """dS, summed in the kernel over items and heads that share a bias; over a broadcast axis of tokens, by torch."""
    batch, heads, queries, keys = launch.pairs
    table = bias.new_empty(*bias.shape[:2], queries, keys)
    items, shared = batch // bias.shape[0], heads // bias.shape[1]
    constants = {name: value for name, value in launch.constants.items() if name not in ("HAS_BIAS", "PACKED")}
    block_q, block_k = launch.tile
    grid = (triton.cdiv(queries, block_q) * triton.cdiv(keys, block_k) * bias.shape[0] * bias.shape[1],)
    start(
        triton_backward.bias_kernel, grid, *common, *launch.tensors(table), *tables,
        bias.shape[1], items, shared, *launch.sizes[1:], **constants, BLOCK_Q=block_q, BLOCK_K=block_k, num_warps=8,
    )  # fmt: skip
    return table.sum_to_size(bias.shape)


class _Launch:
    """What the launches of one problem have in common: sizes, constants, and tiles. No tensor of the caller's."""

    def __init__(self, problem: Problem, packed: Packed | None):
        query, key, value = problem.query, problem.key, problem.value
        self.pairs = problem.pairs
        self.items = query.shape[0] if packed is None else len(packed.query_starts) - 1
        self.longest_query = query.shape[2] if packed is None else packed.longest_query
        self.longest_key = key.shape[2] if packed is None else packed.longest_key
        unused = torch.empty(0, dtype=torch.int32, device=query.device)
        self.starts = (unused, unused) if packed is None else (packed.query_starts, packed.key_starts)
        self.packed = packed is not None
        scale = problem.scale * LOG2_E.value
        self.sizes = (query.shape[1], problem.group, self.longest_query, self.longest_key, scale)
        self.accumulator = accumulator(query)
        self.constants = {
            "WIDTH": query.shape[-1],
            "FEATURES": value.shape[-1],
            "BLOCK_WIDTH": max(triton.next_power_of_2(query.shape[-1]), 16),
            "BLOCK_FEATURES": max(triton.next_power_of_2(value.shape[-1]), 16),
            "CAUSAL": problem.causal,
            "HAS_MASK": problem.mask is not None,
            "HAS_BIAS": problem.bias is not None,
            "PACKED": self.packed,
            # float32 stays float32: the ten bits of tf32 would be a loss that nobody asked for
            "PRECISION": "ieee" if query.dtype in (torch.float32, torch.float64) else "tf32",
            "ACC": tl.float64 if query.dtype == torch.float64 else tl.float32,
        }
        self.tile = _fixed_tile(max(self.constants["BLOCK_WIDTH"], self.constants["BLOCK_FEATURES"]))

    def some(self, *names: str) -> dict:
        return {name: self.constants[name] for name in names}

    def tensors(self, *tensors: Tensor) -> list:
        """Each with its strides; packed sequences have no batch axis to step along."""
        return [part for t in tensors for part in (t, (0 if self.packed else t.stride(0), t.stride(1), t.stride(2)))]

    def tables(self, mask: Tensor | None, bias: Tensor | None) -> list:
        """Mask and bias with strides of zero where they are broadcast; where there is none, what is never read."""
        arguments = []
        for table in (mask, bias):
            if table is None:
                arguments += [self.starts[0], (0, 0, 0, 0)]
            else:
                table = table.detach().expand(self.pairs)
                arguments += [table.view(torch.uint8) if table.dtype == torch.bool else table, table.stride()]
        return arguments

    def run(
        self, kernel, length: int, others: int, *arguments, over_keys: bool = False,
        described: tuple[Tensor, ...] = (), **constants,
    ) -> None:  # fmt: skip
        """One program for each tile of `length` rows, for each of `others` (batch * heads).

        described: the tensors that the kernel walks over, to which it takes descriptors if they allow it.
        """
        if length == 0 or others == 0:
            return
        block = "BLOCK_K" if over_keys else "BLOCK_Q"
        can = bool(described) and all(_describable(tensor) for tensor in described)

        def grid(chosen):
            return (triton.cdiv(length, chosen[block]) * others,)

        if INTERPRETED:
            fixed = {"BLOCK_Q": self.tile[0], "BLOCK_K": self.tile[1], "DESCRIBED": can}
            chosen = {name: fixed[name] for name in fixed if name in kernel.arg_names}
            start(kernel, grid, *arguments, **constants, **chosen)
        else:
            triton.set_allocator(_scratch)  # here: the backward runs in a thread of its own, which has none yet
            can = can and _copies_tiles(arguments[0].device)
            long = max(self.longest_query, self.longest_key) > SHORT
            start(_tuned(kernel, can, long), grid, *arguments, **constants)


def _fixed_tile(widest: int) -> tuple[int, int]:
    """Without tuning. In the interpreter small tiles, so that a test of a few dozen tokens has edges to get wrong."""
    if INTERPRETED:
        return 16, 16
    return (64, 64) if widest <= 128 else (32, 32)


# (queries, keys, warps, stages, descriptors) to choose from, for each kernel. They are those that, compiled for compute
# capability 9.0 at one of the widths 64, 128 and 256, have the shortest loops for a pair of query and key without
# spilling registers. With descriptors loops are shorter, but each program has to make them first. Warps that only load,
# beside warps that only compute (`warp_specialize`), Triton documents for the generation after Hopper: not used here.
CHOICES = {
    "forward_kernel": [
        (128, 128, 8, 2, True), (128, 64, 8, 3, True), (128, 64, 8, 2, True), (64, 128, 4, 2, True),
        (64, 64, 4, 2, True), (128, 128, 8, 2, False), (128, 64, 8, 2, False), (64, 64, 4, 2, False),
        (32, 32, 4, 2, False),
    ],
    "key_value_kernel": [
        (32, 128, 8, 2, True), (64, 128, 8, 2, True), (128, 128, 8, 2, True), (64, 64, 8, 2, True),
        (64, 64, 4, 2, True), (32, 128, 8, 2, False), (64, 64, 8, 2, False), (64, 64, 4, 2, False),
        (32, 32, 4, 1, False),
    ],
    "query_kernel": [
        (128, 64, 8, 2, True), (128, 128, 8, 1, True), (64, 64, 4, 2, True), (128, 32, 8, 2, True),
        (128, 64, 8, 2, False), (64, 64, 4, 2, False), (64, 32, 4, 2, False), (32, 32, 4, 1, False),
    ],
}  # fmt: skip
SHORT = 1024  # tokens. Assumed, not measured: short problems want other tiles than long ones, so each have their own


@cache
def _tuned(kernel, described: bool, long: bool):
    """The kernel with a choice of tiles, tried at the first call for each width, dtype and kind of problem.

    Made at the first launch, not at import: choosing needs a device. `long` only keeps the two kinds of choices apart.
    """
    name = kernel.fn.__name__
    if name in CHOICES:
        configs = [
            triton.Config({"BLOCK_Q": q, "BLOCK_K": k, "DESCRIBED": with_them}, num_warps=warps, num_stages=stages)
            for q, k, warps, stages, with_them in CHOICES[name]
            if described or not with_them
        ]
    else:  # nothing but reading and adding
        configs = [triton.Config({"BLOCK_Q": 64}, num_warps=4)]
    kinds = ("WIDTH", "FEATURES", "CAUSAL", "HAS_MASK", "HAS_BIAS", "PRECISION", "PACKED")
    return triton.autotune(configs, [kind for kind in kinds if kind in kernel.arg_names])(kernel)


def _describable(tensor: Tensor) -> bool:
    """Whether a tensor descriptor can stand for each head: rows at multiples of 16 bytes, and none inside another."""
    axes = [axis for axis in range(3) if axis == 2 or tensor.shape[axis] > 1]  # a descriptor names the step of its rows
    aligned = tensor.data_ptr() % 16 == 0 and all(tensor.stride(axis) * tensor.itemsize % 16 == 0 for axis in axes)
    return aligned and tensor.stride(2) >= tensor.shape[-1]


@cache
def _copies_tiles(device: torch.device) -> bool:
    """Whether the device has the unit that descriptors are for; elsewhere Triton makes addresses of them again."""
    return torch.version.cuda is not None and torch.cuda.get_device_capability(device)[0] >= 9


def _scratch(size: int, alignment: int, stream: int | None) -> Tensor:
    """Memory in which the programs of a kernel keep their descriptors; torch's is aligned well enough."""
    return torch.empty(size, dtype=torch.uint8, device="cuda")
