"""Made roads with known truth."""

from __future__ import annotations

import cv2
import numpy as np

from vision.geometry import Camera, Ground, Mounting
from vision.types import Image

CAMERA = Camera((640, 360), (520.0, 520.0), (319.5, 179.5))
MOUNTING = Mounting(1.3, 2.0)
GROUND = Ground.of(CAMERA, MOUNTING)


def road(left: float = 1.8, right: float = -1.8, heading: float = 0.0, bend: float = 0.0, *, start: float = 0.0,
         paint: tuple[int, int, int] = (230, 230, 230), seed: int = 0, ground: Ground = GROUND) -> Image:
    """A made road with a solid line to the left and a dashed one to the right."""
    image = np.full((360, 640, 3), (200, 160, 120), np.uint8)
    horizon = round(ground.horizon())
    image[horizon:] = 95
    noise = np.random.default_rng(seed).normal(0, 4, image.shape)
    for offset, dashed in ((left, False), (right, True)):
        z = 1 / np.linspace(1 / 3.0, 1 / 70, 130)
        middle = offset + heading * z + bend * z**2
        inner, outer = (np.rint(ground.pixels(np.column_stack([z, middle + side])) * 16).astype(np.int32)
                        for side in (0.075, -0.075))
        for a in range(len(z) - 1):
            if not dashed or (z[a] + start) % 12 <= 4:
                corners = np.array([inner[a], inner[a + 1], outer[a + 1], outer[a]])
                cv2.fillConvexPoly(image, corners, paint, cv2.LINE_AA, 4)
    return np.clip(image + noise, 0, 255).astype(np.uint8)
