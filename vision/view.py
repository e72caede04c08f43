"""How a frame becomes a network's input, and how coordinates come back.

A view is a picture of a fixed size cut out of a frame, with the map between the two. It is the one
home of this geometry: no task multiplies by a ratio. Points are (x, y) in pixels, pixel i spans
i .. i + 1, so a scale acts on coordinates without an offset of half a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vision.boxes import clip
from vision.errors import UsageError
from vision.types import Floats, Image


@dataclass(frozen=True, eq=False, slots=True)
class View:
    """pixels (h,w,3) uint8 BGR, the network's input; a point p of it lies at (p - offset) / scale
    in the frame, per axis (x, y)."""

    pixels: Image
    scale: tuple[float, float]
    offset: tuple[float, float]
    frame_wh: tuple[int, int]

    def to_frame(self, boxes: Floats) -> Floats:
        """(N,4) xyxy in view pixels -> (N,4) xyxy in frame pixels, cut to the frame."""
        return clip(self.points_to_frame(boxes.reshape(-1, 2)).reshape(-1, 4), self.frame_wh)

    def points_to_frame(self, points: Floats) -> Floats:
        """(N,2) xy in view pixels -> (N,2) xy in frame pixels, not cut."""
        return np.asarray((points - np.array(self.offset)) / np.array(self.scale), np.float32)

    def from_frame(self, boxes: Floats) -> Floats:
        """(N,4) xyxy in frame pixels -> (N,4) xyxy in view pixels: the inverse of `to_frame`."""
        points = boxes.reshape(-1, 2) * np.array(self.scale) + np.array(self.offset)
        return np.asarray(points.reshape(-1, 4), np.float32)


def _resized(image: Image, size_wh: tuple[int, int]) -> Image:
    if (image.shape[1], image.shape[0]) == size_wh:
        return image
    shrinks = size_wh[0] * 2 <= image.shape[1] and size_wh[1] * 2 <= image.shape[0]
    return np.asarray(
        cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR),
        np.uint8,
    )


def stretch(image: Image, size_wh: tuple[int, int]) -> View:
    """The whole frame, resized to `size_wh` without regard to its aspect."""
    h, w = image.shape[:2]
    return View(_resized(image, size_wh), (size_wh[0] / w, size_wh[1] / h), (0.0, 0.0), (w, h))


def letterbox(
    image: Image, size_wh: tuple[int, int], *, multiple: int | None = None, fill: int = 114
) -> View:
    """The whole frame, resized with its aspect kept, centred on a canvas.

    The canvas is `size_wh`; with `multiple`, it is the smallest one around the resized picture
    whose sides are multiples of that number (the network's largest stride), so that no time goes
    into grey borders. `fill` is the grey level of the border.
    """
    h, w = image.shape[:2]
    ratio = min(size_wh[0] / w, size_wh[1] / h)
    new_w, new_h = max(1, round(w * ratio)), max(1, round(h * ratio))
    if multiple is not None:
        size_wh = (-(-new_w // multiple) * multiple, -(-new_h // multiple) * multiple)
    left, top = (size_wh[0] - new_w) // 2, (size_wh[1] - new_h) // 2
    pixels = _resized(image, (new_w, new_h))
    if (new_w, new_h) != size_wh:
        canvas = np.full((size_wh[1], size_wh[0], 3), fill, np.uint8)
        canvas[top : top + new_h, left : left + new_w] = pixels
        pixels = canvas
    return View(pixels, (new_w / w, new_h / h), (float(left), float(top)), (w, h))


def centre_crop(image: Image, size_wh: tuple[int, int], *, short_side: int) -> View:
    """The middle of the frame: its shorter side resized to `short_side`, then cut to `size_wh`."""
    h, w = image.shape[:2]
    if short_side < max(size_wh):
        raise UsageError(f"short_side must be at least the crop's {max(size_wh)} pixels; got {short_side}")
    ratio = short_side / min(w, h)
    new_w, new_h = max(short_side, round(w * ratio)), max(short_side, round(h * ratio))
    left, top = (new_w - size_wh[0]) // 2, (new_h - size_wh[1]) // 2
    pixels = _resized(image, (new_w, new_h))[top : top + size_wh[1], left : left + size_wh[0]]
    return View(np.ascontiguousarray(pixels), (new_w / w, new_h / h), (-float(left), -float(top)), (w, h))
