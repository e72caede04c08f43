"""The points of a body as BlazePose names them (Bazarevsky et al. 2020), and people made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from vision.drawing import paint
from vision.people.overlay import paint_poses
from vision.types import Floats, Ints, Landmarks, Names

POINTS: Names = (
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye",
    "right_eye_outer", "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_pinky",
    "right_pinky", "left_index", "right_index", "left_thumb", "right_thumb", "left_hip", "right_hip",
    "left_knee", "right_knee", "left_ankle", "right_ankle", "left_heel", "right_heel",
    "left_foot_index", "right_foot_index",
)


@dataclass(frozen=True, eq=False, repr=False)
class Poses(Landmarks):
    """People: Landmarks with K = 33 (`POINTS`), a score being how visible its point is.

    ids (N,) int64: from 1 on a video, 0 on a picture. presence (N,) float32 in 0..1: how sure the
    network is that somebody is there.
    """

    ids: Ints
    presence: Floats

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


paint.register(Poses, paint_poses)
