"""SSDLite on MobileNetV2 with two top-down connections and a level of stride 8.

Liu et al. 2016, "SSD: Single Shot MultiBox Detector"; Sandler et al. 2018, "MobileNetV2", section
6.2 (SSDLite); the top-down connections after Lin et al. 2017, "Feature Pyramid Networks".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from math import log, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import mobilenet_v2
from torchvision.models.detection.ssdlite import SSDLiteHead
from torchvision.ops import Conv2dNormActivation

Norm = Callable[..., nn.Module]
_RATIOS: tuple[tuple[int, ...], ...] = ((2,), *[(2, 3)] * 5)         # one tuple a level
_SCALES = (0.07, 0.16, 0.33, 0.51, 0.69, 0.87, 1.02)                 # of the training size
_STRIDES = (8, 16, 32, 64, 128, 256)
_TRAINED_ON = 320                                                    # pixels a side
_TRAINED_STEPS = (8, 16, 32, 64, 107, 160)                           # 320 / 3 and 320 / 2 cells


def _cells(side: int) -> list[int]:
    """Cells along a side of the picture, for each level: every level halves the one before it."""
    cells = []
    for _ in range(8):                                               # strides 2, 4, 8 ... 256
        side = (side + 1) // 2
        cells.append(side)
    return cells[2:]


def _shapes(level: int) -> list[tuple[float, float]]:
    """The anchors' (width, height) at a level, in pixels: two squares, then both ways of each ratio."""
    this, following = _SCALES[level], _SCALES[level + 1]
    shapes = [(this, this), (sqrt(this * following),) * 2]
    for ratio in _RATIOS[level]:
        long, short = this * sqrt(ratio), this / sqrt(ratio)
        shapes += [(long, short), (short, long)]
    return [(min(w, 1.0) * _TRAINED_ON, min(h, 1.0) * _TRAINED_ON) for w, h in shapes]


def anchors(size_wh: tuple[int, int]) -> Tensor:
    """The default boxes for a picture of `size_wh`: (A,4) float32 cxcywh in pixels.

    Their sizes are those of training on 320x320 whatever the picture's size, so that a larger
    picture shows smaller objects. A side of 320 is tiled as in training, any other by the strides.
    """
    steps_x, steps_y = (_TRAINED_STEPS if s == _TRAINED_ON else _STRIDES for s in size_wh)
    columns, rows = _cells(size_wh[0]), _cells(size_wh[1])
    levels = []
    for k in range(len(_STRIDES)):
        wh = torch.tensor(_shapes(k))
        x = (torch.arange(columns[k]) + 0.5) * steps_x[k]
        y = (torch.arange(rows[k]) + 0.5) * steps_y[k]
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[:, :, None]   # (rows,columns,1,2)
        shape = (rows[k], columns[k], len(wh), 2)
        levels.append(torch.cat([grid.expand(shape), wh.expand(shape)], dim=-1).reshape(-1, 4))
    return torch.cat(levels)


class Pyramid(nn.Module):
    """MobileNetV2's maps of stride 8, 16 and 32 with a top-down path, and three extra levels."""

    def __init__(self, norm: Norm) -> None:
        super().__init__()
        features = mobilenet_v2(weights=None).features
        self.s8, self.s16, self.s32 = features[:7], features[7:14], features[14:]
        block = partial(Conv2dNormActivation, norm_layer=norm, activation_layer=nn.ReLU6)
        self.r32 = nn.Conv2d(1280, 160, 1)
        self.p16 = block(160 + 96, 160, kernel_size=1)
        self.r16 = nn.Conv2d(160, 96, 1)
        self.p8 = block(96 + 32, 96, kernel_size=1)
        self.extra = nn.ModuleList(
            nn.Sequential(
                block(before, after // 2, kernel_size=1),
                block(after // 2, after // 2, kernel_size=3, stride=2, groups=after // 2),
                block(after // 2, after, kernel_size=1),
            )
            for before, after in pairwise((1280, 512, 256, 256))
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        s8 = self.s8(x)
        s16 = self.s16(s8)
        s32 = self.s32(s16)
        p16 = self.p16(torch.cat([s16, F.interpolate(self.r32(s32), s16.shape[-2:])], dim=1))
        p8 = self.p8(torch.cat([s8, F.interpolate(self.r16(p16), s8.shape[-2:])], dim=1))
        maps = [p8, p16, s32]
        for level in self.extra:
            maps.append(level(maps[-1]))
        return maps                                      # (B, 96|160|1280|512|256|256, H/s, W/s)


class SSDLite(nn.Module):
    """The detector. `classes` counts the objects' classes, without background."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)
        self.backbone = Pyramid(norm)
        per_cell = [2 + 2 * len(ratios) for ratios in _RATIOS]
        self.head = SSDLiteHead([96, 160, 1280, 512, 256, 256], per_cell, classes + 1, norm)

    @property
    def encoder(self) -> nn.Module:
        """MobileNetV2 by torchvision's names, for ImageNet's weights."""
        blocks = [*self.backbone.s8, *self.backbone.s16, *self.backbone.s32]
        return nn.ModuleDict({"features": nn.Sequential(*blocks)})

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B,3,H,W) normalised RGB -> offsets (B,A,4) and logits (B,A,1+classes), 0 background."""
        out = self.head(self.backbone(x))
        return out["bbox_regression"], out["cls_logits"]

    def decode(self, outputs: Sequence[Tensor], size_wh: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Boxes (B,A,4) xyxy in input pixels, and scores (B,A,classes) in 0..1 without background."""
        offsets, logits = outputs
        prior = anchors((int(size_wh[0]), int(size_wh[1]))).to(offsets)      # a constant of the graph
        centre = prior[:, :2] + offsets[..., :2] / 10 * prior[:, 2:]          # box coder (10, 10, 5, 5)
        half = prior[:, 2:] / 2 * (offsets[..., 2:] / 5).clamp(max=log(1000 / 16)).exp()
        return torch.cat([centre - half, centre + half], dim=-1), logits.softmax(dim=-1)[..., 1:]


def ssdlite(classes: int = 20) -> SSDLite:
    """SSDLite on MobileNetV2: 3.57 M parameters with 20 classes."""
    return SSDLite(classes)
