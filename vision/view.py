"""How a frame becomes a network's input, and how coordinates come back.

A view is a picture of a fixed size cut out of a frame, with the map between the two. It is the one
home of this geometry: no task multiplies by a ratio. Points are (x, y) in pixels, pixel i spans
i .. i + 1, so a scale acts on coordinates without an offset of half a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vision.boxes import clip
from vision.errors import UsageError
from vision.types import Floats, Image


@dataclass(frozen=True, eq=False, slots=True)
class View:
    """pixels (h,w,3) uint8 BGR, the network's input; a point p of it lies at (p - offset) / scale
    in the frame, per axis (x, y), and is then turned by `angle`: radians from the frame's x axis to
    the view's, clockwise as seen. A negative scale mirrors."""

    pixels: Image
    scale: tuple[float, float]
    offset: tuple[float, float]
    frame_wh: tuple[int, int]
    angle: float = 0.0

    def to_frame(self, boxes: Floats) -> Floats:
        """(N,4) xyxy in view pixels -> (N,4) xyxy in frame pixels, cut to the frame; the smallest
        upright box around a turned one."""
        return clip(_around(boxes, self.angle, self.points_to_frame), self.frame_wh)

    def points_to_frame(self, points: Floats) -> Floats:
        """(N,2) xy in view pixels -> (N,2) xy in frame pixels, not cut."""
        unscaled = (points - np.array(self.offset)) / np.array(self.scale)
        return np.asarray(unscaled @ turn(self.angle).T if self.angle else unscaled, np.float32)

    def from_frame(self, boxes: Floats) -> Floats:
        """(N,4) xyxy in frame pixels -> (N,4) xyxy in view pixels: the inverse of `to_frame`."""
        return _around(boxes, self.angle, self.points_from_frame)

    def points_from_frame(self, points: Floats) -> Floats:
        """(N,2) xy in frame pixels -> (N,2) xy in view pixels: the inverse of `points_to_frame`."""
        turned = points @ turn(self.angle) if self.angle else points
        return np.asarray(turned * np.array(self.scale) + np.array(self.offset), np.float32)


def turn(angle: float) -> npt.NDArray[np.float64]:
    """(2,2): turns a column (x, y) by `angle` radians, clockwise as seen, y pointing down."""
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _around(boxes: Floats, angle: float, move: Callable[[Floats], Floats]) -> Floats:
    if not angle:
        return move(boxes.reshape(-1, 2)).reshape(-1, 4)
    corners = move(boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 2)).reshape(-1, 4, 2)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def checked_image(image: Image) -> Image:
    """The picture itself. Raises UsageError where it is not (H,W,3) uint8 with a pixel at least: its
    numbers would be taken for others without a word."""
    if not isinstance(image, np.ndarray):
        raise UsageError(
            f"a picture is a NumPy array (H,W,3) uint8 BGR; got {type(image).__name__}. `vision.read` opens "
            "a file; cv2.imread gives None where it cannot."
        )
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise UsageError(
            f"a picture is (H,W,3) uint8 BGR, 0..255, with a pixel at least; got {image.dtype} "
            f"{image.shape}. Convert it first: cv2.cvtColor for grey and BGRA, (image * 255).astype('uint8') "
            "for 0..1, one picture at a time or .batch() for several."
        )
    return image


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
    h, w = checked_image(image).shape[:2]
    return View(_resized(image, size_wh), (size_wh[0] / w, size_wh[1] / h), (0.0, 0.0), (w, h))


def shrunk(image: Image, size_wh: tuple[int, int]) -> View:
    """The frame as it is where it fits into `size_wh`; else the largest with its aspect that does."""
    h, w = checked_image(image).shape[:2]
    factor = min(1.0, size_wh[0] / w, size_wh[1] / h)
    return whole(image) if factor == 1 else stretch(image, (max(1, round(w * factor)), max(1, round(h * factor))))


