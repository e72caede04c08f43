"""Detection: a picture in, boxes with names out."""

from __future__ import annotations

import difflib
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Generic, Self, TypeVar, cast

import numpy as np

from vision import zoo
from vision.boxes import ONE_OBJECT, nms, weighted_box_fusion
from vision.card import Card, Input, alike
from vision.engine import Engine, Outputs
from vision.errors import ModelError, UsageError
from vision.onnx_card import with_decoder
from vision.published import onnx_detector
from vision.tasks.decoders import DECODERS, Decoder
from vision.tasks.masked import MASKED
from vision.tasks.model import Model
from vision.tasks.own import OwnModel, rows
from vision.tasks.tiles import together, windows
from vision.tasks.together import Engines, joint
from vision.types import Detections, Image, Ints
from vision.view import View, checked_image, letterbox, shrunk, stretch, whole
from vision.weights import locate

_STRIDE = 32                 # a network that takes any size gets multiples of this
_CANDIDATES = 4096           # at most this many boxes of a picture go into suppression, best first
_MEMBERS_FLOOR = 0.05        # of what an ensemble's members find: what two of them see faintly counts
Found = TypeVar("Found", bound=Detections)


@dataclass(frozen=True)
class _Choice:
    """What a call asks for, checked and complete. floor: the lowest score that is of use."""

    min_score: float
    floor: float
    labels: Ints | None
    max_detections: int
    max_iou: float
    agnostic: bool


class Finder(Model, Generic[Found]):
    """What models share that find objects: decoding, suppression, thresholds. engine: (B,h,w,3) uint8 to what the
    card's `boxes.layout` names, a key of `decoders`. Raises ModelError for a card whose outputs nobody decodes."""

    decoders: ClassVar[Mapping[str, Decoder]]

    def __init__(self, engine: Engine, card: Card) -> None:
        if card.boxes.layout not in self.decoders:
            raise ModelError(f"{card.name!r} has outputs {card.boxes.layout!r}; {type(self).__name__} decodes "
                             f"{', '.join(self.decoders)}")
        super().__init__(engine, card)
        self._decode = self.decoders[card.boxes.layout]

    @abstractmethod
    def _result(self, found: Detections, outputs: Outputs, view: View) -> Found:
        """The result of a picture from what was kept, boxes in pixels of `view`."""

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
        tiles: bool = False,
    ) -> Found:
        """Find the objects in a picture, with the whole device for it alone.

        image: (H,W,3) uint8 BGR.
        min_score: the lowest score that is returned, 0..1; the card's own unless given.
        classes: names of the classes to return; all unless given.
        max_detections: at most so many, the best.
        max_iou: of two boxes of one class that overlap by more, only the better is kept, 0..1; the card's own
            unless given.
        agnostic: of overlapping boxes of different classes, too, only the better is kept.
        weak: also return boxes from this score up to `min_score`, as `Detections.weak`; none unless given.
        tiles: look at overlapping windows at full resolution, too, for small objects in large pictures.

        Returns the objects in pixels of the picture, best first. Raises UsageError for another picture, or an
        option outside its range.
        """
        choice = self._choice(min_score, classes, max_detections, max_iou, agnostic, weak)
        if tiles:
            return self._tiled(image, choice)()
        view = input_view(image, self.card.input, self.engine.input_wh)
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
        tiles: bool = False,
    ) -> list[Found]:
        """Find the objects in each of `images`, (H,W,3) uint8 BGR of any sizes. The options are those of a call."""
        return self.submit(
            images, min_score=min_score, classes=classes, max_detections=max_detections, max_iou=max_iou,
            agnostic=agnostic, weak=weak, tiles=tiles,
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
        tiles: bool = False,
    ) -> Callable[[], list[Found]]:
        """Start on pictures, and do not wait.

        images: (H,W,3) uint8 BGR each, of any sizes; they must not change until the results are there.
        min_score, classes, max_detections, max_iou, agnostic, weak, tiles: as in a call.

        Returns a function that waits and returns one result for each picture, rounded as in a record
        (`Detections.rounded`). Raises UsageError for another picture, or an option outside its range.
        """
        choice = self._choice(min_score, classes, max_detections, max_iou, agnostic, weak)
        if tiles:
            waiting = [self._tiled(image, choice) for image in images]
            return lambda: [wait() for wait in waiting]
        views = [input_view(image, self.card.input, self.engine.input_wh) for image in images]
        under_way = [self.engine.submit(view.pixels[None]) for view in views]
        return lambda: [
            self._found(future.result(), view, choice) for view, future in zip(views, under_way, strict=True)
        ]

    def _tiled(self, image: Image, choice: _Choice) -> Callable[[], Found]:
        """Start on a picture and on windows of it; the function waits and puts together what they show."""
        h, w = checked_image(image).shape[:2]
        size_wh = self.engine.input_wh or self.card.input.size_wh
        turns = h > w and self.engine.input_wh is None and self.card.input.resize == "letterbox"     # as `input_view`
        if self.card.input.resize == "none":                         # it looks at full resolution anyway
            size_wh = w, h
        seen = windows((w, h), (min(size_wh), max(size_wh)) if turns else size_wh)
        parts = [input_view(image[y0:y1, x0:x1], self.card.input, self.engine.input_wh) for x0, y0, x1, y1 in seen]
        under_way = [self.engine.submit(part.pixels[None]) for part in parts]
        everything = replace(choice, min_score=choice.floor)

        def collect() -> Found:
            each = [self._found(f.result(), part, everything) for f, part in zip(under_way, parts, strict=True)]
            found = together(each, seen, choice.max_iou, choice.agnostic, choice.min_score)[: choice.max_detections]
            shown = int((found.scores >= choice.min_score).sum())
            rest = found[shown:]
            weak = None if choice.floor == choice.min_score else Detections(rest.boxes, rest.scores, rest.labels)
            return replace(found[:shown], weak=weak).rounded()

        return collect

    def _found(self, outputs: Outputs, view: View, choice: _Choice) -> Found:
        """The objects of one picture, in frame pixels."""
        found = self._decode(outputs, 0, choice.floor, (view.pixels.shape[1], view.pixels.shape[0]))
        if choice.labels is not None:
            found = found[np.isin(found.labels, choice.labels)]
        found = suppressed(found, choice.max_iou, choice.agnostic)[: choice.max_detections]
        shown = int((found.scores >= choice.min_score).sum())        # best first
        weak = None if choice.floor == choice.min_score else in_frame(found[shown:], view)
        return replace(self._result(found[:shown], outputs, view), weak=weak).rounded()

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
        return np.array([known[name] for name in dict.fromkeys(wanted)], np.int64)


