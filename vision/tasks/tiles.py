"""Small objects: overlapping windows of a picture at full resolution, put together with what the whole picture shows.

The idea is that of slicing aided inference (Akyon et al. 2022, "Slicing Aided Hyper Inference"). What a window cuts is
told by its border, so that a part of an object never stands beside the object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import cv2
import numpy as np

from vision.boxes import Floats, nms
from vision.instances import Instances
from vision.types import Detections

Window = tuple[int, int, int, int]           # xyxy in pixels of the frame
Found = TypeVar("Found", bound=Detections)

_OVERLAP = 0.2                               # of a window's side, at least, with the next one
_BORDER = 2.0                                # pixels: a box that comes so near to a window's inner side is cut by it
_COVERED = 0.6                               # of a cut box by another one of its class: it is a part of that


def windows(frame_wh: tuple[int, int], tile_wh: tuple[int, int]) -> list[Window]:
    """The whole frame, and windows of `tile_wh` that cover it; the frame alone where it is hardly larger than one."""
    width, height = frame_wh
    whole = (0, 0, width, height)
    if width <= tile_wh[0] * 1.25 and height <= tile_wh[1] * 1.25:
        return [whole]
    across, down = (_starts(length, tile) for length, tile in zip(frame_wh, tile_wh, strict=True))
    return [whole, *((x, y, min(x + tile_wh[0], width), min(y + tile_wh[1], height)) for y in down for x in across)]


def _starts(length: int, tile: int) -> list[int]:
    """Evenly spread starts of windows that cover `length`."""
    if length <= tile:
        return [0]
    count = 1 + int(np.ceil((length - tile) / (tile * (1 - _OVERLAP))))
    return [round(start) for start in np.linspace(0, length - tile, count)]


def together(
    found: Sequence[Found], seen: Sequence[Window], max_iou: float, agnostic: bool, min_score: float
) -> Found:
    """One result of those of all windows, best first.

    found: of each window of `seen`, boxes in pixels of the window; the first is the whole frame. max_iou, agnostic: of
    suppression, as in a call; above 0.6 it is 0.6, as two windows see one object with borders of their own. min_score:
    a box that scores less takes nothing from those that do not, so that weak boxes change nothing of what is shown.
    """
    joined = _joined([_moved(one, window, seen[0]) for one, window in zip(found, seen, strict=True)])
    cut = np.concatenate([_cut(one.boxes, window, seen[0]) for one, window in zip(found, seen, strict=True)])
    order = np.argsort(-joined.scores, kind="stable")
    joined, cut = joined[order], cut[order]
    max_iou, kinds = min(max_iou, 0.6), np.zeros_like(joined.labels) if agnostic else joined.labels
    keep = nms(joined.boxes, joined.scores, 2 * kinds + cut, max_iou)      # apart: a part may score more than the whole
    joined, cut = joined[keep], cut[keep]
    joined = joined[~_parts(joined, cut, agnostic, min_score)]
    return joined[nms(joined.boxes, joined.scores, None if agnostic else joined.labels, max_iou)]


def _moved(found: Found, window: Window, frame: Window) -> Found:
    """Boxes of a window in pixels of the frame."""
    corner = np.array([*window[:2], *window[:2]], np.float32)
    moved = replace(found, boxes=found.boxes + corner)
    return replace(moved, frame_wh=frame[2:]) if isinstance(moved, Instances) else moved


def _cut(boxes: Floats, window: Window, frame: Window) -> np.ndarray:
    """(N,) bool: which boxes (N,4) of a window, in its pixels, reach a side of it that is none of the frame's."""
    left, top, right, bottom = (abs(side - end) > 0 for side, end in zip(window, frame, strict=True))
    inner = np.array([left, top, right, bottom])
    size = np.array([window[2] - window[0], window[3] - window[1]], np.float32)
    near = np.column_stack([boxes[:, :2] < _BORDER, boxes[:, 2:] > size - _BORDER])
    return np.asarray((near & inner).any(axis=1))


def _parts(found: Detections, cut: np.ndarray, agnostic: bool, min_score: float) -> np.ndarray:
    """(N,) bool: which of the `cut` boxes lie, for the most part, in another one of their class that is larger."""
    boxes, shown = found.boxes, found.scores >= min_score
    low = np.maximum(boxes[cut, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[cut, None, 2:], boxes[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    other = (area[None, :] > area[cut, None]) & (shown[None, :] | ~shown[cut, None])
    if not agnostic:
        other &= found.labels[cut, None] == found.labels[None, :]
    parts = np.zeros(len(boxes), bool)
    parts[cut] = (other & (shared > _COVERED * np.maximum(area[cut, None], 1e-6))).any(axis=1)
    return parts


def _joined(parts: Sequence[Found]) -> Found:
    """The rows of all parts. Masks get the finest grid of theirs."""
    columns: dict[str, Any] = {name: [getattr(part, name) for part in parts] for name in parts[0]._layout}
    if "masks" in columns:
        side = max(masks.shape[1] for masks in columns["masks"])
        columns["masks"] = [_gridded(masks, side) for masks in columns["masks"]]
    whole: dict[str, Any] = {name: np.concatenate(values) for name, values in columns.items()}
    return replace(parts[0], **whole)


def _gridded(masks: Floats, side: int) -> Floats:
    """Masks (N,M,M) on a grid of `side`."""
    if masks.shape[1] == side or not len(masks):
        return masks if len(masks) else np.empty((0, side, side), np.float32)
    return np.array([cv2.resize(mask, (side, side), interpolation=cv2.INTER_LINEAR) for mask in masks], np.float32)
