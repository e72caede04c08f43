"""How the camera moved between two frames, from the background's sparse optical flow."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from vision.state import State, put_back, snapshot
from vision.types import Floats, Image

_LONGER_SIDE = 640             # pixels of the picture that is looked at
_LEAST_POINTS = 12             # fewer agree: the motion is not known
_REMEMBERED = ("_last", "_points")


class CameraMotion:
    """`camera(image, boxes) -> (2,3)` affine from the last frame's pixels to this one's.

    Corners (Shi and Tomasi 1994) outside the objects are followed by Lucas and Kanade's flow, and a
    turn, a shift and a scale fitted to them by RANSAC, as BoT-SORT does. Where too little of the
    background can be followed, and in the first frame, it is the identity. Hand the result to
    `Tracker(..., camera=...)`; one instance a camera.
    """

    def __init__(self) -> None:
        self._last: Image | None = None
        self._points = np.empty((0, 1, 2), np.float32)

    def state(self) -> State:
        """All that it remembers: plain values and arrays, which later frames do not change."""
        return snapshot(self, _REMEMBERED)

    def restore(self, state: State) -> None:
        """Go on from the `state` of another one."""
        put_back(self, _REMEMBERED, state)

    def __call__(self, image: Image, boxes: Floats) -> npt.NDArray[np.float64]:
        """(2,3) affine from the last frame's pixels to those of `image` (H,W,3) uint8 BGR.

        boxes: (N,4) xyxy of this frame's objects, which move on their own.
        """
        scale = min(1.0, _LONGER_SIDE / max(image.shape[:2]))
        grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), None, fx=scale, fy=scale,
                          interpolation=cv2.INTER_AREA)
        affine = np.eye(2, 3)
        if self._last is not None and self._last.shape == grey.shape and len(self._points):
            moved, found, _ = cv2.calcOpticalFlowPyrLK(self._last, grey, self._points, None)
            kept = found.reshape(-1) == 1
            if kept.sum() >= _LEAST_POINTS:
                fit, inliers = cv2.estimateAffinePartial2D(
                    self._points[kept], moved[kept], ransacReprojThreshold=2.0
                )
                if fit is not None and int(inliers.sum()) >= _LEAST_POINTS:
                    affine = fit
                    affine[:, 2] /= scale
        background = np.full(grey.shape, 255, np.uint8)
        for left, top, right, bottom in np.rint(boxes * scale).astype(int).tolist():
            background[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = 0
        points = cv2.goodFeaturesToTrack(grey, 300, 0.01, 8, mask=background)
        self._last = grey
        self._points = np.empty((0, 1, 2), np.float32) if points is None else points.reshape(-1, 1, 2)
        return np.asarray(affine, np.float64)
