"""The ground as a bird sees it: pictures, points and classes from above."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from vision.geometry.camera import Points
from vision.geometry.ground import Ground
from vision.types import Floats, Image


@dataclass(frozen=True, eq=False)
class BirdsEye:
    """A view of the ground from above: ahead is up, left is left.

    ground: of the frames. ahead: nearest and furthest, in metres. side: metres to each hand. size_wh: of the view, in
    pixels.
    """

    ground: Ground
    ahead: tuple[float, float] = (4.0, 40.0)
    side: float = 8.0
    size_wh: tuple[int, int] = (240, 360)

    def picture(self, image: Image) -> Image:
        """A frame (H,W,3) or (H,W) uint8 seen from above; black where the frame does not reach."""
        across, down = self._maps
        return np.asarray(cv2.remap(image, across, down, cv2.INTER_LINEAR), np.uint8)

    def classes(self, labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """A class map (H,W) uint8 seen from above, by the nearest pixel; 255 where the frame does not reach."""
        across, down = self._maps
        return np.asarray(cv2.remap(labels, across, down, cv2.INTER_NEAREST, borderValue=255), np.uint8)

    def place(self, metres: npt.ArrayLike) -> Floats:
        """(N,2) forward and left in metres -> (N,2) xy in pixels of the view, not cut."""
        at, (near, far), (width, height) = np.asarray(metres, np.float64).reshape(-1, 2), self.ahead, self.size_wh
        x = (self.side - at[:, 1]) / (2 * self.side) * width
        y = (far - at[:, 0]) / (far - near) * height
        return np.column_stack([x, y]).astype(np.float32)

    def metres(self, points: npt.ArrayLike) -> Points:
        """The inverse of `place`: (N,2) xy in pixels of the view -> (N,2) forward and left in metres."""
        at, (near, far), (width, height) = np.asarray(points, np.float64).reshape(-1, 2), self.ahead, self.size_wh
        return np.column_stack([far - at[:, 1] / height * (far - near), self.side - at[:, 0] / width * 2 * self.side])

    def points_from_frame(self, points: npt.ArrayLike) -> Floats:
        """(N,2) xy in frame pixels -> (N,2) xy in pixels of the view; not a number above the horizon."""
        return self.place(self.ground.metres(points))

    def points_to_frame(self, points: npt.ArrayLike) -> Floats:
        """The inverse of `points_from_frame`."""
        return np.asarray(self.ground.pixels(self.metres(points)), np.float32)

    def boxes(self, boxes: Floats) -> Floats:
        """Where boxes (N,4) xyxy of the frame stand: (N,2,2), the left and the right end of each lower edge in pixels
        of the view."""
        ends = np.asarray(boxes, np.float64).reshape(-1, 4)[:, [0, 3, 2, 3]].reshape(-1, 2)
        return self.points_from_frame(ends).reshape(-1, 2, 2)

    @cached_property
    def _maps(self) -> tuple[np.ndarray, np.ndarray]:
        """Where each pixel of the view lies in the frame, as `cv2.remap` takes it."""
        width, height = self.size_wh
        x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        seen = self.ground.pixels(self.metres(np.column_stack([x.ravel(), y.ravel()]))) - 0.5
        places = np.nan_to_num(seen, nan=-1e4).clip(-1e4, 3e4).astype(np.float32).reshape(height, width, 2)
        across, down = cv2.convertMaps(places[..., 0], places[..., 1], cv2.CV_16SC2)
        return across, down