def input_view(image: Image, wanted: Input, input_wh: tuple[int, int] | None = None) -> View:
    """What a detector's network sees of `image` (H,W,3) uint8 BGR. wanted: as the card has it. input_wh: the one size
    that an engine takes, where it takes one."""
    if wanted.resize == "none":
        return whole(image)
    w, h = wanted.size_wh
    if wanted.resize == "shrink":
        return shrunk(image, (w, h))
    fixed = input_wh or (wanted.size_wh if wanted.fixed else None)
    if wanted.resize == "stretch":
        return stretch(image, fixed or (w, h))
    if wanted.resize == "corner":
        return letterbox(image, fixed or (w, h), corner=True)
    if fixed is not None:
        return letterbox(image, fixed)
    upright = checked_image(image).shape[0] > image.shape[1]           # a card's size is of a lying picture
    size_wh = (min(w, h), max(w, h)) if upright else (max(w, h), min(w, h))
    own_wh = image.shape[1], image.shape[0]
    if not wanted.enlarge and all(own <= most for own, most in zip(own_wh, size_wh, strict=True)):
        size_wh = own_wh
    return letterbox(image, size_wh, multiple=_STRIDE)


class Detector(OwnModel, Finder[Detections]):
    """Finds objects in pictures.

    engine: takes (B,h,w,3) uint8 BGR, and returns what the card's `boxes.layout` names (a key of `DECODERS`).
    card: the network's card, or that of one that finds masks too, which are not made then. Raises ModelError for a
    layout that is not known.
    """

    task = "detect"
    layout, outputs = "rows", staticmethod(rows)
    decoders: ClassVar[dict[str, Decoder]] = {**DECODERS, **MASKED}

    @classmethod
    def load(
        cls,
        model: str | Path | Card = "default",
        device: str = "auto",
        precision: str = "auto",
        backend: str = "auto",
        decoder: str | None = None,
    ) -> Self:
        """A detector, ready to run.

        model: a name of `vision models`, a path to weights with their card, an `.onnx` file, a YOLO `.pt`, or a
            card.
        device, precision, backend: see `Model.load`, which also says what is raised.
        decoder: how the outputs of an `.onnx` file are read, a key of `DECODERS`; recognised unless given.
        """
        from vision.tasks.yolo import to_onnx

        if zoo.members(model):
            if decoder is not None:
                raise UsageError("--decoder is of one model, not of an ensemble")
            return super().load(model, device, precision, backend)
        if decoder is not None:
            model = with_decoder(model.file if isinstance(model, Card) else model, decoder)
        card = to_onnx(cls._card(model))
        if not card.boxes.proposals:
            return super().load(card, device, precision, backend)
        from vision.tasks.proposed import ProposalEngine  # here, for the sake of every start

        made = cls(ProposalEngine(card, device, precision, backend), card)
        made.loaded_as = {"model": card, "device": device, "precision": precision, "backend": backend}
        return made

    @classmethod
    def _card(cls, model: str | Path | Card) -> Card:
        card = zoo.find(model) if model != "default" else zoo.find(model, cls.task)
        if card.task != "instances":                     # what finds masks finds boxes
            card = super()._card(card)
        here = locate(card)
        if card.form != "onnx" or card.boxes.layout or here is None:
            return card
        seen = onnx_detector(here[1])                    # what is pulled tells its layout when it is here
        return replace(card, input=seen.input, boxes=seen.boxes, config=seen.config)

    @classmethod
    def _together(cls, members: list[Self]) -> Self:
        return cast(Self, DetectorEnsemble(members))

    def _result(self, found: Detections, outputs: Outputs, view: View) -> Detections:
        return in_frame(found, view)


