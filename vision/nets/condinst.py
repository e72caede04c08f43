"""Masks of objects by convolutions that each object brings along.

Tian et al. 2020, "Conditional Convolutions for Instance Segmentation" (CondInst): a map of features that all objects
share, and for each object the weights of a small network that turns them into its mask. Here that network looks at the
points of a grid over the object's box alone, and its coordinates are the box's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vision.nets.nanodet import NanoDet

FEATURES = 8                                   # of the shared map
STRIDE = 4                                     # of the shared map, in input pixels
_HIDDEN = 8
_SHAPES = ((FEATURES + 2, _HIDDEN), (_HIDDEN, _HIDDEN), (_HIDDEN, 1))
WEIGHTS = sum(before * after + after for before, after in _SHAPES)


class NanoDetMasks(NanoDet):
    """NanoDet with the head: a detector and its masks in one network."""

    def __init__(self, classes: int, levels: int = 4, bins: int = 11) -> None:
        super().__init__(classes, levels, bins)
        self.masks = MaskHead((64, *[128] * levels))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B,3,H,W) normalised RGB, sides multiples of 32 -> what `NanoDet` and `MaskHead` give."""
        maps = self.encoder(x)
        levels = self.levels(maps)
        features, weights = self.masks([maps[0], *levels])
        return *self.predicted(levels), weights, features

    def decode(self, outputs: Sequence[Tensor], size_wh: tuple[int, int]) -> tuple[Tensor, ...]:
        """Boxes (B,A,4) xyxy in input pixels, scores (B,A,classes) in 0..1, the weights (B,A,WEIGHTS) of each cell's
        own network, and the features (B,FEATURES,H/4,W/4) that all of them read."""
        logits, distances, weights, features = outputs
        return *super().decode((logits, distances), size_wh), weights, features


class MaskHead(nn.Module):
    """The head on a detector's maps.

    widths: channels of the backbone's map of stride 4, then of the neck's maps, which are alike.
    """

    def __init__(self, widths: Sequence[int], width: int = 32) -> None:
        super().__init__()
        self.narrow = nn.ModuleList(nn.Conv2d(before, width, 1) for before in widths)
        self.mix = nn.Sequential(_conv(width, width), _conv(width, width))
        self.features = nn.Sequential(_conv(width, width), nn.Conv2d(width, FEATURES, 1))
        self.weights = nn.Sequential(_conv(widths[1], 96), nn.Conv2d(96, WEIGHTS, 1))

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Maps (B,C,H/s,W/s) of strides 4, 8, 16, ... -> shared features (B,FEATURES,H/4,W/4), and the weights
        (B,A,WEIGHTS) of every cell of strides 8, 16, ..."""
        finest, *neck = [narrow(one) for narrow, one in zip(self.narrow, maps, strict=True)]
        size = neck[0].shape[-2:]
        mixed = self.mix(neck[0] + sum(_resized(one, size) for one in neck[1:]))
        features = self.features(finest + _resized(mixed, finest.shape[-2:]))
        weights = torch.cat([self.weights(one).flatten(2) for one in maps[1:]], 2).transpose(1, 2)
        return features, weights


def _conv(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.1))


def _resized(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, size=(int(size[0]), int(size[1])), mode="bilinear")


def mask_logits(features: Tensor, weights: Tensor, boxes: Tensor, grid: int, reach: float = 1.0) -> Tensor:
    """Logits (N,grid,grid) of the masks of N objects of one picture, at the points of a grid over each box.

    features: (FEATURES,h,w). weights: (N,WEIGHTS). boxes: (N,4) xyxy in input pixels. reach: sides of the grid, in
    those of the box around whose middle it lies.
    """
    steps = ((torch.arange(grid, device=boxes.device) + 0.5) / grid - 0.5) * reach + 0.5
    x = boxes[:, 0, None] + steps * (boxes[:, 2] - boxes[:, 0])[:, None]                     # (N,grid)
    y = boxes[:, 1, None] + steps * (boxes[:, 3] - boxes[:, 1])[:, None]
    height, width = features.shape[-2:]
    places = torch.stack([
        (x * 2 / (width * STRIDE) - 1)[:, None, :].expand(-1, grid, -1),
        (y * 2 / (height * STRIDE) - 1)[:, :, None].expand(-1, -1, grid)], -1)
    seen = F.grid_sample(features[None].expand(len(boxes), -1, -1, -1), places, padding_mode="border",
                         align_corners=False)                                                # (N,FEATURES,g,g)
    own = (steps * 2 - 1).expand(len(boxes), grid, grid)
    values = torch.cat([seen, own[:, None], own.transpose(1, 2)[:, None]], 1).flatten(2)
    at = 0
    for layer, (before, after) in enumerate(_SHAPES):
        kernel = weights[:, at:at + before * after].reshape(-1, after, before)
        at += before * after
        values = kernel @ values + weights[:, at:at + after, None]
        at += after
        if layer < len(_SHAPES) - 1:
            values = values.relu()
    return values.reshape(len(boxes), grid, grid)
