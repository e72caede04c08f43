"""Classification: a picture in, a probability for each class out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vision.tasks.own import OwnModel, probabilities, softmax
from vision.types import Image, Scores
from vision.view import View, fitted


class Classifier(OwnModel):
    """Says what a picture shows.

    engine: takes (B,h,w,3) uint8 BGR, and returns probabilities (B,C). card: the network's card.
    """

    task = "classify"
    decoder, outputs = staticmethod(softmax), staticmethod(probabilities)

    def __call__(self, image: Image) -> Scores:
        """Classify a picture, with the whole device for it alone.

        image: (H,W,3) uint8 BGR. Returns a probability for each class. Raises UsageError for another picture.
        """
        return Scores(self.engine(self._view(image).pixels[None])[0][0])

    def batch(self, images: Sequence[Image]) -> list[Scores]:
        """Classify each of `images`, (H,W,3) uint8 BGR of any sizes."""
        return self.submit(images)()

    def submit(self, images: Sequence[Image]) -> Callable[[], list[Scores]]:
        """Start on pictures, and do not wait.

        images: (H,W,3) uint8 BGR each, of any sizes. Returns a function that waits and returns one result for each.
        """
        under_way = [self.engine.submit(self._view(image).pixels[None]) for image in images]
        return lambda: [Scores(future.result()[0][0]) for future in under_way]

    def _view(self, image: Image) -> View:
        wanted = self.card.input
        return fitted(image, self.engine.input_wh or wanted.size_wh, wanted.resize, wanted.crop)
