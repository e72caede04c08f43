"""Face landmarks: a picture in, 478 points a face out.

Box, crop turned so that the eyes are level, 468 points of the face mesh (Kartynnik et al. 2019),
again from the crop that these give, then a closer look at each eye for its iris and lids
(Ablavatski et al. 2020). Head pose, eyes, mouth and gaze follow from the points.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vision.boxes import nms
from vision.card import Card
from vision.engine import Engine
from vision.errors import UsageError
from vision.people import eyes, headpose, mesh
from vision.people.cascade import Cascade, Closeup, Crop, look_closer
from vision.people.face import Faces
from vision.people.face_detector import LEFT_EYE, RIGHT_EYE, FaceDetector
from vision.types import Floats, Image, Landmarks
from vision.view import turn

MARGIN = 1.5                  # the crop's side, in longer sides of the face's box
_REFINEMENTS = 2              # after these the points hardly depend on the detector's box any more
_EYE_MARGIN = 2.3             # the crop's side, in distances between the corners of an eye
_EYE_SIDE = 64                # pixels of the iris network's input
_EYES = (mesh.RIGHT_EYE, mesh.LEFT_EYE)
SAME_FACE = 0.3               # two meshes whose boxes overlap by more are one face


def crop_of_detection(face: Landmarks) -> Crop:
    """The crop for one detected face, a row of what `FaceDetector` gave."""
    (left, top, right, bottom), points = face.boxes[0].tolist(), face.points[0]
    side = max(right - left, bottom - top, 1.0) * MARGIN
    return Crop(((left + right) / 2, (top + bottom) / 2), side, _slope(points[RIGHT_EYE], points[LEFT_EYE]))


def crop_of_points(points: Floats) -> Crop:
    """The crop for a face mesh (K,2 or more), K at least 468: around all of it, the eyes level."""
    flat = points[: mesh.MESH, :2]
    angle = _slope(flat[mesh.RIGHT_EYE[0]], flat[mesh.LEFT_EYE[0]])
    level = flat @ turn(angle)
    low, high = level.min(axis=0), level.max(axis=0)
    x, y = (turn(angle) @ ((low + high) / 2)).tolist()
    return Crop((x, y), max(1.0, float((high - low).max())) * MARGIN, angle)


def _slope(right: Floats, left: Floats) -> float:
    return float(np.arctan2(left[1] - right[1], left[0] - right[0]))


class Meshes(NamedTuple):
    """The face meshes of one picture.

    points: (N,468,3) float32, x and y in frame pixels and the depth in the same unit.
    presence: (N,) float32 in 0..1, how sure the network is that its crop shows a face.
    """

    points: Floats
    presence: Floats

    def rows(self, keep: npt.NDArray[np.int64] | list[int]) -> Meshes:
        """These rows alone, in this order."""
        return Meshes(self.points[keep], self.presence[keep])

    def distinct(self, min_presence: float) -> npt.NDArray[np.int64]:
        """The rows that are faces of their own, best first: present, and no other's double."""
        held = np.flatnonzero(self.presence >= min_presence)
        return held[nms(extents(self.points[held]), self.presence[held], None, SAME_FACE)]


