"""Which cell of a detector answers for which object: task-aligned assignment."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import box_iou


@dataclass(frozen=True)
class Assigned:
    """What each cell should say. scores: (B,A,C) in 0..1, 0 where nothing is. boxes: (B,A,4) xyxy, of
    the object that a positive cell answers for. weights: (B,A), a cell's score, 0 of a negative one. With `sure`, both
    scores and weights are times how sure the object is."""

    scores: Tensor
    boxes: Tensor
    weights: Tensor


@torch.no_grad()
def task_aligned(
    scores: Tensor, boxes: Tensor, centres: Tensor, objects: Tensor, labels: Tensor, sure: Tensor | None = None,
    top_k: int = 13, alpha: float = 1.0, beta: float = 6.0,
) -> Assigned:
    """Feng et al. 2021, "TOOD": the `top_k` cells inside an object that class and place it best.

    scores (B,A,C) in 0..1 and boxes (B,A,4) xyxy: what the network says now, at cells with the given
    centres (A,2). objects (B,M,4) xyxy and labels (B,M) int64, padded with -1. The alignment of a cell
    with an object is t = score^alpha * IoU^beta; a cell that several objects want goes to the one it
    overlaps most. Targets are t, scaled so that the best of an object has its largest IoU, times `sure` (B,M) where
    that is given.
    """
    if not objects.shape[1]:
        return Assigned(torch.zeros_like(scores), torch.zeros_like(boxes), torch.zeros_like(boxes[..., 0]))
    there = labels >= 0
    overlap = box_iou(objects, boxes)                                                  # (B,M,A)
    of_class = scores.transpose(1, 2).gather(
        1, labels.clamp(min=0)[..., None].expand(-1, -1, scores.shape[1])
    )
    offsets = torch.cat([
        centres - objects[..., None, :2], objects[..., None, 2:] - centres
    ], -1)                                                                             # (B,M,A,4)
    inside = (offsets.amin(-1) > 0) & there[..., None]
    alignment = of_class.pow(alpha) * overlap.pow(beta) * inside
    best = alignment.topk(min(top_k, alignment.shape[2]), -1).indices
    chosen = torch.zeros_like(inside).scatter_(-1, best, True) & (alignment > 0)
    owner = overlap.masked_fill(~chosen, -1.0)
    taken, which = owner.max(1)                                                        # (B,A)
    chosen &= torch.zeros_like(chosen).scatter_(1, which[:, None], True)
    aligned, iou = alignment * chosen, overlap * chosen
    scaled = aligned * iou.amax(-1, keepdim=True) / aligned.amax(-1, keepdim=True).clamp(min=1e-12)
    weights = scaled.amax(1).where(taken >= 0, 0.0)                                    # (B,A)
    if sure is not None:
        weights = weights * sure.gather(1, which)
    target = torch.zeros_like(scores).scatter_(
        2, labels.clamp(min=0).gather(1, which)[..., None], weights[..., None]
    )
    mine = objects.gather(1, which[..., None].expand(-1, -1, 4))
    return Assigned(target, mine, weights)
