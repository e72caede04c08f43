"""What the first YOLO learns by (Redmon et al. 2016, equation 3): squared errors of everything."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.ops import box_iou

from vision.nets.yolo_v1 import BOXES, GRID, YoloV1, boxes_of

_COORDINATES, _NOTHING = 5.0, 0.5        # weights of boxes, and of the confidence where there is nothing


class YoloCriterion:
    """Of each object the cell with its centre is responsible, and of that cell's boxes the one that overlaps it more.
    Of two objects in one cell the first counts: YOLO cannot tell both."""

    def __call__(self, net: nn.Module, x: Tensor, objects: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """`location`, `confidence` and `classes`, by the number of pictures. objects (B,M,4) xyxy in pixels of x
        (B,3,H,W), labels (B,M), -1 behind the last."""
        assert isinstance(net, YoloV1)
        outputs = net(x).float()
        size = outputs.new_tensor([x.shape[-1], x.shape[-2]])
        found, picture, cell, owner = boxes_of(outputs), *_responsible(objects / size.repeat(2), labels)
        things = objects[picture, owner] / size.repeat(2)                                          # (N,4)
        overlap = torch.stack([box_iou(b, t[None])[:, 0] for b, t in zip(found[picture, cell].detach(), things,
                                                                         strict=True)]) if len(cell) else \
            outputs.new_zeros((0, BOXES))
        best = overlap.argmax(1) if len(cell) else cell
        raw = outputs[..., : 5 * BOXES].reshape(-1, GRID * GRID, BOXES, 5)
        mine = raw[picture, cell, best]
        centre, sides = (things[:, :2] + things[:, 2:]) / 2 * GRID, things[:, 2:] - things[:, :2]
        location = (mine[:, :2] - (centre - centre.floor())).square().sum()
        location = location + (mine[:, 2:4] - sides.clamp(min=0).sqrt()).square().sum()
        silent = torch.ones_like(raw[..., 4])
        silent[picture, cell, best] = 0
        there = overlap[torch.arange(len(best), device=best.device), best]
        confidence = (mine[:, 4] - there).square().sum() + _NOTHING * (raw[..., 4] * silent).square().sum()
        kinds = nn.functional.one_hot(labels[picture, owner], net.classes).float()
        classes = (outputs[picture, cell, 5 * BOXES :] - kinds).square().sum()
        terms = {"location": _COORDINATES * location, "confidence": confidence, "classes": classes}
        return {name: value / len(x) for name, value in terms.items()}


def _responsible(objects: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Picture, cell and row of each object that counts, (N,) each. objects (B,M,4) xyxy as shares of the picture."""
    centre = ((objects[..., :2] + objects[..., 2:]) / 2 * GRID).clamp(0, GRID - 1e-4).long()
    cells = centre[..., 1] * GRID + centre[..., 0]
    picture, owner = (labels >= 0).nonzero(as_tuple=True)
    place = picture * GRID * GRID + cells[picture, owner]
    first: dict[int, int] = {}
    for i, one in enumerate(place.tolist()):
        first.setdefault(one, i)
    chosen = torch.tensor(sorted(first.values()), dtype=torch.int64, device=labels.device)
    return picture[chosen], cells[picture, owner][chosen], owner[chosen]
