"""Boxes: overlap, suppression, and conversions that are named by both ends.

A box is four float32 numbers in pixels; xyxy is (left, top, right, bottom), cxcywh is centre and
size, xywh is (left, top, width, height). Every function takes and returns arrays of N rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


def cxcywh_to_xyxy(boxes: npt.ArrayLike) -> Floats:
    """(N,4) centre and size -> (N,4) corners."""
    b = np.asarray(boxes, np.float32).reshape(-1, 4)
    half = b[:, 2:] / 2
    return np.concatenate([b[:, :2] - half, b[:, :2] + half], axis=1)


def xyxy_to_cxcywh(boxes: npt.ArrayLike) -> Floats:
    """(N,4) corners -> (N,4) centre and size."""
    b = np.asarray(boxes, np.float32).reshape(-1, 4)
    return np.concatenate([(b[:, :2] + b[:, 2:]) / 2, b[:, 2:] - b[:, :2]], axis=1)


def xywh_to_xyxy(boxes: npt.ArrayLike) -> Floats:
    """(N,4) corner and size (COCO, MOT) -> (N,4) corners."""
    b = np.asarray(boxes, np.float32).reshape(-1, 4)
    return np.concatenate([b[:, :2], b[:, :2] + b[:, 2:]], axis=1)


def xyxy_to_xywh(boxes: npt.ArrayLike) -> Floats:
    """(N,4) corners -> (N,4) corner and size (COCO, MOT)."""
    b = np.asarray(boxes, np.float32).reshape(-1, 4)
    return np.concatenate([b[:, :2], b[:, 2:] - b[:, :2]], axis=1)


def area(boxes: Floats) -> Floats:
    """(N,4) xyxy -> (N,) square pixels; 0 where a box is turned inside out."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return np.asarray(sides[:, 0] * sides[:, 1], np.float32)


def iou(a: Floats, b: Floats) -> Floats:
    """(N,4) and (M,4) xyxy -> (N,M) intersection over union in 0..1; 0 where both are empty."""
    width = np.minimum(a[:, None, 2], b[:, 2]) - np.maximum(a[:, None, 0], b[:, 0])
    height = np.minimum(a[:, None, 3], b[:, 3]) - np.maximum(a[:, None, 1], b[:, 1])
    inter = np.maximum(width, 0) * np.maximum(height, 0)
    union = area(a)[:, None] + area(b) - inter
    return np.asarray(inter / np.maximum(union, 1e-9), np.float32)


def clip(boxes: Floats, size_wh: tuple[int, int]) -> Floats:
    """(N,4) xyxy, cut to the frame 0..width, 0..height."""
    w, h = size_wh
    return np.clip(boxes, 0, np.array([w, h, w, h], np.float32))


def nms(
    boxes: Floats, scores: Floats, labels: npt.NDArray[np.int64] | None, max_iou: float
) -> npt.NDArray[np.int64]:
    """Greedy non-maximum suppression.

    boxes (N,4) xyxy, scores (N,), labels (N,) for class-wise suppression or None for agnostic.
    Returns the kept indices, best first. Of two boxes that overlap by more than `max_iou`, the
    one with the lower score goes.
    """
    if len(boxes) == 0:
        return np.empty(0, np.int64)
    xywh: Any = xyxy_to_xywh(boxes).astype(np.float64)
    if labels is not None:   # classes apart: each on its own tile, so that they never overlap
        span = float(boxes.max() - min(0.0, float(boxes.min()))) + 1.0
        xywh[:, :2] += (labels.astype(np.float64) * span)[:, None]
    above_zero: Any = scores.astype(np.float32) - scores.min() + 1.0          # NMSBoxes wants positive scores
    kept = cv2.dnn.NMSBoxes(xywh, above_zero, 0.0, max_iou)
    return np.asarray(kept, np.int64).reshape(-1)


ONE_OBJECT = 0.55            # IoU from which on boxes of several detectors are one object's


def weighted_box_fusion(
    boxes: Sequence[Floats], scores: Sequence[Floats], labels: Sequence[Ints],
    weights: Sequence[float] | None = None, max_iou: float = ONE_OBJECT,
) -> tuple[Floats, Floats, Ints]:
    """What several detectors found in one picture, as one: boxes of a label that overlap by more than `max_iou` become
    their mean, in which each counts by its score (Solovyev et al. 2021, "Weighted boxes fusion").

    boxes (N,4) xyxy, scores (N,) in 0..1 and labels (N,) of each detector, its own suppression done; a box without
    score or area is left out. weights: how much each detector counts; all alike unless given.
    Returns boxes (M,4) xyxy, scores (M,) in 0..1 and labels (M,), best first. A score is the mean of those of the
    boxes, less where some of the detectors found nothing there.
    """
    share = np.ones(len(boxes)) if weights is None else np.asarray(weights, np.float64)
    rows = [
        np.column_stack([of_label, score * weight, box])[(score > 0) & (area(np.asarray(box, np.float32)) > 0)]
        for box, score, of_label, weight in zip(boxes, scores, labels, share, strict=True)
    ]
    table = np.concatenate([np.empty((0, 6)), *rows]).astype(np.float64)
    fused = [
        _fused(table[table[:, 0] == label], max_iou, share) for label in np.unique(table[:, 0])
    ]
    whole = np.concatenate([np.empty((0, 6)), *fused])
    whole = whole[np.argsort(-whole[:, 1], kind="stable")]
    return whole[:, 2:].astype(np.float32), whole[:, 1].astype(np.float32), whole[:, 0].astype(np.int64)


def _fused(rows: npt.NDArray[np.float64], max_iou: float, share: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Rows (N,6) of one label - label, weighted score, xyxy - as one row for each object."""
    sums, means = np.empty((0, 6)), np.empty((0, 4), np.float64)   # label, scores, boxes times scores; boxes
    counts = np.empty(0, np.int64)
    for row in rows[np.argsort(-rows[:, 1], kind="stable")]:
        weighted = np.concatenate([row[:2], row[2:] * row[1]])
        overlap = _iou64(row[2:], means)
        best = int(overlap.argmax()) if len(overlap) else -1
        if best >= 0 and overlap[best] > max_iou:
            sums[best, 1:] += weighted[1:]
            counts[best] += 1
            means[best] = sums[best, 2:] / sums[best, 1]
        else:
            sums, means = np.vstack([sums, weighted]), np.vstack([means, row[2:]])
            counts = np.append(counts, 1)
    scores = sums[:, 1] / counts * np.minimum(len(share), counts) / share.sum()
    return np.column_stack([sums[:, 0], np.minimum(scores, 1), means])     # above 1 by two boxes of a heavy detector


def _iou64(one: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(4,) and (M,4) xyxy -> (M,): `iou` in the numbers that decide which boxes are one."""
    sides = np.minimum(one[2:], others[:, 2:]) - np.maximum(one[:2], others[:, :2])
    inter = np.maximum(sides, 0).prod(1)
    return np.asarray(inter / ((one[2:] - one[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(1) - inter))
