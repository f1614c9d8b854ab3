"""How much memory a call takes beyond what it is given and what it returns, as torch's allocator counts it."""

from __future__ import annotations

import gc

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile


def extra_memory(call) -> int:
    """Bytes at the highest point of `call()`, kernels' own ones too, without the tensors that it returns."""
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        results = call()
    events = [event for event in record.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = highest = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        highest = max(highest, held)
    return highest - sum(result.numel() * result.element_size() for result in results)


def forward(call, *leaves: Tensor):
    """For `extra_memory`: the output alone, as in inference."""

    def run():
        with torch.no_grad():
            return [call(*leaves)]

    return run


def forward_and_backward(call, *leaves: Tensor, grad: Tensor):
    """For `extra_memory`: output and gradients. `grad` is made before, so it counts as given."""

    def run():
        output = call(*leaves)
        return [output.detach(), *torch.autograd.grad(output, leaves, grad)]

    return run
