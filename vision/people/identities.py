"""Whose faces they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from vision.drawing import Canvas, class_name, colour, paint
from vision.people.liveness import Live
from vision.people.quality import Quality
from vision.types import Floats, Ints, Names, Tracks

UNKNOWN = 0                     # the label of who is not named
STRANGER = "unknown"            # and what such a one is called


@dataclass(frozen=True, eq=False, repr=False)
class Identities(Tracks):
    """The faces of a frame, row by row as `Faces` has them, with their names: `Tracks` with more columns.

    ids: the faces' ids, from 1 on a video, 0 on a picture. labels: an index into the step's names: 0 is unknown, then
        the people of the gallery. scores: 0.5 for a face that is just at the threshold, towards 1 for one that is far
        on its side of it; 0 for a face that was not compared yet, and for one that is near enough to somebody but not
        named yet.
    distances: (N,) float32, to the nearest person of the gallery; NaN for a face that was not compared yet.
    quality: (N,) int64, a `Quality`: what is wrong with the face in this frame.
    live: (N,) int64, a `Live`: whether it is a face and no picture of one, as far as that was asked for.
    """

    distances: Floats
    quality: Ints
    live: Ints

    columns: ClassVar[Names] = ("distance", "quality", "live")

    _layout: ClassVar[dict[str, tuple[Any, tuple[int, ...]]]] = {
        **Tracks._layout,
        "distances": (np.float32, (-1,)),
        "quality": (np.int64, (-1,)),
        "live": (np.int64, (-1,)),
    }

    @classmethod
    def _columns(cls, objects: Sequence[Mapping[str, Any]]) -> list[np.ndarray]:
        known = [{"id": 0, "age_s": 0.0, **one} for one in objects]          # neither is written of a picture
        return [
            *super()._columns(known),
            np.array([one.get("distance", np.nan) for one in objects], np.float32),
            np.array([Quality[one["quality"].upper()] for one in objects], np.int64),
            np.array([Live[one.get("live", "unasked").upper()] for one in objects], np.int64),
        ]

    def to_dict(self, names: Names | None = None) -> dict[str, Any]:
        """As `Tracks.to_dict`, each object with `distance` (to 0.001), `quality` and `live`; what is not known is left
        out."""
        payload = super().to_dict(names)
        for i, entry in enumerate(payload["objects"]):
            if not self.ids[i]:
                del entry["id"], entry["age_s"]
            if np.isfinite(self.distances[i]):
                entry["distance"] = round(float(self.distances[i]), 3)
            entry["quality"] = Quality(int(self.quality[i])).name.lower()
            if self.live[i]:
                entry["live"] = Live(int(self.live[i])).name.lower()
        return payload


@paint.register
def _(result: Identities, canvas: Canvas, names: Names) -> None:
    """Draw faces on a canvas: a box each, with the name; grey for who is unknown."""
    for row, box in enumerate(result.boxes.tolist()):
        label, live = int(result.labels[row]), Live(int(result.live[row]))
        shade = (120, 120, 120) if label == UNKNOWN else colour(label)
        told = class_name(names, label) + ("" if live in (Live.UNASKED, Live.YES) else f" (live: {live.name.lower()})")
        known = label != UNKNOWN
        canvas.box(box, shade, canvas.say(name=told, score=float(result.scores[row]) if known else None))