class FaceLandmarker(Cascade):
    """Finds faces and their 478 points in pictures. `FaceLandmarker.load()` makes one.

    detector: finds the faces.
    engine: the mesh, (B,192,192,3) uint8 to points (B,468,3) and presence (B,).
    iris: a closer look at one eye, (B,64,64,3) uint8 to its lids and brow (B,71,3) and iris (B,5,3).
    card: of the mesh.
    """

    task = "landmarks"
    finder = FaceDetector
    further = ("iris",)

    def __init__(self, detector: FaceDetector, engine: Engine, iris: Engine, card: Card) -> None:
        super().__init__(detector, engine, card)
        self.iris, self.names = iris, ("face",)

    def close(self) -> None:
        """Close the detector and both networks of the points."""
        self.iris.close()
        super().close()

    def __call__(
        self,
        image: Image,
        *,
        min_score: float | None = None,
        min_face: float = 24.0,
        turned: bool = False,
        min_presence: float = 0.5,
        camera: npt.ArrayLike | None = None,
    ) -> Faces:
        """The faces in `image` (H,W,3) uint8 BGR, best first; the arguments are `submit`'s."""
        return self.submit(
            [image], min_score=min_score, min_face=min_face, turned=turned, min_presence=min_presence, camera=camera,
        )()[0]

    def submit(
        self,
        images: Sequence[Image],
        *,
        min_score: float | None = None,
        min_face: float = 24.0,
        turned: bool = False,
        min_presence: float = 0.5,
        camera: npt.ArrayLike | None = None,
    ) -> Callable[[], list[Faces]]:
        """Start on `images`; the function that comes back waits, and gives the faces of each, best first.

        images: (H,W,3) uint8 BGR each; they must not change until then.
        min_score, min_face, turned: how faces are found, as in `FaceDetector.submit`.
        min_presence: 0..1. A crop in which the mesh is less sure of a face (a full profile, a clock) gives
            none.
        camera: its (3,3) matrix, or its focal length in pixels. None estimates it for the head's pose, and
            leaves the distance unknown.

        Raises UsageError for a picture or a value out of range.
        """
        check(min_presence, camera)
        wait = self.detector.submit(images, min_score=min_score, min_face=min_face, turned=turned)
        return lambda: [
            self.describe(image, meshes.rows(meshes.distinct(min_presence)), camera)
            for image, meshes in zip(images, self.place(images, wait()), strict=True)
        ]

    def place(self, images: Sequence[Image], found: Sequence[Landmarks]) -> list[Meshes]:
        """The meshes of the faces that were detected in each image: `fit`, and again from what that gave."""
        placed = self.fit(images, [[crop_of_detection(face) for face in some] for some in found])
        for _ in range(_REFINEMENTS):
            placed = self.fit(images, [[crop_of_points(face) for face in some.points] for some in placed])
        return placed

    def fit(self, images: Sequence[Image], crops: Sequence[Sequence[Crop]]) -> list[Meshes]:
        """One pass of the mesh over the crops of each image."""
        size = self.card.input.size_wh[0]
        return [_meshes(some) for some in look_closer(
            self.engine, images, crops, lambda image, crop: crop.view(image, size),
        )()]

    def describe(self, image: Image, meshes: Meshes, camera: npt.ArrayLike | None = None) -> Faces:
        """The meshes of a picture with all that follows from them.

        image: (H,W,3) uint8 BGR, in which they lie.
        camera: as in `submit`.

        The eyes' states are those of a picture that stands alone, and the ids are 0.
        """
        points, presence = meshes
        if not len(points):
            return Faces.empty()
        matrix = headpose.intrinsics(camera, (image.shape[1], image.shape[0]))
        irises, lids, clear = self._look_at_eyes(image, points)
        flat = np.concatenate([points[..., :2], irises.reshape(-1, 10, 2)], axis=1)
        angles, _ = headpose.head_pose(flat, matrix)
        aspects = eyes.aspect(lids)
        state = eyes.states(aspects, clear & eyes.facing(angles)[:, None])
        looks = eyes.gaze(lids, irises, angles)
        looks[(state != eyes.Eye.OPEN).any(axis=1)] = np.nan
        n = len(points)
        return Faces(
            boxes=extents(flat),
            points=flat,
            scores=np.repeat(presence[:, None], mesh.POINTS, axis=1),
            ids=np.zeros(n, np.int64),
            angles=angles,
            eyes=state,
            aspects=np.where(clear, aspects, np.nan).astype(np.float32),
            mouth=mouth_open(flat),
            gaze=looks,
            distance=np.full(n, np.nan) if camera is None else eyes.distance(irises, float(matrix[0, 0])),
        )

    def _look_at_eyes(self, image: Image, points: Floats) -> tuple[Floats, Floats, eyes.Flags]:
        """The right and left eye of each mesh: irises (N,2,5,2) and lids (N,2,16,2) in frame pixels,
        and whether each can be judged (N,2). The network knows right eyes: left ones are mirrored."""
        crops = []
        for face in points[..., :2]:
            for lids, mirror in zip(_EYES, (False, True), strict=True):
                outer, inner = face[lids[0]], face[lids[8]]
                x, y = ((outer + inner) / 2).tolist()
                width = max(1.0, float(np.linalg.norm(outer - inner)))
                angle = _slope(inner, outer) if mirror else _slope(outer, inner)
                crops.append(Crop((x, y), width * _EYE_MARGIN, angle, mirror))
        wait = look_closer(self.iris, [image], [crops], lambda image, crop: crop.view(image, _EYE_SIDE))
        (answers,) = wait()
        rims, edges, clear = [], [], []
        for crop, (view, (seen, iris)) in zip(crops, answers, strict=True):
            rims.append(view.points_to_frame(iris[:, :2]))
            edges.append(view.points_to_frame(seen[:16, :2]))
            clear.append(eyes.visible(view.pixels, seen[:16, :2], crop.side / _EYE_MARGIN))
        n = len(points)
        return (
            np.stack(rims).reshape(n, 2, 5, 2), np.stack(edges).reshape(n, 2, 16, 2),
            np.array(clear).reshape(n, 2),
        )


def _meshes(answers: Sequence[Closeup]) -> Meshes:
    """The network's answers to the crops of one picture, in its pixels."""
    placed = np.empty((len(answers), mesh.MESH, 3), np.float32)
    presence = np.empty(len(answers), np.float32)
    for i, (view, (points, sure)) in enumerate(answers):
        placed[i, :, :2] = view.points_to_frame(points[:, :2])
        placed[i, :, 2] = points[:, 2] / view.scale[1]
        presence[i] = sure
    return Meshes(placed, presence)


def check(min_presence: float, camera: npt.ArrayLike | None) -> None:
    """Raises UsageError for a presence outside 0..1, or for what no camera can be."""
    if not 0 <= min_presence <= 1:
        raise UsageError(f"min_presence lies in 0..1; got {min_presence}")
    headpose.intrinsics(camera, (1, 1))


def mouth_open(points: Floats) -> Floats:
    """(N,K,2) meshes -> (N,) gap between the lips over the mouth's inner width."""
    gap = np.linalg.norm(points[:, 13] - points[:, 14], axis=1)
    width = np.linalg.norm(points[:, 78] - points[:, 308], axis=1)
    return np.asarray(gap / np.maximum(width, 1e-6), np.float32)


def extents(points: Floats) -> Floats:
    """(N,K,2 or more) meshes -> (N,4) boxes around them, xyxy."""
    flat = points[..., :2]
    return np.concatenate([flat.min(axis=1), flat.max(axis=1)], axis=1)
