"""Faces on a video: the crop follows the face, and a face keeps its id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.errors import UsageError
from vision.people import eyes
from vision.people.cascade import Crop
from vision.people.crowd import Crowd
from vision.people.face import Faces
from vision.people.face_detector import Tile
from vision.people.landmarks import MARGIN, SAME_FACE, FaceLandmarker, Meshes, check, crop_of_points, extents
from vision.types import Image
from vision.view import checked_image


class FaceTracker:
    """Follows the faces of one video. It remembers: one tracker a stream.

    The crop of a face follows its last points. The detector looks in turns: at the whole frame and each of its
    tiles once every `detect_every` seconds, spread evenly over that time; at the whole frame in every frame
    where there is no face, and sooner where one was lost. The first frame is searched as a picture is.

    landmarker: finds faces and their points; several trackers may share one, and none closes it.
    detect_every: seconds between two searches of the whole frame, 0 or more. A new face is found within
        that time and a frame.
    forget_after: seconds for which a face that was lost keeps its id for coming back to the same place;
        later it is a new face. A jump in time of more, one backwards, another picture size, or a cut to another
        scene forgets all.
    max_faces: at most so many are followed.
    smooth: whether points are smoothed over time (One Euro filter); crops and eyes are not.
    min_score, min_face, turned: how faces are found, as in `FaceDetector.submit`.
    min_presence, camera: as in `FaceLandmarker.submit`.

    `detections` counts the frames in which the detector has run. Raises UsageError for a value out of range.
    """

    def __init__(
        self,
        landmarker: FaceLandmarker,
        *,
        detect_every: float = 0.5,
        forget_after: float = 1.0,
        max_faces: int = 16,
        smooth: bool = True,
        min_score: float | None = None,
        min_face: float = 24.0,
        turned: bool = False,
        min_presence: float = 0.5,
        camera: npt.ArrayLike | None = None,
    ) -> None:
        check(min_presence, camera)
        self.landmarker = landmarker
        self.max_faces, self.smooth = max_faces, smooth
        self.min_score, self.min_face, self.turned = min_score, min_face, turned
        self.min_presence, self.camera = min_presence, camera
        self.detections = 0
        self._crowd = Crowd(detect_every, forget_after)
        self._crops: list[Crop] = []                  # of those present, in their order
        self._watches: dict[int, eyes.EyeWatch] = {}

    def __call__(self, image: Image, time: float) -> Faces:
        """The faces in the next frame.

        image: (H,W,3) uint8 BGR.
        time: seconds.

        The ids count from 1. Raises UsageError for another image, DataError where time is not finite.
        """
        self._crowd.begin(checked_image(image), time)
        meshes = self._follow(image)
        tiles = self.landmarker.detector.tiles(image, self.min_face)
        turns = self._crowd.due(len(tiles))
        if turns:
            found = self._look_for_new(image, [tiles[i] for i in turns])
            meshes = Meshes(*(np.concatenate(pair) for pair in zip(meshes, found, strict=True)))
        self._crops = [crop_of_points(face) for face in meshes.points]
        return self._over_time(self.landmarker.describe(image, meshes, self.camera), time)

    def watch(self, face_id: int) -> eyes.EyeWatch:
        """The eyes of a face over time: its blinks, and for how long the eyes have been open.

        face_id: of a face that is in the frame, or was a moment ago; UsageError for another.
        """
        if face_id not in self._watches:
            raise UsageError(f"no face {face_id} is here; there are: {sorted(self._watches) or 'none'}")
        return self._watches[face_id]

    def state(self) -> dict[str, Any]:
        """All that it remembers of the stream, in plain values and arrays (JSON and npz can hold it)."""
        crops = [[*crop.centre, crop.side, crop.angle] for crop in self._crops]
        return {
            "crowd": self._crowd.state(),
            "crops": np.array(crops, np.float64).reshape(-1, 4),
            "watches": [{"id": i, **watch.state()} for i, watch in self._watches.items()],
            "detections": self.detections,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state()`, of a tracker with the same settings."""
        self._crowd.restore(state["crowd"])
        self._crops = [Crop((x, y), side, angle) for x, y, side, angle in state["crops"].tolist()]
        self._watches = {one["id"]: eyes.EyeWatch() for one in state["watches"]}
        for one in state["watches"]:
            self._watches[one["id"]].restore(one)
        self.detections = state["detections"]

    def _follow(self, image: Image) -> Meshes:
        """The meshes of those who are still there."""
        crops = self._crops[: len(self._crowd.present)]           # none after a jump
        (meshes,) = self.landmarker.fit([image], [crops])
        kept = np.sort(meshes.distinct(self.min_presence))        # of two on one face the surer stays
        meshes = meshes.rows(kept)
        self._crowd.keep(kept.tolist(), extents(meshes.points))
        return meshes

    def _look_for_new(self, image: Image, tiles: Sequence[Tile]) -> Meshes:
        """The meshes of faces in these tiles that are not followed yet: they are from now on."""
        self.detections += 1
        found = self.landmarker.detector(
            image, min_score=self.min_score, min_face=self.min_face, turned=self.turned, tiles=tiles,
        )
        unknown = [i for i, box in enumerate(found.boxes) if not self._crowd.overlapped(box, SAME_FACE)]
        (meshes,) = self.landmarker.place([image], [found[unknown]])
        fresh = []
        for i, box in enumerate(extents(meshes.points)):
            sure = meshes.presence[i] >= self.min_presence and len(self._crowd.present) < self.max_faces
            if sure and not self._crowd.overlapped(box, SAME_FACE):
                self._watches.setdefault(self._crowd.admit(box).id, eyes.EyeWatch())
                fresh.append(i)
        return meshes.rows(fresh)

    def _over_time(self, found: Faces, time: float) -> Faces:
        """Those present with their ids, smoothed points, and eyes as their own history has them."""
        points, state = found.points.copy(), found.eyes.copy()
        seen = np.isfinite(found.aspects) & eyes.facing(found.angles)[:, None]
        aspects = np.nan_to_num(found.aspects)
        for i, subject in enumerate(self._crowd.present):
            state[i] = self._watches[subject.id](aspects[i], seen[i], time)
            if self.smooth:
                points[i] = subject.smooth(points[i], time, scale=self._crops[i].side / MARGIN)
        known = self._crowd.ids()
        self._watches = {i: watch for i, watch in self._watches.items() if i in known}
        ids = np.array([subject.id for subject in self._crowd.present], np.int64)
        for i in self._watches.keys() - set(ids.tolist()):
            self._watches[i](np.zeros(2, np.float32), np.zeros(2, bool), time)       # lost: its eyes are not seen
        return replace(found, points=points, eyes=state, ids=ids)
