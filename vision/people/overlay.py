"""How faces and bodies are drawn on a picture. `Faces` and `Poses` register these with `vision.drawing`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from vision.drawing import Canvas, class_name, colour
from vision.people.eyes import Eye
from vision.people.headpose import rotation
from vision.people.mesh import LEFT_IRIS, OUTLINES, RIGHT_IRIS
from vision.types import Floats, Names

if TYPE_CHECKING:
    from vision.people.body import Poses
    from vision.people.face import Faces

_NOSE = 1                                          # the mesh's point at its tip
_AXES = ((60, 60, 230), (60, 200, 60), (230, 120, 30))     # BGR: to its left hand red, up green, ahead blue
_BONES = (
    (11, 12), (11, 23), (12, 24), (23, 24),                                              # trunk
    (11, 13), (13, 15), (15, 19), (15, 21), (12, 14), (14, 16), (16, 20), (16, 22),      # arms
    (23, 25), (25, 27), (27, 29), (29, 31), (27, 31),                                    # left leg
    (24, 26), (26, 28), (28, 30), (30, 32), (28, 32),                                    # right leg
    (0, 2), (2, 7), (0, 5), (5, 8), (9, 10),                                             # head
)


def paint_poses(result: Poses, canvas: Canvas, names: Names) -> None:
    """Draw bodies on a canvas: visible points, bones between them, ids; thinner on a body that is small."""
    image = canvas.image
    for row, i in enumerate(result.ids.tolist()):
        points, shown = _pixels(result.points[row]), result.scores[row] >= 0.5
        left, top, right, bottom = result.boxes[row].tolist()
        thick = max(1, min(canvas.thick(), round((bottom - top) / 80)))
        for a, b in _BONES:
            if shown[a] and shown[b]:
                cv2.line(image, points[a], points[b], colour(i), thick, cv2.LINE_AA)
        for point in (points[k] for k in np.flatnonzero(shown)):
            cv2.circle(image, point, thick, (255, 255, 255), cv2.FILLED, cv2.LINE_AA)
        canvas.keep_free((left, top, right, bottom))
        canvas.label(canvas.say(id=i, name=class_name(names, 0)), (left, top, right, bottom), colour(i))


def paint_faces(result: Faces, canvas: Canvas, names: Names) -> None:
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
        right_eye, left_eye = (Eye(state).name.lower() for state in result.eyes[row].tolist())
        eyes = f"eyes {right_eye}" if right_eye == left_eye else f"right eye {right_eye}, left {left_eye}"
        canvas.keep_free((left, top, right, bottom))
        text = canvas.say(id=i, name=eyes if any(result.eyes[row]) else "")
        canvas.label(text, (left, top, right, bottom), colour(i))


def _pixels(points: Floats) -> list[tuple[int, int]]:
    return [(x, y) for x, y in np.floor(points).astype(int).tolist()]
