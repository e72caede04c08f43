"""All that is worth knowing of a classifier's answers; torchmetrics does the arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.errors import DataError, MissingExtra
from vision.types import Floats

_BINS = 15                             # of the reliability diagram
_POINTS = 100                          # of a curve


@dataclass(frozen=True)
class Curve:
    """A curve of one class over 0..1, and its area. x, y: (K,)."""

    x: Floats
    y: Floats
    area: float


@dataclass(frozen=True)
class Report:
    """Figures of a classifier on labelled pictures.

    figures: accuracy, top5, balanced (the mean of the recalls), precision, recall and f1 (means over classes), mcc
        (Matthews' correlation), ece (expected calibration error), roc and pr (mean areas); of several classes a
        picture map, f1, precision, recall.
    classes: of each class precision, recall, f1, support, roc, pr.
    confusion: (C,C) int64, a row a true class; None for several classes a picture.
    roc, pr: a curve a class. reliability: of each bin of certainty its mean, the share that was right, how many.
    """

    figures: Mapping[str, float]
    classes: Sequence[Mapping[str, float]]
    confusion: npt.NDArray[np.int64] | None
    roc: Sequence[Curve]
    pr: Sequence[Curve]
    reliability: Sequence[tuple[float, float, int]]


def report(probs: Floats, labels: npt.NDArray[Any]) -> Report:
    """probs: (N,C) in 0..1. labels: (N,) the true class of each, or (N,C) zeros and ones where there may be several.
    Raises DataError for none, MissingExtra."""
    if not len(labels):
        raise DataError("a report needs at least one picture")
    import torch

    try:
        from torchmetrics.functional import classification as of
    except ImportError:
        raise MissingExtra("torchmetrics", "train", "the page") from None

    count = probs.shape[1]
    p = torch.from_numpy(np.ascontiguousarray(probs, np.float32))
    several = labels.ndim == 2
    truth = torch.from_numpy(np.asarray(labels, np.int64))
    ones = truth if several else torch.nn.functional.one_hot(truth, count)
    seen = ones.sum(0)
    known = (seen > 0).tolist()
    curves = [_curves(p[:, c], ones[:, c]) for c in range(count)]
    more: dict[str, Any] = {"num_labels": count} if several else {"num_classes": count}
    kind = "multilabel" if several else "multiclass"
    each = {name: getattr(of, f"{kind}_{metric}")(p, truth, average="none", **more).tolist()
            for name, metric in (("precision", "precision"), ("recall", "recall"), ("f1", "f1_score"))}
    classes = [
        {**{name: float(values[c]) for name, values in each.items()}, "support": int(seen[c]),
         "roc": curves[c][0].area, "pr": curves[c][1].area}
        for c in range(count)
    ]
    means = {name: _mean([one[name] for one, there in zip(classes, known, strict=True) if there])
             for name in ("precision", "recall", "f1", "roc", "pr")}
    roc, pr = [one for one, _ in curves], [one for _, one in curves]
    if several:
        return Report({"map": means["pr"], **means}, classes, None, roc, pr, [])
    best = p.argmax(1)
    figures = {
        "accuracy": float((best == truth).float().mean()),
        **({"top5": float((p.topk(5, 1).indices == truth[:, None]).any(1).float().mean())} if count > 5 else {}),
        "balanced": means["recall"], **means,
        "mcc": float(of.multiclass_matthews_corrcoef(best, truth, count)),
        "ece": float(of.multiclass_calibration_error(p, truth, count, n_bins=_BINS)),
    }
    confusion = of.multiclass_confusion_matrix(best, truth, count).numpy().astype(np.int64)
    sure, right = p.max(1).values.numpy(), (best == truth).numpy()
    bins = np.minimum((sure * _BINS).astype(int), _BINS - 1)
    reliability = [
        (float(sure[bins == b].mean()), float(right[bins == b].mean()), int((bins == b).sum()))
        for b in range(_BINS) if (bins == b).any()
    ]
    return Report(figures, classes, confusion, roc, pr, reliability)


def _mean(values: Sequence[float]) -> float:
    """Of those that are numbers; NaN where none is."""
    numbers = [value for value in values if not np.isnan(value)]
    return float(np.mean(numbers)) if numbers else float("nan")


def _curves(scores: Any, there: Any) -> tuple[Curve, Curve]:
    """ROC and precision-recall of one class, thinned; their areas of all points. NaN where one side is empty, but for
    the precision of a class that is everywhere, which is 1."""
    from torchmetrics.functional.classification import (
        binary_auroc,
        binary_average_precision,
        binary_precision_recall_curve,
        binary_roc,
    )

    if not 0 < int(there.sum()) < len(there):
        bare = np.zeros(0, np.float32)
        return Curve(bare, bare, float("nan")), Curve(bare, bare, 1.0 if len(there) and there.all() else float("nan"))
    false, true, _ = binary_roc(scores, there)
    precision, recall, _ = binary_precision_recall_curve(scores, there)
    return (
        Curve(*_thinned(false.numpy(), true.numpy()), float(binary_auroc(scores, there))),
        Curve(*_thinned(recall.numpy()[::-1], precision.numpy()[::-1]), float(binary_average_precision(scores, there))),
    )


def _thinned(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    if len(x) <= _POINTS:
        return x.astype(np.float32), y.astype(np.float32)
    places = np.unique(np.linspace(0, len(x) - 1, _POINTS).round().astype(int))
    return x[places].astype(np.float32), y[places].astype(np.float32)
