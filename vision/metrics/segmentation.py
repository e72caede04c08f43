"""Figures of label maps, all from one confusion matrix over the whole set."""

from __future__ import annotations

from dataclasses import dataclass

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
        return self.metric.compute().cpu().numpy().astype(np.int64)


def confusion(predicted: np.ndarray, labels: np.ndarray, classes: int, void: int) -> npt.NDArray[np.int64]:
    """The confusion matrix (C,C) of one label map."""
    counted = Confusion(classes, void)
    counted.update(torch.from_numpy(predicted)[None], torch.from_numpy(labels)[None])
    return counted.matrix
