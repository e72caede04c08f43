"""Where text is: quads with scores, and how they are read from a network's outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import cv2
import numpy as np

from vision.boxes import nms
from vision.engine import Outputs
from vision.text import quads
from vision.types import Floats, _Rows

_CANDIDATES = 3000
_SMALLEST = 3.0                        # pixels of a text's side, of the network's input
Decoder = Callable[[Outputs, float], "TextQuads"]


@dataclass(frozen=True, eq=False, repr=False)
class TextQuads(_Rows):
    """Pieces of text that were found in a frame.

    quads: (N,4,2) float32, corners xy in pixels, clockwise from the text's upper left one.
    scores: (N,) float32 in 0..1.
    """

    quads: Floats
    scores: Floats

    _layout: ClassVar[dict[str, tuple[Any, tuple[int, ...]]]] = {
        "quads": (np.float32, (-1, 4, 2)), "scores": (np.float32, (-1,)),
    }

    @classmethod
    def empty(cls) -> TextQuads:
        """None."""
        return cls(np.empty((0, 4, 2), np.float32), np.empty(0, np.float32))


class Place(NamedTuple):
    """A word that is there. quad: (4,2) in pixels. ignored: whether nobody has to find it, as it cannot be read."""

    quad: Floats
    text: str
    ignored: bool


def db(outputs: Outputs, min_score: float, *, threshold: float = 0.2, unclip: float = 1.4) -> TextQuads:
    """Pieces of text in the probability map of a network of differentiable binarisation (Liao et al. 2020).

    outputs: the map, (1,1,h,w) float32 0..1, of shrunk text. min_score: the least mean probability within a piece.
    threshold: above it a pixel is text. unclip: how far a piece grows back. Quads are in pixels of the map.
    """
    scores = outputs[0].reshape(outputs[0].shape[-2:])
    contours, _ = cv2.findContours((scores > threshold).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    found, sure = [], []
    for contour in contours[:_CANDIDATES]:
        corners = cv2.boxPoints(cv2.minAreaRect(contour))
        if min(cv2.minAreaRect(contour)[1]) < _SMALLEST:
            continue
        score = _mean_within(scores, corners)
        if score < min_score:
            continue
        quad = quads.grown(contour.reshape(-1, 2).astype(np.float32), unclip)
        found.append(quad + 0.5)                         # OpenCV's contours run through the pixels' middles
        sure.append(score)
    return TextQuads(np.array(found, np.float32).reshape(-1, 4, 2), np.array(sure, np.float32))


def east(outputs: Outputs, min_score: float, *, max_iou: float = 0.4) -> TextQuads:
    """Pieces of text by EAST (Zhou et al. 2017): each cell of 4x4 pixels has a score, how far the four sides of its
    turned rectangle are, and the angle; rectangles that overlap are one.

    outputs: in any order the scores (1,1,h,w) and the geometry (1,5,h,w): up, right, down, left, angle in radians
    counter-clockwise as seen; or both with channels last, as TensorFlow's graphs have them.
    """
    score, geometry = sorted((_channels_first(o.reshape(o.shape[-3:])) for o in outputs), key=len)[:2]
    rows, columns = np.nonzero(score[0] >= min_score)
    up, right, down, left, angle = geometry[:, rows, columns]
    along = np.stack([np.cos(angle), -np.sin(angle)], axis=1)            # the text's direction, y pointing down
    across = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    origin = np.stack([columns, rows], axis=1) * 4.0
    above, below = origin - across * up[:, None], origin + across * down[:, None]
    before, behind = along * left[:, None], along * right[:, None]
    corners = np.stack([above - before, above + behind, below + behind, below - before], axis=1).astype(np.float32)
    found = TextQuads(corners, score[0, rows, columns])
    best = found[np.argsort(-found.scores, kind="stable")[:_CANDIDATES]]
    kept: list[int] = []
    for i in nms(quads.boxes_of(best.quads), best.scores, None, 0.9).tolist():       # the many that are nearly the same
        if not kept or quads.ious(best.quads[i][None], best.quads[kept]).max() <= max_iou:
            kept.append(i)
    return best[kept]


def _channels_first(output: Floats) -> Floats:
    return output if len(output) in (1, 5) else output.transpose(2, 0, 1)


def _mean_within(scores: Floats, corners: Floats) -> float:
    """The mean of a map within a polygon."""
    height, width = scores.shape
    left, top = np.floor(corners.min(axis=0)).astype(int).clip(0, (width - 1, height - 1))
    right, bottom = np.ceil(corners.max(axis=0)).astype(int).clip(0, (width - 1, height - 1))
    mask = np.zeros((bottom - top + 1, right - left + 1), np.uint8)
    cv2.fillPoly(mask, [np.rint(corners - (left, top)).astype(np.int32)], 1)
    return float(cv2.mean(scores[top : bottom + 1, left : right + 1], mask)[0])


DECODERS: dict[str, Decoder] = {"db": db, "east": east}
