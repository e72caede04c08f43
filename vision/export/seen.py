"""What a network sees in use: the batches that its task's model hands it, for the ranges of int8."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from importlib import import_module
from typing import Any

import numpy as np

from vision.card import Card
from vision.engine import Engine, Outputs
from vision.errors import DataError, UsageError
from vision.types import Image

# task of a network -> where its model is, and the attribute that is the network's engine
_MODELS: dict[str, tuple[str, str]] = {
    "detect": ("tasks.detect:Detector", "engine"),
    "instances": ("tasks.instances:InstanceSegmenter", "engine"),
    "classify": ("tasks.classify:Classifier", "engine"),
    "segment": ("tasks.segment:Segmenter", "engine"),
    "faces": ("people.face_detector:FaceDetector", "engine"),
    "landmarks": ("people.landmarks:FaceLandmarker", "engine"),
    "iris": ("people.landmarks:FaceLandmarker", "iris"),
    "identity": ("people.identity:FaceEmbedder", "engine"),
    "attributes": ("people.attributes:AttributeGuesser", "engine"),
    "pose": ("people.pose:PoseEstimator", "engine"),
    "palms": ("people.hands:PalmDetector", "engine"),
    "hands": ("people.hands:HandFinder", "engine"),
    "person": ("people.person:PersonMask", "engine"),
    "text-boxes": ("text.finder:TextFinder", "engine"),
    "text": ("text.reader:TextReader", "engine"),
}
_OF_FACES = frozenset({"identity", "attributes"})       # models that are handed the faces of a picture
TASKS = tuple(_MODELS)


class Recorder:
    """An engine that keeps what it is handed, a picture at a time, and passes it on. most: how many pictures are kept;
    from more of them as many evenly, whatever their number."""

    def __init__(self, engine: Engine, most: int) -> None:
        self._engine, self._most, self._every, self._seen = engine, most, 1, 0
        self.kept: list[np.ndarray] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def submit(self, batch: np.ndarray) -> Future[Outputs]:
        """Keep a batch, and start on it."""
        self._keep(batch)
        return self._engine.submit(batch)

    def __call__(self, batch: np.ndarray) -> Outputs:
        """Keep a batch, run it and wait for it."""
        self._keep(batch)
        return self._engine(batch)

    def _keep(self, batch: np.ndarray) -> None:
        for one in batch:
            if self._seen % self._every == 0:
                self.kept.append(one[None].copy())
            if len(self.kept) > self._most:              # every second one of them, from now on, too
                self.kept, self._every = self.kept[::2], 2 * self._every
            self._seen += 1


def batches(card: Card, pictures: Iterable[Image], most: int) -> list[np.ndarray]:
    """What the network of a card is handed when its task's model looks at pictures: up to `most`, (1,H,W,3) uint8 BGR.

    Raises UsageError for a task whose network takes no pictures, DataError where it was handed nothing: where no face,
    say, is in any of the pictures.
    """
    if card.task not in _MODELS:
        raise UsageError(f"a network for {card.task} is not quantised; those for {', '.join(TASKS)} are")
    place, attribute = _MODELS[card.task]
    module, name = place.split(":")
    kind: Any = getattr(import_module(f"vision.{module}"), name)
    with kind.load(card if attribute == "engine" else "default", "cpu", "fp32") as model:
        recorder = Recorder(getattr(model, attribute), most)
        setattr(model, attribute, recorder)
        look, count = _looker(model, card.task), 0
        for image in pictures:
            look(image)
            count += 1
    if not recorder.kept:
        what = f"the network saw nothing in {count} pictures: they show nothing for {card.task}" if count else (
            "there are no pictures")
        raise DataError(f"quantisation needs pictures like those of its use: {what}.")
    return recorder.kept


def _looker(model: Any, task: str) -> Callable[[Image], Any]:
    """What hands the model a picture."""
    if task not in _OF_FACES:
        return lambda image: model.submit([image])()
    from vision.people.landmarks import FaceLandmarker

    finder = FaceLandmarker.load(device="cpu")
    return lambda image: model.submit([image], [finder(image)])()
