"""Masks of objects by convolutions that each object brings along, on features of all the neck's maps.

Lyu et al. 2022, "RTMDet: An Empirical Study of Designing Real-Time Object Detectors" (RTMDet-Ins): CondInst's networks
on features of stride 8 that are made from all maps of the neck, with coordinates that count from the cell, learnt by
Dice alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from vision.nets.condinst import FEATURES, WEIGHTS, MaskHead, by_networks, conv, of_cells, places, resized, seen
from vision.nets.gfl import STRIDES, points

_REACH = 8                                     # strides of its level that a cell's coordinates are measured in


class FusedKernels(MaskHead):
    """The head on a detector's maps; the arguments are those of `MaskHead`."""

    stride: ClassVar[int] = 8
    losses: ClassVar[tuple[str, ...]] = ("dice",)

    def __init__(self, widths: Sequence[int], width: int = 32) -> None:
        nn.Module.__init__(self)
        self.fuse = nn.Conv2d(sum(widths[1:]), width, 1)
        self.features = nn.Sequential(*(conv(width, width) for _ in range(4)), nn.Conv2d(width, FEATURES, 1))
        self.weights = nn.Sequential(conv(widths[1], 96), nn.Conv2d(96, WEIGHTS, 1))

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Maps (B,C,H/s,W/s) of strides 4, 8, 16, ... -> shared features (B,FEATURES,H/8,W/8), and of every cell of
        strides 8, 16, ... (B,A,WEIGHTS+3): its weights, its centre x and y and its unit in pixels of the features."""
        neck = maps[1:]
        fused = self.fuse(torch.cat([resized(one, neck[0].shape[-2:]) for one in neck], 1))
        weights = of_cells(self.weights, neck)
        size_wh = (neck[0].shape[-1] * self.stride, neck[0].shape[-2] * self.stride)
        centres, of_each = points(size_wh, STRIDES[:len(neck)])
        cells = torch.cat([centres, _REACH * of_each[:, None]], 1).to(weights.device) / self.stride
        return self.features(fused), torch.cat([weights, weights[..., :3] * 0 + cells], 2)

    @classmethod
    def logits(cls, features: Tensor, own: Tensor, boxes: Tensor, grid: int, reach: float = 1.0) -> Tensor:
        """As `MaskHead.logits`."""
        at = places(boxes, grid, reach)
        weights, centres, unit = own[:, :WEIGHTS], own[:, WEIGHTS:-1], own[:, -1:]
        from_cells = (at / cls.stride - centres[:, None, None]) / unit[:, None, None]
        return by_networks(torch.cat([seen(features, at, cls.stride), from_cells.permute(0, 3, 1, 2)], 1), weights)
