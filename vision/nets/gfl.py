"""An anchor-free detector: SSDLite's predictors and a light path aggregation network on MobileNetV2,
distances as distributions.

Li et al. 2020, "Generalized Focal Loss" (the head and its distributions); Sandler et al. 2018,
"MobileNetV2" (SSDLite); Liu et al. 2018, "Path Aggregation Network"; its separable 5x5 convolutions
after Yu et al. 2021, "PicoDet".
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import log
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from vision.nets.mobile import EXPANDED, LAST, STRIDED, MobileStages

STRIDES = (8, 16, 32, 64)
_TAPS = (*EXPANDED[2:], LAST, 512)     # channels of the maps at these strides
RARE = log(0.01 / 0.99)                # logit of every class before training, so that it starts calmly

_conv = partial(Conv2dNormActivation, activation_layer=nn.Hardswish)
_conv6 = partial(Conv2dNormActivation, activation_layer=nn.ReLU6)


def points(size_wh: tuple[int, int], strides: Sequence[int] = STRIDES) -> tuple[Tensor, Tensor]:
    """Centres (A,2) float32 xy in pixels of the cells of all levels, finest first, row by row, and the
    strides (A,) of theirs. Nothing here is a constant of one size where a graph for any size is made."""
    centres, of_each = [], []
    for stride in strides:
        x, y = (torch.arange((side + stride - 1) // stride) + 0.5 for side in size_wh)
        centres.append(torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 2) * stride)
        of_each.append(torch.full_like(centres[-1][:, 0], stride))
    return torch.cat(centres), torch.cat(of_each)


def expected_boxes(distances: Tensor, size_wh: tuple[int, int], strides: Sequence[int] = STRIDES) -> Tensor:
    """Boxes (B,A,4) xyxy in input pixels from the logits (B,A,4,bins) of the distances, in strides, from
    the cells' centres to left, top, right and bottom: the means of the distributions."""
    centres, of_each = (t.to(distances) for t in points(size_wh, strides))
    steps = torch.arange(distances.shape[-1], dtype=distances.dtype, device=distances.device)
    likely = distances.permute(0, 3, 1, 2).softmax(1)           # vectors run along cells, not along few bins
    away = (likely * steps[:, None, None]).sum(1) * of_each[:, None]
    return torch.cat([centres - away[..., :2], centres + away[..., 2:]], -1)


def exclusive(logits: Tensor, rivalry: float = 1.5) -> Tensor:
    """Scores (..., classes) in 0..1. The classes are learnt each by itself, but a thing is one of them: a
    logit is lowered by `rivalry` times what the best other class scores. So a cell that takes a stone for a
    bird, a dog and a sheep is sure of none (weights/detect.md)."""
    alone = logits.sigmoid()
    best = alone.amax(-1, keepdim=True)
    first = alone >= best
    rival = torch.where(first, alone.masked_fill(first, 0.0).amax(-1, keepdim=True), best)
    return (logits - rivalry * rival).sigmoid()


