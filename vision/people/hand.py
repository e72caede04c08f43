"""What is known of the hands in a frame (Zhang et al. 2020, "MediaPipe Hands")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np

from vision.drawing import Canvas, colour, paint
from vision.people.gestures import GESTURES, HandEvent
from vision.types import Floats, Ints, Landmarks, Names

POINTS: Names = (
    "wrist", "thumb_cmc", "thumb_mcp", "thumb_ip", "thumb_tip", "index_mcp", "index_pip", "index_dip", "index_tip",
    "middle_mcp", "middle_pip", "middle_dip", "middle_tip", "ring_mcp", "ring_pip", "ring_dip", "ring_tip",
    "pinky_mcp", "pinky_pip", "pinky_dip", "pinky_tip",
)
_BONES = (
    *((0, 1), (1, 2), (2, 3), (3, 4)), *((0, 5), (5, 6), (6, 7), (7, 8)), *((5, 9), (9, 10), (10, 11), (11, 12)),
    *((9, 13), (13, 14), (14, 15), (15, 16)), *((13, 17), (0, 17), (17, 18), (18, 19), (19, 20)),
)


@dataclass(frozen=True, eq=False, repr=False)
class Hands(Landmarks):
    """Hands: `Landmarks` with K = 21 points, in the order of `POINTS`.

    boxes: (N,4) float32, xyxy in frame pixels. points: (N,21,2) float32, xy in frame pixels.
    scores: (N,21) float32 in 0..1, how sure the network is of the hand, at each of its points.
    ids: (N,) int64, from 1 on a video, 0 on a picture.
    left: (N,) float32 in 0..1, how likely it is somebody's left hand, in a picture that is not mirrored.
    world: (N,21,3) float32, metres from the hand's middle: x to the picture's right, y down, z away from the viewer, as
        the network guesses them for a hand of usual size.
    gestures: (N,) int64, an index into `GESTURES`; 0: none of them.
    events: what began and ended with this frame on a video.
    """

    ids: Ints
    left: Floats
    world: Floats
    gestures: Ints
    events: tuple[HandEvent, ...] = ()

    columns: ClassVar[Names] = ("hand", "gesture", "points")
    event_columns: ClassVar[Names] = ("source", "frame", "time_s", "event", "label", "id", "x", "y", "lasted_s")

    _layout: ClassVar[dict[str, tuple[Any, tuple[int, ...]]]] = {
        **Landmarks._layout,
        "points": (np.float32, (-1, len(POINTS), 2)),
        "scores": (np.float32, (-1, len(POINTS))),
        "ids": (np.int64, (-1,)),
        "left": (np.float32, (-1,)),
        "world": (np.float32, (-1, len(POINTS), 3)),
        "gestures": (np.int64, (-1,)),
    }

    def to_dict(self, names: Names | None = None) -> dict[str, Any]:
        """As `Landmarks.to_dict`, points without a score of their own; each hand with `id`, `hand` (left, right),
        `gesture` (left out where it is none) and `world`, metres to 0.0001; and the frame's `events`."""
        payload = super().to_dict(names)
        for i, entry in enumerate(payload["objects"]):
            entry["points"] = [point[:2] for point in entry["points"]]
            if self.ids[i]:
                entry["id"] = int(self.ids[i])
            entry["hand"] = "left" if self.left[i] >= 0.5 else "right"
            if self.gestures[i]:
                entry["gesture"] = GESTURES[int(self.gestures[i])]
            entry["world"] = [[round(v, 4) for v in point] for point in self.world[i].tolist()]
        return payload | ({"events": [event.to_dict() for event in self.events]} if self.events else {})


@paint.register
def _(result: Hands, canvas: Canvas, names: Names) -> None:
    """Draw hands on a canvas: bones, points, and a label of id, side and gesture."""
    image = canvas.image
    for row, i in enumerate(result.ids.tolist()):
        points = np.rint(result.points[row]).clip(-1e5, 1e5).astype(int).tolist()
        left, top, right, bottom = result.boxes[row].tolist()
        thick = max(1, min(canvas.thick(), round(max(right - left, bottom - top) / 60)))
        side = "left" if result.left[row] >= 0.5 else "right"
        shade = colour(i or (1 if side == "left" else 2))
        for a, b in _BONES:
            cv2.line(image, points[a], points[b], shade, thick, cv2.LINE_AA)
        for point in points:
            cv2.circle(image, point, thick, (255, 255, 255), cv2.FILLED, cv2.LINE_AA)
        canvas.keep_free((left, top, right, bottom))
        gesture = GESTURES[int(result.gestures[row])] if result.gestures[row] else ""
        canvas.label(canvas.say(id=i, name=f"{side} {gesture}".strip()), (left, top, right, bottom), shade)
