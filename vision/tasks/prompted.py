"""Masks of what is pointed at: a picture and boxes or points in, an object with its mask for each of them out."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, Self

import numpy as np

from vision import zoo
from vision.card import Card
from vision.engine.prompted import PromptedEngine
from vision.errors import UsageError
from vision.instances import Instances, sampled
from vision.tasks.decoders import sigmoid
from vision.types import Floats, Image, Names
from vision.view import View, stretch
from vision.weights import resolve

_GRID = 256                              # points a side of a mask's grid
_NONE, _ON, _FIRST, _LAST = -1, 1, 2, 3   # labels of a prompt's points, the latter two a box's corners


class Prompted(Protocol):
    """What runs the network: `PromptedEngine`, or a function of one's own."""

    @property
    def input_wh(self) -> tuple[int, int] | None:
        """The only picture size that it takes, or None: any."""
        ...

    @property
    def most(self) -> tuple[int, int]:
        """Objects in a run, and points of one, at most."""
        ...

    def __call__(self, picture: Floats, points: Floats, labels: Floats) -> tuple[Floats, Floats]:
        """(1,3,H,W) RGB in 0..1, points (Q,P,2) in its pixels, labels (Q,P) -> logits (Q,C,h,w) and IoUs (Q,C)."""
        ...

    def close(self) -> None:
        """Give the memory back."""
        ...


class PromptedSegmenter:
    """Masks of what is pointed at, without classes: EfficientSAM (Xiong et al. 2023).

        mask = PromptedSegmenter.load()
        found = mask(image, boxes=detector(image).boxes)

    Of the masks that the network offers for an object, the one counts of which it expects the highest IoU.

    engine: what runs the network; tests and users may give their own. card: the network's card.
    """

    task = "prompted"

    def __init__(self, engine: Prompted, card: Card) -> None:
        self.engine, self.card = engine, card
        self.name = card.name
        self.names: Names = card.classes

    @classmethod
    def load(cls, model: str | Path | Card = "efficientsam-ti") -> Self:
        """A model, ready to run on the processor.

        model: a name of `vision models`, or a card. Raises ModelError for another name or graph, WeightsError where
        its weights are damaged, or not pulled yet: `vision weights pull efficientsam-ti`.
        """
        card = zoo.find(model, cls.task)
        return cls(PromptedEngine(resolve(card)), card)

    def __call__(
        self, image: Image, *, boxes: Floats | None = None, points: Floats | None = None, labels: Floats | None = None
    ) -> Instances:
        """Masks of objects, a row for each that is pointed at, in their order.

        image: (H,W,3) uint8 BGR.
        boxes: (N,4) xyxy in its pixels, one around each object. Masks end at them.
        points: in place of boxes; (N,2) xy in its pixels, one on each object, or (N,P,2), up to six for each.
        labels: (N,P), of points: 1 on the object, 0 beside it, -1 none; all are on it unless given.

        Returns `Instances` with the boxes that were given, cut to the picture, or those around the masks; their scores
        are the IoU with the truth that the network expects, 0..1, and their labels 0. Raises UsageError for another
        picture, for arrays of other shapes or with values that are no numbers, and for not one of boxes and points.
        """
        view = stretch(image, self.engine.input_wh or self.card.input.size_wh)
        prompts, kinds = _prompts(boxes, points, labels, self.engine.most[1])
        picture = np.ascontiguousarray(view.pixels[None, ..., ::-1].transpose(0, 3, 1, 2), np.float32) / np.float32(255)
        at = view.points_from_frame(prompts.reshape(-1, 2)).reshape(prompts.shape)
        given = None if boxes is None else view.to_frame(at.reshape(-1, 4))
        around, scores, grids = [], [], []
        for first in range(0, len(at), self.engine.most[0]):
            some = slice(first, first + self.engine.most[0])
            for i, (masks, ious) in enumerate(zip(*self.engine(picture, at[some], kinds[some]), strict=True), first):
                best = int(ious.argmax())
                sides = zip(masks.shape[:0:-1], view.pixels.shape[1::-1], strict=True)
                scale = np.array([of_mask / of_view for of_mask, of_view in sides] * 2, np.float32)
                box = _around(masks[best], view, scale) if given is None else given[i]
                seen = np.asarray(view.from_frame(box[None])[0] * scale, np.float32)
                around.append(box)
                scores.append(float(ious[best]))
                grids.append(sigmoid(sampled(masks[best][None], seen, _GRID)[0]))
        return Instances(
            np.array(around, np.float32).reshape(-1, 4), np.array(scores, np.float32).clip(0, 1),
            np.zeros(len(grids), np.int64), np.array(grids, np.float32).reshape(-1, _GRID, _GRID),
            frame_wh=view.frame_wh,
        )

    def close(self) -> None:
        """Give the memory back."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _prompts(boxes: Floats | None, points: Floats | None, labels: Floats | None, most: int) -> tuple[Floats, Floats]:
    """What is pointed at as points (N,P,2) in pixels of the picture and their labels (N,P). most: P, at most."""
    if (boxes is None) == (points is None):
        raise UsageError("a mask is of boxes (N,4) or of points (N,2) or (N,P,2): give one of them")
    given = np.asarray(points if boxes is None else boxes, np.float32)
    if boxes is not None:
        given = given.reshape(0, 4) if not given.size else given
        if given.ndim != 2 or given.shape[1] != 4 or labels is not None:
            raise UsageError(f"boxes are (N,4) xyxy, and have no labels; got {given.shape}")
        prompts, kinds = given.reshape(-1, 2, 2), np.tile(np.array([_FIRST, _LAST], np.float32), (len(given), 1))
    else:
        prompts = given.reshape(-1, 1, 2) if given.shape[1:] == (2,) or not given.size else given
        if prompts.ndim != 3 or prompts.shape[2] != 2 or not 1 <= prompts.shape[1] <= most:
            raise UsageError(f"points are (N,2) or (N,P,2) xy, P at most {most}; got {given.shape}")
        kinds = np.full(prompts.shape[:2], _ON, np.float32) if labels is None else np.asarray(labels, np.float32)
        if kinds.shape != prompts.shape[:2] or not np.isin(kinds, (_NONE, 0, _ON)).all():
            raise UsageError(f"labels of points are {prompts.shape[:2]}, each 1, 0 or -1; got {kinds.shape}")
    if not np.isfinite(prompts).all():
        raise UsageError("boxes and points are numbers of pixels; one is infinite or no number")
    return prompts, kinds


def _around(logits: Floats, view: View, scale: Floats) -> Floats:
    """(4,) xyxy in pixels of the frame: around what is on in a mask (h,w); without a size where nothing is.
    scale: (4,), of the mask's pixels in the view's."""
    ys, xs = (np.flatnonzero((logits >= 0).any(axis)) for axis in (1, 0))
    box = np.array([xs[0], ys[0], xs[-1] + 1, ys[-1] + 1] if len(xs) else [0] * 4, np.float32)
    return np.asarray(view.to_frame(np.asarray(box[None] / scale, np.float32))[0])
