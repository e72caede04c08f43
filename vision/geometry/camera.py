"""A pinhole camera with a lens that bends: pixels of a frame to directions, and back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from vision.errors import UsageError
from vision.types import Floats, Image

Points = npt.NDArray[np.float64]
_CENTRE = 0.5                                    # pixel i spans i .. i + 1 here; OpenCV's and ROS's files count centres
_ASPECT = 0.01                                   # sides that differ by less are of one aspect: 1281x721 and 1280x720
_FAR = 10.0                                      # sides of the picture: a centre that is further out is a mistake
_LONG = 1000.0                                   # times the longer side, or one over it: a focal length beyond is one
_ANGLES = 9000                                   # of a quarter turn, at which it is asked where distortion turns back
_NOWHERE = -10000                                # pixels: outside of any frame
_BACK = 0.5                                      # pixels: a direction that comes back further away is none


@dataclass(frozen=True)
class Camera:
    """A pinhole camera with OpenCV's distortion.

    size_wh: pixels of the frames that it is for.
    focal: (fx, fy) in pixels. centre: (cx, cy), the principal point as OpenCV and ROS write it, counted from the
    middle of the first pixel.
    distortion: OpenCV's coefficients k1, k2, p1, p2, k3, ...: none, 4, 5, 8, 12 or 14 of them.
    error: of the calibration, root mean square in pixels; not a number where it is not known.

    Raises UsageError for numbers that no camera has.
    """

    size_wh: tuple[int, int]
    focal: tuple[float, float]
    centre: tuple[float, float]
    distortion: tuple[float, ...] = ()
    error: float = float("nan")

    def __post_init__(self) -> None:
        numbers = (*self.size_wh, *self.focal, *self.centre, *self.distortion)
        if not np.isfinite(numbers).all() or min(*self.size_wh, *self.focal) <= 0:
            raise UsageError(f"a camera has a size and focal lengths above 0, all finite; got size {self.size_wh}, "
                             f"focal {self.focal}, centre {self.centre}, distortion {self.distortion}.")
        if max(abs(c) / side for c, side in zip(self.centre, self.size_wh, strict=True)) > _FAR or not all(
            1 / _LONG <= f / max(self.size_wh) <= _LONG for f in self.focal
        ):
            (w, h), (fx, fy), (cx, cy) = self.size_wh, self.focal, self.centre
            raise UsageError(f"no camera of {w}x{h} pixels has a focal length of {fx:g}, {fy:g} and its centre at "
                             f"{cx:g}, {cy:g}: all of it is in pixels.")
        if len(self.distortion) not in (0, 4, 5, 8, 12, 14):
            raise UsageError(f"a camera has 0, 4, 5, 8, 12 or 14 coefficients of distortion; got "
                             f"{len(self.distortion)}.")

    @classmethod
    def of_view(cls, size_wh: tuple[int, int], degrees: float) -> Camera:
        """A camera without distortion that sees so many `degrees` from left to right, 1..170. size_wh: pixels."""
        if not 1 <= degrees <= 170:
            raise UsageError(f"a view has 1 to 170 degrees from left to right; got {degrees:g}.")
        width, height = size_wh
        focal = width / 2 / np.tan(np.radians(degrees) / 2)
        return cls(size_wh, (focal, focal), ((width - 1) / 2, (height - 1) / 2))

    @property
    def matrix(self) -> Points:
        """(3,3): OpenCV's camera matrix."""
        (fx, fy), (cx, cy) = self.focal, self.centre
        return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float64)

    @property
    def view(self) -> float:
        """How many degrees it sees from left to right, its distortion left out."""
        return float(np.degrees(2 * np.arctan(self.size_wh[0] / 2 / self.focal[0])))

    def scaled(self, size_wh: tuple[int, int]) -> Camera:
        """The camera of the same frames at another size in pixels. Raises UsageError for another aspect: it is not
        known what was cut off."""
        if size_wh == self.size_wh:
            return self
        across, down = size_wh[0] / self.size_wh[0], size_wh[1] / self.size_wh[1]
        if min(size_wh) < 1 or abs(across / down - 1) > _ASPECT:
            (w, h), (width, height) = self.size_wh, size_wh
            raise UsageError(f"the camera was calibrated for {w}x{h}, and the frames have {width}x{height}: another "
                             "aspect, so something was cut off. Calibrate with pictures of this size.")
        (fx, fy), (cx, cy) = self.focal, self.centre
        middle = ((cx + _CENTRE) * across - _CENTRE, (cy + _CENTRE) * down - _CENTRE)
        return replace(self, size_wh=size_wh, focal=(fx * across, fy * down), centre=middle)

    def rays(self, points: npt.ArrayLike) -> Points:
        """Directions of pixels: (N,2) xy in frame pixels -> (N,2), right and down at a distance of 1 before the
        camera; not a number where the lens bends so much that no direction leads there."""
        given = np.asarray(points, np.float64).reshape(-1, 2)
        if not self.distortion:
            return np.asarray((given - _CENTRE - self.centre) / self.focal, np.float64)
        if not len(given):
            return given
        until = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-9)
        found = cv2.undistortPoints(
            (given - _CENTRE).reshape(-1, 1, 2), self.matrix, np.array(self.distortion), criteria=until)
        rays = np.asarray(found, np.float64).reshape(-1, 2)
        away = np.abs(self.pixels(rays) - given).max(axis=1)
        rays[~(away <= _BACK)] = np.nan
        return rays

    def pixels(self, rays: npt.ArrayLike) -> Points:
        """The inverse of `rays`: (N,2) -> (N,2) xy in frame pixels, not cut to the frame; not a number so far aside
        that the distortion would turn back towards the middle."""
        given = np.asarray(rays, np.float64).reshape(-1, 2)
        if not self.distortion:
            return np.asarray(given * self.focal + self.centre + _CENTRE, np.float64)
        if not len(given):
            return given
        ahead = np.column_stack([given, np.ones(len(given))]).reshape(-1, 1, 3)
        nowhere = np.zeros(3)
        found, _ = cv2.projectPoints(ahead, nowhere, nowhere, self.matrix, np.array(self.distortion))
        pixels = np.asarray(found, np.float64).reshape(-1, 2) + _CENTRE
        pixels[np.hypot(*given.T) > _turn(self.distortion)] = np.nan
        return pixels

    def undistorted(self, image: Image) -> Undistorted:
        """The frame (H,W,3) uint8 BGR as a camera without distortion would see it. Raises UsageError for a frame of
        another size."""
        size = (image.shape[1], image.shape[0])
        if size != self.size_wh:
            (w, h) = self.size_wh
            raise UsageError(f"the camera is for {w}x{h} pixels; this frame has {size[0]}x{size[1]}. Use .scaled().")
        if not self.distortion:
            return Undistorted(image, self)
        across, down = _maps(self)
        return Undistorted(np.asarray(cv2.remap(image, across, down, cv2.INTER_LINEAR), np.uint8), self)


