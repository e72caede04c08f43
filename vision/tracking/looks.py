"""Appearance: the pictures inside boxes as vectors, which lie near each other where they show the same object."""

from __future__ import annotations

import numpy as np

from vision.tasks.model import Model
from vision.types import Floats, Image
from vision.view import fitted


class Appearance(Model):
    """What objects look like, for `Tracker(..., looks=...)`: a network of re-identification, which gives one person's
    pictures nearly the same direction. `Appearance.load("person-reid")` makes one.

    engine: (B,h,w,3) uint8 to vectors (B,D).
    """

    task = "looks"

    def __call__(self, image: Image, boxes: Floats) -> Floats:
        """The vectors (N,D), to be compared by cosine, of what lies inside the boxes (N,4) xyxy of `image` (H,W,3)
        uint8 BGR; (0,0) of no boxes."""
        size, resize = self.card.input.size_wh, self.card.input.resize
        under_way = [self.engine.submit(fitted(one, size, resize).pixels[None]) for one in crops(image, boxes)]
        vectors = [future.result()[0][0] for future in under_way]
        return np.array(vectors, np.float32) if vectors else np.empty((0, 0), np.float32)


def crops(image: Image, boxes: Floats) -> list[Image]:
    """What lies inside each box (N,4) xyxy of `image` (H,W,3): at least one pixel, copied."""
    height, width = image.shape[:2]
    edges = np.rint(boxes).astype(int)
    left, top = np.clip(edges[:, 0], 0, width - 1), np.clip(edges[:, 1], 0, height - 1)
    right = np.clip(edges[:, 2], left + 1, width)
    bottom = np.clip(edges[:, 3], top + 1, height)
    return [image[t:b, x:r].copy() for x, t, r, b in zip(left, top, right, bottom, strict=True)]
