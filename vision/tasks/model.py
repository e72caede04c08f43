"""What the models of all tasks share: an engine that runs a card's network, found by name."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self

from vision import zoo
from vision.card import Card
from vision.engine import Engine, load
from vision.errors import ModelError, UsageError
from vision.types import Names


class Model:
    """A card's network on an engine, which takes pictures and keeps no state between calls, so that
    several threads may share one.

    A picture is (H,W,3) uint8 BGR, contiguous or a view of another array; anything else raises UsageError. It is
    not changed, and the caller must not change what was given to `submit` until its result is there.

    `close()`, or leaving a `with` block, gives the engine back. A model that `load()` made is pickled as
    what it was loaded from, and loaded again where it is unpickled.

    engine: what runs the network; tests and users may give a `FakeEngine`. card: what the network needs, and how
    its outputs are read. `load()` makes both from a name. names: the names of the classes, by label.
    loaded_as: the arguments of `load()`, or None.
    """

    task: str
    loaded_as: dict[str, Any] | None = None

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
        """A model of this task, ready to run.

        model: a name of `vision models`, a path to weights with their card, or a card. Detectors also open
            `.onnx` and `.pt`, classifiers `torchvision:NAME` and `timm:NAME`. Of detectors, classifiers and
            segmenters several, `a,b,c`: an ensemble.
        device: auto, cpu, cuda, cuda:1 or mps. precision: auto, int8, fp32, fp16 or bf16.
        backend: auto, torch, openvino, onnxruntime or opencv.

        Raises ModelError for an unknown name, WeightsError where its weights are missing or damaged, EngineError
        for a device or a back end that is not there.
        """
        if names := zoo.members(model):
            ensemble = cls._together([cls.load(name, device, precision, backend) for name in names])
            ensemble.loaded_as = {"model": model, "device": device, "precision": precision, "backend": backend}
            return ensemble
        card = cls._card(model)
        engine = load(card, device, precision, backend)
        decides = card.int8 if engine.precision == "int8" and card.int8 is not None else card
        made = cls(engine, replace(card, min_score=decides.min_score))
        made.loaded_as = {"model": card, "device": device, "precision": precision, "backend": backend}
        return made

    @classmethod
    def _card(cls, model: str | Path | Card) -> Card:
        return zoo.find(model, cls.task)

    @classmethod
    def _together(cls, members: list[Self]) -> Self:
        """Several models as one. Raises ModelError where the task knows no ensembles."""
        raise ModelError(f"there are ensembles for classify, detect and segment; {cls.task} takes one model")

    @property
    def in_flight(self) -> int:
        """How many submitted pictures keep the engine's device busy."""
        return self.engine.in_flight

    def close(self) -> None:
        """Finish what was submitted, then give memory and threads back. A call after it raises
        EngineError."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.engine.label})"

    def __reduce__(self) -> tuple[Any, ...]:
        if self.loaded_as is None:
            raise UsageError(
                f"{self!r} has an engine of the caller's, which cannot be pickled. Only what "
                f"{type(self).__name__}.load() made can be sent to another process."
            )
        return partial(type(self).load, **self.loaded_as), ()
