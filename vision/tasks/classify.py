"""Classification: a picture in, a probability for each class out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vision.tasks.model import Model
from vision.types import Image, Scores
from vision.view import View, fitted


class Classifier(Model):
    """Says what a picture shows. engine: (B,h,w,3) uint8 to probabilities (B,C)."""

    task = "classify"

    def __call__(self, image: Image) -> Scores:
        """The classes' probabilities for `image`, (H,W,3) uint8 BGR; it gets the whole device. Raises
        UsageError for another image."""
        return Scores(self.engine(self._view(image).pixels[None])[0][0])

    def batch(self, images: Sequence[Image]) -> list[Scores]:
        """The classes' probabilities for each of `images`, which may differ in size."""
        return self.submit(images)()

    def submit(self, images: Sequence[Image]) -> Callable[[], list[Scores]]:
        """Start on `images`; what comes back waits for them and hands out a result each."""
        under_way = [self.engine.submit(self._view(image).pixels[None]) for image in images]
        return lambda: [Scores(future.result()[0][0]) for future in under_way]

    def _view(self, image: Image) -> View:
        wanted = self.card.input
        return fitted(image, self.engine.input_wh or wanted.size_wh, wanted.resize, wanted.crop)
