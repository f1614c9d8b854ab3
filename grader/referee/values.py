"""Values as JSON and raw bytes: numbers, text, lists, tensors and arrays by copy, everything else as a handle.

Writing is the same on both sides. Reading is strict: dtype and size of a tensor are checked against its bytes, depth
and number of items are capped, and no type of the sender's is ever built. What `write` does not know goes to `handle`,
which gives the other side a number to call it by.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from grader.referee.wire import Malformed

MAX_DEPTH = 20
MAX_ITEMS = 200_000
MAX_INT_BITS = 4096
PLAIN = (type(None), bool, str, float)
TENSORS = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        *(torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128),
        *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool),
    )
}
ARRAYS = ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")


class Writer:
    """Turns values into a tree for the head and blobs; remembers the tensors, in order, each once."""

    def __init__(self, handle: Callable[[Any], dict]):
        self.handle = handle
        self.blobs: list[memoryview | bytes] = []
        self.tensors: list[torch.Tensor] = []
        self._places: dict[int, int] = {}
        self._kept: list[torch.Tensor] = []
        self._items = 0

    def write(self, value: Any, depth: int = 0) -> Any:
        self._items += 1
        if depth > MAX_DEPTH or self._items > MAX_ITEMS:
            raise Malformed(f"a value nested deeper than {MAX_DEPTH}, or of more than {MAX_ITEMS} items")
        kind = type(value)
        if kind in PLAIN or (kind is int and value.bit_length() < 64):
            return value
        if kind in (list, tuple, set, frozenset):
            return {"k": kind.__name__, "v": [self.write(item, depth + 1) for item in value]}
        if kind is torch.Size:
            return {"k": "size", "v": list(value)}
        if kind is dict:
            return {"k": "dict", "v": [[self.write(k, depth + 1), self.write(v, depth + 1)] for k, v in value.items()]}
        if isinstance(value, torch.Tensor):
            return self._tensor(value)
        if isinstance(value, np.ndarray | np.generic) and value.dtype.str.lstrip("<>|=") in _SHORT:
            return self._array(value)
        if kind is torch.dtype:
            return {"k": "dtype", "v": str(value).removeprefix("torch.")}
        if kind is slice:
            return {"k": "slice", "v": [self.write(v, depth + 1) for v in (value.start, value.stop, value.step)]}
        if kind is complex:
            return {"k": "complex", "v": [value.real, value.imag]}
        if kind is range:
            return {"k": "range", "v": [value.start, value.stop, value.step]}
        if value is Ellipsis:
            return {"k": "..."}
        if kind is int and value.bit_length() <= MAX_INT_BITS:
            return {"k": "int", "v": hex(value)}
        return self.handle(value)

    def _tensor(self, tensor: torch.Tensor) -> dict:
        if id(tensor) in self._places:
            return {"k": "same", "i": self._places[id(tensor)]}
        self._kept.append(tensor)  # an id is its own only while the object lives
        original, tensor = tensor, _plain(tensor)
        name = str(tensor.dtype).removeprefix("torch.")
        if name not in TENSORS or tensor.layout is not torch.strided or tensor.device.type != "cpu":
            return self.handle(original)
        self._places[id(original)] = len(self.tensors)
        self.tensors.append(tensor)
        order = _layout(tensor)
        flat = tensor.detach().permute(order).resolve_conj().resolve_neg().contiguous().reshape(-1)
        self.blobs.append(memoryview(flat.view(torch.uint8).numpy()) if flat.numel() else b"")
        written = {"k": "tensor", "t": name, "s": list(tensor.shape), "b": len(self.blobs) - 1}
        if order != list(range(tensor.ndim)):
            written["o"] = order
        if tensor.requires_grad:
            written["g"] = True
        return written

    def _array(self, array: np.ndarray | np.generic) -> dict:
        scalar = isinstance(array, np.generic)
        array = np.asarray(array)
        plain = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
        self.blobs.append(plain.tobytes())
        kind = plain.dtype.kind if plain.dtype.kind != "b" else "?"
        code = kind if kind == "?" else f"{kind}{plain.dtype.itemsize}"
        return {"k": "scalar" if scalar else "array", "t": code, "s": list(array.shape), "b": len(self.blobs) - 1}


_SHORT = {"b1", *ARRAYS}


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor that a subclass is, whatever its own methods say."""
    if type(tensor) in (torch.Tensor, torch.nn.Parameter):
        return tensor
    with torch._C.DisableTorchFunctionSubclass():
        return tensor.as_subclass(torch.Tensor)


def _layout(tensor: torch.Tensor) -> list[int]:
    """The axes from the one with the largest stride to the smallest: a transposed tensor arrives as one."""
    if tensor.is_contiguous():
        return list(range(tensor.ndim))
    order = sorted(range(tensor.ndim), key=lambda axis: -tensor.stride(axis))
    return order if tensor.permute(order).is_contiguous() else list(range(tensor.ndim))


