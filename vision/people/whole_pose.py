"""Body pose by one network that finds people and their points in one look: YOLO-pose (Maji et al. 2022, "YOLO-Pose:
Enhancing YOLO for multi person pose estimation using object keypoint similarity loss")."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import numpy as np

from vision.card import Card
from vision.engine import Engine, Outputs
from vision.people.body import COCO_ROWS, POINTS, Poses
from vision.tasks.decoders import Decoder
from vision.tasks.detect import Finder
from vision.tasks.masked import Candidates, yolo_rows, yolo_table
from vision.tasks.model import Model
from vision.types import Detections, Image
from vision.view import View

_KNOWN = len(COCO_ROWS)                          # points a person: COCO's
_OWN = 3 * _KNOWN                                # x, y and how visible, of each


def _table(outputs: Outputs, i: int, min_score: float, size_wh: tuple[int, int]) -> Detections:
    """(B,5+51,A): cxcywh, a score, the points (YOLOv8-pose, 11)."""
    return yolo_table(outputs[0][i], _OWN, min_score)


class _People(Finder[Candidates]):
    """People with their points (N,51), in frame pixels."""

    task = "pose"
    decoders: ClassVar[Mapping[str, Decoder]] = {"yolo_points": _table, "yolo_point_rows": yolo_rows}

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

    def __call__(self, image: Image, *, min_score: float | None = None) -> Poses:
        """The people in `image` (H,W,3) uint8 BGR, best first; min_score is `submit`'s."""
        return self.submit([image], min_score=min_score)()[0]

    def submit(self, images: Sequence[Image], *, min_score: float | None = None) -> Callable[[], list[Poses]]:
        """Start on `images`; the function that comes back waits, and gives the people of each, best first.

        images: (H,W,3) uint8 BGR each; they must not change until then.
        min_score: the lowest score of a person, 0..1; the card's own unless given. It is the presence of the result.

        Of the 33 points of `Poses` those that COCO does not have are at (0,0), their score 0. Raises UsageError for a
        picture or a value out of range.
        """
        wait = self._people.submit(images, min_score=min_score)
        return lambda: [_poses(found) for found in wait()]


def _poses(found: Candidates) -> Poses:
    own = found.own.reshape(-1, _KNOWN, 3)
    points, scores = np.zeros((len(own), len(POINTS), 2), np.float32), np.zeros((len(own), len(POINTS)), np.float32)
    points[:, COCO_ROWS], scores[:, COCO_ROWS] = own[..., :2], own[..., 2]
    return Poses(found.boxes, points, scores, np.zeros(len(own), np.int64), found.scores)
