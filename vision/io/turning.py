"""Which way up a picture is: EXIF's orientations and the display matrices of video."""

from __future__ import annotations

from math import atan2, degrees
from typing import Any, NamedTuple

import cv2
import numpy as np

from vision.types import Image

_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


class Turn(NamedTuple):
    """How a frame is brought upright: turned by `degrees` clockwise, then mirrored left to right."""

    degrees: int = 0
    mirrored: bool = False

    @property
    def known(self) -> bool:
        """Whether it is a quarter turn: others are not applied."""
        return self.degrees % 90 == 0


class DisplayTurns:
    """What the display matrices of decoded frames ask for. A matrix is looked at once for each rotation: PyAV ties
    a frame whose side data was asked for into a circle, in which it stays until garbage is collected."""

    def __init__(self) -> None:
        self._known: dict[int, Turn] = {}

    def __call__(self, picture: Any) -> Turn:
        """How a decoded frame is brought upright."""
        rotation = picture.rotation
        if rotation not in self._known:
            self._known[rotation] = _turn(picture.side_data.get("DISPLAYMATRIX"))
        return self._known[rotation]


def _turn(matrix: Any) -> Turn:
    """(x, y) goes to (a x + c y, b x + d y)."""
    if matrix is None:
        return Turn()
    a, b, _, c, d = (int(v) for v in np.frombuffer(bytes(matrix), "<i4")[:5])
    if a * d - b * c < 0:                        # it mirrors: undo that, and see by how much it turns
        return Turn(round(degrees(atan2(b, -a))) % 360, True)
    return Turn(round(degrees(atan2(b, a))) % 360)


def upright(image: Any, turn: Turn) -> Image:
    """The picture (H,W,3) uint8 turned and mirrored; as it is for another angle than a quarter turn."""
    if turn.degrees in _TURNS:
        image = cv2.rotate(image, _TURNS[turn.degrees])
    if turn.mirrored and turn.known:
        image = cv2.flip(image, 1)
    return np.asarray(image, np.uint8)


def exif_upright(image: Image, orientation: int) -> Image:
    """The picture upright; orientation is EXIF's, 1 to 8."""
    if orientation in (5, 6, 7, 8):
        image = np.swapaxes(image, 0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)
