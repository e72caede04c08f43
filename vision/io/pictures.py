"""Pictures of every kind as (H,W,3) uint8 BGR, upright.

Pillow reads the header, so that a picture's size is known before a pixel is decoded. OpenCV decodes
JPEG, the common case; Pillow everything else.
"""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image as pil
from PIL import UnidentifiedImageError

from vision.errors import SourceError
from vision.io.base import FEWER_PIXELS, MAX_PIXELS, Info, Log, Span
from vision.io.turning import exif_upright
from vision.types import Frame, Image

PICTURE_SUFFIXES = frozenset((
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff",
    ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c", ".avif", ".avifs",
    ".heic", ".heif", ".hif", ".tga", ".icb", ".vda", ".vst", ".ico", ".cur", ".icns", ".sgi", ".rgb", ".rgba",
    ".bw", ".xbm", ".xpm", ".qoi", ".pcx", ".dcx", ".dds", ".psd", ".ras", ".fit", ".fits", ".msp", ".blp", ".ftc",
    ".ftu", ".gbr", ".im", ".pxr", ".pcd", ".fli", ".flc",
))                                                                                  # fmt: skip
WRITABLE_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"))
# all that Pillow reads, but for what runs another program (EPS), what is video (MPEG) and what it only names
_FORMATS = (
    "JPEG", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF", "TGA", "ICO", "CUR", "ICNS",
    "SGI", "XBM", "XPM", "QOI", "PCX", "DCX", "DDS", "PSD", "SUN", "FITS", "MSP", "BLP", "FTEX", "GBR", "IM", "IMT",
    "IPTC", "MCIDAS", "PIXAR", "PCD", "FLI", "SPIDER", "XVTHUMB",
)                                                                                   # fmt: skip
_MAGIC = (
    b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP  ",
    *(b"P%d%c" % (kind, space) for kind in range(1, 7) for space in b" \t\r\n#"),
)                                                                                   # fmt: skip
_MOVES = ("GIF", "WEBP", "PNG", "AVIF", "TIFF", "FLI")      # formats whose further pictures count
_REDUCED = {
    1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_BAND_PIXELS = 1 << 22                               # that are converted at once
_MAX_BYTES = 1 << 31                                 # of a picture's file
_ORIENTATION = 0x0112                                # EXIF's tag
_pillow_limit = threading.Lock()


def is_picture(head: bytes) -> bool:
    """Whether a file that begins with these (at least 12) bytes is a picture rather than a video."""
    webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    return webp or head.startswith(_MAGIC) or head[4:12] in (b"ftypavif", b"ftypavis") or _is_heif(head)


def _is_heif(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"heim", b"heis", b"mif1")


def _decode_heif(data: bytes, name: str, max_pixels: int) -> Image:
    from vision.io.heif import decode_heif

    return decode_heif(data, name, max_pixels)


def pillow_knows(path: Path) -> bool:
    """Whether Pillow takes the file for a picture, by its first bytes."""
    try:
        with _guarded(str(path), MAX_PIXELS), _opened(path):
            return True
    except SourceError as error:
        return isinstance(error.__cause__, pil.DecompressionBombError)


def _opened(source: Any) -> Any:
    return pil.open(source, formats=_FORMATS)


def natural(path: Path) -> list[tuple[bool, list[tuple[bool, int, str]]]]:
    """Sorting key: a folder's files before its folders, numbers by value, letters without case."""
    last = len(path.parts) - 1
    return [
        (depth != last, [(not s.isdecimal(), int(s) if s.isdecimal() else 0, s.casefold()) for s in split])
        for depth, split in enumerate(re.split(r"(\d+)", part) for part in path.parts)
    ]


def open_picture(uri: str, path: Path, max_pixels: int = MAX_PIXELS) -> Pictures | Animation:
    """A reader for one file: of all its pictures where they move, of the one otherwise."""
    if _is_heif(_head(path)):
        return Pictures(uri, [path], max_pixels)
    with _guarded(uri, max_pixels), _opened(path) as picture:
        moves = picture.format in _MOVES and getattr(picture, "n_frames", 1) > 1
    if moves:
        return Animation(uri, path, max_pixels)
    return Pictures(uri, [path], max_pixels)


def decode_picture(
    data: bytes, name: str = "picture", max_pixels: int = MAX_PIXELS, reduced: int = 1
) -> Image:
    """The first picture in a file's bytes, upright: (H,W,3) uint8 BGR. Raises SourceError.

    reduced: 2, 4 or 8: a JPEG's sides divided by it, rounded up, for a fraction of the work; other
    formats stay whole.
    """
    if _is_heif(data[:12]):
        return _decode_heif(data, name, max_pixels)
    with _guarded(name, max_pixels), _opened(BytesIO(data)) as picture:
        if picture.format not in ("JPEG", "MPO") or picture.mode not in ("L", "RGB"):
            image = _bgr(picture)                # turns a TIFF by itself, and takes its orientation away
            return exif_upright(image, picture.getexif().get(_ORIENTATION, 1))
        orientation = picture.getexif().get(_ORIENTATION, 1)
    ends = data.endswith(b"\xff\xd9") or data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")
    if not ends:                                                     # no end of image behind the scan
        raise SourceError(f"{name!r} is a JPEG that is cut off.")
    flags = _REDUCED[reduced] | cv2.IMREAD_IGNORE_ORIENTATION
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if decoded is None:
        raise SourceError(f"{name!r} cannot be decoded as a JPEG.")
    return exif_upright(np.asarray(decoded, np.uint8), orientation)


def picture_size(path: Path, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Width and height of the file's first picture, upright, from its header. Raises SourceError."""
    if _is_heif(_head(path)):
        height, width = _decode_heif(_bytes(path), str(path), max_pixels).shape[:2]
        return width, height
    with _guarded(str(path), max_pixels), _opened(path) as picture:
        width, height = picture.size
        exif = pil.Image.getexif(picture)            # its own, of a PNG, would decode all of it
        sideways = picture.format != "TIFF" and exif.get(_ORIENTATION, 1) > 4
        return (height, width) if sideways else (width, height)


@contextmanager
def _guarded(name: str, max_pixels: int) -> Iterator[None]:
    """Pillow at work on `name`: never on more than `max_pixels`; its errors become SourceError.

    It checks whenever a part of the file enlarges the picture, against a global whose double is the
    limit: set here while one thread works, and put back.
    """
    with _pillow_limit, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before, pil.MAX_IMAGE_PIXELS = pil.MAX_IMAGE_PIXELS, max(1, max_pixels // 2)
        try:
            yield
        except pil.DecompressionBombError as error:
            raise SourceError(
                f"{name!r} has more than the {max_pixels} pixels that are allowed. {FEWER_PIXELS}"
            ) from error
        except UnidentifiedImageError as error:
            raise SourceError(f"{name!r} is no picture that can be read, or broken at its head.") from error
        except Exception as error:         # on broken data Pillow's decoders raise what they trip over
            raise SourceError(f"{name!r} is a broken picture ({error}).") from error
        finally:
            pil.MAX_IMAGE_PIXELS = before


def _bgr(picture: Any) -> Image:
    """Any of Pillow's modes as BGR. Transparent parts lie on white; 16 bits keep their upper 8;
    32-bit and floating-point pictures are stretched from their lowest to their highest value.

    In bands of rows: one after the other, the steps of a conversion would take several times the picture.
    """
    picture.load()
    width, height = picture.size
    rows = max(1, _BAND_PIXELS // max(1, width))
    tops = range(0, height, rows)

    def band(top: int) -> Any:
        return picture.crop((0, top, width, min(top + rows, height)))

    mode, clear = picture.mode, picture.has_transparency_data
    deep = mode.startswith("I;16") or (mode == "I" and picture.format in ("PPM", "PNG"))
    low, high = 0.0, 0.0
    if mode in ("I", "F") and not deep:
        low = min(float(_finite(band(top)).min()) for top in tops)
        high = max(float(_finite(band(top)).max()) for top in tops)
    image: Image = np.empty((height, width, 3), np.uint8)
    for top in tops:
        part = band(top)
        if deep:
            image[top : top + rows] = (np.asarray(part) >> 8).astype(np.uint8)[..., None]
        elif mode in ("I", "F"):
            grey = (_finite(part) - low) * (255 / max(high - low, 1e-9))
            image[top : top + rows] = grey.astype(np.uint8)[..., None]
        else:
            if clear:
                part = part.convert("RGBA")
                part = pil.alpha_composite(pil.new("RGBA", part.size, "white"), part)
            image[top : top + rows] = np.asarray(part.convert("RGB"))[..., ::-1]
    return image


def _finite(picture: Any) -> Any:
    return np.nan_to_num(np.asarray(picture, np.float64))


class Pictures:
    """Still pictures in the order given; index is the place in that order, time the index over `rate`."""

    def __init__(self, uri: str, paths: Sequence[Path], max_pixels: int, first: int = 0) -> None:
        self.paths, self._max_pixels, self._first = paths, max_pixels, first
        self.rate = 1.0                    # a second
        kind = "pictures" if len(paths) > 1 else "picture"
        self.info = Info(uri, kind, self._size_of_first(), frames_estimate=len(paths))

    def _size_of_first(self) -> tuple[int, int] | None:
        try:
            return picture_size(self.paths[0], self._max_pixels)
        except SourceError:                # told when its turn to be read comes
            return None

    def frames(self, span: Span, log: Log) -> Iterator[Frame]:
        """The wanted pictures; those that cannot be read are counted and passed over."""
        broken: SourceError | None = None
        whole = 0
        for index, path in enumerate(self.paths, self._first):
            time = index / self.rate
            if span.over(time):
                return
            if not span.wants(index, time):
                log.counts.decoded += 1
                log.counts.passed_over += 1
                continue
            try:
                image = decode_picture(_bytes(path), str(path), self._max_pixels)
            except SourceError as error:
                broken = broken or error
                log.counts.corrupt += 1
                log.note(str(error))
                continue
            whole += 1
            log.counts.decoded += 1
            yield Frame(image, index, time, str(path))
        if broken and not whole:
            raise broken

    def close(self) -> None:
        """Nothing stays open between pictures."""


class Animation:
    """The pictures of an animated file, with the times that it states (10 ms or less stand for 100 ms,
    as in browsers; a page of a TIFF, which has no time, for 1 s)."""

    def __init__(self, uri: str, path: Path, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        with _guarded(uri, max_pixels):
            self._picture = _opened(path)
            self.info = Info(
                uri, "animation", self._picture.size, codec=str(self._picture.format).lower(),
                frames_estimate=getattr(self._picture, "n_frames", 1),
            )                                                                       # fmt: skip

    def frames(self, span: Span, log: Log) -> Iterator[Frame]:
        """The wanted pictures, up to the first one that is broken."""
        time = 0.0
        for index in range(self.info.frames_estimate or 0):
            try:
                with _guarded(self.info.uri, self._max_pixels):
                    self._picture.seek(index)
                    image = _bgr(self._picture)
                    orientation = self._picture.getexif().get(_ORIENTATION, 1)
            except SourceError as error:
                log.counts.corrupt += 1
                log.note(f"ends at picture {index}: {error}")
                if index == 0:
                    raise
                return
            if span.over(time):
                return
            log.counts.decoded += 1
            if span.wants(index, time):
                yield Frame(exif_upright(image, orientation), index, time, self.info.uri)
            else:
                log.counts.passed_over += 1
            milliseconds = float(self._picture.info.get("duration", 0) or 0)
            if self._picture.format == "TIFF":
                milliseconds = 1000.0
            time += (milliseconds if milliseconds > 10 else 100.0) / 1000

    def close(self) -> None:
        """Close the file."""
        self._picture.close()


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise SourceError(f"{str(path)!r} is too large for a picture: {path.stat().st_size >> 20} MiB.")
        return path.read_bytes()
    except OSError as error:
        raise SourceError(f"{str(path)!r} cannot be opened ({error.strerror}).") from error


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(12)
    except OSError as error:
        raise SourceError(f"{str(path)!r} cannot be opened ({error.strerror}).") from error
