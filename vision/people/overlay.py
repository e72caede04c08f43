"""How faces and bodies are drawn on a picture. `Faces` and `Poses` register these with `vision.drawing`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from vision.drawing import class_name, colour, label, unit
from vision.people.eyes import Eye
from vision.people.mesh import LEFT_IRIS, OUTLINES, RIGHT_IRIS
from vision.types import Floats, Image, Names

if TYPE_CHECKING:
    from vision.people.body import Poses
    from vision.people.face import Faces

_BONES = (
    (11, 12), (11, 23), (12, 24), (23, 24),                                              # trunk
    (11, 13), (13, 15), (15, 19), (15, 21), (12, 14), (14, 16), (16, 20), (16, 22),      # arms
    (23, 25), (25, 27), (27, 29), (29, 31), (27, 31),                                    # left leg
    (24, 26), (26, 28), (28, 30), (30, 32), (28, 32),                                    # right leg
    (0, 2), (2, 7), (0, 5), (5, 8), (9, 10),                                             # head
)


def paint_poses(result: Poses, image: Image, names: Names) -> None:
    """Draw bodies on `image` (H,W,3) uint8 BGR itself: visible points, bones between them, ids."""
    thick = max(1, round(2 * unit(image)))
    for row, i in enumerate(result.ids.tolist()):
        points, shown = _pixels(result.points[row]), result.scores[row] >= 0.5
        for a, b in _BONES:
            if shown[a] and shown[b]:
                cv2.line(image, points[a], points[b], colour(i), thick, cv2.LINE_AA)
        for point in (points[k] for k in np.flatnonzero(shown)):
            cv2.circle(image, point, 1 + thick, (255, 255, 255), cv2.FILLED, cv2.LINE_AA)
        if i:
            left, top = _pixels(result.boxes[row, None, :2])[0]
            label(image, f"{i} {class_name(names, 0)}", (left, top), colour(i))


def paint_faces(result: Faces, image: Image, names: Names) -> None:
    """Draw faces on `image` (H,W,3) uint8 BGR itself: outlines, irises, id, angles and eyes."""
    for row, i in enumerate(result.ids.tolist()):
        points, width = result.points[row], float(result.boxes[row, 2] - result.boxes[row, 0])
        thick = max(1, round(width / 150))
        for line, closed in OUTLINES:
            ends = np.rint(points[list(line)] * 8).astype(np.int32)
            cv2.polylines(image, [ends], closed, colour(i), thick, cv2.LINE_AA, shift=3)
        for iris in (RIGHT_IRIS, LEFT_IRIS):
            radius = float(np.linalg.norm(points[iris[1]] - points[iris[3]])) / 2
            cv2.circle(image, _pixels(points[[iris[0]]])[0], max(1, round(radius)), (255, 255, 255), thick,
                       cv2.LINE_AA)
        yaw, pitch, roll = np.rint(np.nan_to_num(result.angles[row])).astype(int).tolist()
        states = [Eye(state).name.lower() for state in result.eyes[row].tolist()]
        known = f" {states[0]}/{states[1]}" if any(result.eyes[row]) else ""
        text = f"{i or ''} {yaw:+d} {pitch:+d} {roll:+d}{known}".strip()
        left, top = _pixels(result.boxes[row, None, :2])[0]
        label(image, text, (left, top - 2 * thick), colour(i))


def _pixels(points: Floats) -> list[tuple[int, int]]:
    return [(x, y) for x, y in np.floor(points).astype(int).tolist()]
