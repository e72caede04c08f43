"""DenseNet: "Densely Connected Convolutional Networks" (Huang et al. 2017)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_OLD = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(\d\.)")            # names of the files that torchvision publishes


class _Layer(nn.Module):
    """Norm, ReLU, 1x1 to four times the growth, norm, ReLU, 3x3 to the growth: what is new is put beside what came."""

    def __init__(self, came: int, growth: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(came), nn.Conv2d(came, 4 * growth, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(4 * growth), nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.norm1(x)))
        return torch.cat([x, self.conv2(F.relu(self.norm2(y)))], 1)


def _features(came: int, growth: int, blocks: Sequence[int]) -> tuple[nn.Sequential, int]:
    """Blocks of dense layers with transitions, which halve channels and sides, between; how many channels come out."""
    features = nn.Sequential()
    for number, layers in enumerate(blocks, start=1):
        block = nn.Sequential()
        for place in range(1, layers + 1):
            block.add_module(f"denselayer{place}", _Layer(came, growth))
            came += growth
        features.add_module(f"denseblock{number}", block)
        if number < len(blocks):
            transition = nn.Sequential()
            transition.add_module("norm", nn.BatchNorm2d(came))
            transition.add_module("relu", nn.ReLU())
            transition.add_module("conv", nn.Conv2d(came, came // 2, 1, bias=False))
            transition.add_module("pool", nn.AvgPool2d(2))
            features.add_module(f"transition{number}", transition)
            came //= 2
    features.add_module(f"norm{len(blocks) + 1}", nn.BatchNorm2d(came))
    return features, came


class DenseNet(nn.Module):
    """DenseNet-121 with bottlenecks and compression (DenseNet-BC); torchvision's network, key by key.

    With 1000 classes: 7,978,856 parameters, 2.83 G multiply-adds at 224x224.
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        stem = {
            "conv0": nn.Conv2d(3, 64, 7, 2, 3, bias=False), "norm0": nn.BatchNorm2d(64), "relu0": nn.ReLU(),
            "pool0": nn.MaxPool2d(3, 2, 1),
        }
        dense, came = _features(64, 32, (6, 12, 24, 16))
        self.features = nn.Sequential()
        for name, layer in (*stem.items(), *dense.named_children()):
            self.features.add_module(name, layer)
        self.classifier = nn.Linear(came, classes)
        self.register_load_state_dict_pre_hook(_from_published)  # type: ignore[no-untyped-call]
        _begin(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B,3,224,224) -> logits (B,classes)."""
        out: Tensor = self.classifier(F.relu(self.features(x)).mean((2, 3)))
        return out


class _DenseNet32(nn.Module):
    """The paper's DenseNet-BC for CIFAR-10, of depth 40 and growth 12: 176,122 parameters."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(3, 24, 3, padding=1, bias=False)
        self.features, came = _features(24, 12, (6, 6, 6))
        self.classifier = nn.Linear(came, classes)
        _begin(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B,3,32,32) -> logits (B,classes)."""
        out: Tensor = self.classifier(F.relu(self.features(self.conv0(x))).mean((2, 3)))
        return out


def densenet_32(classes: int = 10) -> nn.Module:
    """DenseNet-BC of depth 40 and growth 12 for 32x32 pictures."""
    return _DenseNet32(classes)


def _from_published(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """torchvision's files say `norm.1` where its network says `norm1`."""
    for key in [k for k in state if _OLD.search(k)]:
        state[_OLD.sub(r"\1\2", key)] = state.pop(key)


def _begin(net: nn.Module) -> None:
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
        elif isinstance(layer, nn.Linear):
            nn.init.zeros_(layer.bias)
