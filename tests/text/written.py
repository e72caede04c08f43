"""Pictures with known text, set in Pillow's own font."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vision.types import Image as Picture

Line = tuple[str, tuple[int, int], int]            # what, where its upper left corner is, how large


def page(lines: Sequence[Line], size_wh: tuple[int, int] = (480, 320), ground: int = 70, ink: int = 245) -> Picture:
    """A picture (H,W,3) uint8 BGR with lines of text."""
    picture = Image.new("L", size_wh, ground)
    draw = ImageDraw.Draw(picture)
    for text, corner, size in lines:
        draw.text(corner, text, ink, ImageFont.load_default(size))
    return np.repeat(np.asarray(picture, np.uint8)[..., None], 3, axis=2)