class Reader:
    """Turns a tree and blobs back into values. `resolve` makes something of a handle, or raises Malformed.

    `grads` says whether tensors that required a gradient there do so here, as new leaves.
    """

    def __init__(self, blobs: list[bytearray], resolve: Callable[[dict], Any], grads: bool = False):
        self.blobs, self.resolve, self.grads = blobs, resolve, grads
        self.tensors: list[torch.Tensor] = []
        self.flags: list[bool] = []
        self._items = 0

    def read(self, tree: Any, depth: int = 0) -> Any:
        """Raises Malformed for everything that `write` cannot have written."""
        self._items += 1
        if depth > MAX_DEPTH or self._items > MAX_ITEMS:
            raise Malformed("a value that is nested too deeply, or too long")
        if isinstance(tree, bool | str | float | None):
            return tree
        if isinstance(tree, int):
            return _small(tree)
        if not isinstance(tree, dict):
            raise Malformed("a list outside a value")
        try:
            return self._read(tree, depth)
        except (KeyError, TypeError, ValueError, IndexError, OverflowError, RuntimeError) as error:
            raise Malformed(f"a value that cannot be read: {type(error).__name__}") from error

    def _read(self, tree: dict, depth: int) -> Any:
        kind = tree.get("k")
        if kind in _CONTAINERS:
            return _CONTAINERS[kind](self.read(item, depth + 1) for item in _list(tree["v"]))
        if kind == "dict":
            return {self.read(k, depth + 1): self.read(v, depth + 1) for k, v in _list(tree["v"])}
        if kind == "tensor":
            return self._tensor(tree)
        if kind == "same":
            return self.tensors[_small(tree["i"], 0)]
        if kind in ("array", "scalar"):
            return self._array(tree)
        if kind == "size":
            return torch.Size([_small(n, 0) for n in _list(tree["v"])])
        if kind == "dtype":
            return TENSORS[tree["v"]]
        if kind == "slice":
            return slice(*[self.read(item, depth + 1) for item in _list(tree["v"])])
        if kind == "range":
            return _short_range(*[_small(n) for n in _list(tree["v"])])
        if kind == "complex":
            real, imaginary = tree["v"]
            return complex(float(real), float(imaginary))
        if kind == "...":
            return Ellipsis
        if kind == "int" and len(tree["v"]) <= MAX_INT_BITS // 4 + 3:
            return int(tree["v"], 16)
        return self.resolve(tree)

    def _tensor(self, tree: dict) -> torch.Tensor:
        dtype, shape = TENSORS[tree["t"]], [_small(n, 0) for n in _list(tree["s"])]
        order = [_small(axis, 0) for axis in _list(tree.get("o", list(range(len(shape)))))]
        if sorted(order) != list(range(len(shape))) or len(shape) > 64:
            raise Malformed("an order of axes that is none")
        blob = self.blobs[_small(tree["b"], 0)]
        if len(blob) != math.prod(shape) * dtype.itemsize:
            raise Malformed(f"a tensor of shape {shape} with {len(blob)} bytes")
        flat = torch.frombuffer(blob, dtype=torch.uint8) if blob else torch.empty(0, dtype=torch.uint8)
        if dtype is torch.bool:
            flat = flat.ne(0).view(torch.uint8)  # a byte that is neither 0 nor 1 is no boolean
        tensor = flat.view(dtype).reshape([shape[axis] for axis in order])
        tensor = tensor.permute([order.index(axis) for axis in range(len(shape))])
        wants = tree.get("g") is True and (dtype.is_floating_point or dtype.is_complex)
        if wants and self.grads:
            tensor.requires_grad_()
        self.tensors.append(tensor)
        self.flags.append(wants)
        return tensor

    def _array(self, tree: dict) -> np.ndarray | np.generic:
        if tree["t"] not in ARRAYS:
            raise Malformed("an array of another kind")
        shape = [_small(n, 0) for n in _list(tree["s"])]
        blob = self.blobs[_small(tree["b"], 0)]
        array = np.frombuffer(blob, dtype=np.dtype(tree["t"]).newbyteorder("<")).reshape(shape).copy()
        return array[()] if tree["k"] == "scalar" else array


_CONTAINERS = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}


def _list(value: object) -> list:
    if not isinstance(value, list):
        raise Malformed("expected a list")
    return value


def _short_range(*parts: int) -> range:
    if len(range(*parts)) > MAX_ITEMS:
        raise Malformed("a range that is too long")
    return range(*parts)


def _small(value: object, least: int = -(1 << 63)) -> int:
    if type(value) is not int or not least <= value < 1 << 63:
        raise Malformed("expected a whole number of 64 bits")
    return value
