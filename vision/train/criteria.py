"""Losses of detectors: one criterion for each family of networks."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import generalized_box_iou_loss

from vision.nets.gfl import Gfl, points
from vision.nets.nanodet import NanoDet
from vision.train.assign import task_aligned


class Criterion(Protocol):
    """What a family of detectors learns by."""

    def __call__(self, net: nn.Module, x: Tensor, objects: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The terms of the loss, scalars. x (B,3,H,W) normalised; objects (B,M,4) xyxy in its pixels and
        labels (B,M) int64, padded with -1."""
        ...


def varifocal(logits: Tensor, targets: Tensor, alpha: float = 0.75, gamma: float = 2.0) -> Tensor:
    """Zhang et al. 2021, "VarifocalNet": the sum of binary cross entropies, weighted by the target
    where there is one, by alpha p^gamma where it is 0. Both of one shape, targets in 0..1."""
    weights = torch.where(targets > 0, targets, alpha * logits.detach().sigmoid().pow(gamma))
    return F.binary_cross_entropy_with_logits(logits, targets, weights, reduction="sum")


def distribution_focal(logits: Tensor, distances: Tensor) -> Tensor:
    """Li et al. 2020: cross entropy (N,) to the two bins around a distance, by its nearness to them.

    logits (N,bins); distances (N,) in 0..bins-1, clamped to it.
    """
    last = logits.shape[1] - 1
    distances = distances.clamp(0, last - 0.01)
    left = distances.long()
    share = distances - left
    log_probs = logits.log_softmax(1)
    low, high = (log_probs.gather(1, bins[:, None])[:, 0] for bins in (left, left + 1))
    return -(low * (1 - share) + high * share)


class GflCriterion:
    """For `nets.gfl.Gfl` and `NanoDet`: varifocal loss on task-aligned scores, and for each cell that answers for an
    object, by its score, GIoU (Rezatofighi et al. 2019) and distribution focal loss; each term over the
    sum of the scores. giou, dfl: weights of these two."""

    def __init__(self, giou: float = 2.0, dfl: float = 0.5) -> None:
        self.giou, self.dfl = giou, dfl

    def __call__(
        self, net: nn.Module, x: Tensor, objects: Tensor, labels: Tensor, sure: Tensor | None = None
    ) -> dict[str, Tensor]:
        """`varifocal`, `giou` and `dfl`. sure (B,M) in 0..1: of a teacher's labels, the scores to learn."""
        assert isinstance(net, (Gfl, NanoDet))
        size_wh = (x.shape[-1], x.shape[-2])
        logits, distances = (output.float() for output in net(x))
        boxes = net.boxes(distances, size_wh)
        centres, strides = (t.to(boxes) for t in points(size_wh, net.strides))
        assigned = task_aligned(logits.detach().sigmoid(), boxes.detach(), centres, objects, labels, sure)
        picture, cell = (assigned.weights > 0).nonzero(as_tuple=True)
        weights, wanted = assigned.weights[picture, cell], assigned.boxes[picture, cell]
        total = assigned.scores.sum().clamp(min=1.0)
        away = torch.cat([centres[cell] - wanted[:, :2], wanted[:, 2:] - centres[cell]], 1)
        bins = distribution_focal(
            distances[picture, cell].flatten(0, 1), (away / strides[cell, None]).flatten()
        ).view(-1, 4).mean(1)
        overlap = generalized_box_iou_loss(boxes[picture, cell], wanted)
        return {
            "varifocal": varifocal(logits, assigned.scores) / total,
            "giou": self.giou * (overlap * weights).sum() / total,
            "dfl": self.dfl * (bins * weights).sum() / total,
        }