@dataclass(frozen=True, eq=False)
class Undistorted:
    """pixels: (H,W,3) uint8 BGR, straight where the world is straight, black where the lens saw nothing. camera: the
    one that took the frame."""

    pixels: Image
    camera: Camera

    @property
    def plain(self) -> Camera:
        """The camera that would have taken `pixels`: the same without distortion."""
        return replace(self.camera, distortion=())

    def points_to_frame(self, points: npt.ArrayLike) -> Floats:
        """(N,2) xy in pixels of this view -> (N,2) xy in frame pixels, not cut; not a number where the lens saw
        nothing."""
        return np.asarray(self.camera.pixels(self.plain.rays(points)), np.float32)

    def points_from_frame(self, points: npt.ArrayLike) -> Floats:
        """(N,2) xy in frame pixels -> (N,2) xy in pixels of this view: the inverse of `points_to_frame`."""
        return np.asarray(self.plain.pixels(self.camera.rays(points)), np.float32)


@lru_cache(maxsize=4)
def _maps(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel of the straight picture lies in the frame, as `cv2.remap` takes it."""
    across, down = cv2.initUndistortRectifyMap(
        camera.matrix, np.array(camera.distortion), None, camera.matrix, camera.size_wh, cv2.CV_16SC2)
    x, y = (np.arange(side) - c for side, c in zip(camera.size_wh, camera.centre, strict=True))
    across[np.hypot(x / camera.focal[0], y[:, None] / camera.focal[1]) > _turn(camera.distortion)] = _NOWHERE
    return across, down


@lru_cache(maxsize=16)
def _turn(distortion: tuple[float, ...]) -> float:
    """How far aside, at a distance of 1, the lens draws rays outwards: beyond it they would come back towards the
    middle, as no lens does. Infinite where it always does."""
    k1, k2, _, _, k3, k4, k5, k6 = (*distortion, *[0.0] * 8)[:8]
    aside = np.tan(np.linspace(0, np.pi / 2, _ANGLES, endpoint=False))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        r2 = aside**2
        drawn = aside * (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
        outwards = np.diff(drawn) > 0
    return float("inf") if outwards.all() else float(aside[np.argmin(outwards)])
