"""ResNet: "Deep Residual Learning for Image Recognition" (He et al. 2016)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import StochasticDepth

# blocks in each of the four stages, and whether a block is a bottleneck
_DEPTHS = {
    18: ((2, 2, 2, 2), False), 34: ((3, 4, 6, 3), False), 50: ((3, 4, 6, 3), True), 101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}


class Block(nn.Module):
    """Convolutions whose result is added to what came: two of 3x3, or 1x1, 3x3 and 1x1 (`bottleneck`), whose middle
    strides, as in torchvision (the paper's first one does).

    drop: `StochasticDepth` (Huang et al. 2016) leaves the convolutions out at random in training, where it is set.
    """

    def __init__(self, came: int, units: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        out = units * 4 if bottleneck else units
        if bottleneck:
            self.conv1, self.conv2 = _conv(came, units, 1), _conv(units, units, 3, stride)
            self.conv3, self.bn3 = _conv(units, out, 1), nn.BatchNorm2d(out)
        else:
            self.conv1, self.conv2 = _conv(came, units, 3, stride), _conv(units, units, 3)
        self.bn1, self.bn2 = nn.BatchNorm2d(units), nn.BatchNorm2d(units)
        self.bottleneck = bottleneck
        changes = stride > 1 or came != out
        self.downsample = nn.Sequential(_conv(came, out, 1, stride), nn.BatchNorm2d(out)) if changes else None
        self.drop = StochasticDepth(0.0, "row")

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.bottleneck:
            y = self.bn3(self.conv3(F.relu(y)))
        return F.relu(self.drop(y) + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """18 to 152 layers; torchvision's network, key by key.

    depth: 18, 34, 50, 101 or 152. With 1000 classes: 11,689,512, 21,797,672, 25,557,032, 44,549,160 and 60,192,808
    parameters; 1.81, 3.66, 4.09, 7.80 and 11.51 G multiply-adds at 224x224.
    """

    def __init__(self, classes: int = 1000, depth: int = 50) -> None:
        super().__init__()
        stages, bottleneck = _DEPTHS[depth]
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        came = 64
        for number, blocks in enumerate(stages):
            units, made = 64 << number, []
            for place in range(blocks):
                made.append(Block(came, units, 2 if number and not place else 1, bottleneck))
                came = units * (4 if bottleneck else 1)
            self.add_module(f"layer{number + 1}", nn.Sequential(*made))
        self.fc = nn.Linear(came, classes)
        _begin(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B,3,224,224) -> logits (B,classes)."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for number in range(1, 5):
            x = self.get_submodule(f"layer{number}")(x)
        out: Tensor = self.fc(x.mean((2, 3)))
        return out


class ResNet32(nn.Module):
    """The paper's network for CIFAR-10 (section 4.2): 6n + 2 layers in three stages, and shortcuts without weights,
    which take every second pixel and pad with channels of zeros.

    depth: 20, 32, 44, 56, ... width: channels of the first stage, 16 in the paper. With 10 classes and depth 20:
    269,722 parameters, 40.6 M multiply-adds; the paper says 0.27 M.
    """

    def __init__(self, classes: int = 10, depth: int = 20, width: int = 16) -> None:
        super().__init__()
        if depth % 6 != 2:
            raise ValueError(f"depth is 6n + 2: 20, 32, 44, 56; got {depth}")
        self.conv1, self.bn1 = _conv(3, width, 3), nn.BatchNorm2d(width)
        came = width
        for number in range(3):
            made = []
            for place in range((depth - 2) // 6):
                made.append(_Plain(came, width << number, 2 if number and not place else 1))
                came = width << number
            self.add_module(f"layer{number + 1}", nn.Sequential(*made))
        self.fc = nn.Linear(came, classes)
        _begin(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B,3,32,32) -> logits (B,classes)."""
        x = F.relu(self.bn1(self.conv1(x)))
        for number in range(1, 4):
            x = self.get_submodule(f"layer{number}")(x)
        out: Tensor = self.fc(x.mean((2, 3)))
        return out


class _Plain(nn.Module):
    """Two convolutions of 3x3 with a shortcut without weights (the paper's option A)."""

    def __init__(self, came: int, units: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(came, units, 3, stride), nn.BatchNorm2d(units)
        self.conv2, self.bn2 = _conv(units, units, 3), nn.BatchNorm2d(units)
        self.stride, self.new = stride, units - came
        self.drop = StochasticDepth(0.0, "row")

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        short = x[:, :, :: self.stride, :: self.stride] if self.stride > 1 else x
        if self.new:
            short = torch.cat([short, torch.zeros_like(short[:, :1]).expand(-1, self.new, -1, -1)], 1)
        return F.relu(self.drop(y) + short)


def _conv(came: int, out: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(came, out, size, stride, size // 2, bias=False)


def _begin(net: nn.Module) -> None:
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
