"""YOLO, the first (Redmon et al. 2016): the picture in 7x7 cells, each of which says what is centred in it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vision.nets.mobile import BOTTLENECK, LAST, MobileStages

GRID, BOXES = 7, 2                       # cells a side; boxes that a cell predicts, one of which is responsible


class YoloV1(nn.Module):
    """YOLO on MobileNetV2 in the place of the paper's 24 convolutions, with its two dense layers.

    classes: outputs. width: of the first dense layer (4096 in the paper), dropout behind it. last: with MobileNetV2's
    last convolution, which encoders of other detectors do not have.
    """

    def __init__(self, classes: int, width: int = 512, last: bool = True) -> None:
        super().__init__()
        self.classes = classes
        self.encoder = nn.ModuleDict({"features": MobileStages(last)})
        self.head = nn.Sequential(
            nn.Conv2d(LAST if last else BOTTLENECK, 256, 1), nn.LeakyReLU(0.1),
            nn.Conv2d(256, 256, 3, 2, 1), nn.LeakyReLU(0.1),
            nn.AdaptiveAvgPool2d(GRID), nn.Flatten(),
            nn.Linear(GRID * GRID * 256, width), nn.LeakyReLU(0.1), nn.Dropout(0.5),
            nn.Linear(width, GRID * GRID * (5 * BOXES + classes)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B,3,H,W) -> (B,49,10+classes), row by row: of each of two boxes the centre in its cell, the roots of width
        and height as shares of the picture, and the confidence; then the classes."""
        _, features = self.encoder["features"](x)
        table: Tensor = self.head(features)
        return table.view(len(x), GRID * GRID, 5 * BOXES + self.classes)

    def decode(self, outputs: Tensor, size_wh: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Boxes (B,98,4) xyxy in input pixels, and scores (B,98,classes): a box's confidence times its cell's class."""
        boxes = boxes_of(outputs) * outputs.new_tensor([*size_wh, *size_wh])
        confidence = outputs[..., : 5 * BOXES].reshape(-1, GRID * GRID, BOXES, 5)[..., 4:]        # (B,49,2,1)
        scores = (confidence * outputs[:, :, None, 5 * BOXES :]).clamp(0, 1)
        return boxes.flatten(1, 2), scores.flatten(1, 2)


def boxes_of(outputs: Tensor) -> Tensor:
    """(B,49,10+classes) -> (B,49,2,4) xyxy as shares of the picture."""
    raw = outputs[..., : 5 * BOXES].reshape(-1, GRID * GRID, BOXES, 5)
    centre = (raw[..., :2] + corners(outputs)[:, None]) / GRID
    half = raw[..., 2:4].square() / 2
    return torch.cat([centre - half, centre + half], -1)


def corners(like: Tensor) -> Tensor:
    """(49,2) xy of the cells' upper left corners, in cells, on the device of `like`."""
    cells = torch.arange(GRID, device=like.device, dtype=like.dtype)
    return torch.stack(torch.meshgrid(cells, cells, indexing="xy"), -1).reshape(-1, 2)
