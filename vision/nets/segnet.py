"""SegNet and SegNet-Basic (Badrinarayanan, Kendall & Cipolla, PAMI 2017), and FCN-Basic beside it.

The encoder remembers where each maximum of its 2x2 pools lay; the decoder puts its values back
there (max-unpooling) and fills the gaps by convolution. `dropout` makes it Bayesian SegNet (Kendall
et al. 2017): dropout after the deepest stages, left on at test time for its uncertainty.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision.errors import ModelError
from vision.nets.fcn import upsampling
from vision.nets.mobile import BOTTLENECK, EXPANDED, MobileStages
from vision.nets.smp import class_map
from vision.nets.unpool import pool, unpool


def conv(before: int, after: int, kernel: int = 3, relu: bool = True) -> nn.Sequential:
    """Convolution without bias, batch normalisation, ReLU."""
    layers: list[nn.Module] = [
        nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(after)
    ]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if relu else nn.Sequential(*layers)


def separable(before: int, after: int) -> nn.Sequential:
    """A 3x3 convolution a channel, then 1x1 across them, each with batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(before, before, 3, padding=1, groups=before, bias=False), nn.BatchNorm2d(before),
        nn.ReLU(inplace=True), *conv(before, after, 1),
    )


class _Pooled(nn.Module):
    """What the variants share: an encoder with pools, a decoder with unpools, a classifier."""

    down: nn.ModuleList
    up: nn.ModuleList                      # deepest first
    classifier: nn.Module

    def __init__(self, dropout: float, deep: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.deep = deep                   # how many of the deepest stages have dropout

    def forward(self, x: Tensor) -> Tensor:
        """(B,3,H,W) normalised RGB -> (B,C,H,W) logits."""
        places: list[tuple[Tensor, tuple[int, int]]] = []
        last = len(self.down) - self.deep
        for i, stage in enumerate(self.down):
            x = stage(x)
            size = (x.shape[-2], x.shape[-1])
            x, found = pool(x)
            x = self.dropout(x) if i >= last else x
            places.append((found, size))
        for i, (stage, (found, size)) in enumerate(zip(self.up, reversed(places), strict=True)):
            x = stage(unpool(x, found, size))
            x = self.dropout(x) if i < self.deep else x
        logits: Tensor = self.classifier(x)
        return logits

    def decode(self, logits: Tensor, size_wh: tuple[int, int]) -> Tensor:
        """The class map that leaves the engine."""
        return class_map(logits)


class SegNet(_Pooled):
    """SegNet: VGG-16's thirteen convolutions with batch normalisation, and their mirror image."""

    stages = ((3, 64, 64), (64, 128, 128), (128, 256, 256, 256), (256, 512, 512, 512), (512, 512, 512, 512))

    def __init__(self, classes: int, dropout: float = 0.0) -> None:
        super().__init__(dropout, deep=3)
        self.down = nn.ModuleList(
            nn.Sequential(*(conv(a, b) for a, b in pairwise(stage))) for stage in self.stages
        )
        mirror = [tuple(reversed(stage)) for stage in reversed(self.stages[1:])] + [(64, 64)]
        # the last stage's second convolution is the classifier
        self.up = nn.ModuleList(nn.Sequential(*(conv(a, b) for a, b in pairwise(stage))) for stage in mirror)
        self.classifier = nn.Conv2d(64, classes, 3, padding=1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)


class SegNetBasic(_Pooled):
    """SegNet-Basic: four encoders and four decoders of 64 channels, 7x7 throughout; no bias, and no
    ReLU in the decoder."""

    def __init__(self, classes: int, dropout: float = 0.0) -> None:
        super().__init__(dropout, deep=2)
        self.down = nn.ModuleList(conv(before, 64, 7) for before in (3, 64, 64, 64))
        self.up = nn.ModuleList(conv(64, 64, 7, relu=False) for _ in range(4))
        self.classifier = nn.Conv2d(64, classes, 1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)


class _MobileEncoder(nn.Module):
    """`features`, so that the names are torchvision's."""

    def __init__(self) -> None:
        super().__init__()
        self.features = MobileStages(last=False)

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """The expansions, finest first, and the last map."""
        inside: tuple[list[Tensor], Tensor] = self.features(x)
        return inside


class MobileSegNet(nn.Module):
    """SegNet on MobileNetV2. The encoder strides as it was trained to; the places that go to the
    decoder are those of the maxima of each strided block's expansion, in 2x2 windows. The decoder's
    convolutions are separable, as the encoder's are. Above the stem, which has no expansion, the
    scores are interpolated."""

    def __init__(self, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.encoder = _MobileEncoder()
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.neck = conv(BOTTLENECK, EXPANDED[-1], 1)
        widths = (*EXPANDED[::-1], 64)
        self.up = nn.ModuleList(separable(before, after) for before, after in pairwise(widths))
        self.classifier = nn.Conv2d(64, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B,3,H,W) normalised RGB -> (B,C,H,W) logits."""
        expansions, deep = self.encoder(x)
        y = self.dropout(self.neck(deep))
        for stage, finer in zip(self.up, reversed(expansions), strict=True):
            y = stage(unpool(y, pool(finer)[1], (finer.shape[-2], finer.shape[-1])))
        return F.interpolate(self.classifier(y), x.shape[-2:], mode="bilinear", align_corners=False)

    def decode(self, logits: Tensor, size_wh: tuple[int, int]) -> Tensor:
        """The class map that leaves the engine."""
        return class_map(logits)


class FCNBasic(nn.Module):
    """FCN-Basic of the SegNet paper: SegNet-Basic's encoder, and FCN's way up at every pool: the
    scores are doubled by a learned 8x8 transposed convolution and the encoder's, reduced to the
    classes, are added. It carries whole feature maps where SegNet carries places."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(conv(before, 64, 7) for before in (3, 64, 64, 64))
        self.scores = nn.ModuleList(nn.Conv2d(64, classes, 1) for _ in range(4))
        self.twice = nn.ModuleList(
            nn.ConvTranspose2d(classes, classes, 8, 2, padding=3, bias=False) for _ in range(4)
        )
        for layer in self.down.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
        with torch.no_grad():
            for twice in self.twice:
                start = upsampling(classes, 2, learned=True).weight
                twice.weight.copy_(F.pad(start, (2, 2, 2, 2)))  # type: ignore[operator]

    def forward(self, x: Tensor) -> Tensor:
        """(B,3,H,W) normalised RGB -> (B,C,H,W) logits."""
        maps, size_hw = [], x.shape[-2:]
        for stage in self.down:
            x = F.max_pool2d(stage(x), 2, ceil_mode=True)
            maps.append(x)
        scores: Tensor = self.scores[-1](x)
        for i in range(3, -1, -1):
            height, width = maps[i - 1].shape[-2:] if i else size_hw
            scores = self.twice[i](scores)[..., :height, :width]
            if i:
                scores = scores + self.scores[i - 1](maps[i - 1])
        return scores

    def decode(self, logits: Tensor, size_wh: tuple[int, int]) -> Tensor:
        """The class map that leaves the engine."""
        return class_map(logits)


def segnet(classes: int, encoder: str = "vgg16", dropout: float = 0.0) -> nn.Module:
    """SegNet, as published or with a light encoder."""
    if encoder not in ("vgg16", "mobilenet_v2"):
        raise ModelError(f"SegNet has the encoders vgg16 and mobilenet_v2; got {encoder!r}.")
    return SegNet(classes, dropout) if encoder == "vgg16" else MobileSegNet(classes, dropout)
