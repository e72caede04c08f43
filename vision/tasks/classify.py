"""Classification: a picture in, a probability for each class out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Self, cast

import numpy as np

from vision.tasks.own import OwnModel, probabilities, softmax
from vision.tasks.together import Engines, joint, same_classes
from vision.types import Image, Scores
from vision.view import fitted, ten_crops

Crop = Literal["centre", "letterbox", "stretch", "ten"]
CROPS = {"centre": "crop", "letterbox": "letterbox", "stretch": "stretch", "ten": "ten"}       # as a card says it


class Classifier(OwnModel):
    """Says what a picture shows.

    engine: takes (B,h,w,3) uint8 BGR, and returns probabilities (B,C). card: the network's card.
    """

    task = "classify"
    decoder, outputs = staticmethod(softmax), staticmethod(probabilities)

    def __call__(self, image: Image, *, crop: Crop | None = None) -> Scores:
        """Classify a picture, with the whole device for it alone.

        image: (H,W,3) uint8 BGR. crop: what is seen of it: its centre, all of it with grey borders (letterbox) or
        stretched, or ten views whose probabilities are averaged; as the card says unless given, and for a model that
        takes pictures as they are. Returns a probability for each class. Raises UsageError for another picture.
        """
        return _mean([Scores(self.engine(view[None])[0][0]) for view in self._views(image, crop)])

    def batch(self, images: Sequence[Image], *, crop: Crop | None = None) -> list[Scores]:
        """Classify each of `images`, (H,W,3) uint8 BGR of any sizes. crop: as in a call."""
        return self.submit(images, crop=crop)()

    def submit(self, images: Sequence[Image], *, crop: Crop | None = None) -> Callable[[], list[Scores]]:
        """Start on pictures, and do not wait.

        images: (H,W,3) uint8 BGR each, of any sizes. crop: as in a call. Returns a function that waits and returns one
        result for each.
        """
        under_way = [[self.engine.submit(view[None]) for view in self._views(image, crop)] for image in images]
        return lambda: [_mean([Scores(one.result()[0][0]) for one in views]) for views in under_way]

    @classmethod
    def _together(cls, members: list[Self]) -> Self:
        return cast(Self, ClassifierEnsemble(members))

    def _views(self, image: Image, crop: Crop | None) -> list[Image]:
        wanted = self.card.input
        as_asked = CROPS[crop] if crop and wanted.resize != "none" else wanted.resize
        size_wh, resize = self.engine.input_wh or wanted.size_wh, as_asked
        if resize == "ten":
            return ten_crops(image, size_wh, wanted.crop)
        return [fitted(image, size_wh, resize, wanted.crop).pixels]


class ClassifierEnsemble(Classifier):
    """Several classifiers of the same classes: the mean of their probabilities.

    members: at least one. Raises ModelError where their classes differ.
    """

    def __init__(self, members: Sequence[Classifier]) -> None:
        cards = [member.card for member in members]
        super().__init__(Engines([member.engine for member in members]), joint(cards, same_classes(cards)))
        self.members = tuple(members)

    def __call__(self, image: Image, *, crop: Crop | None = None) -> Scores:
        """Classify a picture, with the whole device for one member after the other."""
        return _mean([member(image, crop=crop) for member in self.members])

    def submit(self, images: Sequence[Image], *, crop: Crop | None = None) -> Callable[[], list[Scores]]:
        """Start on pictures with every member; see `Classifier.submit`."""
        waiting = [member.submit(images, crop=crop) for member in self.members]
        return lambda: [_mean(of_picture) for of_picture in zip(*(wait() for wait in waiting), strict=True)]


def _mean(scores: Sequence[Scores]) -> Scores:
    return scores[0] if len(scores) == 1 else Scores(np.mean([one.probs for one in scores], axis=0))