def whole(image: Image) -> View:
    """The frame as it is."""
    h, w = checked_image(image).shape[:2]
    return View(np.ascontiguousarray(image), (1.0, 1.0), (0.0, 0.0), (w, h))


def letterbox(
    image: Image, size_wh: tuple[int, int], *, multiple: int | None = None, fill: int = 114, corner: bool = False
) -> View:
    """The whole frame, resized with its aspect kept, centred on a canvas, or at its top left with `corner`.

    The canvas is `size_wh`; with `multiple`, it is the smallest one around the resized picture
    whose sides are multiples of that number (the network's largest stride), so that no time goes
    into grey borders. `fill` is the grey level of the border.
    """
    h, w = checked_image(image).shape[:2]
    ratio = min(size_wh[0] / w, size_wh[1] / h)
    new_w, new_h = max(1, round(w * ratio)), max(1, round(h * ratio))
    if multiple is not None:
        size_wh = (-(-new_w // multiple) * multiple, -(-new_h // multiple) * multiple)
    left, top = (0, 0) if corner else ((size_wh[0] - new_w) // 2, (size_wh[1] - new_h) // 2)
    pixels = _resized(image, (new_w, new_h))
    if (new_w, new_h) != size_wh:
        canvas = np.full((size_wh[1], size_wh[0], 3), fill, np.uint8)
        canvas[top : top + new_h, left : left + new_w] = pixels
        pixels = canvas
    return View(pixels, (new_w / w, new_h / h), (float(left), float(top)), (w, h))


def window(
    image: Image,
    box: tuple[int, int, int, int],
    size_wh: tuple[int, int],
    *,
    fill: int = 114,
    quarters: int = 0,
) -> View:
    """A part of the frame, `box` xyxy in pixels, as `letterbox` sees it, turned by `quarters` of a
    circle counter-clockwise as seen."""
    left, top, right, bottom = box
    part = checked_image(image)[top:bottom, left:right]
    if quarters:
        part = np.ascontiguousarray(np.rot90(part, quarters))
    view = letterbox(part, size_wh, fill=fill)
    angle = quarters * np.pi / 2
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]]) @ turn(angle)
    offset = np.array(view.offset) - corners.min(axis=0) * np.array(view.scale)
    x, y = offset.tolist()
    return View(view.pixels, view.scale, (x, y), (image.shape[1], image.shape[0]), angle)


def centre_crop(image: Image, size_wh: tuple[int, int], *, short_side: int) -> View:
    """The middle of the frame: its shorter side resized to `short_side`, then cut to `size_wh`."""
    h, w = checked_image(image).shape[:2]
    if short_side < max(size_wh):
        raise UsageError(f"short_side must be at least the crop's {max(size_wh)} pixels; got {short_side}")
    ratio = short_side / min(w, h)
    new_w, new_h = max(short_side, round(w * ratio)), max(short_side, round(h * ratio))
    left, top = (new_w - size_wh[0]) // 2, (new_h - size_wh[1]) // 2
    pixels = _resized(image, (new_w, new_h))[top : top + size_wh[1], left : left + size_wh[0]]
    return View(np.ascontiguousarray(pixels), (new_w / w, new_h / h), (-float(left), -float(top)), (w, h))


def short_side(image: Image, side: int) -> Image:
    """The whole frame with its shorter side resized to `side` pixels."""
    h, w = checked_image(image).shape[:2]
    ratio = side / min(w, h)
    return _resized(image, (max(side, round(w * ratio)), max(side, round(h * ratio))))


def two_streams(frames: Image) -> Image:
    """Three frames in a row (3,H,W,3) -> (2,H,W,3): the last one, and the grey of all three as its
    channels (red the first, blue the last), so that what moves is what is coloured."""
    greys = [cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in frames]
    return np.stack([frames[2], np.stack(greys[::-1], axis=-1)])


