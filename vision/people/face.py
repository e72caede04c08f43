"""What is known of the faces in a frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from vision.drawing import paint
from vision.people.eyes import Eye
from vision.people.mesh import POINTS
from vision.people.overlay import paint_faces
from vision.types import Floats, Ints, Landmarks, Names


@dataclass(frozen=True, eq=False, repr=False)
class Faces(Landmarks):
    """Faces: Landmarks with K = 478 (`vision.people.mesh`), and what follows from the points.

    ids (N,) int64: from 1 on a video, 0 on a picture. angles (N,3): yaw, pitch, roll in degrees (to
    the right of the picture, up, clockwise). eyes (N,2): `Eye` of the right and left eye. aspects
    (N,2): gap of the lids over the eye's width, NaN where the eye cannot be judged. mouth (N,): gap
    of the lips over the mouth's width. gaze (N,2): degrees to the right of the picture and up, NaN
    unless both eyes are open. distance (N,): metres, NaN where the focal length is not known.
    """

    ids: Ints
    angles: Floats
    eyes: Ints
    aspects: Floats
    mouth: Floats
    gaze: Floats
    distance: Floats

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


paint.register(Faces, paint_faces)


def _rounded(keys: tuple[str, ...], values: Floats, digits: int) -> dict[str, float]:
    return {key: round(float(value), digits) for key, value in zip(keys, values, strict=True)}
