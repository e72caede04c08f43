"""Figures of action recognition: a video's probabilities are the mean of its clips'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vision.errors import DataError
from vision.types import Floats


@dataclass(frozen=True)
class ActionFigures:
    """top1, top5: share of the videos whose class is the best, or among the five best. clip_top1: share
    of the single clips that are right. class_top1: of each class, nan where it has no video; class_mean:
    their mean. confusion: (C,C) videos, a row a true class, a column a predicted one. All in 0..1."""

    videos: int
    clips: int
    top1: float
    top5: float
    clip_top1: float
    class_mean: float
    class_top1: npt.NDArray[np.float64]
    confusion: npt.NDArray[np.int64]


def action_figures(probs: Sequence[Floats], labels: Sequence[int]) -> ActionFigures:
    """probs: for each video (K,C), the probabilities of its clips. labels: of each video.

    Raises DataError for no videos.
    """
    if not labels:
        raise DataError("figures need at least one video")
    classes = probs[0].shape[1]
    means = np.stack([p.mean(axis=0) for p in probs])
    order = np.argsort(-means, axis=1, kind="stable")
    truth = np.asarray(labels)
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (truth, order[:, 0]), 1)
    with np.errstate(invalid="ignore"):
        class_top1 = np.diag(confusion) / confusion.sum(axis=1)
    right = np.concatenate([p.argmax(axis=1) == label for p, label in zip(probs, labels, strict=True)])
    return ActionFigures(
        videos=len(labels),
        clips=len(right),
        top1=float(np.mean(order[:, 0] == truth)),
        top5=float(np.mean((order[:, :5] == truth[:, None]).any(axis=1))),
        clip_top1=float(right.mean()),
        class_mean=float(np.nanmean(class_top1)),
        class_top1=class_top1,
        confusion=confusion,
    )