def three_crops(frames: Image, size_wh: tuple[int, int]) -> list[Image]:
    """Frames (N,H,W,3), cut to `size_wh` at the beginning, the middle and the end of their longer side."""
    width, height = size_wh
    right, bottom = frames.shape[2] - width, frames.shape[1] - height
    corners = [(right * k // 2, bottom * k // 2) for k in range(3)]
    return [frames[:, top : top + height, left : left + width] for left, top in corners]


def ten_crops(image: Image, size_wh: tuple[int, int], crop: float = 1.0) -> list[Image]:
    """The centre, which is `fitted`'s, and the four corners of a frame whose shorter side is the crop's over `crop`,
    each also mirrored (Krizhevsky et al. 2012): ten of (h,w,3) uint8 BGR."""
    width, height = size_wh
    whole = short_side(image, round(max(size_wh) / crop))
    right, bottom = whole.shape[1] - width, whole.shape[0] - height
    corners = [(right // 2, bottom // 2), (0, 0), (right, 0), (0, bottom), (right, bottom)]
    five = [np.ascontiguousarray(whole[y : y + height, x : x + width]) for x, y in corners]
    return [*five, *(np.ascontiguousarray(one[:, ::-1]) for one in five)]


def fitted(image: Image, size_wh: tuple[int, int], resize: str, crop: float = 1.0) -> View:
    """The view that a card's `resize` names: letterbox, stretch, none, or crop, which keeps the share `crop`
    of the frame's shorter side."""
    match resize:
        case "none":
            return whole(image)
        case "stretch":
            return stretch(image, size_wh)
        case "letterbox":
            return letterbox(image, size_wh)
        case "crop" | "ten":                             # of ten the first: `ten_crops`
            return centre_crop(image, size_wh, short_side=round(max(size_wh) / crop))
    raise UsageError(f"resize must be letterbox, stretch, crop or none; got {resize!r}")


def patch(
    image: Image,
    centre: tuple[float, float],
    side: float,
    size: int,
    *,
    angle: float = 0.0,
    mirror: bool = False,
) -> View:
    """A square of the frame on `size` x `size` pixels, black where it leaves the frame.

    centre (x, y) and side in frame pixels, angle in radians from the frame's x axis to the patch's,
    clockwise as seen. mirror: left and right exchanged. Raises UsageError for a square of no size.
    """
    checked_image(image)
    if not (np.isfinite([*centre, side, angle]).all() and side > 0):
        raise UsageError(f"a patch needs a place and a side above 0; got centre {centre}, side {side}")
    ratio = size / side
    scale = (-ratio if mirror else ratio, ratio)
    middle = np.array(scale) * (np.array(centre) @ turn(angle))
    offset = (size / 2 - float(middle[0]), size / 2 - float(middle[1]))
    forward = np.diag(scale) @ turn(angle).T
    # warpAffine speaks of pixel centres: its (0, 0) is our (0.5, 0.5)
    shift = np.array(offset) + forward @ [0.5, 0.5] - 0.5
    reach = side / 2 * (abs(math.cos(angle)) + abs(math.sin(angle))) + 2
    pixels = _warped(image, centre, reach, np.column_stack([forward, shift]), size)
    return View(pixels, scale, offset, (image.shape[1], image.shape[0]), angle)


def _warped(
    image: Image, centre: tuple[float, float], reach: float, affine: npt.NDArray[np.float64], size: int
) -> Image:
    """`image` by an affine map (2,3), of which the square needs what lies within `reach` of `centre`. That part gets
    a fourth channel on the way: OpenCV 5 warps four in 0.38 of the time of three, to the same bytes."""
    left, top = (max(0, math.floor(at - reach)) for at in centre)
    right, bottom = (max(0, math.ceil(at + reach)) for at in centre)
    part = image[top:bottom, left:right]
    if not part.size:
        return np.zeros((size, size, 3), np.uint8)
    affine[:, 2] += affine[:, :2] @ [left, top]
    four = cv2.warpAffine(cv2.cvtColor(part, cv2.COLOR_BGR2BGRA), affine, (size, size), flags=cv2.INTER_LINEAR)
    return np.asarray(cv2.cvtColor(four, cv2.COLOR_BGRA2BGR), np.uint8)
