"""Starting a kernel, on the device where its tensors are."""

from collections.abc import Callable

import torch


def start(kernel, grid: tuple[int, ...] | Callable[[dict], tuple[int, ...]], *arguments, **constants) -> None:
    """`kernel[grid](...)`, on the device of the first argument, a tensor: a kernel starts on the current one otherwise.

    grid: numbers of programs, or a function of the constants; where there are none of them nothing is done.
    """
    if callable(grid) or 0 not in grid:
        with torch.cuda.device_of(arguments[0]):
            kernel[grid](*arguments, **constants)
