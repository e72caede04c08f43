"""Pictures of every kind as (H,W,3) uint8 BGR, upright.

Pillow reads the header, so that a picture's size is known before a pixel is decoded. OpenCV decodes
JPEG, the common case; Pillow everything else.
"""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image as pil

from vision.errors import SourceError
from vision.io.source import MAX_PIXELS, Info, Log, Span
from vision.types import Frame, Image

SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .png .apng .bmp .dib .gif .webp .tif .tiff .ppm .pgm .pbm .pnm .jp2 .avif".split()
)
_MAGIC = (
    b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"II+\0",
    b"\0\0\0\x0cjP  ", b"P1", b"P2", b"P3", b"P4", b"P5", b"P6",
)                                                                                   # fmt: skip
_limit = threading.Lock()


def is_picture(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a picture rather than a video."""
    return (
        head.startswith(_MAGIC)
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or head[4:12] in (b"ftypavif", b"ftypavis")
    )


def natural(path: Path) -> list[list[tuple[int, int | str]]]:
    """Sorting key: folder by folder, numbers by their value, letters without regard to case."""
    return [
        [(0, int(piece)) if piece.isdecimal() else (1, piece.casefold()) for piece in re.split(r"(\d+)", part)]
        for part in path.parts
    ]


def pictures_in(folder: Path) -> list[Path]:
    """The pictures in a folder and below, in natural order."""
    found = [p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()]
    if not found:
        raise SourceError(f"the folder {str(folder)!r} has no pictures in it (looked for {' '.join(sorted(SUFFIXES))}).")
    return sorted(found, key=natural)


@contextmanager
def _opened(data: bytes, name: str, max_pixels: int) -> Iterator[Any]:
    """A picture's header; pixels are decoded on demand, and never more than `max_pixels`."""
    with _limit, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before, pil.MAX_IMAGE_PIXELS = pil.MAX_IMAGE_PIXELS, max_pixels // 2   # Pillow's error is at twice that
        try:
            with pil.open(BytesIO(data)) as picture:
                yield picture
        except pil.DecompressionBombError as error:
            raise SourceError(f"{name!r} is larger than the limit of {max_pixels} pixels ({error}).") from error
        except Exception as error:      # a broken file: Pillow's plug-ins raise whatever they trip over
            if isinstance(error, SourceError):
                raise
            raise SourceError(f"{name!r} cannot be read as a picture ({error}).") from error
        finally:
            pil.MAX_IMAGE_PIXELS = before


def decode_picture(data: bytes, name: str = "picture", max_pixels: int = MAX_PIXELS) -> Image:
    """The first picture in a file's bytes, upright: (H,W,3) uint8 BGR. Raises SourceError."""
    with _opened(data, name, max_pixels) as picture:
        return _bgr(picture, data, name)


def _bgr(picture: Any, data: bytes, name: str) -> Image:
    orientation = picture.getexif().get(0x0112, 1)
    if picture.format == "JPEG" and picture.mode in ("L", "RGB"):
        if data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):        # no end of image behind the scan
            raise SourceError(f"{name!r} is a JPEG that is cut off.")
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        if image is None:
            raise SourceError(f"{name!r} cannot be decoded as a JPEG.")
    else:
        image = _converted(picture)
    return turned(np.asarray(image, np.uint8), orientation)


def _converted(picture: Any) -> Image:
    """Any mode of Pillow's as BGR; transparent parts lie on white."""
    picture.load()
    if picture.mode.startswith(("I", "F")):                         # 16 or 32 bits a sample
        deep = np.asarray(picture).astype(np.float64)
        scale = 1.0 if deep.max(initial=0) <= 255 and picture.mode != "I;16" else 256.0
        return np.repeat(np.clip(deep / scale, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    if picture.has_transparency_data:
        clear = picture.convert("RGBA")
        ground = pil.new("RGBA", clear.size, (255, 255, 255, 255))
        picture = pil.alpha_composite(ground, clear)
    return np.ascontiguousarray(np.asarray(picture.convert("RGB"))[..., ::-1])


def turned(image: Image, orientation: int) -> Image:
    """The picture upright; orientation is EXIF's, 1 to 8."""
    if orientation in (5, 6, 7, 8):
        image = np.swapaxes(image, 0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


class Pictures:
    """Still pictures in the order given; index is the place in that order, time the index in seconds."""

    def __init__(self, uri: str, paths: Iterable[Path], max_pixels: int) -> None:
        self._paths = list(paths)
        self._max_pixels = max_pixels
        several = len(self._paths) > 1
        self.info = Info(uri, "pictures" if several else "picture", frames_estimate=len(self._paths))

    def frames(self, span: Span, log: Log) -> Iterator[Frame]:
        """The wanted pictures; those that cannot be read are counted and passed over."""
        for index, path in enumerate(self._paths):
            if span.over(index):
                return
            if not span.wants(index, index):
                log.counts.passed_over += 1
                log.counts.decoded += 1
                continue
            try:
                image = decode_picture(path.read_bytes(), str(path), self._max_pixels)
            except (SourceError, OSError) as error:
                log.counts.corrupt += 1
                log.note(str(error))
                continue
            log.counts.decoded += 1
            yield Frame(image, index, float(index), str(path))
        if log.counts.decoded == 0 and log.notes:
            raise SourceError(log.notes[0])

    def close(self) -> None:
        """Nothing stays open between pictures."""