class _Halving(nn.Conv2d):
    """A 3x3 convolution of stride 2 that pads as TensorFlow does, at the right and at the bottom: cell i
    looks at pixels 2i to 2i + 2. The maps of detectors that were trained there need it."""

    def __init__(self, before: int, after: int, groups: int = 1) -> None:
        super().__init__(before, after, 3, 2, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,H,W) -> (B,C',H/2,W/2), rounded up."""
        return super().forward(F.pad(x, (x.shape[-1] % 2, 1, x.shape[-2] % 2, 1)))


class _Separable(nn.Sequential):
    """A 5x5 convolution of each channel by itself, then 1x1 across them."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__(_conv(before, before, 5, stride, groups=before), _conv(before, after, 1))


class Encoder(nn.Module):
    """MobileNetV2, with torchvision's names."""

    def __init__(self) -> None:
        super().__init__()
        self.features = MobileStages(last=True)
        blocks: list[Any] = list(self.features)
        blocks[0][0] = _Halving(3, 32)
        for i in STRIDED:
            channels = blocks[i].conv[1][0].in_channels
            blocks[i].conv[1][0] = _Halving(channels, channels, channels)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B,3,H,W) -> maps of 192, 576 and 1280 channels at strides 8, 16 and 32."""
        expansions, last = self.features(x)
        return [*expansions[2:], last]


class PathAggregation(nn.Module):
    """Maps of `taps` channels in; as many of `channels` out, each informed by all: top-down, bottom-up."""

    def __init__(self, taps: Sequence[int], channels: int) -> None:
        super().__init__()
        steps = range(len(taps) - 1)
        self.lateral = nn.ModuleList(_conv(before, channels, 1) for before in taps)
        self.top_down = nn.ModuleList(_Separable(2 * channels, channels) for _ in steps)
        self.shrink = nn.ModuleList(_Separable(channels, channels, 2) for _ in steps)
        self.bottom_up = nn.ModuleList(_Separable(2 * channels, channels) for _ in steps)

    def forward(self, taps: Sequence[Tensor]) -> list[Tensor]:
        """Finest first, as they come."""
        maps = [lateral(x) for lateral, x in zip(self.lateral, taps, strict=True)]
        for i in reversed(range(len(maps) - 1)):
            above = F.interpolate(maps[i + 1], maps[i].shape[-2:])
            maps[i] = self.top_down[i](torch.cat([maps[i], above], 1))
        for i in range(len(maps) - 1):
            maps[i + 1] = self.bottom_up[i](torch.cat([self.shrink[i](maps[i]), maps[i + 1]], 1))
        return maps


class _Predictor(nn.Module):
    """The sum of what SSDLite says of a tap and of what a convolution says of the pyramid's level."""

    def __init__(self, tap: int, channels: int, outputs: int, bias: float = 0.0) -> None:
        super().__init__()
        last = nn.Conv2d(tap, outputs, 1)
        self.ssdlite = nn.Sequential(_conv6(tap, tap, 3, groups=tap), last)
        self.level = nn.Conv2d(channels, outputs, 1, bias=False)
        nn.init.normal_(last.weight, std=0.01)
        assert last.bias is not None
        nn.init.constant_(last.bias, bias)
        nn.init.normal_(self.level.weight, std=0.01)

    def forward(self, tap: Tensor, level: Tensor) -> Tensor:
        """(B,cells,outputs), row by row."""
        said: Tensor = self.ssdlite(tap) + self.level(level)
        return said.flatten(2).transpose(1, 2)


class Gfl(nn.Module):
    """The detector. classes: counted without background. channels: of the pyramid. bins: of a
    distribution: the distance from a cell's centre to a side is 0 to bins - 1 strides."""

    def __init__(self, classes: int, channels: int = 96, bins: int = 8) -> None:
        super().__init__()
        self.bins, self.strides = bins, STRIDES
        self.encoder = Encoder()
        self.extra = nn.Sequential(
            _conv6(LAST, 256, 1),
            nn.Sequential(_Halving(256, 256, 256), nn.BatchNorm2d(256), nn.ReLU6()),
            _conv6(256, _TAPS[-1], 1),
        )
        self.neck = PathAggregation(_TAPS, channels)
        self.towers = nn.ModuleList(
            nn.Sequential(_Separable(channels, channels), _Separable(channels, channels)) for _ in STRIDES
        )
        self.classify = nn.ModuleList(_Predictor(tap, channels, classes, RARE) for tap in _TAPS)
        self.place = nn.ModuleList(_Predictor(tap, channels, 4 * bins) for tap in _TAPS)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B,3,H,W) normalised RGB of any size -> logits (B,A,classes), and logits
        (B,A,4,bins) of the distances to left, top, right and bottom, in strides."""
        taps = self.encoder(x)
        taps.append(self.extra(taps[-1]))
        levels = [tower(level) for tower, level in zip(self.towers, self.neck(taps), strict=True)]
        logits, distances = (
            torch.cat([p(t, level) for p, t, level in zip(heads, taps, levels, strict=True)], 1)
            for heads in (self.classify, self.place)
        )
        return logits, distances.reshape(*distances.shape[:2], 4, self.bins)

    def boxes(self, distances: Tensor, size_wh: tuple[int, int]) -> Tensor:
        """Boxes (B,A,4) xyxy in input pixels from the logits of the distances: their means."""
        return expected_boxes(distances, size_wh)

    def decode(self, outputs: Sequence[Tensor], size_wh: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Boxes (B,A,4) xyxy in input pixels, and scores (B,A,classes) in 0..1 (`exclusive`)."""
        logits, distances = outputs
        return self.boxes(distances, size_wh), exclusive(logits)
