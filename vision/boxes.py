"""Boxes: overlap, suppression, and conversions that are named by both ends.

A box is four float32 numbers in pixels; xyxy is (left, top, right, bottom), cxcywh is centre and
size, xywh is (left, top, width, height). Every function takes and returns arrays of N rows.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


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
    xywh = xyxy_to_xywh(boxes).astype(np.float64)
    if labels is not None:   # classes apart: each on its own tile, so that they never overlap
        span = float(boxes.max() - min(0.0, float(boxes.min()))) + 1.0
        xywh[:, :2] += (labels.astype(np.float64) * span)[:, None]
    above_zero = scores.astype(np.float32) - scores.min() + 1.0          # NMSBoxes wants positive scores
    kept = cv2.dnn.NMSBoxes(xywh.tolist(), above_zero.tolist(), 0.0, max_iou)
    return np.asarray(kept, np.int64).reshape(-1)
