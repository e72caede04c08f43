"""Body pose by one network that finds people and their points in one look: YOLO-pose (Maji et al. 2022, "YOLO-Pose:
Enhancing YOLO for multi person pose estimation using object keypoint similarity loss")."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import numpy as np

from vision.boxes import cxcywh_to_xyxy
from vision.card import Card
from vision.engine import Engine, Outputs
from vision.errors import UsageError
from vision.people.body import COCO_ROWS, POINTS, Poses
from vision.tasks.decoders import Decoder
from vision.tasks.detect import Finder
from vision.tasks.masked import Candidates
from vision.tasks.model import Model
from vision.types import Detections, Image
from vision.view import View

_KNOWN = len(COCO_ROWS)                          # points a person: COCO's
_OWN = 3 * _KNOWN                                # x, y and how visible, of each


def _table(outputs: Outputs, i: int, min_score: float, size_wh: tuple[int, int]) -> Detections:
    """(B,5+51,A): cxcywh, a score, the points (YOLOv8-pose, 11)."""
    table = outputs[0][i]
    keep = np.flatnonzero(table[4] >= min_score)
    return Candidates(cxcywh_to_xyxy(table[:4, keep].T), table[4, keep], np.zeros(len(keep), np.int64),
                      table[5 : 5 + _OWN, keep].T)


def _rows(outputs: Outputs, i: int, min_score: float, size_wh: tuple[int, int]) -> Detections:
    """(B,N,6+51): xyxy, score, class, the points; suppressed already (built-in NMS, YOLO26-pose). Rows to spare are
    0."""
    table = outputs[0][i]
    table = table[(table[:, 4] >= min_score) & (table[:, 4] > 0)]
    return Candidates(table[:, :4], table[:, 4], np.zeros(len(table), np.int64), table[:, 6 : 6 + _OWN])


class _People(Finder[Candidates]):
    """People with their points (N,51), in frame pixels."""

    task = "pose"
    decoders: ClassVar[Mapping[str, Decoder]] = {"yolo_points": _table, "yolo_point_rows": _rows}

    def _result(self, found: Detections, outputs: Outputs, view: View) -> Candidates:
        assert isinstance(found, Candidates)
        own = found.own.reshape(-1, _KNOWN, 3).copy()
        own[..., :2] = view.points_to_frame(own[..., :2].reshape(-1, 2)).reshape(-1, _KNOWN, 2)
        return Candidates(view.to_frame(found.boxes), found.scores, found.labels, own.reshape(-1, _OWN))


LAYOUTS = frozenset(_People.decoders)            # of such a network's card


class WholePoseEstimator(Model):
    """Finds people with COCO's 17 points each, a whole picture at a time: a YOLO-pose of one's own, as `.onnx`.
    `WholePoseEstimator.load("yolo11n-pose.onnx")` makes one.

    engine: (B,h,w,3) uint8 BGR to what the card's `boxes.layout` names, `yolo_points` or `yolo_point_rows`. Raises
    ModelError for a card of another layout.
    """

    task = "pose"

    def __init__(self, engine: Engine, card: Card) -> None:
        super().__init__(engine, card)
        self._people = _People(engine, card)

    def __call__(
        self, image: Image, *, min_score: float | None = None, min_presence: float = 0.0, max_people: int = 300
    ) -> Poses:
        """The people in `image` (H,W,3) uint8 BGR, best first; the other arguments are `submit`'s."""
        return self.submit([image], min_score=min_score, min_presence=min_presence, max_people=max_people)()[0]

    def submit(
        self,
        images: Sequence[Image],
        *,
        min_score: float | None = None,
        min_presence: float = 0.0,
        max_people: int = 300,
    ) -> Callable[[], list[Poses]]:
        """Start on `images`; the function that comes back waits, and gives the people of each, best first.

        images: (H,W,3) uint8 BGR each; they must not change until then.
        min_score: the lowest score of a person, 0..1; the card's own unless given. It is the presence of the result.
        min_presence: 0..1, the same, where it is higher: as `PoseEstimator` has it.
        max_people: in a picture, the best.

        Of the 33 points of `Poses` those that COCO does not have are at (0,0), their score 0. Raises UsageError for a
        picture or a value out of range.
        """
        if not 0 <= min_presence <= 1:
            raise UsageError(f"min_presence lies in 0..1; got {min_presence}")
        lowest = self.card.min_score if min_score is None else min_score
        wait = self._people.submit(images, min_score=max(lowest, min_presence), max_detections=max_people)
        return lambda: [_poses(found) for found in wait()]


def _poses(found: Candidates) -> Poses:
    own = found.own.reshape(-1, _KNOWN, 3)
    points, scores = np.zeros((len(own), len(POINTS), 2), np.float32), np.zeros((len(own), len(POINTS)), np.float32)
    points[:, COCO_ROWS], scores[:, COCO_ROWS] = own[..., :2], own[..., 2]
    return Poses(found.boxes, points, scores, np.zeros(len(own), np.int64), found.scores)
