"""What a module costs: its parameters, and the multiply-accumulates of one call.

A paper's "FLOPs" are nearly always multiply-accumulates of convolutions and linear layers, counted once: a
multiplication and an addition are one. That is what is counted here; norms, activations and pooling are not.
"""

import torch
from torch import Tensor, nn


def parameter_count(module: nn.Module) -> int:
    """Numbers that are trained. Running statistics of a norm are buffers and do not count."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


@torch.no_grad()
def multiply_accumulates(module: nn.Module, *inputs: Tensor) -> int:
    """Of all convolutions and linear layers below `module`, in one call with these inputs (a batch counts whole).

    Inputs on the meta device are enough: no number is computed then.
    """
    total = 0

    def count(layer: nn.Module, _: object, output: Tensor) -> None:
        nonlocal total
        one_output = layer.weight[0].numel()  # products that make up one number of the output
        if isinstance(layer, nn.modules.conv._ConvTransposeNd):
            raise NotImplementedError("Expected convolutions and linear layers, got a transposed convolution.")
        total += output.numel() * one_output

    layers = (nn.Linear, nn.modules.conv._ConvNd)
    hooks = [layer.register_forward_hook(count) for layer in module.modules() if isinstance(layer, layers)]
    try:
        module(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return total
