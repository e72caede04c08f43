"""People, each with a mask, without a network for the masks of objects: a detector's boxes, and in each what stands out
from its background."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from vision import zoo
from vision.card import Card
from vision.engine import Outputs
from vision.errors import ModelError
from vision.instances import Instances, sampled
from vision.people.person import PersonMask
from vision.tasks.decoders import Decoder
from vision.tasks.detect import Detector, Finder
from vision.tasks.instances import InstanceSegmenter
from vision.types import Detections, Floats, Image
from vision.view import View

_GRID = 64                               # points a side of a mask's grid
_MARGIN = 0.1                            # of a box's sides: how far what is looked at reaches beyond it
_PERSON = "person"


class PersonSegmenter(Finder[Instances]):
    """Finds people, each with a mask; it is called as an `InstanceSegmenter` is, and `SegmentInstances` takes it.

    Two people in one box stand out alike: a point that both have is of the one whose box's middle is nearer, measured
    in the box's sides, unless the detector is less than half as sure of that one.

    detector: what finds the people; raises ModelError for one that does not know them. people: what is not background
    in a box. Its one class is `person`.
    """

    task = "detect"
    decoders: ClassVar[Mapping[str, Decoder]] = Detector.decoders

    def __init__(self, detector: Detector, people: PersonMask) -> None:
        super().__init__(detector.engine, detector.card)
        if _PERSON not in self.names:
            raise ModelError(f"{self.name!r} does not know people, it knows {', '.join(self.names)}")
        label, decode, self.names = self.names.index(_PERSON), self._decode, (_PERSON,)
        self._decode = lambda *outputs: _alone(decode(*outputs), label)
        self.people, self.name = people, f"{detector.name}+{people.name}"

    @classmethod
    def load(
        cls,
        model: str | Path | Card = "default",
        device: str = "auto",
        precision: str = "auto",
        backend: str = "auto",
        people: str | Path | Card = "default",
    ) -> Self:
        """The detector `model` with `people`, a network that tells them from their background; the others and what is
        raised: see `Model.load`."""
        made = cls(Detector.load(model, device, precision, backend), PersonMask.load(people, device))
        made.loaded_as = {"model": model, "device": device, "precision": precision, "backend": backend,
                          "people": people}
        return made

    def close(self) -> None:
        """Give both networks back."""
        super().close()
        self.people.close()

    def _result(self, found: Detections, outputs: Outputs, view: View) -> Instances:
        boxes = view.to_frame(found.boxes)
        masks = outlined(self.people, view.pixels, view.from_frame(boxes), found.scores)
        return Instances(boxes, found.scores, found.labels, masks, frame_wh=view.frame_wh)


def instance_finder(
    model: str | Path | Card = "default", device: str = "auto", precision: str = "auto", backend: str = "auto"
) -> Finder[Instances]:
    """An `InstanceSegmenter`, or where `model` is a network of the catalogue that tells people from their background
    (`selfie`), a `PersonSegmenter` of it and the default detector; the others and what is raised: see `Model.load`."""
    card = model if isinstance(model, Card) else zoo.CARDS.get(str(model))
    if card is not None and card.task == PersonMask.task:
        return PersonSegmenter.load("default", device, precision, backend, card)
    return InstanceSegmenter.load(model, device, precision, backend)


def outlined(people: PersonMask, image: Image, boxes: Floats, scores: Floats) -> Floats:
    """Masks (N,64,64) in 0..1 of the people in boxes (N,4) xyxy of a picture (H,W,3) uint8 BGR: what stands out in and
    around each, overlaps solved by the scores (N,), as in `apart`."""
    margin = _MARGIN * np.tile(boxes[:, 2:] - boxes[:, :2], 2) * np.array([-1, -1, 1, 1])
    around = (boxes + margin).round().astype(int).clip(0, np.tile(image.shape[1::-1], 2))
    around[:, :2] = np.minimum(around[:, :2], np.array(image.shape[1::-1]) - 1)
    around[:, 2:] = np.maximum(around[:, 2:], around[:, :2] + 1)
    masks = people.submit([image[y0:y1, x0:x1] for x0, y0, x1, y1 in around])()
    grids = [sampled(mask[None], np.asarray(box - np.tile(part[:2], 2), np.float32), _GRID)[0]
             for mask, box, part in zip(masks, boxes, around, strict=True)]
    return apart(np.array(grids, np.float32).reshape(-1, _GRID, _GRID), boxes, scores)


def _alone(found: Detections, label: int) -> Detections:
    """The objects of one class, as label 0."""
    kept = found[found.labels == label]
    return replace(kept, labels=np.zeros_like(kept.labels))


def apart(masks: Floats, boxes: Floats, scores: Floats) -> Floats:
    """The masks (N,M,M) over boxes (N,4) xyxy without the points that belong to another: those on in that one, too,
    whose box's middle is nearer, measured in the box's sides, and whose score (N,) is half of one's own at least."""
    side, solved = masks.shape[-1], masks.copy()
    steps = (np.arange(side) + 0.5) / side
    for i, (left, top, right, bottom) in enumerate(boxes):
        xs, ys = left + steps * (right - left), top + steps * (bottom - top)
        mine = _far(xs, ys, boxes[i])
        near = (boxes[:, 0] < right) & (boxes[:, 2] > left) & (boxes[:, 1] < bottom) & (boxes[:, 3] > top)
        for j in np.flatnonzero(near & (scores >= scores[i] / 2)):
            theirs = _far(xs, ys, boxes[j])
            place = (boxes[i] - np.tile(boxes[j, :2], 2)) / np.tile(boxes[j, 2:] - boxes[j, :2], 2) * side
            on = sampled(masks[j][None], np.asarray(place, np.float32), side)[0] >= 0.5
            within = (np.abs(theirs) <= 0.5).all(0)
            solved[i][on & within & ((theirs**2).sum(0) < (mine**2).sum(0))] = 0
    return solved


def _far(xs: Floats, ys: Floats, box: Floats) -> Floats:
    """(2,M,M): how far the points of a grid are from a box's middle, across and down, in its sides."""
    across, down = np.meshgrid(
        (xs - (box[0] + box[2]) / 2) / (box[2] - box[0]), (ys - (box[1] + box[3]) / 2) / (box[3] - box[1]))
    return np.stack([across, down])
