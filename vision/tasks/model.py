"""What the models of all tasks share: an engine that runs a card's network, found by name."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from vision import zoo
from vision.card import Card
from vision.engine import Engine, load
from vision.types import Names


class Model:
    """A card's network on an engine, which takes pictures and keeps no state between calls, so that
    several threads may share one.

    A picture is (H,W,3) uint8 BGR, a view of another array too; anything else raises UsageError. It is not
    changed, and what was given to `submit` must not be until its result is there.

    engine: what runs the network; tests and users may give a `FakeEngine`. `load()` makes both from
    a name. names: of the classes, by label.
    """

    task: str

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
    ) -> Self:
        """A model of this task by name (`vision models`), or from a path to weights with their card.

        Detectors also open `.onnx` and `.pt`, classifiers `torchvision:NAME` and `timm:NAME`. Raises
        ModelError for an unknown name, WeightsError where its weights are missing or not what they
        should be, EngineError for a device or a back end that is not there.
        """
        card = cls._card(model)
        return cls(load(card, device, precision, backend), card)

    @classmethod
    def _card(cls, model: str | Path | Card) -> Card:
        return zoo.find(model, cls.task)

    @property
    def in_flight(self) -> int:
        """How many submitted pictures keep the engine's device busy."""
        return self.engine.in_flight

    def close(self) -> None:
        """Finish what was submitted and give the engine's memory and threads back."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
