"""Residual networks with a place for a gate, to count and to try what channel and place gates cost.

    out = ReLU(x + gate(F(x)))        He et al. 2016; the gate's place: Hu et al. 2018 and Woo et al. 2018, figure 3

`F` is the bottleneck 1x1, 3x3, 1x1 (50 layers and more) or the basic block 3x3, 3x3 (18, 34), each convolution with its
batch norm. `gate` is made for the width that `F` returns; without one the network is the plain ResNet.
"""

from collections.abc import Callable, Sequence

from jaxtyping import Float
from torch import Tensor, nn

GateFor = Callable[[int], nn.Module]  # channels -> a module that keeps the shape


def conv_norm(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """A convolution without bias, and its batch norm."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


class Block(nn.Module):
    """One residual block around `branch`; the shortcut is projected where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int, branch: nn.Module, gate: GateFor | None):
        super().__init__()
        same = inputs == outputs and stride == 1
        self.branch = branch
        self.gate = gate(outputs) if gate is not None else nn.Identity()
        self.shortcut = nn.Identity() if same else conv_norm(inputs, outputs, 1, stride)

    def forward(self, features: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c2 y2 x2"]:
        return (self.shortcut(features) + self.gate(self.branch(features))).relu()


def basic_block(inputs: int, width: int, stride: int, gate: GateFor | None, stride_in_first: bool) -> Block:
    """3x3, 3x3. Its output is as wide as its inside."""
    branch = nn.Sequential(conv_norm(inputs, width, 3, stride), nn.ReLU(), conv_norm(width, width, 3))
    return Block(inputs, width, stride, branch, gate)


def bottleneck(inputs: int, width: int, stride: int, gate: GateFor | None, stride_in_first: bool) -> Block:
    """1x1, 3x3, 1x1. Its output is four times as wide as its inside."""
    first, second = (stride, 1) if stride_in_first else (1, stride)
    branch = nn.Sequential(
        *(conv_norm(inputs, width, 1, first), nn.ReLU()),
        *(conv_norm(width, width, 3, second), nn.ReLU()),
        conv_norm(width, 4 * width, 1),
    )
    return Block(inputs, 4 * width, stride, branch, gate)


BLOCKS = {18: (basic_block, (2, 2, 2, 2)), 34: (basic_block, (3, 4, 6, 3))} | {
    depth: (bottleneck, blocks) for depth, blocks in ((50, (3, 4, 6, 3)), (101, (3, 4, 23, 3)), (152, (3, 8, 36, 3)))
}


class ResNet(nn.Module):
    """Images in, class scores out.

    stride_in_first: the bottleneck halves the map in its first 1x1 convolution, as in the paper and the official Caffe
    networks of SE (3.86 G multiply-accumulates at 224 x 224); False, as most PyTorch code, in the 3x3 (4.09 G).
    stages: in which of the four stages blocks get a gate; all, unless said otherwise.
    """

    def __init__(
        self,
        depth: int = 50,
        classes: int = 1000,
        gate: GateFor | None = None,
        stride_in_first: bool = False,
        stages: Sequence[int] = (0, 1, 2, 3),
    ):
        super().__init__()
        if depth not in BLOCKS:
            raise ValueError(f"Expected a depth of {', '.join(map(str, BLOCKS))}, got {depth}.")
        block, counts = BLOCKS[depth]
        self.stem = nn.Sequential(conv_norm(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1))
        inputs, made = 64, []
        for stage, count in enumerate(counts):
            of_stage = gate if stage in stages else None
            for i in range(count):
                stride = 2 if i == 0 and stage > 0 else 1
                made.append(block(inputs, 64 * 2**stage, stride, of_stage, stride_in_first))
                inputs = made[-1].branch[-1][1].num_features
        self.blocks = nn.Sequential(*made)
        self.classifier = nn.Linear(inputs, classes)

    def forward(self, images: Float[Tensor, "b 3 y x"]) -> Float[Tensor, "b classes"]:
        return self.classifier(self.blocks(self.stem(images)).mean(dim=(-2, -1)))
