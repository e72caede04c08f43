"""People, each with a mask, without a network for the masks of objects: a detector's boxes, and in each what stands out
from its background."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from vision.card import Card
from vision.engine import Outputs
from vision.errors import ModelError, UsageError
from vision.instances import Instances, sampled
from vision.people.person import PersonMask
from vision.tasks.decoders import Decoder
from vision.tasks.detect import Detector, Finder
from vision.types import Detections, Floats, Ints
from vision.view import View

_GRID = 64                               # points a side of a mask's grid
_MARGIN = 0.1                            # of a box's sides: how far what is looked at reaches beyond it
_PERSON = "person"


class PersonSegmenter(Finder[Instances]):
    """Finds people, each with a mask; it is called as an `InstanceSegmenter` is, and `SegmentInstances` takes it.

    Two people in one box stand out alike: a point that both have is of the one whose box's middle is nearer, measured
    in the box's sides, unless the detector is less than half as sure of that one.

    detector: what finds the people; raises ModelError for one that does not know them. people: what is not background
    in a box.
    """

    task = "detect"
    decoders: ClassVar[Mapping[str, Decoder]] = Detector.decoders

    def __init__(self, detector: Detector, people: PersonMask) -> None:
        super().__init__(detector.engine, detector.card)
        if _PERSON not in self.names:
            raise ModelError(f"{self.name!r} does not know people, it knows {', '.join(self.names)}")
        self.people = people

    @classmethod
    def load(
        cls,
        model: str | Path | Card = "default",
        device: str = "auto",
        precision: str = "auto",
        backend: str = "auto",
    ) -> Self:
        """The detector `model` with the network for people that ships; the others and what is raised: see
        `Model.load`."""
        made = cls(Detector.load(model, device, precision, backend), PersonMask.load("default", device))
        made.loaded_as = {"model": model, "device": device, "precision": precision, "backend": backend}
        return made

    def close(self) -> None:
        """Give both networks back."""
        super().close()
        self.people.close()

    def _labels(self, classes: Sequence[str]) -> Ints:
        labels = super()._labels(classes)
        if [self.names[i] for i in labels] != [_PERSON]:
            raise UsageError(f"people alone have masks here; got the classes {', '.join(classes)}")
        return labels

    def _result(self, found: Detections, outputs: Outputs, view: View) -> Instances:
        found = found[found.labels == list(self.names).index(_PERSON)]
        boxes = view.to_frame(found.boxes)
        seen = view.from_frame(boxes)
        margin = _MARGIN * np.tile(seen[:, 2:] - seen[:, :2], 2) * np.array([-1, -1, 1, 1])
        around = (seen + margin).round().astype(int).clip(0, np.tile(view.pixels.shape[1::-1], 2))
        around[:, 2:] = np.maximum(around[:, 2:], around[:, :2] + 1)
        masks = self.people.submit([view.pixels[y0:y1, x0:x1] for x0, y0, x1, y1 in around])()
        grids = [sampled(mask[None], np.asarray(box - np.tile(part[:2], 2), np.float32), _GRID)[0]
                 for mask, box, part in zip(masks, seen, around, strict=True)]
        solved = apart(np.array(grids, np.float32).reshape(-1, _GRID, _GRID), seen, found.scores)
        return Instances(boxes, found.scores, found.labels, solved, frame_wh=view.frame_wh)


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
