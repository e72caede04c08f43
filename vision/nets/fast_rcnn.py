"""Fast R-CNN (Girshick 2015): one pass over the picture, RoI pooling of every proposal, classes and boxes together."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v2
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.ops import RoIPool

from vision.nets.mobile import BOTTLENECK, LAST

_CUT = 14                                # of MobileNetV2's 19 blocks: those before work on the picture, at stride 16
_SIDE = 7                                # cells of a pooled region


class FastRCNN(nn.Module):
    """Fast R-CNN on MobileNetV2, whose last blocks are the head of each region, as VGG's dense layers are in the paper.

    classes: outputs. zoom: pictures are enlarged by it, as the paper does with VOC's. picked: regions of a picture that
    it learns from at a time, a quarter of them objects. last: with the last convolution, which the encoders of our
    dense detectors lack. Norms stand still in training, as the paper's networks have none that move.
    torchvision's `RoIHeads` does the sampling, the losses and the suppression.
    """

    traceable = False

    def __init__(self, classes: int, zoom: float = 1.5, picked: int = 64, last: bool = True) -> None:
        super().__init__()
        self.zoom = zoom
        blocks = mobilenet_v2(weights=None).features
        blocks = blocks if last else blocks[:-1]
        self.encoder = nn.ModuleDict({"features": blocks})         # as one, for weights and learning rate
        self.roi_heads = RoIHeads(
            _Pool(), _Head(blocks[_CUT:]), _Predictor(LAST if last else BOTTLENECK, classes + 1), 0.5, 0.5, picked,
            0.25, None, 0.01, 0.5, 100)

    def train(self, mode: bool = True) -> Self:
        """The mode of all layers but the norms."""
        super().train(mode)
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval()
        return self

    def forward(self, x: Tensor, proposals: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (1,3,H,W) normalised, proposals (R,4) xyxy in its pixels -> boxes (N,4), scores (N,) and labels (N,),
        suppressed already."""
        size_hw = (round(x.shape[-2] * self.zoom), round(x.shape[-1] * self.zoom))
        found, _ = self.roi_heads({"0": self._map(x)}, [proposals * self.zoom], [size_hw])
        return found[0]["boxes"] / self.zoom, found[0]["scores"], found[0]["labels"] - 1

    def losses(
        self, x: Tensor, proposals: list[Tensor], targets: list[dict[str, Tensor]], sizes_hw: list[tuple[int, int]]
    ) -> dict[str, Tensor]:
        """The multi-task loss, cross entropy and smooth L1, in training mode. x (B,3,H,W), filled up on the right and
        below; of each picture proposals (R,4), `boxes` (N,4) xyxy in its pixels and `labels` (N,), 1 the first class,
        and its own size."""
        large = [{**target, "boxes": target["boxes"] * self.zoom} for target in targets]
        sizes = [(round(h * self.zoom), round(w * self.zoom)) for h, w in sizes_hw]
        boxes = [one * self.zoom for one in proposals]
        losses: dict[str, Tensor] = self.roi_heads({"0": self._map(x)}, boxes, sizes, large)[1]
        return losses

    def _map(self, x: Tensor) -> Tensor:
        size_hw = [round(side * self.zoom) for side in x.shape[-2:]]
        x = nn.functional.interpolate(x, size_hw, mode="bilinear", align_corners=False)
        for block in list(self.encoder["features"].children())[:_CUT]:
            x = block(x)
        return x


class _Pool(nn.Module):
    """The published pooling: the largest value of each of 7x7 cells, to whole pixels of the map."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = RoIPool(_SIDE, 1 / 16)

    def forward(self, maps: dict[str, Tensor], boxes: list[Tensor], sizes_hw: list[tuple[int, int]]) -> Tensor:
        pooled: Tensor = self.pool(maps["0"].float(), boxes)
        return pooled.contiguous(memory_format=torch.channels_last)


class _Head(nn.Module):
    """(R,96,7,7) -> (R,1280), or (R,320)."""

    def __init__(self, blocks: nn.Sequential) -> None:
        super().__init__()
        self.blocks = [blocks]                           # in a list: they are the encoder's, and saved once

    def forward(self, pooled: Tensor) -> Tensor:
        head: Tensor = self.blocks[0](pooled)
        return head.mean((2, 3))


class _Predictor(FastRCNNPredictor):  # type: ignore[misc]
    """The last layers in float32: boxes in pixels need it."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(x.device.type, enabled=False):
            scores, offsets = super().forward(x.float())
        return scores, offsets
