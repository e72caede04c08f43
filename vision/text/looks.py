"""Whether a piece of text still looks as it did: cheaper than to read it again."""

from __future__ import annotations

import cv2
import numpy as np

from vision.text import quads
from vision.types import Floats, Image

_HEIGHT, _WIDEST = 16, 320             # of what is remembered of a piece, in pixels
_SHIFT = 3                             # how far a quad may have moved on its text, in these
_INK = 6.0                             # grey levels: a cell whose standard deviation is less has nothing written in it


def look_of(image: Image, quad: Floats) -> Image:
    """A small picture of what is written in a quad (4,2) of `image`: (16,w) uint8 grey. A tall one is turned."""
    along, across = quads.sides(quad[None])[0].tolist()
    if across > quads.TALL * along:
        quad = np.roll(quad, 1, axis=0)
    strip = quads.upright(image, quad, 2 * _HEIGHT, 2 * _WIDEST)
    grey = cv2.cvtColor(strip, cv2.COLOR_BGR2GRAY)
    return np.asarray(cv2.resize(grey, (max(_HEIGHT, grey.shape[1] // 2), _HEIGHT), interpolation=cv2.INTER_AREA))


def likeness(before: Image, after: Image) -> float:
    """How alike the least alike letters of two looks are, -1..1.

    Each square of `before` that has ink is searched for in `after`, which is brought to its width, a few pixels around
    where it was: the correlation does not mind brightness and contrast. 1 where there is no ink.
    """
    width = before.shape[1]
    same_size = cv2.resize(after, (width, _HEIGHT), interpolation=cv2.INTER_LINEAR)
    around = cv2.copyMakeBorder(same_size, 2, 2, _SHIFT, _SHIFT, cv2.BORDER_REPLICATE)
    found = [1.0]
    for left in range(0, width - _HEIGHT + 1, _HEIGHT):
        cell = before[:, left : left + _HEIGHT]
        if cell.std() >= _INK:
            where = around[:, left : left + _HEIGHT + 2 * _SHIFT]
            found.append(float(cv2.matchTemplate(where, cell, cv2.TM_CCOEFF_NORMED).max()))
    return min(found)

