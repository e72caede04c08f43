"""What detectors with anchors learn by: SSD (Liu et al. 2016), Faster R-CNN (Ren et al. 2015)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection._utils import BoxCoder, SSDMatcher
from torchvision.ops import box_convert, box_iou

from vision.nets.published_detectors import SingleShot, TwoStage
from vision.nets.ssdlite import SSDLite, anchors

_NEGATIVES = 3                     # for each positive anchor, the hardest ones
_CODER = BoxCoder((10.0, 10.0, 5.0, 5.0))


def matched(prior: Tensor, objects: Tensor, labels: Tensor) -> Tensor:
    """For each anchor (A,) the index of its object, -1 for background: the object that it overlaps most,
    from an IoU of 0.5 up; and each object's best anchor is its in any case (Liu et al., section 2.2).

    prior (A,4), objects (M,4) xyxy, labels (M,): rows of -1 are no objects.
    """
    if not bool((labels >= 0).any()):
        return labels.new_full((len(prior),), -1)
    overlap = box_iou(objects[labels >= 0], prior)                  # the padding is behind the objects
    found: Tensor = SSDMatcher(0.5)(overlap)
    return found.clamp(min=-1)


def multibox(
    offsets: Tensor, logits: Tensor, prior: Tensor, objects: Tensor, labels: Tensor
) -> dict[str, Tensor]:
    """SSD's loss: `location`, smooth L1 over the positive anchors, and `confidence`, cross entropy over
    them and the hardest negatives of each picture, three for each positive one; both by the number
    of positive anchors in the batch.

    offsets (B,A,4), logits (B,A,1+C) with background first, prior (A,4) xyxy, the anchors; objects
    (B,M,4) xyxy, labels (B,M), -1 behind the last.
    """
    owner = torch.stack([matched(prior, o, k) for o, k in zip(objects, labels, strict=True)])
    picture, anchor = (owner >= 0).nonzero(as_tuple=True)
    total = max(1, len(anchor))
    targets = torch.zeros_like(owner)
    targets[picture, anchor] = labels[picture, owner[picture, anchor]] + 1
    wanted = _CODER.encode_single(objects[picture, owner[picture, anchor]], prior[anchor])
    location = F.smooth_l1_loss(offsets[picture, anchor], wanted, reduction="sum") / total
    entropy = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view_as(targets)
    positive = owner >= 0
    hardness = entropy.detach().masked_fill(positive, -1)
    rank = hardness.argsort(1, descending=True).argsort(1)
    hard = (rank < _NEGATIVES * positive.sum(1, keepdim=True)) & ~positive
    return {"location": location, "confidence": entropy[positive | hard].sum() / total}


class MultiboxCriterion:
    """For `nets.ssdlite.SSDLite` and `nets.published_detectors.SingleShot`: `multibox`."""

    def __call__(self, net: nn.Module, x: Tensor, objects: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """`location` and `confidence`."""
        assert isinstance(net, SSDLite | SingleShot)
        offsets, logits, *of_net = net(x)
        prior = of_net[0] if of_net else box_convert(anchors((x.shape[-1], x.shape[-2])), "cxcywh", "xyxy")
        return multibox(offsets.float(), logits.float(), prior.to(x.device), objects, labels)


class TwoStageCriterion:
    """For `nets.published_detectors.TwoStage`: torchvision's own losses of both stages."""

    def __call__(self, net: nn.Module, x: Tensor, objects: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Objectness and boxes of the proposals, classes and boxes of what is made of them."""
        assert isinstance(net, TwoStage)
        there = labels >= 0
        targets = [
            {"boxes": o[t], "labels": k[t] + 1} for o, k, t in zip(objects, labels, there, strict=True)
        ]
        return net.losses(x, targets)
