"""The road ahead as rows of the picture that are even in metres across: where lane markings are looked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from vision.geometry.camera import Points
from vision.geometry.ground import Ground
from vision.types import Floats, Image

_STEP = 0.05                       # metres from column to column
_SIDE = 7.0                        # metres to each hand
_ROWS = 80
_BESIDE = 6                        # columns: as far to each side of a marking the road must be darker
_FAINT = 9.0                       # grey levels above the road: less is no marking
_STRONG = 50.0                     # more counts as much
_PER_ROW = 10                      # markings a row, the strongest


class Evidence(NamedTuple):
    """Where markings may be: forward (P,) and left (P,) in metres of the plane, and weights (P,) 0..1."""

    forward: Points
    left: Points
    weight: Points


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows from near to far, even in the picture.

    plane: of the frames. ahead: nearest and furthest, in metres of the plane.
    """

    plane: Ground
    ahead: tuple[float, float]

    @classmethod
    def of(cls, plane: Ground, bottom: float = 0.92, top: float = 0.0, furthest: float = 40.0) -> Rows:
        """The rows from a share of the frame's height (below it is the bonnet) up to another, and to so many metres."""
        width, height = plane.size_wh
        near = float(plane.metres([[width / 2, bottom * height]])[0, 0])
        near = min(max(near, 1.0), furthest / 3) if np.isfinite(near) else furthest / 3
        horizon = plane.horizon()
        high = max(horizon + max(4.0, 0.06 * (height - horizon)), top * height)        # nearer to it a pixel is metres
        far = float(plane.metres([[width / 2, high]])[0, 0])
        return cls(plane, (near, max(min(far, furthest), 2 * near) if np.isfinite(far) else furthest))

    @cached_property
    def forward(self) -> Points:
        """(R,) metres of each row."""
        near, far = self.ahead
        return np.asarray(1 / np.linspace(1 / near, 1 / far, _ROWS), np.float64)

    @cached_property
    def left(self) -> Points:
        """(C,) metres of each column."""
        return np.asarray(_SIDE - _STEP * np.arange(round(2 * _SIDE / _STEP)), np.float64)

    @cached_property
    def _maps(self) -> tuple[np.ndarray, np.ndarray, npt.NDArray[np.bool_]]:
        forward, left = np.meshgrid(self.forward, self.left, indexing="ij")
        seen = self.plane.pixels(np.column_stack([forward.ravel(), left.ravel()])) - 0.5
        places = np.nan_to_num(seen, nan=-1e4).clip(-1e4, 3e4).astype(np.float32).reshape(*forward.shape, 2)
        width, height = self.plane.size_wh
        inside = (places >= 1).all(axis=2) & (places[..., 0] < width - 2) & (places[..., 1] < height - 2)
        across, down = cv2.convertMaps(places[..., 0], places[..., 1], cv2.CV_16SC2)
        return across, down, inside

    def look(self, image: Image) -> npt.NDArray[np.uint8]:
        """A frame, (H,W,3) or (H,W) uint8, on the rows: (R,C,...)."""
        across, down, _ = self._maps
        return np.asarray(cv2.remap(image, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)

    def markings(self, image: Image) -> Evidence:
        """Narrow stripes of a frame (H,W,3) uint8 BGR that are lighter or more yellow than the road on both sides of
        them (Nieto et al. 2012, "Road environment modeling using robust perspective analysis")."""
        seen = self.look(image)
        grey = cv2.blur(cv2.cvtColor(seen, cv2.COLOR_BGR2GRAY), (3, 1))
        blue, green, red = cv2.split(seen)
        yellow = cv2.blur(cv2.subtract(cv2.min(red, green), blue), (3, 1))
        ridge = np.maximum(_ridge(grey), _ridge(yellow))
        return self._peaks(ridge, _FAINT + _noise(ridge))

    def outside(self, points: Evidence, boxes: Floats) -> Evidence:
        """The evidence that does not lie in boxes (N,4) xyxy of the frame: stripes on cars are no markings."""
        if not len(boxes) or not len(points.left):
            return points
        x, y = self.plane.pixels(np.column_stack([points.forward, points.left])).T[..., None]
        left, top, right, bottom = boxes.T
        free = ~((x > left) & (x < right) & (y > top) & (y < bottom)).any(axis=1)
        return Evidence(*(part[free] for part in points))

    def mask(self, mask: npt.NDArray[np.uint8]) -> Evidence:
        """The middles of the stripes of a lane mask (H,W) uint8, 0 or 255."""
        seen = cv2.blur(self.look(mask), (5, 1))
        return self._peaks(seen.astype(np.float32), np.full((len(seen), 1), 100.0, np.float32))

    def _peaks(self, ridge: npt.NDArray[np.float32], least: npt.NDArray[np.float32]) -> Evidence:
        best = cv2.dilate(ridge, np.ones((1, 2 * _BESIDE - 1), np.uint8))
        rows, columns = np.nonzero((ridge >= best) & (ridge > least) & self._maps[2])
        weight = np.minimum(ridge[rows, columns], _STRONG) / _STRONG
        order = np.lexsort((-weight, rows))
        rows, columns, weight = rows[order], columns[order], weight[order]
        place = np.arange(len(rows)) - np.searchsorted(rows, rows)
        keep = place < _PER_ROW
        return Evidence(self.forward[rows[keep]], self.left[columns[keep]], weight[keep].astype(np.float64))


def _ridge(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """How much lighter each pixel is than both of those beside it."""
    signed = values.astype(np.float32)
    ridge = np.zeros_like(signed)
    middle = signed[:, _BESIDE:-_BESIDE]
    ridge[:, _BESIDE:-_BESIDE] = middle - np.maximum(signed[:, : -2 * _BESIDE], signed[:, 2 * _BESIDE:])
    return np.maximum(ridge, 0)


def _noise(ridge: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(R,1): what the texture of each row makes of itself: twice the mean of its ridges."""
    return np.asarray(2 * ridge.mean(axis=1, keepdims=True), np.float32)
