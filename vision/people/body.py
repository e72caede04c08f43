"""The points of a body as BlazePose names them (Bazarevsky et al. 2020), and people made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np

from vision.drawing import Canvas, class_name, colour, paint
from vision.types import Floats, Ints, Landmarks, Names

POINTS: Names = (
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye",
    "right_eye_outer", "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_pinky",
    "right_pinky", "left_index", "right_index", "left_thumb", "right_thumb", "left_hip", "right_hip",
    "left_knee", "right_knee", "left_ankle", "right_ankle", "left_heel", "right_heel",
    "left_foot_index", "right_foot_index",
)

_BONES = (
    (11, 12), (11, 23), (12, 24), (23, 24),                                              # trunk
    (11, 13), (13, 15), (15, 19), (15, 21), (12, 14), (14, 16), (16, 20), (16, 22),      # arms
    (23, 25), (25, 27), (27, 29), (29, 31), (27, 31),                                    # left leg
    (24, 26), (26, 28), (28, 30), (30, 32), (28, 32),                                    # right leg
    (0, 2), (2, 7), (0, 5), (5, 8), (9, 10),                                             # head
)
# each point's counterpart on the other side: what a picture that is mirrored makes of it
MIRRORED = (0, 4, 5, 6, 1, 2, 3, 8, 7, 10, 9, *(i + 1 - 2 * (i % 2 == 0) for i in range(11, 33)))
COCO_ROWS = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)     # COCO's 17 key points among them
COCO = {                                                            # its category for people, as its files have it
    "id": 1, "name": "person", "supercategory": "person", "keypoints": [POINTS[i] for i in COCO_ROWS],
    "skeleton": [
        [16, 14], [14, 12], [17, 15], [15, 13], [12, 13], [6, 12], [7, 13], [6, 7], [6, 8], [7, 9], [8, 10], [9, 11],
        [2, 3], [1, 2], [1, 3], [2, 4], [3, 5], [4, 6], [5, 7],
    ],
}


@dataclass(frozen=True, eq=False, repr=False)
class Poses(Landmarks):
    """People: `Landmarks` with K = 33 points, in the order of `POINTS`.

    boxes: (N,4) float32, xyxy in frame pixels. points: (N,33,2) float32, xy in frame pixels.
    scores: (N,33) float32 in 0..1, how visible each point is.
    ids: (N,) int64, from 1 on a video, 0 on a picture.
    presence: (N,) float32 in 0..1, how sure the network is that somebody is there.
    columns: its own in a CSV. mirrored, coco, coco_rows: what YOLO's and COCO's files say of the points.
    """

    ids: Ints
    presence: Floats

    columns: ClassVar[Names] = ("points",)
    mirrored: ClassVar[tuple[int, ...]] = MIRRORED
    coco: ClassVar[dict[str, Any]] = COCO
    coco_rows: ClassVar[tuple[int, ...]] = COCO_ROWS

    _layout: ClassVar[dict[str, tuple[Any, tuple[int, ...]]]] = {
        **Landmarks._layout,
        "points": (np.float32, (-1, len(POINTS), 2)),
        "scores": (np.float32, (-1, len(POINTS))),
        "ids": (np.int64, (-1,)),
        "presence": (np.float32, (-1,)),
    }

    def to_dict(self, names: Names | None = None) -> dict[str, Any]:
        """As `Landmarks.to_dict`, the score of a row being its presence; the points in the order of
        `POINTS`, each x, y and how visible it is."""
        payload = super().to_dict(names)
        for i, entry in enumerate(payload["objects"]):
            entry["score"] = round(float(self.presence[i]), 4)
            if self.ids[i]:
                entry["id"] = int(self.ids[i])
        return payload



@paint.register
def _(result: Poses, canvas: Canvas, names: Names) -> None:
    """Draw bodies on a canvas: visible points, bones between them, ids; thinner on a body that is small."""
    image = canvas.image
    for row, i in enumerate(result.ids.tolist()):
        points, shown = np.rint(result.points[row]).astype(int).tolist(), result.scores[row] >= 0.5
        left, top, right, bottom = result.boxes[row].tolist()
        thick = max(1, min(canvas.thick(), round((bottom - top) / 80)))
        for a, b in _BONES:
            if shown[a] and shown[b]:
                cv2.line(image, points[a], points[b], colour(i), thick, cv2.LINE_AA)
        for point in (points[k] for k in np.flatnonzero(shown)):
            cv2.circle(image, point, thick, (255, 255, 255), cv2.FILLED, cv2.LINE_AA)
        canvas.keep_free((left, top, right, bottom))
        canvas.label(canvas.say(id=i, name=class_name(names, 0)), (left, top, right, bottom), colour(i))
