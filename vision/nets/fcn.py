"""Fully convolutional networks (Long, Shelhamer & Darrell, CVPR 2015).

A classifier turned convolutional scores every 32nd pixel; FCN-16s and FCN-8s add the scores of
finer layers on the way up, through transposed convolutions that start as bilinear interpolation.
The maps here line up because fc6 is padded by 3, where the published Caffe model pads the picture by
100 and crops; the layers and their parameters are the paper's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import vgg16

from vision.errors import ModelError
from vision.nets.mobile import MobileStages
from vision.nets.smp import class_map


def bilinear_kernel(factor: int) -> Tensor:
    """The (2f,2f) kernel with which a transposed convolution of stride f interpolates bilinearly."""
    centre = factor - 0.5
    ramp = 1 - (torch.arange(2 * factor) - centre).abs() / factor
    return ramp[:, None] * ramp[None, :]


def upsampling(channels: int, factor: int, learned: bool) -> nn.ConvTranspose2d:
    """A transposed convolution that interpolates bilinearly, f times larger (f even): learned from
    there on with every channel connected, or fixed, a channel at a time."""
    groups = 1 if learned else channels
    layer = nn.ConvTranspose2d(
        channels, channels, 2 * factor, factor, padding=factor // 2, groups=groups, bias=False
    )
    with torch.no_grad():
        layer.weight.zero_()
        for c in range(channels):
            layer.weight[c, c if learned else 0] = bilinear_kernel(factor)
    return layer.requires_grad_(learned)


class VGGStages(nn.Module):
    """VGG-16 with fc6 and fc7 as convolutions: pool3 (256, 1/8), pool4 (512, 1/16), fc7 (4096, 1/32).

    Pools round up, so that no row is lost. `features` has torchvision's names.
    """

    channels = (256, 512, 4096)

    def __init__(self) -> None:
        super().__init__()
        self.features = vgg16(weights=None).features
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                layer.ceil_mode = True
        self.fc6 = nn.Conv2d(512, 4096, 7, padding=3)
        self.dropout = nn.Dropout(0.5)
        self.fc7 = nn.Conv2d(4096, 4096, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B,3,H,W) -> the three maps, finest first."""
        pools = []
        for layer in self.features:
            x = layer(x)
            if isinstance(layer, nn.MaxPool2d):
                pools.append(x)
        x = self.dropout(F.relu(self.fc6(x)))
        return pools[2], pools[3], F.relu(self.fc7(x))


class MobileScores(nn.Module):
    """MobileNetV2 in VGG's place: the expansions before its last two strides (192 at 1/8, 576 at
    1/16), and its last convolution (1280 at 1/32) for fc7. `features` has torchvision's names."""

    channels = (192, 576, 1280)

    def __init__(self) -> None:
        super().__init__()
        self.features = MobileStages(last=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B,3,H,W) -> the three maps, finest first."""
        expansions, deep = self.features(x)
        return expansions[2], expansions[3], deep


class FCN(nn.Module):
    """FCN-32s, FCN-16s or FCN-8s.

    classes: outputs. finest: 32, 16 or 8, the stride of the finest map that is scored. encoder:
    `vgg16` as published, or `mobilenet_v2`. The skips' scores start at zero, so that the finer
    network begins as the coarser one; the last upsampling is fixed.
    """

    def __init__(self, classes: int, finest: int = 8, encoder: str = "vgg16") -> None:
        super().__init__()
        if encoder not in ("vgg16", "mobilenet_v2"):
            raise ModelError(f"FCN has the encoders vgg16 and mobilenet_v2; got {encoder!r}.")
        self.encoder = VGGStages() if encoder == "vgg16" else MobileScores()
        pool3, pool4, fc7 = self.encoder.channels
        skips = {32: [], 16: [pool4], 8: [pool4, pool3]}[finest]
        self.dropout = nn.Dropout2d(0.5) if encoder == "mobilenet_v2" else nn.Dropout(0.5)
        self.score = nn.Conv2d(fc7, classes, 1)
        self.skips = nn.ModuleList(nn.Conv2d(width, classes, 1) for width in skips)
        self.twice = nn.ModuleList(upsampling(classes, 2, learned=True) for _ in skips)
        self.last = upsampling(classes, finest, learned=False)
        nn.init.zeros_(self.score.bias)  # type: ignore[arg-type]
        for skip in self.skips:
            nn.init.zeros_(skip.weight)  # type: ignore[arg-type]
            nn.init.zeros_(skip.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(B,3,H,W) normalised RGB -> (B,C,H,W) logits."""
        pool3, pool4, fc7 = self.encoder(x)
        scores: Tensor = self.score(self.dropout(fc7))
        for skip, twice, finer in zip(self.skips, self.twice, (pool4, pool3), strict=False):
            here = skip(finer)
            scores = twice(scores)[..., : here.shape[-2], : here.shape[-1]] + here
        logits: Tensor = self.last(scores)[..., : x.shape[-2], : x.shape[-1]]
        return logits

    def decode(self, logits: Tensor, size_wh: tuple[int, int]) -> Tensor:
        """The class map that leaves the engine."""
        return class_map(logits)


def fcn32s(classes: int, encoder: str = "vgg16") -> FCN:
    """FCN-32s: no skip."""
    return FCN(classes, 32, encoder)


def fcn16s(classes: int, encoder: str = "vgg16") -> FCN:
    """FCN-16s: one skip, from pool4."""
    return FCN(classes, 16, encoder)


def fcn8s(classes: int, encoder: str = "vgg16") -> FCN:
    """FCN-8s: skips from pool4 and pool3."""
    return FCN(classes, 8, encoder)
