"""Boxes with names, from a detector or from a file of an earlier run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from vision.errors import UsageError
from vision.spec import Option, spec
from vision.steps.base import ModelOption, ModelStep, Pending, Pool, Ready, Spec, Step
from vision.types import Detections, Frame, Result

if TYPE_CHECKING:
    from vision.card import Card
    from vision.io import Info
    from vision.tracking.stored import Stored


@spec
class FindsObjects(Spec):
    """What specs share whose models find objects."""

    model: ModelOption = "default"
    min_score: Annotated[float | None, Option(
        "the lowest score that is shown; the model's own unless given", "0..1", min=0, max=1, remote=True)] = None
    classes: Annotated[tuple[str, ...] | None, Option(
        "only these, by name: person,car", separator=",", remote=True)] = None
    max_detections: Annotated[int, Option("at most so many boxes a frame, the best", min=1, remote=True)] = 300
    max_iou: Annotated[float | None, Option(
        "of two boxes of one class that overlap by more, only the better is kept; the model's own unless given", "0..1",
        min=0, max=1, remote=True)] = None
    agnostic: Annotated[bool, Option(
        "of overlapping boxes of different classes, too, only the better is kept", remote=True)] = False
    tiles: Annotated[bool, Option(
        "also look at overlapping windows at full resolution, for small objects in large pictures",
        remote=True)] = False
    weak: Annotated[float | None, Option(
        "also keep boxes that are not shown, down to this score (of a model whose threshold is 0.5), for a tracker",
        "0..1", min=0, max=1)] = None
    weak_asked: bool = field(default=False, kw_only=True, compare=False)     # by trackers, not by the user

    def choices(self, card: Card) -> dict[str, Any]:
        """The arguments of a `Finder`'s `submit`. card: the model's."""
        decides = _first(self.min_score, card.min_score)
        return {
            "min_score": decides, "classes": self.classes, "max_detections": self.max_detections,
            "max_iou": self.max_iou, "agnostic": self.agnostic, "tiles": self.tiles,
            "weak": None if self.weak is None else min(decides, at_odds(self.weak, decides)),
        }


_OF_A_MODEL = ("max_detections", "max_iou", "agnostic", "tiles", "decoder")


@spec
class Detect(FindsObjects):
    """Find objects: boxes with names."""

    task = "detect"
    result = Detections

    decoder: Annotated[str | None, Option(
        "how the outputs of an .onnx file are read: yolo, yolo_rows, yolox, nanodet, picodet, rtmdet, ssd, detr, rows, "
        "plates; recognised unless given")] = None
    stored: Annotated[Path | str | None, Option(
        "detections from a file: records (JSONL) or MOT text; no model is loaded", flags=("--from",))] = None

    def check(self) -> None:
        """Raise UsageError for what only a model can be asked, beside a file."""
        given = [name for name in _OF_A_MODEL if getattr(self, name) != getattr(Detect, name)]
        if self.stored is not None and given:
            raise UsageError(f"{' and '.join(given)} {'is' if len(given) == 1 else 'are'} of a model, and none is "
                             "asked beside --from: boxes of a file are chosen by min_score and classes.")

    def load(self, pool: Pool) -> Any:
        """The detector, or what the file holds. Raises as `Detector.load` and `Stored.read` do, UsageError for a class
        that the model does not have."""
        if self.stored is not None:
            from vision.tracking.stored import Stored

            file = Stored.read(self.stored)
            return file if self.classes is None else file.only(self.classes)
        from vision.tasks.detect import Detector

        more = {} if self.decoder is None else {"decoder": self.decoder}
        detector = pool.load(Detector.load, self.model, **more)
        detector.submit([], min_score=self.min_score, classes=self.classes, max_iou=self.max_iou)
        return detector

    def open(self, info: Info, model: Any) -> Step:
        """A step for one stream."""
        if self.stored is not None:
            return StoredStep(self.key, model, _first(self.min_score, model.min_score, 0.5))
        choices = self.choices(model.card)
        return DetectStep(self.key, model, partial(model.submit, **choices), choices["min_score"])


class DetectStep(ModelStep):
    """A detector on one stream. decides: the lowest score that is shown."""

    def __init__(self, key: str, model: Any, submit: Any, decides: float) -> None:
        super().__init__(key, model, submit)
        self.decides = decides

    def about(self) -> dict[str, Any]:
        """The model, where it runs, and the lowest score that is shown."""
        return {**super().about(), "min_score": self.decides}


class StoredStep(Step):
    """Detections of an earlier run instead of a model. decides: the lowest score that is shown."""

    def __init__(self, key: str, stored: Stored, decides: float) -> None:
        super().__init__(key)
        self.stored, self.decides, self.names = stored, decides, stored.names

    def begin(self, frame: Frame, sofar: Mapping[str, Result]) -> Pending:
        """The frame's detections in the file. Raises DataError where the file is of another video."""
        return Ready(split(self.stored.at(frame).everything, self.decides))

    def whole(self, frames: int) -> None:
        """Raise DataError unless the file ends where the video does."""
        self.stored.check_length(frames)

    def about(self) -> dict[str, Any]:
        """The model that found them."""
        return {"model": self.stored.model, "min_score": self.decides}


def split(found: Detections, decides: float) -> Detections:
    """The rows that score `decides` or more, with the others as `weak`, both in their order."""
    found = found.rounded()
    shown = found.scores >= decides
    return Detections(found.boxes[shown], found.scores[shown], found.labels[shown], weak=found[~shown])


def at_odds(score: float, decides: float) -> float:
    """What `score`, of a model that decides at 0.5, is for one that decides at `decides`: its odds are
    multiplied by those of `decides`. All in 0..1."""
    return score * decides / max(score * decides + (1 - score) * (1 - decides), 1e-9)


def _first(*values: float | None) -> float:
    """The first that is known."""
    return next(value for value in values if value is not None)
