"""What the networks of objects with masks put out, turned into boxes that keep what their masks are made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from vision.boxes import cxcywh_to_xyxy
from vision.engine import Outputs
from vision.tasks.decoders import Decoder
from vision.types import Detections, Floats


@dataclass(frozen=True, eq=False)
class Candidates(Detections):
    """Objects with what is their own beside the box, such as what their masks are made from: own (N,K) float32."""

    own: Floats

    _layout: ClassVar[dict[str, tuple[Any, tuple[int, ...]]]] = {**Detections._layout, "own": (np.float32, (-1, -1))}


def yolo_table(table: Floats, width: int, min_score: float) -> Candidates:
    """(4+C+K,A): cxcywh, a score a class, and K = `width` numbers of each anchor's own (YOLOv8, 11)."""
    scores = table[4:-width]
    labels = scores.argmax(axis=0)
    best = scores[labels, np.arange(len(labels))]
    keep = np.flatnonzero(best >= min_score)
    return Candidates(cxcywh_to_xyxy(table[:4, keep].T), best[keep], labels[keep], table[-width:, keep].T)


def _yolo(outputs: Outputs, i: int, min_score: float, size_wh: tuple[int, int]) -> Detections:
    """A `yolo_table` whose own numbers are the shares of the K maps."""
    return yolo_table(outputs[0][i], outputs[1].shape[1], min_score)


def yolo_rows(outputs: Outputs, i: int, min_score: float, size_wh: tuple[int, int]) -> Detections:
    """(B,N,6+K): xyxy, score, class, K numbers of each row's own; suppressed already (YOLO26). Rows to spare are 0."""
    table = outputs[0][i]
    table = table[(table[:, 4] >= min_score) & (table[:, 4] > 0)]
    return Candidates(table[:, :4], table[:, 4], table[:, 5].astype(np.int64), table[:, 6:])


def _rows(outputs: Outputs, i: int, min_score: float, size_wh: tuple[int, int]) -> Detections:
    """Boxes (B,R,4) xyxy, scores (B,R), labels (B,R), masks (B,R,M,M) each over its box (Mask R-CNN); a row to spare
    has the score 0."""
    boxes, scores, labels, masks = (output[i] for output in outputs)
    keep = np.flatnonzero((scores >= min_score) & (scores > 0))
    return Candidates(boxes[keep], scores[keep], labels[keep], masks.reshape(len(masks), -1)[keep])


def _dense(outputs: Outputs, i: int, min_score: float, size_wh: tuple[int, int]) -> Detections:
    """Boxes (B,A,4) xyxy, scores (B,A,C), what each cell has of its own (B,A,K): `vision.nets.nanodet_masks`."""
    boxes, scores, own = (output[i] for output in outputs[:3])
    flat = np.flatnonzero(scores.ravel() >= min_score)
    cells, labels = np.divmod(flat, scores.shape[1])
    return Candidates(boxes[cells], scores.ravel()[flat], labels, own[cells])


CELLS: dict[str, Decoder] = dict.fromkeys(("condinst", "yolact", "rtmdet-ins"), _dense)
MASKED: dict[str, Decoder] = {"yolo_masks": _yolo, "yolo_mask_rows": yolo_rows, "mask_rows": _rows, **CELLS}
