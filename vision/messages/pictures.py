"""Pictures as messages carry them: raw pixels of many layouts, or a compressed file, to (H,W,3) uint8 BGR."""

from __future__ import annotations

import sys
from typing import NamedTuple

import cv2
import numpy as np

from vision.errors import SourceError
from vision.types import Image

# encodings of sensor_msgs/Image and foxglove.RawImage: bytes a pixel, and what OpenCV calls the way to BGR
_LAYOUTS: dict[str, tuple[int, int | None]] = {
    "bgr8": (3, None), "rgb8": (3, cv2.COLOR_RGB2BGR), "8uc3": (3, None),
    "bgra8": (4, cv2.COLOR_BGRA2BGR), "rgba8": (4, cv2.COLOR_RGBA2BGR), "8uc4": (4, cv2.COLOR_BGRA2BGR),
    "mono8": (1, cv2.COLOR_GRAY2BGR), "8uc1": (1, cv2.COLOR_GRAY2BGR), "mono16": (2, cv2.COLOR_GRAY2BGR),
    "bayer_rggb8": (1, cv2.COLOR_BayerRGGB2BGR), "bayer_bggr8": (1, cv2.COLOR_BayerBGGR2BGR),
    "bayer_gbrg8": (1, cv2.COLOR_BayerGBRG2BGR), "bayer_grbg8": (1, cv2.COLOR_BayerGRBG2BGR),
    "yuv422": (2, cv2.COLOR_YUV2BGR_UYVY), "uyvy": (2, cv2.COLOR_YUV2BGR_UYVY),
    "yuv422_yuy2": (2, cv2.COLOR_YUV2BGR_YUY2), "yuyv": (2, cv2.COLOR_YUV2BGR_YUY2),
}                                                                                   # fmt: skip
_DEPTHS = ("16uc1", "32fc1")


class Raw(NamedTuple):
    """Pixels as a message has them. step: bytes from one row to the next. big: whether two bytes of one value have
    the larger first."""

    width: int
    height: int
    encoding: str
    step: int
    data: bytes
    big: bool = False


class Compressed(NamedTuple):
    """A picture's file. format: what the message calls it, such as `jpeg` or `bgr8; jpeg compressed bgr8`."""

    format: str
    data: bytes


class Packet(NamedTuple):
    """A picture of a film. format: `h264` or `h265`."""

    format: str
    data: bytes


Carried = Raw | Compressed | Packet


def raw_picture(raw: Raw, name: str, max_pixels: int) -> Image:
    """(H,W,3) uint8 BGR of raw pixels; name: for messages. Raises SourceError for a depth picture, an encoding that is
    not known, too many pixels, and too few bytes."""
    encoding = raw.encoding.lower()
    if encoding in _DEPTHS:
        raise SourceError(f"{name} is a depth picture ({raw.encoding}), which has no colours. Give the camera's topic.")
    if encoding not in _LAYOUTS:
        raise SourceError(f"{name} has the encoding {raw.encoding!r}. There are: {', '.join(sorted(_LAYOUTS))}.")
    bytes_each, code = _LAYOUTS[encoding]
    row = raw.width * bytes_each
    step = raw.step or row
    if not (raw.width > 0 and raw.height > 0 and raw.width * raw.height <= max_pixels):
        raise SourceError(f"{name} has {raw.width}x{raw.height} pixels; 1 to {max_pixels} are allowed.")
    if step < row or len(raw.data) < step * (raw.height - 1) + row:
        raise SourceError(f"{name} has {len(raw.data)} bytes, too few for {raw.width}x{raw.height} {raw.encoding}.")
    whole = np.frombuffer(raw.data, np.uint8, step * (raw.height - 1) + row)
    rows = np.lib.stride_tricks.as_strided(whole, (raw.height, row), (step, 1), writeable=False)
    pixels = np.ascontiguousarray(rows)
    if encoding == "mono16":
        wide = pixels.view(np.dtype(">u2" if raw.big else "<u2"))
        pixels = (wide >> 8).astype(np.uint8)
        bytes_each = 1
    pixels = pixels.reshape(raw.height, raw.width, bytes_each)
    try:
        return pixels.copy() if code is None else np.asarray(cv2.cvtColor(pixels, code), np.uint8)
    except cv2.error:
        raise SourceError(f"{name}: {raw.width}x{raw.height} is no size of {raw.encoding}.") from None


def check_compressed(picture: Compressed, name: str) -> None:
    """Raise SourceError for a file that is no picture of colours."""
    if "compresseddepth" in picture.format.lower().replace("_", ""):
        raise SourceError(f"{name} is compressed depth ({picture.format!r}), which has no colours. Give the camera's "
                          "topic.")


def to_raw(image: Image, encoding: str = "bgr8") -> Raw:
    """An image (H,W,3) uint8 BGR as `bgr8` or `rgb8`."""
    height, width = image.shape[:2]
    pixels = image if encoding == "bgr8" else image[..., ::-1]
    return Raw(width, height, encoding, 3 * width, pixels.tobytes(), sys.byteorder == "big")