class DetectorEnsemble(Detector):
    """Several detectors as one: their boxes are fused (`vision.boxes.weighted_box_fusion`).

    members: at least one. Its classes are those of all members; VOC's and COCO's names for one thing are one. A class
    is judged by the members that know it.
    """

    def __init__(self, members: Sequence[Detector]) -> None:
        self.members = tuple(members)
        classes: dict[str, str] = {}
        for member in members:
            for name in member.names:
                classes.setdefault(alike(name), name)
        places = {name: i for i, name in enumerate(classes)}
        self._labels_of = [np.array([places[alike(name)] for name in member.names]) for member in members]
        engines = Engines([member.engine for member in members])
        super().__init__(engines, joint([member.card for member in members], tuple(classes.values())))

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
        tiles: bool = False,
    ) -> Detections:
        """Find the objects in a picture; see `Detector`."""
        return self.submit(
            [image], min_score=min_score, classes=classes, max_detections=max_detections, max_iou=max_iou,
            agnostic=agnostic, weak=weak, tiles=tiles,
        )()[0]

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
        tiles: bool = False,
    ) -> Callable[[], list[Detections]]:
        """Start on pictures with every member; see `Detector.submit`. max_iou: of each member's own suppression.
        agnostic: also of boxes of different members, unless they overlap by less than boxes that are fused."""
        choice = self._choice(min_score, classes, max_detections, max_iou, agnostic, weak)
        waiting = [
            member.submit(
                images, min_score=min(choice.floor, _MEMBERS_FLOOR), max_iou=max_iou, agnostic=agnostic, tiles=tiles)
            for member in self.members
        ]
        return lambda: [
            self._fused(of_picture, choice) for of_picture in zip(*(wait() for wait in waiting), strict=True)
        ]

    def _fused(self, found: Sequence[Detections], choice: _Choice) -> Detections:
        """The members' boxes as one list, class by class, with the members that know the class."""
        fused = [weighted_box_fusion((), (), ())]        # of no class
        for label in range(len(self.names)) if choice.labels is None else choice.labels.tolist():
            of = [(one, known[one.labels] == label) for one, known in zip(found, self._labels_of, strict=True)
                  if label in known]
            fused.append(weighted_box_fusion(
                [one.boxes[mine] for one, mine in of], [one.scores[mine] for one, mine in of],
                [np.full(mine.sum(), label) for _, mine in of]))
        whole = Detections(*(np.concatenate(column) for column in zip(*fused, strict=True)))
        whole = whole[whole.scores >= choice.floor]
        whole = whole[np.argsort(-whole.scores, kind="stable")]
        if choice.agnostic:
            whole = whole[nms(whole.boxes, whole.scores, None, min(choice.max_iou, ONE_OBJECT))]
        whole = whole[: choice.max_detections]
        shown = int((whole.scores >= choice.min_score).sum())
        weak = None if choice.floor == choice.min_score else whole[shown:]
        return replace(whole[:shown], weak=weak).rounded()


def in_frame(found: Detections, view: View) -> Detections:
    """Objects of a view in pixels of its frame."""
    return Detections(view.to_frame(found.boxes), found.scores, found.labels)


def suppressed(found: Detections, max_iou: float, agnostic: bool) -> Detections:
    """What non-maximum suppression leaves, best first."""
    found = found[np.argsort(-found.scores, kind="stable")[:_CANDIDATES]]
    if max_iou >= 1:                                 # suppressed inside the graph already
        return found
    return found[nms(found.boxes, found.scores, None if agnostic else found.labels, max_iou)]
