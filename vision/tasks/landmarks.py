"""Face landmarks: a picture in, 478 points a face out; on video the crop follows the face.

Box, crop turned so that the eyes are level, 468 points of the face mesh (Kartynnik et al. 2019),
again from the crop that these give, then a closer look at each eye for its iris and lids
(Ablavatski et al. 2020). Head pose, eyes, mouth and gaze follow from the points.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np
import numpy.typing as npt

from vision import zoo
from vision.boxes import nms
from vision.card import Card
from vision.engine import Engine, Outputs, load
from vision.errors import UsageError
from vision.faces import eyes, headpose, mesh
from vision.faces.detector import LEFT_EYE, RIGHT_EYE, FaceDetector, Window
from vision.faces.face import Faces
from vision.faces.yunet import YunetEngine
from vision.roster import Roster
from vision.tasks.model import Model
from vision.types import Floats, Image, Landmarks
from vision.view import View, checked_image, patch, turn
from vision.weights import resolve

_MARGIN = 1.5                 # the crop's side, in longer sides of the face's box
_REFINEMENTS = 2              # after these the points hardly depend on the detector's box any more
_EYE_MARGIN = 2.3             # the crop's side, in distances between the corners of an eye
_CORNERS = (0, 8)             # outer and inner, among an eye's sixteen points
_EYES = (mesh.RIGHT_EYE, mesh.LEFT_EYE)
_SAME_FACE = 0.3              # two meshes whose boxes overlap by more are one face


@dataclass(frozen=True)
class Crop:
    """A square around a face: centre (x, y) and side in frame pixels, angle of the eye line in radians."""

    centre: tuple[float, float]
    side: float
    angle: float


def crop_of_detection(face: Landmarks) -> Crop:
    """The crop for one detected face."""
    (left, top, right, bottom), points = face.boxes[0].tolist(), face.points[0]
    side = max(right - left, bottom - top, 1.0) * _MARGIN
    return Crop(((left + right) / 2, (top + bottom) / 2), side, _slope(points[RIGHT_EYE], points[LEFT_EYE]))


def crop_of_points(points: Floats) -> Crop:
    """The crop for a face mesh (K,2 or more), K at least 468: around all of it, the eyes level."""
    flat = points[: mesh.MESH, :2]
    angle = _slope(flat[mesh.RIGHT_EYE[0]], flat[mesh.LEFT_EYE[0]])
    level = flat @ turn(angle)
    low, high = level.min(axis=0), level.max(axis=0)
    x, y = (turn(angle) @ ((low + high) / 2)).tolist()
    return Crop((x, y), max(1.0, float((high - low).max())) * _MARGIN, angle)


def _slope(right: Floats, left: Floats) -> float:
    return float(np.arctan2(left[1] - right[1], left[0] - right[0]))


class Finding(TypedDict, total=False):
    """What a call may ask of the detector; see `FaceDetector.submit`."""

    min_score: float | None
    min_face: float
    turned: bool


class Options(Finding, total=False):
    """What a call may ask for; see `FaceLandmarker.submit`."""

    min_presence: float
    camera: npt.ArrayLike | None


class FaceLandmarker(Model):
    """Finds faces and their 478 points in pictures.

    detector finds the faces; engine runs the card's mesh, iris the irises and lids. Tests and users
    may give `FakeEngine`s; `FaceLandmarker.load()` makes all three.
    """

    task = "landmarks"

    def __init__(self, detector: FaceDetector, engine: Engine, iris: Engine, card: Card) -> None:
        super().__init__(engine, card)
        self.detector, self.iris = detector, iris
        self.names = ("face",)

    @property
    def in_flight(self) -> int:
        """How many pictures keep the device busy."""
        return self.detector.in_flight

    @property
    def engines(self) -> tuple[Engine, ...]:
        """The detector's, the mesh's and the irises'."""
        return self.detector.engine, self.engine, self.iris

    @classmethod
    def load(
        cls,
        model: str | Path | Card = "default",
        device: str = "auto",
        precision: str = "auto",
        backend: str = "auto",
        detector: str | Path | Card = "default",
    ) -> FaceLandmarker:
        """A landmarker by name (`vision models`); detector: the card that finds the faces.

        Raises ModelError for an unknown name, WeightsError where weights are missing or not what
        they should be, EngineError for a device or a back end that is not there.
        """
        card = zoo.find(model, cls.task)
        faces, iris = zoo.find(detector, "faces"), zoo.find("iris", "iris")
        finder: Engine
        if faces.boxes.layout == "yunet":
            finder = YunetEngine(resolve(faces), faces.input.size_wh)
        else:
            finder = load(faces, device, precision, backend)
        engine, closeup = (load(c, device, precision, backend) for c in (card, iris))
        made = cls(FaceDetector(finder, faces), engine, closeup, card)
        made.loaded_as = {"model": card, "device": device, "precision": precision, "backend": backend,
                          "detector": faces}
        return made

    def __call__(
        self,
        image: Image,
        *,
        min_presence: float = 0.5,
        camera: npt.ArrayLike | None = None,
        **finding: Unpack[Finding],
    ) -> Faces:
        """The faces in `image` (H,W,3) uint8 BGR, as soon as can be; for the options see `submit`."""
        _check(min_presence, camera)
        return self._placed([image], [self.detector(image, **finding)], min_presence, camera)[0]

    def batch(self, images: Sequence[Image], **options: Unpack[Options]) -> list[Faces]:
        """The faces in each of `images`; for the options see `submit`."""
        return self.submit(images, **options)()

    def submit(
        self,
        images: Sequence[Image],
        *,
        min_presence: float = 0.5,
        camera: npt.ArrayLike | None = None,
        **finding: Unpack[Finding],
    ) -> Callable[[], list[Faces]]:
        """Start on `images`; what comes back waits and hands out the faces of each, best first.

        finding: min_score, min_face and turned of the detector (`FaceDetector.submit`). min_presence:
        0..1, of the mesh: a crop that it takes for no face (a full profile, a clock) gives none.
        camera: its (3,3) matrix or its focal length in pixels; None estimates it for the head's pose,
        and leaves the distance unknown. Raises UsageError for an image or a value that cannot be.
        """
        _check(min_presence, camera)
        wait = self.detector.submit(images, **finding) if images else list
        return lambda: self._placed(images, wait(), min_presence, camera)

    def _placed(
        self,
        images: Sequence[Image],
        found: Sequence[Landmarks],
        min_presence: float,
        camera: npt.ArrayLike | None,
    ) -> list[Faces]:
        """The faces of each picture, from what the detector found in it."""
        owners = [image for image, some in zip(images, found, strict=True) for _ in range(len(some))]
        points, presence = self.place(owners, [face for some in found for face in some])
        results, start = [], 0
        for image, some in zip(images, found, strict=True):
            rows = np.arange(start, start + len(some))
            start += len(some)
            rows = rows[presence[rows] >= min_presence]
            rows = rows[distinct(points[rows], presence[rows])]
            results.append(self.describe(image, points[rows], presence[rows], camera))
        return results

    def place(self, images: Sequence[Image], found: Sequence[Landmarks]) -> tuple[Floats, Floats]:
        """The meshes of detected faces, face i in image i: `fit`, and again from what that gave."""
        points, presence = self.fit(images, [crop_of_detection(face) for face in found])
        for _ in range(_REFINEMENTS):
            points, presence = self.fit(images, [crop_of_points(face) for face in points])
        return points, presence

    def fit(self, images: Sequence[Image], crops: Sequence[Crop]) -> tuple[Floats, Floats]:
        """One pass of the mesh: crop i lies in image i. Returns points (N,468,3), x and y in frame
        pixels with the depth in the same unit, and presence (N,) in 0..1."""
        if not crops:
            return np.empty((0, mesh.MESH, 3), np.float32), np.empty(0, np.float32)
        size = self.card.input.size_wh[0]
        placed, presence = [], []
        for view, (points, sure) in _answers(self.engine, (
            patch(image, crop.centre, crop.side, size, angle=crop.angle)
            for image, crop in zip(images, crops, strict=True)
        )):
            depth = points[:, 2] / view.scale[1]
            placed.append(np.column_stack([view.points_to_frame(points[:, :2]), depth]))
            presence.append(sure)
        return np.stack(placed).astype(np.float32), np.array(presence, np.float32)

    def describe(
        self, image: Image, points: Floats, presence: Floats, camera: npt.ArrayLike | None = None
    ) -> Faces:
        """Meshes (N,468,3) in a picture with everything that follows from them; `eyes` and `ids` as
        for a picture that stands alone."""
        if not len(points):
            return Faces.empty()
        matrix = headpose.intrinsics(camera, (image.shape[1], image.shape[0]))
        irises, lids, clear = self._look_closely(image, points)
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

    def _look_closely(self, image: Image, points: Floats) -> tuple[Floats, Floats, eyes.Flags]:
        """The right and left eye of each mesh: irises (N,2,5,2) and lids (N,2,16,2) in frame pixels,
        and whether each can be judged (N,2). The network knows right eyes: left ones are mirrored."""
        corners = [
            (face[lids[_CORNERS[0]]], face[lids[_CORNERS[1]]], mirror)
            for face in points[..., :2] for lids, mirror in zip(_EYES, (False, True), strict=True)
        ]
        widths = [max(1.0, float(np.linalg.norm(outer - inner))) for outer, inner, _ in corners]
        views = (
            patch(
                image, tuple(((outer + inner) / 2).tolist()), width * _EYE_MARGIN, 64, mirror=mirror,
                angle=_slope(inner, outer) if mirror else _slope(outer, inner),
            )
            for (outer, inner, mirror), width in zip(corners, widths, strict=True)
        )
        rims, edges, clear = [], [], []
        for width, (view, (seen, iris)) in zip(widths, _answers(self.iris, views), strict=True):
            rims.append(view.points_to_frame(iris[:, :2]))
            edges.append(view.points_to_frame(seen[:16, :2]))
            clear.append(eyes.visible(view.pixels, seen[:16, :2], width))
        n = len(points)
        return (
            np.stack(rims).reshape(n, 2, 5, 2), np.stack(edges).reshape(n, 2, 16, 2),
            np.array(clear).reshape(n, 2),
        )


