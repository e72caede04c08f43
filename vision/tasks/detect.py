"""Detection: a picture in, boxes with names out."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vision.boxes import cxcywh_to_xyxy, nms
from vision.card import Card
from vision.engine import Engine, Outputs
from vision.errors import ModelError, UsageError
from vision.tasks.model import Model
from vision.types import Detections, Image, Ints
from vision.view import View, checked_image, letterbox, stretch

_STRIDE = 32                 # a network that takes any size gets multiples of this
_CANDIDATES = 4096           # at most this many boxes of a picture go into suppression, best first


def _dense(outputs: Outputs, i: int, min_score: float) -> Detections:
    """Boxes (B,A,4) xyxy and scores (B,A,C): every class of an anchor is a candidate (SSD)."""
    boxes, scores = outputs[0][i], outputs[1][i]
    flat = np.flatnonzero(scores.ravel() >= min_score)           # one pass; few are left after it
    anchors, labels = np.divmod(flat, scores.shape[1])
    return Detections(boxes[anchors], scores.ravel()[flat], labels)


def _rows(outputs: Outputs, i: int, min_score: float) -> Detections:
    """Boxes (B,R,4) xyxy, scores (B,R), labels (B,R): two stages, RetinaNet, FCOS."""
    boxes, scores, labels = (output[i] for output in outputs)
    keep = np.flatnonzero(scores >= min_score)
    return Detections(boxes[keep], scores[keep], labels[keep])


def _yolo(outputs: Outputs, i: int, min_score: float) -> Detections:
    """(B,4+C,A): cxcywh and a score a class; an anchor is what its best class says (YOLOv8, 11)."""
    table = outputs[0][i]
    scores = table[4:].ravel()
    flat = np.flatnonzero(scores >= min_score)
    flat = flat[np.argsort(-scores[flat], kind="stable")]
    labels, anchors = np.divmod(flat, table.shape[1])
    best = np.sort(np.unique(anchors, return_index=True)[1])     # the first of each anchor is its best
    return Detections(cxcywh_to_xyxy(table[:4, anchors[best]].T), scores[flat[best]], labels[best])


def _yolo_rows(outputs: Outputs, i: int, min_score: float) -> Detections:
    """(B,N,6): xyxy, score, class, suppressed already (built-in NMS, or end to end as YOLO26)."""
    table = outputs[0][i]
    table = table[table[:, 4] >= min_score]
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


DECODERS: dict[str, Callable[[Outputs, int, float], Detections]] = {
    "dense": _dense,
    "rows": _rows,
    "yolo": _yolo,
    "yolo_rows": _yolo_rows,
}


@dataclass(frozen=True)
class _Choice:
    """What a call asks for, checked and complete. floor: the lowest score that is of use."""

    min_score: float
    floor: float
    labels: Ints | None
    max_detections: int
    max_iou: float
    agnostic: bool


class Detector(Model):
    """Finds objects in pictures. engine: (B,h,w,3) uint8 to what the card's `boxes.layout` names. Raises
    ModelError for a card whose outputs nobody decodes."""

    task = "detect"

    def __init__(self, engine: Engine, card: Card) -> None:
        if card.boxes.layout not in DECODERS:
            raise ModelError(
                f"{card.name!r} has outputs {card.boxes.layout!r}; a detector decodes {', '.join(DECODERS)}"
            )
        super().__init__(engine, card)
        self._decode = DECODERS[card.boxes.layout]

    @classmethod
    def _card(cls, model: str | Path | Card) -> Card:
        from vision.tasks.yolo import to_onnx

        return to_onnx(super()._card(model))

    def __call__(
        self,
        image: Image,
        *,
        min_score: float | None = None,
        classes: Sequence[str] | None = None,
        max_detections: int = 300,
        max_iou: float | None = None,
        agnostic: bool = False,
        weak: float | None = None,
    ) -> Detections:
        """The objects in `image` (H,W,3) uint8 BGR, best first; it gets the whole device. For the options, and
        what is raised, see `submit`."""
        choice = self._choice(min_score, classes, max_detections, max_iou, agnostic, weak)
        view = self._view(image)
        return self._found(self.engine(view.pixels[None]), view, choice)

    def batch(
        self,
        images: Sequence[Image],
        *,
        min_score: float | None = None,
        classes: Sequence[str] | None = None,
        max_detections: int = 300,
        max_iou: float | None = None,
        agnostic: bool = False,
        weak: float | None = None,
    ) -> list[Detections]:
        """The objects in each of `images`, which may differ in size; for the options see `submit`."""
        return self.submit(
            images, min_score=min_score, classes=classes, max_detections=max_detections, max_iou=max_iou,
            agnostic=agnostic, weak=weak,
        )()

    def submit(
        self,
        images: Sequence[Image],
        *,
        min_score: float | None = None,
        classes: Sequence[str] | None = None,
        max_detections: int = 300,
        max_iou: float | None = None,
        agnostic: bool = False,
        weak: float | None = None,
    ) -> Callable[[], list[Detections]]:
        """Start on `images`, (H,W,3) uint8 BGR each, which must not change until the results are there.

        min_score: what is shown, 0..1; the card's own unless given.
        classes: only these, by name.
        max_detections: of one picture, the best.
        max_iou: of two boxes of a class that overlap by more, the better stays, 0..1; the card's own unless
            given.
        agnostic: boxes of different classes suppress each other too.
        weak: boxes from this score up to `min_score` are kept too, as `Detections.weak`; none unless given.

        Returns a function that waits and gives a result each, as exact as a record (`Detections.rounded`).
        Raises UsageError for another image or an option that cannot be.
        """
        choice = self._choice(min_score, classes, max_detections, max_iou, agnostic, weak)
        views = [self._view(image) for image in images]
        under_way = [self.engine.submit(view.pixels[None]) for view in views]
        return lambda: [
            self._found(future.result(), view, choice) for view, future in zip(views, under_way, strict=True)
        ]

    def _found(self, outputs: Outputs, view: View, choice: _Choice) -> Detections:
        """The objects of one picture, in frame pixels."""
        found = self._decode(outputs, 0, choice.floor)
        if choice.labels is not None:
            found = found[np.isin(found.labels, choice.labels)]
        found = suppressed(found, choice.max_iou, choice.agnostic)[: choice.max_detections]
        found = Detections(view.to_frame(found.boxes), found.scores, found.labels)
        if choice.floor == choice.min_score:
            return found.rounded()
        shown = int((found.scores >= choice.min_score).sum())        # best first
        return replace(found[:shown], weak=found[shown:]).rounded()

    def _choice(
        self, min_score: float | None, classes: Sequence[str] | None, max_detections: int, max_iou: float | None,
        agnostic: bool, weak: float | None,
    ) -> _Choice:
        min_score = self.card.min_score if min_score is None else min_score
        max_iou = self.card.boxes.max_iou if max_iou is None else max_iou
        floor = min_score if weak is None else weak
        if not 0 <= min_score <= 1 or not 0 <= max_iou <= 1:
            raise UsageError(f"min_score and max_iou lie in 0..1; got {min_score} and {max_iou}")
        if not 0 <= floor <= min_score:
            raise UsageError(f"weak lies in 0..min_score; got {weak} of {min_score}")
        if max_detections < 1:
            raise UsageError(f"max_detections must be at least 1; got {max_detections}")
        labels = None if classes is None else self._labels(classes)
        return _Choice(min_score, floor, labels, max_detections, max_iou, agnostic)

    def _labels(self, classes: Sequence[str]) -> Ints:
        """The indices of class names. Raises UsageError with the nearest names for an unknown one."""
        known = {name.casefold(): i for i, name in enumerate(self.names)}
        wanted = [name.strip().casefold() for name in classes]
        for name in wanted:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
                hint = ", ".join(near) if near else ", ".join(self.names)
                raise UsageError(f"{self.name!r} has no class {name!r}. {'Nearest' if near else 'It has'}: {hint}")
        return np.array([known[name] for name in wanted], np.int64)

    def _view(self, image: Image) -> View:
        wanted = self.card.input
        w, h = wanted.size_wh
        fixed = self.engine.input_wh or (wanted.size_wh if wanted.fixed else None)
        if wanted.resize == "stretch":
            return stretch(image, fixed or (w, h))
        if fixed is not None:
            return letterbox(image, fixed)
        upright = checked_image(image).shape[0] > image.shape[1]       # a card's size is of a lying picture
        size_wh = (min(w, h), max(w, h)) if upright else (max(w, h), min(w, h))
        own_wh = image.shape[1], image.shape[0]
        if not wanted.enlarge and all(own <= most for own, most in zip(own_wh, size_wh, strict=True)):
            size_wh = own_wh
        return letterbox(image, size_wh, multiple=_STRIDE)


def suppressed(found: Detections, max_iou: float, agnostic: bool) -> Detections:
    """What non-maximum suppression leaves, best first."""
    found = found[np.argsort(-found.scores, kind="stable")[:_CANDIDATES]]
    if max_iou >= 1:                                 # suppressed inside the graph already
        return found
    return found[nms(found.boxes, found.scores, None if agnostic else found.labels, max_iou)]
