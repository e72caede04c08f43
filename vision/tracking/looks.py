"""Appearance: the pictures inside boxes, for a network that makes embeddings of them."""

from __future__ import annotations

import numpy as np

from vision.types import Floats, Image


def crops(image: Image, boxes: Floats) -> list[Image]:
    """What lies inside each box (N,4) xyxy of `image` (H,W,3): at least one pixel, copied."""
    height, width = image.shape[:2]
    edges = np.rint(boxes).astype(int)
    left, top = np.clip(edges[:, 0], 0, width - 1), np.clip(edges[:, 1], 0, height - 1)
    right = np.clip(edges[:, 2], left + 1, width)
    bottom = np.clip(edges[:, 3], top + 1, height)
    return [image[t:b, x:r].copy() for x, t, r, b in zip(left, top, right, bottom, strict=True)]