def _answers(engine: Engine, views: Iterable[View]) -> Iterator[tuple[View, Outputs]]:
    """Each view with the network's answer to it. The network is at the first while the next is made."""
    asked = [(view, engine.submit(view.pixels[None])) for view in views]
    for view, future in asked:
        yield view, tuple(output[0] for output in future.result())


def _check(min_presence: float, camera: npt.ArrayLike | None) -> None:
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


def distinct(points: Floats, presence: Floats) -> npt.NDArray[np.int64]:
    """The rows of meshes (N,K,2 or more) that are faces of their own, best first."""
    return nms(extents(points), presence, None, _SAME_FACE)


class FaceTracker:
    """Faces on a video: the crop follows the last landmarks, and the detector looks at the frame only
    where a face was lost, where there is none, and in turns: the whole frame and each of its tiles once
    every `detect_every` seconds, spread evenly over the frames of that time, so that none takes long. A
    new face is found within that time of its coming, or at the next frame. The first frame is searched
    as a picture is.

    It remembers: one tracker a stream. A face keeps its id (from 1) while its presence holds, and for
    `forget_after` seconds where it comes back to the same place; after that it is a new face, with a
    new id. Points are smoothed over time (One Euro filter); crops and eyes are not. A jump in time of
    more than `forget_after` seconds, backwards, or another picture size starts with new faces. The
    other options are `FaceLandmarker.submit`'s.
    """

    def __init__(
        self,
        landmarker: FaceLandmarker,
        *,
        detect_every: float = 0.5,
        forget_after: float = 1.0,
        max_faces: int = 16,
        smooth: bool = True,
        min_presence: float = 0.5,
        camera: npt.ArrayLike | None = None,
        **finding: Unpack[Finding],
    ) -> None:
        _check(min_presence, camera)
        self.landmarker = landmarker
        self.max_faces, self.smooth = max_faces, smooth
        self.min_presence, self.camera = min_presence, camera
        self.detections = 0                           # how often the detector has run
        self._finding: Finding = {"min_face": 24.0, **finding}
        self._roster = Roster(detect_every, forget_after)
        self._crops: list[Crop] = []                  # of those present, in their order
        self._watches: dict[int, eyes.EyeWatch] = {}

    def __call__(self, image: Image, time: float) -> Faces:
        """The faces in the frame (H,W,3) uint8 BGR at `time` seconds. Raises UsageError for another image,
        DataError for a time that is not finite."""
        self._roster.begin(checked_image(image).shape, time)
        points, presence = self._follow(image)
        windows = self.landmarker.detector.windows(image, self._finding["min_face"])
        turns = self._roster.due(len(windows))
        if self._roster.missing and 0 not in turns:
            turns.append(0)                                       # the whole frame
        if turns:
            found = self._look_for_new(image, [windows[i] for i in turns])
            points, presence = (np.concatenate(pair) for pair in zip((points, presence), found, strict=True))
        self._crops = [crop_of_points(face) for face in points]
        faces = self.landmarker.describe(image, points, presence, self.camera)
        return self._over_time(faces, time)

    def watch(self, face_id: int) -> eyes.EyeWatch:
        """The eyes of a face that is in the frame, or was a moment ago: blinks, how long they have been
        open. Raises UsageError for another id."""
        if face_id not in self._watches:
            raise UsageError(f"no face {face_id} is here; there are: {sorted(self._watches) or 'none'}")
        return self._watches[face_id]

    def _follow(self, image: Image) -> tuple[Floats, Floats]:
        crops = self._crops[: len(self._roster.present)]          # none after a jump
        points, presence = self.landmarker.fit([image] * len(crops), crops)
        held = np.flatnonzero(presence >= self.min_presence)
        kept = held[np.sort(distinct(points[held], presence[held]))]     # of two on one face the surer stays
        self._roster.keep(kept.tolist(), extents(points[kept]))
        return points[kept], presence[kept]

    def _look_for_new(self, image: Image, windows: Sequence[Window]) -> tuple[Floats, Floats]:
        """The meshes of faces in these windows that are not followed yet: they are from now on."""
        self.detections += 1
        found = [
            face for face in self.landmarker.detector(image, windows=windows, **self._finding)
            if not self._roster.overlapped(face.boxes[0], _SAME_FACE)
        ]
        points, presence = self.landmarker.place([image] * len(found), found)
        fresh = []
        for i, box in enumerate(extents(points)):
            sure = presence[i] >= self.min_presence and len(self._roster.present) < self.max_faces
            if sure and not self._roster.overlapped(box, _SAME_FACE):
                self._watches.setdefault(self._roster.admit(box).id, eyes.EyeWatch())
                fresh.append(i)
        return points[fresh], presence[fresh]

    def _over_time(self, found: Faces, time: float) -> Faces:
        points, state = found.points.copy(), found.eyes.copy()
        seen = np.isfinite(found.aspects) & eyes.facing(found.angles)[:, None]
        aspects = np.nan_to_num(found.aspects)
        for i, subject in enumerate(self._roster.present):
            state[i] = self._watches[subject.id](aspects[i], seen[i], time)
            if self.smooth:
                points[i] = subject.smooth(points[i], time, scale=self._crops[i].side / _MARGIN)
        known = self._roster.ids()
        self._watches = {i: watch for i, watch in self._watches.items() if i in known}
        ids = np.array([subject.id for subject in self._roster.present], np.int64)
        return replace(found, points=points, eyes=state, ids=ids)
