"""GoogLeNet: "Going Deeper with Convolutions" (Szegedy et al. 2015)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision.nets.alexnet import response_norm

# table 1: 1x1, 3x3 reduced, 3x3, 5x5 reduced, 5x5, projection of the pool
_MODULES = {
    "3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64), "4b": (160, 112, 224, 24, 64, 64), "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64), "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128), "5b": (384, 192, 384, 48, 128, 128),
}


class Conv(nn.Module):
    """A convolution with its ReLU, and with batch normalisation between where there is `norm`; `size`: of the
    kernel, padded to keep the map unless `padding` says otherwise."""

    def __init__(
        self, came: int, out: int, size: int | tuple[int, int], norm: bool = True, stride: int = 1,
        padding: int | tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        height, width = (size, size) if isinstance(size, int) else size
        around = (height // 2, width // 2) if padding is None else padding
        self.conv = nn.Conv2d(came, out, (height, width), stride, around, bias=not norm)
        self.bn = nn.BatchNorm2d(out, eps=0.001) if norm else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return F.relu(x if self.bn is None else self.bn(x))


class Inception(nn.Module):
    """Four branches beside each other: 1x1, 3x3, 5x5 and a pool, the last three with fewer channels through 1x1."""

    def __init__(self, came: int, units: tuple[int, ...], norm: bool, large: int) -> None:
        super().__init__()
        one, three_in, three, five_in, five, pooled = units
        self.branch1 = Conv(came, one, 1, norm)
        self.branch2 = nn.Sequential(Conv(came, three_in, 1, norm), Conv(three_in, three, 3, norm))
        self.branch3 = nn.Sequential(Conv(came, five_in, 1, norm), Conv(five_in, five, large, norm))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, padding=1), Conv(came, pooled, 1, norm))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class _Auxiliary(nn.Module):
    """The classifier beside: in training it brings the gradient to the middle of the network."""

    def __init__(self, came: int, classes: int, norm: bool) -> None:
        super().__init__()
        self.norm, self.conv = norm, Conv(came, 128, 1, norm)
        self.fc1, self.fc2, self.dropout = nn.Linear(2048, 1024), nn.Linear(1024, classes), nn.Dropout(0.7)

    def forward(self, x: Tensor) -> Tensor:
        published = not self.norm and x.shape[-2:] == (14, 14)            # torchvision's windows are 4x4
        x = F.avg_pool2d(x, 5, 3) if published else F.adaptive_avg_pool2d(x, 4)
        x = self.conv(x).flatten(1)
        out: Tensor = self.fc2(self.dropout(F.relu(self.fc1(x))))
        return out


class GoogLeNet(nn.Module):
    """Nine Inception modules, 22 layers that learn, two auxiliary classifiers in training.

    norm: batch normalisation in place of response normalisation, and 3x3 where the paper has 5x5: torchvision's
    `googlenet`, key by key.

    With 1000 classes: 6,998,552 parameters in use as published, 1.58 G multiply-adds at 224x224; 6,624,904 and 1.50 G
    as torchvision's. (The auxiliary classifiers add 6.4 M in training.)
    """

    aux_weight = 0.3                                     # of each auxiliary loss

    def __init__(self, classes: int = 1000, norm: bool = False) -> None:
        super().__init__()
        self.conv1 = Conv(3, 64, 7, norm, stride=2)
        self.maxpool1 = self.maxpool2 = self.maxpool3 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.maxpool4 = nn.MaxPool2d(2 if norm else 3, 2, ceil_mode=True)
        self.conv2, self.conv3 = Conv(64, 64, 1, norm), Conv(64, 192, 3, norm)
        self.lrn = None if norm else response_norm()
        came = _add_modules(self, 192, 1.0, norm, 3 if norm else 5)
        self.aux1, self.aux2 = _Auxiliary(512, classes, norm), _Auxiliary(528, classes, norm)
        self.dropout, self.fc = nn.Dropout(0.2 if norm else 0.4), nn.Linear(came, classes)
        begin(self)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        """(B,3,224,224) -> logits (B,classes); in training those of the auxiliary classifiers too."""
        x = self.maxpool1(self.conv1(x))
        x = x if self.lrn is None else self.lrn(x)
        x = self.conv3(self.conv2(x))
        x = self.maxpool2(x if self.lrn is None else self.lrn(x))
        x = self.maxpool3(self._through(x, "3a", "3b"))
        four = self._through(x, "4a")
        late = self._through(four, "4b", "4c", "4d")
        x = self.maxpool4(self._through(late, "4e"))
        x = self._through(x, "5a", "5b").mean((2, 3))
        logits: Tensor = self.fc(self.dropout(x))
        return (logits, self.aux1(four), self.aux2(late)) if self.training else logits

    def _through(self, x: Tensor, *names: str) -> Tensor:
        for name in names:
            x = self.get_submodule(f"inception{name}")(x)
        return x


class _GoogLeNet32(nn.Module):
    """The nine modules at 3/8 of their width for 32x32 pictures, after one convolution; batch normalisation, no
    auxiliary classifiers."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv1 = Conv(3, 64, 3)
        came = _add_modules(self, 64, 0.375, True, 5)
        self.dropout, self.fc = nn.Dropout(0.2), nn.Linear(came, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B,3,32,32) -> logits (B,classes)."""
        x = F.max_pool2d(self.conv1(x), 3, 2, 1)                          # 16x16
        for name in _MODULES:
            x = self.get_submodule(f"inception{name}")(x)
            if name in ("3b", "4e"):
                x = F.max_pool2d(x, 3, 2, 1)
        out: Tensor = self.fc(self.dropout(x.mean((2, 3))))
        return out


def googlenet_32(classes: int = 10) -> nn.Module:
    """GoogLeNet for 32x32 pictures."""
    return _GoogLeNet32(classes)


def _add_modules(net: nn.Module, came: int, width: float, norm: bool, large: int) -> int:
    """The nine modules, and how many channels the last one gives."""
    for name, full in _MODULES.items():
        units = tuple(scaled(n, width) for n in full)
        net.add_module(f"inception{name}", Inception(came, units, norm, large))
        came = units[0] + units[2] + units[4] + units[5]
    return came


def scaled(channels: int, width: float) -> int:
    """So many channels at a share of the width, in eights."""
    return channels if width == 1 else max(8, round(channels * width / 8) * 8)


def begin(net: nn.Module) -> None:
    """Weights after He et al."""
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu" if isinstance(layer, nn.Conv2d) else "linear")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
