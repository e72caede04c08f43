"""R-CNN (Girshick et al. 2014): every proposal is cut out, warped, and described by a network; a linear SVM a class
judges it, and a linear regression a class moves its sides."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v2
from torchvision.ops import roi_align

from vision.nets.mobile import BOTTLENECK, LAST

CONTEXT = 16 / 227                       # of a crop's side, on each of its sides: as published
FEATURES = LAST + 4 * BOTTLENECK         # the mean of the last map, and the means of the quarters of the one before
_AT_ONCE = 64                            # crops in a batch


class RCNN(nn.Module):
    """R-CNN on MobileNetV2's features.

    classes: outputs. side: of a crop, in pixels. last: with the last convolution, which the encoders of our dense
    detectors lack. One picture at a time goes through it, with its proposals. `encoder` has torchvision's `features`;
    `scale` brings the features to a mean length of 20, as in the paper.
    """

    traceable = False
    scale: Tensor

    def __init__(self, classes: int, side: int = 112, last: bool = True) -> None:
        super().__init__()
        self.side, self.last = side, last
        self.width = FEATURES if last else 5 * BOTTLENECK
        blocks = mobilenet_v2(weights=None).features
        self.encoder = nn.ModuleDict({"features": blocks if last else blocks[:-1]})
        self.svm = nn.Linear(self.width, classes)
        self.regress = nn.Linear(self.width, 4 * classes)
        self.register_buffer("scale", torch.ones(()))

    def crops(self, x: Tensor, boxes: Tensor) -> Tensor:
        """The boxes (R,4) of a normalised picture (1,3,H,W), warped with their context to (R,3,side,side); what lies
        outside of the picture is 0, its mean."""
        wide = boxes.clone()
        margin = (boxes[:, 2:] - boxes[:, :2]) * (CONTEXT / (1 - 2 * CONTEXT))
        wide[:, :2] -= margin
        wide[:, 2:] += margin
        crops: Tensor = roi_align(x, [wide], self.side, sampling_ratio=2, aligned=True)
        return crops.contiguous(memory_format=torch.channels_last)

    def features(self, x: Tensor, boxes: Tensor) -> Tensor:
        """(1,3,H,W) and (R,4) xyxy in its pixels -> (R,width)."""
        rows = [self.describe(self.crops(x, some)) for some in torch.split(boxes, _AT_ONCE)]
        return torch.cat(rows) if rows else x.new_zeros((0, self.width))

    def describe(self, crops: Tensor) -> Tensor:
        """(R,3,side,side) -> (R,width) float32."""
        blocks = list(self.encoder["features"].children())
        before = crops
        for block in blocks[:-1] if self.last else blocks:
            before = block(before)
        last: Tensor = blocks[-1](before) if self.last else before
        quarters = nn.functional.adaptive_avg_pool2d(before.float(), 2).flatten(1)
        return torch.cat([last.float().mean((2, 3)), quarters], 1) * self.scale

    def forward(self, x: Tensor, proposals: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (1,3,H,W) normalised, proposals (R,4) xyxy in its pixels -> boxes (R*C,4), scores (R*C,) and labels
        (R*C,), not suppressed. A score is the logistic of an SVM's margin: 0.5 on its border."""
        rows = self.features(x, proposals)
        with torch.autocast(x.device.type, enabled=False):
            margins, offsets = self.svm(rows), self.regress(rows)                      # (R,C), (R,4*C)
        classes = margins.shape[1]
        boxes = moved(proposals[:, None], offsets.view(-1, classes, 4))
        labels = torch.arange(classes, device=x.device).expand(margins.shape)
        return boxes.flatten(0, 1), (2 * margins).sigmoid().flatten(), labels.flatten()


def moved(boxes: Tensor, offsets: Tensor) -> Tensor:
    """Boxes (...,4) xyxy moved by offsets (...,4): of the centre in widths and heights, and the log of the factor on
    each (R-CNN, appendix C)."""
    sides = boxes[..., 2:] - boxes[..., :2]
    centres = (boxes[..., :2] + boxes[..., 2:]) / 2 + offsets[..., :2] * sides
    half = sides * offsets[..., 2:].clamp(max=2).exp() / 2
    return torch.cat([centres - half, centres + half], -1)


def offsets_to(boxes: Tensor, objects: Tensor) -> Tensor:
    """(N,4) and (N,4) xyxy -> (N,4): the offsets that move each box onto its object; `moved` backwards."""
    sides, wanted = boxes[:, 2:] - boxes[:, :2], objects[:, 2:] - objects[:, :2]
    away = (objects[:, :2] + objects[:, 2:] - boxes[:, :2] - boxes[:, 2:]) / 2
    return torch.cat([away / sides, (wanted / sides).log()], 1)
