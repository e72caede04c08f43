"""What the detectors of each family put out, turned into boxes: one small function a family.

A decoder gets the outputs of a batch, the row of one picture in it, the lowest score that is of use, and
the network's input size (w, h) in pixels; it gives boxes xyxy in the pixels of that input, not suppressed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from vision.boxes import cxcywh_to_xyxy
from vision.engine import Outputs
from vision.types import Detections, Floats

Decoder = Callable[[Outputs, int, float, tuple[int, int]], Detections]


def cells(size_wh: tuple[int, int], strides: Sequence[int], offset: float) -> tuple[Floats, Floats]:
    """Points (A,2) xy of the cells of all levels, in their strides, finest level first, row by row, and
    the strides (A,1). offset: 0.5 for a cell's centre, 0 for its corner."""
    points, sizes = [], []
    for stride in strides:
        x, y = (np.arange(-(-side // stride)) + offset for side in size_wh)
        points.append(np.stack(np.meshgrid(x, y), -1).reshape(-1, 2))
        sizes.append(np.full((len(points[-1]), 1), stride))
    return np.concatenate(points).astype(np.float32), np.concatenate(sizes).astype(np.float32)


def sigmoid(logits: Floats) -> Floats:
    """Logits -> 0..1."""
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * logits.astype(np.float32)), np.float32)      # overflows nowhere


def _likely(boxes: Callable[[np.ndarray], Floats], scores: Floats, min_score: float) -> Detections:
    """Every class of an anchor that scores enough is a candidate. boxes: gives those of some anchors, so
    that only these are computed. scores (A,C)."""
    flat = np.flatnonzero(scores.ravel() >= min_score)           # one pass; few are left after it
    anchors, labels = np.divmod(flat, scores.shape[1])
    return Detections(boxes(anchors), scores.ravel()[flat], labels)


def _dense(outputs: Outputs, i: int, min_score: float, size_wh: tuple[int, int]) -> Detections:
    """Boxes (B,A,4) xyxy and scores (B,A,C)."""
    return _likely(lambda anchors: outputs[0][i][anchors], outputs[1][i], min_score)


def _rows(outputs: Outputs, i: int, min_score: float, size_wh: tuple[int, int]) -> Detections:
    """Boxes (B,R,4) xyxy, scores (B,R), labels (B,R): two stages, RetinaNet, FCOS. A row to spare has the score 0."""
    boxes, scores, labels = (output[i] for output in outputs)
    keep = np.flatnonzero((scores >= min_score) & (scores > 0))
    return Detections(boxes[keep], scores[keep], labels[keep])


def _yolo(outputs: Outputs, i: int, min_score: float, size_wh: tuple[int, int]) -> Detections:
    """(B,4+C,A): cxcywh and a score a class; an anchor is what its best class says (YOLOv8, 11)."""
    table = outputs[0][i]
    scores = table[4:].ravel()
    flat = np.flatnonzero(scores >= min_score)
    flat = flat[np.argsort(-scores[flat], kind="stable")]
    labels, anchors = np.divmod(flat, table.shape[1])
    best = np.sort(np.unique(anchors, return_index=True)[1])     # the first of each anchor is its best
    return Detections(cxcywh_to_xyxy(table[:4, anchors[best]].T), scores[flat[best]], labels[best])


def _yolo_rows(outputs: Outputs, i: int, min_score: float, size_wh: tuple[int, int]) -> Detections:
    """(B,N,6): xyxy, score, class, suppressed already (built-in NMS, or end to end as YOLO26); rows to spare are 0."""
    table = outputs[0][i]
    table = table[(table[:, 4] >= min_score) & (table[:, 4] > 0)]
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


def _yolox(outputs: Outputs, i: int, min_score: float, size_wh: tuple[int, int]) -> Detections:
    """(B,A,5+C): centre from the cell's corner and log of the size, in strides; a score of there being
    anything, and one a class. Ge et al. 2021, "YOLOX"."""
    table = outputs[0][i]
    points, strides = cells(size_wh, (8, 16, 32), 0.0)

    def boxes(anchors: np.ndarray) -> Floats:
        centre, size = table[anchors, :2] + points[anchors], np.exp(table[anchors, 2:4])
        return cxcywh_to_xyxy(np.concatenate([centre, size], 1) * strides[anchors])

    return _likely(boxes, table[:, 4:5] * table[:, 5:], min_score)


def _distributions(
    scores: Floats, bins: Floats, min_score: float, size_wh: tuple[int, int], levels: int, offset: float
) -> Detections:
    """scores (A,C); bins (A,4*N): how likely each distance from a cell to a side is, as logits. Li et al.
    2020, "Generalized Focal Loss"."""
    points, strides = cells(size_wh, [8 << level for level in range(levels)], offset)

    def boxes(anchors: np.ndarray) -> Floats:
        logits = bins[anchors].reshape(len(anchors), 4, bins.shape[1] // 4)
        likely = np.exp(logits - logits.max(-1, keepdims=True))
        away = (likely * np.arange(likely.shape[-1])).sum(-1) / likely.sum(-1)
        sides = np.concatenate([points[anchors] - away[:, :2], points[anchors] + away[:, 2:]], 1)
        return np.asarray(sides * strides[anchors], np.float32)

    return _likely(boxes, scores, min_score)


def _picodet(outputs: Outputs, i: int, min_score: float, size_wh: tuple[int, int]) -> Detections:
    """Scores (B,a,C) of each level from stride 8 on, then distributions (B,a,4*N) of each: PicoDet with its
    four levels, the first NanoDets with three."""
    levels = len(outputs) // 2
    scores, bins = (np.concatenate([o[i] for o in part]) for part in (outputs[:levels], outputs[levels:]))
    return _distributions(scores, bins, min_score, size_wh, levels, 0.5)


def _nanodet(outputs: Outputs, i: int, min_score: float, size_wh: tuple[int, int]) -> Detections:
    """(B,A,C+32): scores, and distributions of 8 bins from the cells' corners; strides 8 to 64 (NanoDet-Plus)."""
    table = outputs[0][i]
    return _distributions(table[:, :-32], table[:, -32:], min_score, size_wh, 4, 0.0)


def _rtmdet(outputs: Outputs, i: int, min_score: float, size_wh: tuple[int, int]) -> Detections:
    """Logits (B,C,h,w) of each level from stride 8 on, then distances (B,4,h,w) in pixels from the cells'
    corners to the sides. Lyu et al. 2022, "RTMDet"."""
    rows = [np.moveaxis(o[i], 0, -1).reshape(-1, o.shape[1]) for o in outputs]
    levels = len(rows) // 2
    logits, away = np.concatenate(rows[:levels]), np.concatenate(rows[levels:])
    points, strides = cells(size_wh, [8 << level for level in range(levels)], 0.0)

    def boxes(anchors: np.ndarray) -> Floats:
        at = points[anchors] * strides[anchors]
        return np.concatenate([at - away[anchors, :2], at + away[anchors, 2:]], 1)

    return _likely(boxes, sigmoid(logits), min_score)


def _ssd(outputs: Outputs, i: int, min_score: float, size_wh: tuple[int, int]) -> Detections:
    """Boxes (B,A,4) xyxy as shares of the input and scores (B,A,1+C), background first. Liu et al. 2016."""
    sides = np.array([*size_wh, *size_wh], np.float32)
    return _likely(lambda anchors: outputs[0][i][anchors] * sides, outputs[1][i][:, 1:], min_score)


def _detr(outputs: Outputs, i: int, min_score: float, size_wh: tuple[int, int]) -> Detections:
    """Boxes (B,Q,4) cxcywh as shares of the input and logits (B,Q,C): RT-DETR and RF-DETR as their networks
    put them out. Zhao et al. 2023, "DETRs Beat YOLOs on Real-time Object Detection"."""
    sides = np.array([*size_wh, *size_wh], np.float32)
    return _likely(
        lambda anchors: cxcywh_to_xyxy(outputs[0][i][anchors]) * sides, sigmoid(outputs[1][i]), min_score
    )


_PLATE_SIDES = ((8, (10, 16, 24)), (16, (32, 48)), (32, (64, 96)), (64, (128, 192, 256)))


def _plates(outputs: Outputs, i: int, min_score: float, size_wh: tuple[int, int]) -> Detections:
    """Offsets (A,14) in tenths of squares around the cells' centres: a box, then five points, of which all but the
    third are the corners of a license plate; (A,2), how likely there is one comes second; (A,1), the IoU that is
    expected. The rows of further pictures follow. The box is around the corners. LPD-YuNet of OpenCV's zoo."""
    centres, sides = [], []
    for stride, squares in _PLATE_SIDES:
        x, y = (np.arange(side // stride) + 0.5 for side in size_wh)
        at = np.stack(np.meshgrid(x, y), -1).reshape(-1, 1, 2) * stride
        centres.append(np.repeat(at, len(squares), 1).reshape(-1, 2))
        sides.append(np.tile(squares, len(at)))
    place, side = np.concatenate(centres).astype(np.float32), np.concatenate(sides).astype(np.float32)
    offsets, kinds, expected = (out.reshape(-1, len(place), out.shape[-1])[i] for out in outputs)

    def boxes(anchors: np.ndarray) -> Floats:
        corners = offsets[anchors].reshape(-1, 7, 2)[:, [2, 3, 5, 6]]
        corners = place[anchors, None] + 0.1 * corners * side[anchors, None, None]
        return np.concatenate([corners.min(1), corners.max(1)], 1)

    return _likely(boxes, np.sqrt(kinds[:, 1:] * expected.clip(0, 1)), min_score)


DECODERS: dict[str, Decoder] = {
    "dense": _dense,
    "rows": _rows,
    "yolo": _yolo,
    "yolo_rows": _yolo_rows,
    "yolox": _yolox,
    "picodet": _picodet,
    "nanodet": _nanodet,
    "rtmdet": _rtmdet,
    "ssd": _ssd,
    "detr": _detr,
    "plates": _plates,
}
