"""What is known of the faces in a frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np

from vision.drawing import Canvas, colour, paint
from vision.people.eyes import Eye
from vision.people.headpose import rotation
from vision.people.mesh import LEFT_IRIS, OUTLINES, POINTS, RIGHT_IRIS
from vision.types import Floats, Ints, Landmarks, Names

_NOSE = 1                                          # the mesh's point at its tip
_AXES = ((60, 60, 230), (60, 200, 60), (230, 120, 30))     # BGR: to its left hand red, up green, ahead blue


@dataclass(frozen=True, eq=False, repr=False)
class Faces(Landmarks):
    """Faces: `Landmarks` with K = 478 (`vision.people.mesh`), and what follows from the points.

    boxes: (N,4) float32, xyxy in frame pixels. points: (N,478,2) float32, xy in frame pixels.
    scores: (N,478) float32 in 0..1: the face's score, at each of its points.
    ids: (N,) int64, from 1 on a video, 0 on a picture.
    angles: (N,3) float32, yaw, pitch and roll in degrees: to the right of the picture, up, clockwise.
    eyes: (N,2) int64, the `Eye` state of the right and the left eye.
    aspects: (N,2) float32, gap of the lids over the eye's width; NaN where the eye cannot be judged.
    mouth: (N,) float32, gap of the lips over the mouth's width.
    gaze: (N,2) float32, degrees to the right of the picture and up; NaN unless both eyes are open.
    distance: (N,) float32, metres; NaN where the focal length is not known.
    """

    ids: Ints
    angles: Floats
    eyes: Ints
    aspects: Floats
    mouth: Floats
    gaze: Floats
    distance: Floats

    columns: ClassVar[Names] = (
        "pose_yaw", "pose_pitch", "pose_roll", "pose_camera", "eyes_right_state", "eyes_right_aspect",
        "eyes_left_state", "eyes_left_aspect", "mouth", "gaze_right", "gaze_up", "distance_m", "points",
    )                                                                               # fmt: skip

    _layout: ClassVar[dict[str, tuple[Any, tuple[int, ...]]]] = {
        **Landmarks._layout,
        "points": (np.float32, (-1, POINTS, 2)),
        "scores": (np.float32, (-1, POINTS)),
        "ids": (np.int64, (-1,)),
        "angles": (np.float32, (-1, 3)),
        "eyes": (np.int64, (-1, 2)),
        "aspects": (np.float32, (-1, 2)),
        "mouth": (np.float32, (-1,)),
        "gaze": (np.float32, (-1, 2)),
        "distance": (np.float32, (-1,)),
    }

    def to_dict(self, names: Names | None = None) -> dict[str, Any]:
        """As `Landmarks.to_dict`, points without a score of their own, each face with its facts:
        degrees to 0.1, metres to 0.01; what is not known is left out."""
        payload = super().to_dict(names)
        for i, entry in enumerate(payload["objects"]):
            entry["points"] = [point[:2] for point in entry["points"]]
            if self.ids[i]:
                entry["id"] = int(self.ids[i])
            camera = "given" if np.isfinite(self.distance[i]) else "estimated"
            if np.isfinite(self.angles[i]).all():
                entry["pose"] = {**_rounded(("yaw", "pitch", "roll"), self.angles[i], 1), "camera": camera}
            entry["eyes"] = {"right": self._eye(i, 0), "left": self._eye(i, 1)}
            entry["mouth"] = round(float(self.mouth[i]), 3)
            if np.isfinite(self.gaze[i]).all():
                entry["gaze"] = _rounded(("right", "up"), self.gaze[i], 1)
            if np.isfinite(self.distance[i]):
                entry["distance_m"] = round(float(self.distance[i]), 2)
        return payload

    def _eye(self, face: int, side: int) -> dict[str, str | float]:
        known = np.isfinite(self.aspects[face, side])
        return {
            "state": Eye(int(self.eyes[face, side])).name.lower(),
            **({"aspect": round(float(self.aspects[face, side]), 3)} if known else {}),
        }



@paint.register
def _(result: Faces, canvas: Canvas, names: Names) -> None:
    """Draw faces on a canvas: outlines, irises, the head's axes (blue: where it looks), id, eyes."""
    image = canvas.image
    for row, i in enumerate(result.ids.tolist()):
        points, (left, top, right, bottom) = result.points[row], result.boxes[row].tolist()
        thick = max(1, round((right - left) / 150))
        for line, closed in OUTLINES:
            ends = np.rint(points[list(line)] * 8).astype(np.int32)
            cv2.polylines(image, [ends], closed, colour(i), thick, cv2.LINE_AA, shift=3)
        for iris in (RIGHT_IRIS, LEFT_IRIS):
            radius = float(np.linalg.norm(points[iris[1]] - points[iris[3]])) / 2
            cv2.circle(image, _pixels(points[[iris[0]]])[0], max(1, round(radius)), (255, 255, 255), thick,
                       cv2.LINE_AA)
        if np.isfinite(result.angles[row]).all():
            nose, axes = points[_NOSE], rotation(*result.angles[row].tolist()) * ((right - left) / 2)
            for axis, shade in zip((axes[:, 0], -axes[:, 1], -axes[:, 2]), _AXES, strict=True):
                start, end = _pixels(np.stack([nose, nose + axis[:2]]))
                cv2.line(image, start, end, shade, 2 * thick, cv2.LINE_AA)
        canvas.keep_free((left, top, right, bottom))
        canvas.label(_said(result, row, canvas), (left, top, right, bottom), colour(i))


def paint_boxes(result: Faces, canvas: Canvas) -> None:
    """Draw a box around each face and none of its points: of faces that are not to be seen."""
    for row, i in enumerate(result.ids.tolist()):
        canvas.box(result.boxes[row].tolist(), colour(i), _said(result, row, canvas))


def _said(result: Faces, row: int, canvas: Canvas) -> str:
    right_eye, left_eye = (Eye(state).name.lower() for state in result.eyes[row].tolist())
    eyes = f"eyes {right_eye}" if right_eye == left_eye else f"right eye {right_eye}, left {left_eye}"
    return canvas.say(id=int(result.ids[row]), name=eyes if any(result.eyes[row]) else "")


def _pixels(points: Floats) -> list[tuple[int, int]]:
    return [(x, y) for x, y in np.floor(points).astype(int).tolist()]


def _rounded(keys: tuple[str, ...], values: Floats, digits: int) -> dict[str, float]:
    return {key: round(float(value), digits) for key, value in zip(keys, values, strict=True)}
