"""A clip to try things on, made from two real photographs that an installed dependency ships."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from math import cos, pi
from pathlib import Path

import cv2
import numpy as np

from vision.errors import MissingExtra
from vision.io.pictures import decode_picture
from vision.sinks.film import VideoWriter
from vision.types import Image

SIZE_WH = (640, 480)
SHOT_S = 5.0
_INTERVALS_S = (1 / 30, 1 / 30, 1 / 15, 1 / 20, 1 / 60, 1 / 25)      # a phone's clock is not even either
# each shot: a photograph, and the window (centre x, centre y, width, in pixels) it begins and ends with
_SHOTS = (
    ("bus.jpg", (405.0, 420.0, 800.0), (405.0, 690.0, 700.0)),
    ("zidane.jpg", (800.0, 360.0, 940.0), (700.0, 330.0, 760.0)),
)


def make_sample(path: str | Path) -> int:
    """Write the sample clip and return its number of frames: ten seconds, 640x480, H.264, variable
    frame times, a slow pan and zoom over people and a bus, a cut to two people after five.

    The photographs are those in the package ultralytics; MissingExtra where it is not installed.
    """
    photographs = [decode_picture((_assets() / name).read_bytes(), name) for name, _, _ in _SHOTS]
    times = list(_times(SHOT_S * len(_SHOTS)))
    with VideoWriter(path) as film:
        for time in times:
            shot = int(time / SHOT_S)
            _, first, last = _SHOTS[shot]
            eased = (1 - cos(pi * (time / SHOT_S - shot))) / 2
            window = [a + (b - a) * eased for a, b in zip(first, last, strict=True)]
            film.write(_seen(photographs[shot], *window), time)
    return len(times)


def _assets() -> Path:
    package = find_spec("ultralytics")               # found, not imported
    if package is None or not package.submodule_search_locations:
        raise MissingExtra("ultralytics", "yolo", "The sample clip")
    return Path(package.submodule_search_locations[0]) / "assets"


def _times(until: float) -> Iterator[float]:
    time, count = 0.0, 0
    while time < until:
        yield time
        time += _INTERVALS_S[count % len(_INTERVALS_S)]
        count += 1


def _seen(photograph: Image, x: float, y: float, width: float) -> Image:
    """What a window shows, at the clip's size."""
    scale = SIZE_WH[0] / width
    matrix = np.array([[scale, 0, SIZE_WH[0] / 2 - scale * x], [0, scale, SIZE_WH[1] / 2 - scale * y]])
    return np.asarray(cv2.warpAffine(photograph, matrix, SIZE_WH, borderMode=cv2.BORDER_REPLICATE), np.uint8)
