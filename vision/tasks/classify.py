"""Classification: a picture in, a probability for each class out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self, cast

import numpy as np

from vision.tasks.own import OwnModel, probabilities, softmax
from vision.tasks.together import Engines, joint, same_classes
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

    @classmethod
    def _together(cls, members: list[Self]) -> Self:
        return cast(Self, ClassifierEnsemble(members))

    def _view(self, image: Image) -> View:
        wanted = self.card.input
        return fitted(image, self.engine.input_wh or wanted.size_wh, wanted.resize, wanted.crop)


class ClassifierEnsemble(Classifier):
    """Several classifiers of the same classes: the mean of their probabilities.

    members: at least one. Raises ModelError where their classes differ.
    """

    def __init__(self, members: Sequence[Classifier]) -> None:
        cards = [member.card for member in members]
        super().__init__(Engines([member.engine for member in members]), joint(cards, same_classes(cards)))
        self.members = tuple(members)

    def __call__(self, image: Image) -> Scores:
        """Classify a picture, with the whole device for one member after the other."""
        return _mean([member(image) for member in self.members])

    def submit(self, images: Sequence[Image]) -> Callable[[], list[Scores]]:
        """Start on pictures with every member; see `Classifier.submit`."""
        waiting = [member.submit(images) for member in self.members]
        return lambda: [_mean(of_picture) for of_picture in zip(*(wait() for wait in waiting), strict=True)]


def _mean(scores: Sequence[Scores]) -> Scores:
    return Scores(np.mean([one.probs for one in scores], axis=0))
