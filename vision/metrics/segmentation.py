"""Figures of label maps, all from one confusion matrix over the whole set."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassConfusionMatrix


@dataclass(frozen=True)
class Figures:
    """accuracy: share of the known pixels that are right. class_average: mean over the classes of
    the share of a class's pixels that are right. miou: mean of iou. iou: (C,) intersection over
    union, nan for a class that neither the labels nor the predictions have."""

    accuracy: float
    class_average: float
    miou: float
    iou: npt.NDArray[np.float64]

    @classmethod
    def of(cls, matrix: npt.NDArray[np.int64]) -> Figures:
        """From a confusion matrix (C,C) of pixel counts: a row a true class, a column a predicted one."""
        counts = matrix.astype(np.float64)
        right, true, predicted = np.diag(counts), counts.sum(1), counts.sum(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            recall, iou = right / true, right / (true + predicted - right)
            accuracy = right.sum() / counts.sum()
        mean = [float(np.nanmean(v)) if not np.isnan(v).all() else float("nan") for v in (recall, iou)]
        return cls(float(accuracy), mean[0], mean[1], iou)


class Confusion(nn.Module):
    """The confusion matrix of a set, filled a batch at a time, on the device of the predictions."""

    def __init__(self, classes: int, void: int) -> None:
        super().__init__()
        self.metric = MulticlassConfusionMatrix(classes, ignore_index=void, validate_args=False)

    def update(self, predicted: Tensor, labels: Tensor) -> None:
        """predicted, labels: (B,H,W) integer maps; pixels with the label void do not count."""
        self.metric.update(predicted.long(), labels.long())

    def figures(self) -> Figures:
        """The figures of all that came since the last call."""
        matrix = self.metric.compute().cpu().numpy()
        self.metric.reset()
        return Figures.of(matrix)

    @property
    def matrix(self) -> npt.NDArray[np.int64]:
        """(C,C) pixel counts: a row a true class, a column a predicted one."""
        return np.asarray(self.metric.compute().cpu().numpy(), np.int64)


def confusion(predicted: np.ndarray, labels: np.ndarray, classes: int, void: int) -> npt.NDArray[np.int64]:
    """The confusion matrix (C,C) of one label map."""
    counted = Confusion(classes, void)
    counted.update(torch.from_numpy(predicted)[None], torch.from_numpy(labels)[None])
    return counted.matrix


def contours(labels: np.ndarray, label: int, void: int) -> npt.NDArray[np.bool_]:
    """(H,W) bool: the pixels of a class that have a 4-neighbour of another class. Void and the
    picture's edge are no other class."""
    inside = ((labels == label) | (labels == void)).astype(np.uint8)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    kept = cv2.erode(inside, cross, borderType=cv2.BORDER_CONSTANT, borderValue=1)
    return np.asarray((labels == label) & (kept == 0), np.bool_)


def contour_score(
    predicted: np.ndarray, labels: np.ndarray, classes: int, void: int, tolerance: float = 0.0075
) -> float:
    """BF, the contour score of one picture (Csurka et al. 2013), as the SegNet paper has it.

    For each class that the labels have: the share of the predicted contour within `tolerance` (of
    the picture's diagonal) of the true one, the share of the true one near the predicted, and their
    harmonic mean; the score is the mean over those classes. nan where the labels are all void.
    """
    reach = tolerance * float(np.hypot(*labels.shape))
    guess = np.where(labels == void, np.uint8(void), predicted)
    scores = []
    for label in np.unique(labels):
        if label >= classes:
            continue
        found, true = contours(guess, int(label), void), contours(labels, int(label), void)
        precision, recall = _near(found, true, reach), _near(true, found, reach)
        scores.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
    return float(np.mean(scores)) if scores else float("nan")


def _near(points: npt.NDArray[np.bool_], others: npt.NDArray[np.bool_], reach: float) -> float:
    """The share of `points` that have one of `others` within `reach` pixels; 1 where there is neither."""
    if not points.any():
        return 0.0 if others.any() else 1.0
    if not others.any():
        return 0.0
    distance = cv2.distanceTransform((~others).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return float((distance[points] <= reach).mean())
