"""The person in front of a camera, apart from the background (MediaPipe's selfie segmentation)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from vision import zoo
from vision.engine import Engine, load
from vision.errors import UsageError
from vision.types import Floats, Image
from vision.view import stretch
from vision.zoo import Card


class PersonMask:
    """Tells people near the camera from what is behind them. It keeps no state between calls."""

    task = "person"

    def __init__(self, engine: Engine, card: Card) -> None:
        self.engine = engine
        self.card = card
        self.name = card.name
        self.in_flight = engine.in_flight

    @classmethod
    def load(
        cls,
        model: str | Path | Card = "default",
        device: str = "auto",
        precision: str = "auto",
        backend: str = "auto",
    ) -> PersonMask:
        """A mask model by name (`vision models`); raises as `Detector.load` does."""
        card = zoo.find(model, cls.task)
        return cls(load(card, device, precision, backend), card)

    def __call__(self, image: Image) -> Floats:
        """How much each pixel of `image` (H,W,3) belongs to a person: (H,W) float32 in 0..1."""
        return self.submit([image])()[0]

    def submit(self, images: Sequence[Image]) -> Callable[[], list[Floats]]:
        """Start on `images`; what comes back waits and hands out a mask (H,W) each."""
        if not images:
            return list
        views = [stretch(image, self.card.size_wh) for image in images]
        future = self.engine.submit(np.stack([view.pixels for view in views]))

        def collect() -> list[Floats]:
            masks = future.result()[0]
            return [
                np.asarray(cv2.resize(mask, view.frame_wh, interpolation=cv2.INTER_LINEAR), np.float32)
                for mask, view in zip(masks, views, strict=True)
            ]

        return collect


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
