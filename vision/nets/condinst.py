"""Masks of objects by convolutions that each object brings along.

Tian et al. 2020, "Conditional Convolutions for Instance Segmentation" (CondInst): a map of features that all objects
share, and for each object the weights of a small network that turns them into its mask. Here that network looks at the
points of a grid over the object's box alone, and its coordinates are the box's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEATURES = 8                                   # of the shared map
_HIDDEN = 8
_SHAPES = ((FEATURES + 2, _HIDDEN), (_HIDDEN, _HIDDEN), (_HIDDEN, 1))
WEIGHTS = sum(before * after + after for before, after in _SHAPES)


class MaskHead(nn.Module):
    """The head on a detector's maps.

    widths: channels of the backbone's map of stride 4, then of the neck's maps, which are alike.
    stride: of the shared map, in input pixels. losses: by which it learns.
    """

    stride: ClassVar[int] = 4
    losses: ClassVar[tuple[str, ...]] = ("dice", "cross_entropy")

    def __init__(self, widths: Sequence[int], width: int = 32) -> None:
        super().__init__()
        self.narrow = nn.ModuleList(nn.Conv2d(before, width, 1) for before in widths)
        self.mix = nn.Sequential(conv(width, width), conv(width, width))
        self.features = nn.Sequential(conv(width, width), nn.Conv2d(width, FEATURES, 1))
        self.weights = nn.Sequential(conv(widths[1], 96), nn.Conv2d(96, WEIGHTS, 1))

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Maps (B,C,H/s,W/s) of strides 4, 8, 16, ... -> shared features (B,FEATURES,H/4,W/4), and the weights
        (B,A,WEIGHTS) of every cell of strides 8, 16, ..."""
        finest, *neck = [narrow(one) for narrow, one in zip(self.narrow, maps, strict=True)]
        size = neck[0].shape[-2:]
        mixed = self.mix(neck[0] + sum(resized(one, size) for one in neck[1:]))
        features = self.features(finest + resized(mixed, finest.shape[-2:]))
        return features, of_cells(self.weights, maps[1:])

    @classmethod
    def logits(cls, features: Tensor, own: Tensor, boxes: Tensor, grid: int, reach: float = 1.0) -> Tensor:
        """Logits (N,grid,grid) of the masks of N objects of one picture, at the points of a grid over each box.

        features: (K,H/stride,W/stride). own: (N,·), what their cells gave. boxes: (N,4) xyxy in input pixels. reach:
        sides of the grid, in those of the box around whose middle it lies.
        """
        at = places(boxes, grid, reach)
        of_box = places(boxes.new_tensor([[-1, -1, 1, 1]]), grid, reach).expand_as(at).permute(0, 3, 1, 2)
        return by_networks(torch.cat([seen(features, at, cls.stride), of_box], 1), own)


def conv(before: int, after: int) -> nn.Sequential:
    """3x3, batch normalisation, leaky ReLU."""
    return nn.Sequential(nn.Conv2d(before, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.1))


def resized(x: Tensor, size: Sequence[int]) -> Tensor:
    """(B,C,h,w) -> (B,C,*size), bilinear."""
    return F.interpolate(x, size=tuple(size), mode="bilinear")


def of_cells(layers: nn.Module, maps: Sequence[Tensor]) -> Tensor:
    """(B,A,K): what one stack of layers says of every cell of maps (B,C,h,w)."""
    return torch.cat([layers(one).flatten(2) for one in maps], 2).transpose(1, 2)


def places(boxes: Tensor, grid: int, reach: float = 1.0) -> Tensor:
    """(N,g,g,2) xy in pixels: the points of a grid over boxes (N,4) xyxy, `reach` times as wide and high."""
    steps = ((torch.arange(grid, device=boxes.device) + 0.5) / grid - 0.5) * reach + 0.5
    x, y = (boxes[:, i, None] + steps * (boxes[:, i + 2] - boxes[:, i])[:, None] for i in (0, 1))
    return torch.stack([x[:, None, :].expand(-1, grid, -1), y[:, :, None].expand(-1, -1, grid)], -1)


def seen(features: Tensor, at: Tensor, stride: int) -> Tensor:
    """(N,K,g,g): features (K,h,w) at points (N,g,g,2) xy in input pixels, bilinear; beyond the picture the nearest."""
    size = torch.tensor([features.shape[2], features.shape[1]], device=at.device) * stride
    return F.grid_sample(features[None].expand(len(at), -1, -1, -1), at / size * 2 - 1, padding_mode="border",
                         align_corners=False)


def by_networks(values: Tensor, weights: Tensor) -> Tensor:
    """Logits (N,h,w) from values (N,FEATURES+2,h,w) by N networks of weights (N,WEIGHTS)."""
    size, values, at = values.shape[-2:], values.flatten(2), 0
    for layer, (before, after) in enumerate(_SHAPES):
        kernel = weights[:, at:at + before * after].reshape(-1, after, before)
        at += before * after
        values = kernel @ values + weights[:, at:at + after, None]
        at += after
        if layer < len(_SHAPES) - 1:
            values = values.relu()
    return values.reshape(-1, *size)
