"""Under autocast these functions do what torch's own attention does: tensors are cast on the way in, nothing inside.

Otherwise it would depend on the way a call takes whether its products are rounded, and what dtype comes out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import torch
from torch import Tensor

F = TypeVar("F", bound=Callable[..., Any])


def cast_once(function: F) -> F:
    """For functions whose first argument is a tensor. float64 stays what it is, as everywhere under autocast."""

    @wraps(function)
    def called(*arguments, **options):
        first = arguments[0] if arguments else next(iter(options.values()), None)
        if not isinstance(first, Tensor) or not torch.is_autocast_enabled(first.device.type):
            return function(*arguments, **options)
        dtype = torch.get_autocast_dtype(first.device.type)

        def cast(value: Any) -> Any:
            lower = isinstance(value, Tensor) and value.is_floating_point() and value.dtype != torch.float64
            return value.to(dtype) if lower else value

        with torch.autocast(first.device.type, enabled=False):
            return function(*map(cast, arguments), **{name: cast(value) for name, value in options.items()})

    return called
