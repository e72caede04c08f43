"""How many objects proposals reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vision.boxes import iou
from vision.types import Floats

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
_COUNTS = (100, 300, 500, 1000, 2000)


@dataclass(frozen=True)
class ProposalFigures:
    """What proposals reach, as Hosang et al. (2016) measure it.

    recalls: the share of objects that some box overlaps by an IoU, by that IoU. best_overlap: the mean over all objects
    of the largest IoU. by_count: recall at 0.5 of the first so many boxes of each picture. boxes: the mean number of
    boxes a picture. objects, pictures: how many were looked at. classes: recall at 0.5 of each class; NaN without
    objects.
    """

    recalls: dict[float, float]
    best_overlap: float
    by_count: dict[int, float]
    boxes: float
    objects: int
    pictures: int
    classes: dict[str, float]


def proposal_figures(
    proposals: Sequence[Floats], objects: Sequence[Floats], labels: Sequence[np.ndarray], names: Sequence[str]
) -> ProposalFigures:
    """The figures of pictures with at least one object among them.

    proposals: (P,4) xyxy of each picture, the likeliest first. objects: (N,4) xyxy, labels (N,) into `names`.
    """
    most = max(map(len, proposals), default=0)
    counts = [count for count in _COUNTS if count < most] + [most]
    overlaps = [iou(there, boxes) for there, boxes in zip(objects, proposals, strict=True)]
    best = {
        count: np.concatenate([one[:, :count].max(1, initial=0) for one in overlaps]) for count in counts
    }
    whole, of = best[most], np.concatenate(list(labels))
    return ProposalFigures(
        {threshold: float((whole >= threshold).mean()) for threshold in THRESHOLDS}, float(whole.mean()),
        {count: float((one >= 0.5).mean()) for count, one in best.items()},
        float(np.mean([len(boxes) for boxes in proposals])), len(whole), len(proposals),
        {name: float((whole[of == i] >= 0.5).mean()) if (of == i).any() else float("nan")
         for i, name in enumerate(names)},
    )
