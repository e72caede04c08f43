"""Losses over label maps, with void left out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor
from torch.nn import functional as F

# Median-frequency balancing for CamVid as the authors of SegNet published it with their model
# (alexgkendall/SegNet-Tutorial, segnet_train.prototxt), in the order of `CAMVID`
SEGNET_WEIGHTS = (0.2595, 0.1826, 4.5640, 0.1417, 0.9051, 0.3826, 9.6446, 1.8418, 0.6823, 6.2478, 7.3614)


def median_frequency(maps: Sequence[np.ndarray], classes: int) -> np.ndarray:
    """Weights (C,) float32 of the classes (Eigen & Fergus 2015): the median frequency over a class's
    own, where the frequency is its pixels over all pixels of the maps it appears in. A class that
    never appears weighs 0. Labels from `classes` up are void."""
    pixels, present = np.zeros(classes), np.zeros(classes)
    for labels in maps:
        counts = np.bincount(labels.ravel(), minlength=256)[:classes]
        pixels += counts
        present += (counts > 0) * counts.sum()
    seen = pixels > 0
    frequency = pixels[seen] / present[seen]
    weights = np.zeros(classes, np.float32)
    weights[seen] = np.median(frequency) / frequency
    return weights


def dice_loss(logits: Tensor, labels: Tensor, void: int) -> Tensor:
    """1 - the mean soft Dice (Milletari et al. 2016) of the classes that the batch has.

    logits (B,C,H,W), labels (B,H,W) int64.
    """
    known = labels != void
    target = F.one_hot(labels.where(known, 0), logits.shape[1]).movedim(-1, 1) * known[:, None]
    probs = logits.softmax(1) * known[:, None]
    overlap = (probs * target).sum((0, 2, 3))
    total = probs.sum((0, 2, 3)) + target.sum((0, 2, 3))
    there = target.sum((0, 2, 3)) > 0
    dice = (2 * overlap / total.clamp(min=1e-6))[there]
    return 1 - dice.mean() if dice.numel() else logits.sum() * 0


def cross_entropy(logits: Tensor, labels: Tensor, void: int, weights: Tensor | None = None) -> Tensor:
    """Mean over the pixels that are not void of -w log p, divided by the sum of w as torch does;
    0 for a batch that is void altogether."""
    if bool((labels == void).all()):
        return logits.sum() * 0
    return F.cross_entropy(logits, labels, weights, ignore_index=void)
