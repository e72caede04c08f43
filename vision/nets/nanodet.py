"""NanoDet-g: a small anchor-free detector of plain 3x3 convolutions, which suit integers.

Li et al. 2020, "Generalized Focal Loss" (scores that say how well a box lies, distances as distributions);
Wang et al. 2020, "CSPNet" (the backbone's stages); Liu et al. 2018, "Path Aggregation Network". As in
https://github.com/RangiLyu/nanodet (Apache-2.0), its norms folded into the convolutions before them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vision.nets.gfl import RARE, STRIDES, exclusive, expected_boxes

_WIDTHS = (32, 64, 128, 256)               # into the stages; each gives twice as many
_NECK = 128
_RIVALRY = 1.0                             # of a logit for the best other class's score


def _conv(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, stride, 1), nn.LeakyReLU(0.1))


class _Rare(nn.Conv2d):
    """A convolution that starts by saying, of every class, that it is rare."""

    def reset_parameters(self) -> None:
        """Small weights, and the bias of a score of 0.01."""
        assert self.bias is not None
        nn.init.normal_(self.weight, std=0.01)
        nn.init.constant_(self.bias, RARE)


class _Stage(nn.Module):
    """CSP: what comes in is passed by, beside what `depth` blocks make of it, each of which keeps what it
    reads in the same way. Twice the channels come out."""

    def __init__(self, channels: int, depth: int, stride: int) -> None:
        super().__init__()
        half = channels // 2
        self.enter = _conv(channels, channels, stride)
        self.narrow = nn.ModuleList(_conv(channels, half) for _ in range(depth))
        self.block = nn.ModuleList(_conv(half, half) for _ in range(depth))
        self.leave = _conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,H,W) -> (B,2C,H/stride,W/stride)."""
        entered = x = self.enter(x)
        for narrow, block in zip(self.narrow, self.block, strict=True):
            x = narrow(x)
            x = torch.cat([block(x), x], 1)
        return torch.cat([self.leave(x), entered], 1)


class Encoder(nn.Module):
    """The backbone."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv(3, _WIDTHS[0], 2)
        self.stages = nn.ModuleList(map(_Stage, _WIDTHS, (1, 2, 2, 3), (1, 2, 2, 2)))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B,3,H,W) -> maps of 64, 128, 256 and 512 channels at strides 4, 8, 16 and 32."""
        x = F.max_pool2d(self.stem(x), 3, 2, 1)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class NanoDet(nn.Module):
    """The detector. classes: counted without background. levels: 3 as published, strides 8 to 32, or 4 for
    larger pictures. bins: of a distribution: the distance from a cell's centre to a side is 0 to bins - 1
    strides."""

    def __init__(self, classes: int, levels: int = 4, bins: int = 11) -> None:
        super().__init__()
        self.bins, self.strides = bins, STRIDES[:levels]
        self.encoder = Encoder()
        self.lateral = nn.ModuleList(nn.Conv2d(2 * width, _NECK, 1) for width in _WIDTHS[1:])
        self.coarser = nn.ModuleList(nn.Conv2d(_NECK, _NECK, 3, 2, 1) for _ in self.strides[3:])
        self.towers = nn.ModuleList(_conv(_NECK, _NECK) for _ in self.strides)
        self.classify = nn.ModuleList(_Rare(_NECK, classes, 1) for _ in self.strides)
        self.place = nn.ModuleList(nn.Conv2d(_NECK, 4 * bins, 1) for _ in self.strides)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B,3,H,W) normalised RGB, sides multiples of 32 -> logits (B,A,classes), and logits
        (B,A,4,bins) of the distances to left, top, right and bottom, in strides."""
        return self.predicted(self.levels(self.encoder(x)))

    def levels(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """The neck's maps (B,128,h,w), finest first, from the encoder's."""
        fine, middle, coarse = (lateral(one) for lateral, one in zip(self.lateral, maps[1:], strict=True))
        double = partial(F.interpolate, scale_factor=2.0, mode="bilinear")
        middle = middle + double(coarse)
        fine = fine + double(middle)
        middle = middle + F.avg_pool2d(fine, 2)
        coarse = coarse + F.avg_pool2d(middle, 2)
        return [fine, middle, coarse, *(halve(coarse) for halve in self.coarser)]

    def predicted(self, levels: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """What `forward` gives, from the neck's maps."""
        seen = [tower(level) for tower, level in zip(self.towers, levels, strict=True)]
        logits, distances = (
            torch.cat([head(x).flatten(2) for head, x in zip(heads, seen, strict=True)], 2).transpose(1, 2)
            for heads in (self.classify, self.place)
        )
        return logits, distances.reshape(*distances.shape[:2], 4, self.bins)

    def boxes(self, distances: Tensor, size_wh: tuple[int, int]) -> Tensor:
        """Boxes (B,A,4) xyxy in input pixels from the logits of the distances: their means."""
        return expected_boxes(distances, size_wh, self.strides)

    def decode(self, outputs: Sequence[Tensor], size_wh: tuple[int, int]) -> tuple[Tensor, ...]:
        """Boxes (B,A,4) xyxy in input pixels, and scores (B,A,classes) in 0..1 (`exclusive`)."""
        logits, distances = outputs
        return self.boxes(distances, size_wh), exclusive(logits, _RIVALRY)
