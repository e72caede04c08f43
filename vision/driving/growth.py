"""By how much objects grow from one frame to the next, measured in the picture: what their boxes say only roughly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vision.state import State
from vision.types import Floats, Image

_MOST = 6                          # objects a frame, the largest
_SMALL = 24                        # pixels: a box with a shorter side says nothing
_CORNERS = 60
_SIDE = 160                        # pixels: a larger box is looked at smaller
_LEAST = 8                         # corners that must be found again
_INSIDE = 0.08                     # of a box, on each side: there is the road and not the object
_OFF = 1.0                         # pixels: a corner that comes back so far from where it was is lost
_FLOOR = 0.002                     # no growth is known better
_LIMIT = 0.3                       # nor does anything grow by more from one frame to the next


class Growth:
    """`growth(image, ids, boxes) -> {id: (growth, error)}`, called once a frame of one stream.

    Corners on each object are followed from the frame before (Lucas and Kanade 1981; Tomasi and Kanade 1991), there and
    back; the similarity through them has the scale.
    """

    def __init__(self) -> None:
        self._grey: npt.NDArray[np.uint8] | None = None
        self._boxes: dict[int, Floats] = {}

    def __call__(
        self, image: Image, ids: npt.NDArray[np.int64], boxes: Floats
    ) -> dict[int, tuple[float, float]]:
        """The growth of the logarithm of each object's size since the frame before, with one standard deviation.

        image: (H,W,3) uint8 BGR. ids: (N,). boxes: (N,4) xyxy in frame pixels. An object whose growth cannot be seen is
        absent."""
        grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
        found: dict[int, tuple[float, float]] = {}
        before = self._grey
        if before is not None and before.shape == grey.shape:
            sides = (boxes[:, 2:] - boxes[:, :2]).min(axis=1) if len(boxes) else np.empty(0)
            for n in np.argsort(-sides)[:_MOST].tolist():
                i = int(ids[n])
                if sides[n] >= _SMALL and i in self._boxes:
                    seen = _growth(before, grey, self._boxes[i], boxes[n])
                    if seen is not None:
                        found[i] = seen
        self._grey = grey
        self._boxes = {int(i): box for i, box in zip(ids, boxes, strict=True)}
        return found

    def state(self) -> State:
        """All that it remembers."""
        ids = np.array([*self._boxes], np.int64)
        boxes = np.array([*self._boxes.values()], np.float32).reshape(-1, 4)
        return {"grey": self._grey, "ids": ids, "boxes": boxes}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was asked for."""
        self._grey = state["grey"]
        self._boxes = dict(zip(state["ids"].tolist(), state["boxes"], strict=True))


def _growth(
    before: npt.NDArray[np.uint8], now: npt.NDArray[np.uint8], old: Floats, new: Floats
) -> tuple[float, float] | None:
    height, width = now.shape
    around = np.array([*np.minimum(old[:2], new[:2]), *np.maximum(old[2:], new[2:])])
    margin = 0.1 * float((around[2:] - around[:2]).max()) + 8
    left, top = (int(max(0, side - margin)) for side in around[:2])
    right, bottom = int(min(width, around[2] + margin)), int(min(height, around[3] + margin))
    if right - left < _SMALL or bottom - top < _SMALL:
        return None
    ratio = min(1.0, _SIDE / max(right - left, bottom - top))
    parts = [picture[top:bottom, left:right] for picture in (before, now)]
    if ratio < 1:
        parts = [cv2.resize(part, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA) for part in parts]
    inset = _INSIDE * (old[2:] - old[:2])
    inner = np.rint(np.array([*(old[:2] + inset), *(old[2:] - inset)] - np.array([left, top] * 2)) * ratio).astype(int)
    mask = np.zeros(parts[0].shape, np.uint8)
    mask[max(0, inner[1]):max(0, inner[3]), max(0, inner[0]):max(0, inner[2])] = 255
    corners = cv2.goodFeaturesToTrack(parts[0], _CORNERS, 0.01, 4, mask=mask)
    if corners is None or len(corners) < _LEAST:
        return None
    there, ok, _ = cv2.calcOpticalFlowPyrLK(parts[0], parts[1], corners, None, winSize=(13, 13), maxLevel=3)
    back, ok_back, _ = cv2.calcOpticalFlowPyrLK(parts[1], parts[0], there, None, winSize=(13, 13), maxLevel=3)
    lost = np.abs(back - corners).reshape(-1, 2).max(axis=1)
    good = (ok.ravel() == 1) & (ok_back.ravel() == 1) & (lost < _OFF)
    if good.sum() < _LEAST:
        return None
    a, b = corners.reshape(-1, 2)[good].astype(np.float64), there.reshape(-1, 2)[good].astype(np.float64)
    return _scale(a, b)


def _scale(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> tuple[float, float] | None:
    """The logarithm of the scale that takes points (K,2) to others, and its error: least squares, three times without
    those that fit badly."""
    keep = np.ones(len(a), bool)
    growth = error = 0.0
    for _ in range(3):
        p, q = a[keep] - a[keep].mean(0), b[keep] - b[keep].mean(0)
        spread = float((p**2).sum())
        if keep.sum() < _LEAST or spread < 1:
            return None
        scale = float((p * q).sum()) / spread
        rest = np.hypot(*(q - scale * p).T)
        error = float(np.sqrt((rest**2).mean() / spread))
        growth = float(np.log(max(scale, 1e-3)))
        limit = max(2.5 * float(np.median(rest)), 0.15)
        inside = np.flatnonzero(keep)[rest <= limit]
        keep = np.zeros(len(a), bool)
        keep[inside] = True
    return (growth, max(error, _FLOOR)) if abs(growth) < _LIMIT else None
