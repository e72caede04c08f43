"""Inception v3: "Rethinking the Inception Architecture for Computer Vision" (Szegedy et al. 2016)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision.nets.googlenet import Conv, begin, scaled

_Step = tuple[str, int, tuple[int, int]]                 # name, channels, kernel


class Mixed(nn.Module):
    """Branches of convolutions beside each other, and a pool.

    branches: each a chain of convolutions; names are those of torchvision's keys. Where a step holds two, both look
    at what the one before gave. projected: channels that a mean pool is brought to; 0: a maximum pool that strides, as
    the last convolution of each branch then does.
    """

    def __init__(
        self, came: int, branches: tuple[tuple[_Step | tuple[_Step, _Step], ...], ...], projected: int,
        padded: bool = False,
    ) -> None:
        super().__init__()
        self.chains: list[list[tuple[str, ...]]] = []
        self.projected, self.padding = projected, 1 if padded else 0
        self.out = projected or came
        for branch in branches:
            channels, chain = came, []
            for place, step in enumerate(branch):
                steps: tuple[_Step, ...] = (step,) if isinstance(step[0], str) else step
                strides = not projected and place == len(branch) - 1
                for name, out, size in steps:
                    self.add_module(name, Conv(
                        channels, out, size, stride=2 if strides else 1, padding=self.padding if strides else None))
                chain.append(tuple(name for name, _, _ in steps))
                channels = steps[0][1]
            self.out += sum(out for _, out, _ in steps)
            self.chains.append(chain)
        if projected:
            self.branch_pool = Conv(came, projected, 1)

    def forward(self, x: Tensor) -> Tensor:
        found = []
        for chain in self.chains:
            ends = [x]
            for names in chain:
                ends = [self.get_submodule(name)(ends[0]) for name in names]
            found += ends
        if self.projected:
            found.append(self.branch_pool(F.avg_pool2d(x, 3, 1, 1)))
        else:
            found.append(F.max_pool2d(x, 3, 2, self.padding))
        return torch.cat(found, 1)


def _modules(width: float) -> dict[str, tuple[tuple[tuple[_Step | tuple[_Step, _Step], ...], ...], int]]:
    """The eleven modules, figures 5 to 7 and 10 of the paper: their branches, and what their pool is brought to."""
    def w(channels: int) -> int:
        return scaled(channels, width)

    def one(name: str, channels: int) -> _Step:
        return name, w(channels), (1, 1)

    def a(projected: int) -> tuple[tuple[tuple[_Step, ...], ...], int]:
        return (
            (one("branch1x1", 64),),
            (one("branch5x5_1", 48), ("branch5x5_2", w(64), (5, 5))),
            (one("branch3x3dbl_1", 64), ("branch3x3dbl_2", w(96), (3, 3)), ("branch3x3dbl_3", w(96), (3, 3))),
        ), w(projected)

    def c(n: int) -> tuple[tuple[tuple[_Step, ...], ...], int]:
        tall, wide = (7, 1), (1, 7)
        return (
            (one("branch1x1", 192),),
            (one("branch7x7_1", n), ("branch7x7_2", w(n), wide), ("branch7x7_3", w(192), tall)),
            (one("branch7x7dbl_1", n), ("branch7x7dbl_2", w(n), tall), ("branch7x7dbl_3", w(n), wide),
             ("branch7x7dbl_4", w(n), tall), ("branch7x7dbl_5", w(192), wide)),
        ), w(192)

    fork = (1, 3), (3, 1)
    e = (
        (one("branch1x1", 320),),
        (one("branch3x3_1", 384), (("branch3x3_2a", w(384), fork[0]), ("branch3x3_2b", w(384), fork[1]))),
        (one("branch3x3dbl_1", 448), ("branch3x3dbl_2", w(384), (3, 3)),
         (("branch3x3dbl_3a", w(384), fork[0]), ("branch3x3dbl_3b", w(384), fork[1]))),
    ), w(192)
    b = (
        (("branch3x3", w(384), (3, 3)),),
        (one("branch3x3dbl_1", 64), ("branch3x3dbl_2", w(96), (3, 3)), ("branch3x3dbl_3", w(96), (3, 3))),
    ), 0
    d = (
        (one("branch3x3_1", 192), ("branch3x3_2", w(320), (3, 3))),
        (one("branch7x7x3_1", 192), ("branch7x7x3_2", w(192), (1, 7)), ("branch7x7x3_3", w(192), (7, 1)),
         ("branch7x7x3_4", w(192), (3, 3))),
    ), 0
    return {
        "Mixed_5b": a(32), "Mixed_5c": a(64), "Mixed_5d": a(64), "Mixed_6a": b, "Mixed_6b": c(128),
        "Mixed_6c": c(160), "Mixed_6d": c(160), "Mixed_6e": c(192), "Mixed_7a": d, "Mixed_7b": e, "Mixed_7c": e,
    }


class _Auxiliary(nn.Module):
    """The classifier beside, after Mixed_6e: in training it steadies the end of the descent."""

    def __init__(self, came: int, classes: int) -> None:
        super().__init__()
        self.conv0, self.conv1 = Conv(came, 128, 1), Conv(128, 768, 5, padding=0)
        self.fc = nn.Linear(768, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(self.conv0(F.avg_pool2d(x, 5, 3)))
        out: Tensor = self.fc(x.mean((2, 3)))
        return out


class InceptionV3(nn.Module):
    """Factorised convolutions, 48 layers deep; torchvision's `inception_v3`, key by key.

    With 1000 classes: 23,834,568 parameters in use, 27,161,264 with the auxiliary classifier; 5.71 G multiply-adds
    at 299x299.
    """

    aux_weight = 0.4

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Conv(3, 32, 3, stride=2, padding=0)
        self.Conv2d_2a_3x3 = Conv(32, 32, 3, padding=0)
        self.Conv2d_2b_3x3 = Conv(32, 64, 3)
        self.Conv2d_3b_1x1 = Conv(64, 80, 1)
        self.Conv2d_4a_3x3 = Conv(80, 192, 3, padding=0)
        came, self.mixed = 192, tuple(_modules(1.0))
        for name, (branches, projected) in _modules(1.0).items():
            self.add_module(name, made := Mixed(came, branches, projected))
            if name == "Mixed_6e":
                self.AuxLogits = _Auxiliary(made.out, classes)
            came = made.out
        self.dropout, self.fc = nn.Dropout(0.5), nn.Linear(came, classes)
        begin(self)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(B,3,299,299) -> logits (B,classes); in training those of the auxiliary classifier too."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        x, middle = F.max_pool2d(x, 3, 2), x
        for name in self.mixed:
            x = self.get_submodule(name)(x)
            middle = x if name == "Mixed_6e" else middle
        logits: Tensor = self.fc(self.dropout(x.mean((2, 3))))
        return (logits, self.AuxLogits(middle)) if self.training else logits


class _InceptionV332(nn.Module):
    """The eleven modules at a quarter of their width for 32x32 pictures, after two convolutions of stride 1; no
    auxiliary classifier."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.Conv2d_1a_3x3, self.Conv2d_2b_3x3 = Conv(3, 16, 3), Conv(16, 48, 3)
        came, self.mixed = 48, tuple(_modules(0.25))
        for name, (branches, projected) in _modules(0.25).items():
            self.add_module(name, made := Mixed(came, branches, projected, padded=True))
            came = made.out
        self.dropout, self.fc = nn.Dropout(0.2), nn.Linear(came, classes)
        begin(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B,3,32,32) -> logits (B,classes)."""
        x = F.max_pool2d(self.Conv2d_2b_3x3(self.Conv2d_1a_3x3(x)), 3, 2, 1)
        for name in self.mixed:
            x = self.get_submodule(name)(x)
        out: Tensor = self.fc(self.dropout(x.mean((2, 3))))
        return out


def inception_v3_32(classes: int = 10) -> nn.Module:
    """Inception v3 for 32x32 pictures."""
    return _InceptionV332(classes)
