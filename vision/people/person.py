"""The person in front of a camera, apart from the background (MediaPipe's selfie segmentation)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from vision.errors import UsageError
from vision.tasks.model import Model
from vision.types import Floats, Image
from vision.view import stretch


class PersonMask(Model):
    """Tells people near the camera from what is behind them."""

    task = "person"

    def __call__(self, image: Image) -> Floats:
        """How much each pixel of `image` (H,W,3) uint8 BGR belongs to a person: (H,W) float32 in 0..1.
        Raises UsageError for another image."""
        return self.submit([image])()[0]

    def submit(self, images: Sequence[Image]) -> Callable[[], list[Floats]]:
        """Start on `images`; what comes back waits and hands out a mask (H,W) each."""
        views = [stretch(image, self.card.input.size_wh) for image in images]
        asked = [self.engine.submit(view.pixels[None]) for view in views]
        return lambda: [
            np.asarray(cv2.resize(future.result()[0][0], view.frame_wh, interpolation=cv2.INTER_LINEAR), np.float32)
            for view, future in zip(views, asked, strict=True)
        ]


def blur_background(image: Image, mask: Floats, sigma: float = 0.02) -> Image:
    """The picture (H,W,3) with everything blurred that is not a person.

    mask (H,W) in 0..1. sigma: of the Gaussian, as a share of the picture's longer side. Raises
    UsageError for a mask of another size.
    """
    if mask.shape != image.shape[:2]:
        raise UsageError(f"the mask must be as large as the picture {image.shape[:2]}; got {mask.shape}")
    wh = (image.shape[1], image.shape[0])
    shrink = max(1, round(max(wh) * sigma / 2))                          # at this scale sigma is 2 pixels
    small = (max(1, wh[0] // shrink), max(1, wh[1] // shrink))
    behind = (1 - mask).astype(np.float32)
    # each pixel counts by how much it lies behind, so that the person's colours do not bleed
    weights = cv2.resize(behind, small, interpolation=cv2.INTER_AREA) + 1e-3
    colours = cv2.resize(image, small, interpolation=cv2.INTER_AREA) * weights[..., None]
    blurred = cv2.GaussianBlur(colours, (0, 0), 2.0) / cv2.GaussianBlur(weights, (0, 0), 2.0)[..., None]
    ground = cv2.resize(blurred.clip(0, 255).astype(np.uint8), wh, interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.blendLinear(image, ground, 1 - behind, behind), np.uint8)
