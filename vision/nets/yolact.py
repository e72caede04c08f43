"""Masks of objects as sums of maps that all objects share.

Bolya et al. 2019, "YOLACT: Real-time Instance Segmentation": a picture has prototypes, each cell a coefficient for
each of them, and the mask is the sigmoid of their sum, cut to the object's box.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vision.nets.condinst import MaskHead, conv, of_cells, places, resized, seen

PROTOTYPES = 32


class Prototypes(MaskHead):
    """The head on a detector's maps: prototypes from the neck's finest map, as published; the arguments are those of
    `MaskHead`."""

    def __init__(self, widths: Sequence[int], width: int = 32) -> None:
        nn.Module.__init__(self)
        self.coarse = nn.Sequential(conv(widths[1], width), conv(width, width), conv(width, width))
        self.fine = nn.Sequential(conv(width, width), nn.Conv2d(width, PROTOTYPES, 1), nn.ReLU())
        self.coefficients = nn.Sequential(conv(widths[1], 96), nn.Conv2d(96, PROTOTYPES, 1), nn.Tanh())

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Maps (B,C,H/s,W/s) of strides 4, 8, 16, ... -> prototypes (B,PROTOTYPES,H/4,W/4), and the coefficients
        (B,A,PROTOTYPES) in -1..1 of every cell of strides 8, 16, ..."""
        prototypes = self.fine(resized(self.coarse(maps[1]), maps[0].shape[-2:]))
        return prototypes, of_cells(self.coefficients, maps[1:])

    @classmethod
    def logits(cls, features: Tensor, own: Tensor, boxes: Tensor, grid: int, reach: float = 1.0) -> Tensor:
        """As `MaskHead.logits`."""
        return torch.einsum("nk,nkhw->nhw", own, seen(features, places(boxes, grid, reach), cls.stride))
