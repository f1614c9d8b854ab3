"""What many of these functions need of a tensor."""

import torch
from torch import Tensor


def accumulator(tensor: Tensor) -> torch.dtype:
    """What sums over it are held in: float32, but for float64."""
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32


def rows_together(*tensors: Tensor) -> list[Tensor]:
    """For kernels that step from number to number along the last axis; any other layout is taken as it is."""
    return [tensor if tensor.stride(-1) == 1 else tensor.contiguous() for tensor in tensors]
