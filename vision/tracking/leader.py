"""One person out of many: chosen once, followed by the id of a track, and found again by the looks when that has
ended."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from vision.boxes import iou
from vision.people.body import POINTS, Poses
from vision.tracking.looks import crops
from vision.types import Floats, Image, Tracks

By = Literal["nearest", "hand"]
_NOSE, _WRISTS = POINTS.index("nose"), [POINTS.index("left_wrist"), POINTS.index("right_wrist")]
_SLOWLY = 0.95                                   # of the looks of a moment ago, in each frame


class Leader:
    """Who is followed.

    by: `nearest`, the tallest box; `hand`, who holds a hand above the nose. alike: from which likeness of colours, -1
    to 1, somebody is the same person as before. `id`: of the track, 0 before anybody was chosen.
    """

    def __init__(self, by: By = "nearest", alike: float = 0.6) -> None:
        self.by, self.alike, self.id = by, alike, 0
        self._looks = np.empty(0, np.float32)

    def box(self, people: Tracks, image: Image, poses: Poses | None = None) -> Floats | None:
        """The box of the person in this frame, (4,) xyxy; None where that one is not seen in it.

        people: the tracks that are people. image: (H,W,3) uint8 BGR. poses: for who is chosen by a hand."""
        seen = people[people.rows >= 0]
        looks = [_colours(crop) for crop in crops(image, seen.boxes)]
        if self.id not in people.ids:
            chosen = self._again(looks) if self.id else self._choose(seen, poses)
            if chosen is not None:
                self.id, self._looks = int(seen.ids[chosen]), looks[chosen]
        for row in np.flatnonzero(seen.ids == self.id):
            self._looks = np.asarray(_SLOWLY * self._looks + (1 - _SLOWLY) * looks[int(row)], np.float32)
            return np.asarray(seen.boxes[row], np.float32)
        return None

    def _again(self, looks: list[Floats]) -> int | None:
        """Who looks like the one that is gone."""
        like = [cv2.compareHist(self._looks, one, cv2.HISTCMP_CORREL) for one in looks]
        return int(np.argmax(like)) if like and max(like) >= self.alike else None

    def _choose(self, seen: Tracks, poses: Poses | None) -> int | None:
        if not len(seen):
            return None
        if self.by == "nearest":
            return int(np.argmax(seen.boxes[:, 3] - seen.boxes[:, 1]))
        if poses is None or not len(poses):
            return None
        up = poses.points[:, _WRISTS, 1].min(1) < poses.points[:, _NOSE, 1]
        overlap = iou(poses.boxes[up], seen.boxes)
        return int(overlap.max(0).argmax()) if up.any() and overlap.max() > 0 else None


def _colours(crop: Image) -> Floats:
    """How much there is of each colour in the upper two thirds of a picture: (16,8) float32, hue by saturation."""
    hsv = cv2.cvtColor(crop[: max(1, len(crop) * 2 // 3)], cv2.COLOR_BGR2HSV)
    counts = np.asarray(cv2.calcHist([hsv], [0, 1], None, [16, 8], [0, 180, 0, 256]), np.float32)
    return counts / max(1.0, float(counts.sum()))
