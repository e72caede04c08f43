"""Classification: a picture in, a probability for each class out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from vision import zoo
from vision.engine import Engine, load
from vision.types import Image, Names, Scores
from vision.view import View, centre_crop, letterbox, stretch
from vision.zoo import Card


class Classifier:
    """Says what a picture shows. It keeps no state between calls: several threads may share one.

    engine: what runs the card's network, (B,h,w,3) uint8 to probabilities (B,C); tests and users
    may give a `FakeEngine`. `Classifier.load()` makes both from a name.
    """

    task = "classify"

    def __init__(self, engine: Engine, card: Card) -> None:
        self.engine = engine
        self.card = card
        self.name = card.name
        self.names: Names = card.classes

    @classmethod
    def load(
        cls,
        model: str | Path | Card = "default",
        device: str = "auto",
        precision: str = "auto",
        backend: str = "auto",
    ) -> Classifier:
        """A classifier by name (`vision models`), `torchvision:NAME`, `timm:NAME`, or a path.

        Raises ModelError for an unknown name, WeightsError where its weights are missing or not
        what they should be, EngineError for a device or a back end that is not there.
        """
        card = zoo.find(model, cls.task)
        return cls(load(card, device, precision, backend), card)

    @property
    def in_flight(self) -> int:
        """How many submitted pictures keep the engine's device busy."""
        return self.engine.in_flight

    def __call__(self, image: Image) -> Scores:
        """The classes' probabilities for `image`, (H,W,3) uint8 BGR; it gets the whole device."""
        return Scores(self.engine(self._view(image).pixels[None])[0][0])

    def batch(self, images: Sequence[Image]) -> list[Scores]:
        """The classes' probabilities for each of `images`, which may differ in size."""
        return self.submit(images)()

    def submit(self, images: Sequence[Image]) -> Callable[[], list[Scores]]:
        """Start on `images`; what comes back waits for them and hands out a result each."""
        if not images:
            return lambda: []
        future = self.engine.submit(np.stack([self._view(image).pixels for image in images]))
        return lambda: [Scores(probs) for probs in future.result()[0]]

    def _view(self, image: Image) -> View:
        size_wh = self.engine.input_wh or self.card.size_wh
        match self.card.resize:
            case "stretch":
                return stretch(image, size_wh)
            case "letterbox":
                return letterbox(image, size_wh)
            case "crop":
                return centre_crop(image, size_wh, short_side=round(max(size_wh) / self.card.crop))
