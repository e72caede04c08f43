"""Body pose: a picture in, 33 points a person out; on video the crop follows the person.

BlazePose (Bazarevsky et al. 2020) looks at one person at a time: a square around the box that a
detector gave, or on video around the points that it found before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.boxes import iou, nms
from vision.card import Card
from vision.engine import Engine
from vision.errors import ModelError, UsageError
from vision.people.body import POINTS, Poses
from vision.people.cascade import Cascade, Closeup, Crop, look_closer
from vision.people.crowd import Crowd
from vision.people.whole_pose import LAYOUTS
from vision.tasks.detect import Detector
from vision.types import Floats, Image
from vision.view import checked_image

_MARGIN = 1.25                # the crop's side, in longer sides of the person's box
_SAME_PERSON = 0.6            # two people whose boxes overlap by more are one
_FOLLOWED = 0.3               # a detected box that overlaps somebody followed by more is no new person
_VISIBLE = 0.5                # a point's score from which it counts for its person's box


class PoseEstimator(Cascade):
    """Finds people and the 33 points of their bodies in pictures. `PoseEstimator.load()` makes one.

    detector: finds the people; one of its classes is `person`.
    engine: the points, (B,256,256,3) uint8 to points (B,33,5) and presence (B,).
    card: of the points.

    Raises UsageError for a detector of no people, ModelError for a card of a network that finds people by itself, which
    is a `WholePoseEstimator`'s.
    """

    task = "pose"
    finder = Detector

    def __init__(self, detector: Detector, engine: Engine, card: Card) -> None:
        if card.boxes.layout in LAYOUTS:
            raise ModelError(f"{card.name!r} finds people by itself, without a detector: WholePoseEstimator.load")
        if "person" not in detector.names:
            raise UsageError(f"{detector.name!r} has no class 'person': take a detector that finds people")
        super().__init__(detector, engine, card)
        self.names = ("person",)

    def __call__(
        self,
        image: Image,
        boxes: Floats | None = None,
        *,
        min_presence: float = 0.5,
        min_score: float | None = None,
    ) -> Poses:
        """The people in `image` (H,W,3) uint8 BGR, or in `boxes` (N,4) xyxy of it, in their order; the other
        arguments are `submit`'s."""
        some = None if boxes is None else [boxes]
        return self.submit([image], some, min_presence=min_presence, min_score=min_score)()[0]

    def submit(
        self,
        images: Sequence[Image],
        boxes: Sequence[Floats] | None = None,
        *,
        min_presence: float = 0.5,
        min_score: float | None = None,
    ) -> Callable[[], list[Poses]]:
        """Start on `images`; the function that comes back waits, and gives the people of each.

        images: (H,W,3) uint8 BGR each; they must not change until then.
        boxes: (N,4) xyxy of the people in each, in pixels; None: the detector finds them.
        min_presence: 0..1. A crop in which the network is less sure of a body gives nobody, so that there
            may be fewer people than boxes.
        min_score: of a person's box, 0..1, where the detector looks; None is its own.

        Raises UsageError for a picture or a value out of range.
        """
        _check(min_presence)
        if boxes is not None:
            return self._placed(images, boxes, min_presence)
        look = self.find(images, min_score)
        return lambda: self._placed(images, look(), min_presence)()

    def find(self, images: Sequence[Image], min_score: float | None = None) -> Callable[[], list[Floats]]:
        """Start the detector on `images`; what comes back waits, and gives the boxes (N,4) xyxy of the people in
        each, best first. The arguments are `submit`'s."""
        wait = self.detector.submit(images, classes=self.names, min_score=min_score)
        return lambda: [found.boxes for found in wait()]

    def _placed(
        self, images: Sequence[Image], boxes: Sequence[Floats], min_presence: float
    ) -> Callable[[], list[Poses]]:
        """Start on the people in the boxes of each image."""
        corners = [np.asarray(some, np.float32).reshape(-1, 4).tolist() for some in boxes]
        places = [[_crop(box) for box in some] for some in corners]
        size = self.card.input.size_wh[0]
        wait = look_closer(self.engine, images, places, lambda image, crop: crop.view(image, size))
        return lambda: [_poses(answers, min_presence) for answers in wait()]


def _check(min_presence: float) -> None:
    if not 0 <= min_presence <= 1:
        raise UsageError(f"min_presence lies in 0..1; got {min_presence}")


def _crop(box: Sequence[float]) -> Crop:
    left, top, right, bottom = box
    side = max(right - left, bottom - top, 1.0) * _MARGIN
    return Crop(((left + right) / 2, (top + bottom) / 2), side)


def _poses(answers: Sequence[Closeup], min_presence: float) -> Poses:
    """The people of one picture, from the network's answers to their crops."""
    kept = [(view, found, sure) for view, (found, sure) in answers if sure >= min_presence]
    points = np.array([view.points_to_frame(found[:, :2]) for view, found, _ in kept], np.float32)
    points = points.reshape(-1, len(POINTS), 2)
    scores = np.array([found[:, 3:5].min(axis=1) for _, found, _ in kept], np.float32)
    scores = scores.reshape(-1, len(POINTS))                         # visible, and inside the crop at all
    presence = np.array([sure for _, _, sure in kept], np.float32)
    return Poses(_boxes(points, scores), points, scores, np.zeros(len(kept), np.int64), presence)


def _boxes(points: Floats, scores: Floats) -> Floats:
    """(N,33,2) points and their scores -> (N,4): around the visible ones, all where none is."""
    hidden = (scores < _VISIBLE) & (scores >= _VISIBLE).any(axis=1, keepdims=True)
    low = np.where(hidden[..., None], np.inf, points).min(axis=1, initial=np.inf)
    high = np.where(hidden[..., None], -np.inf, points).max(axis=1, initial=-np.inf)
    return np.concatenate([low, high], axis=1).astype(np.float32)


class PoseTracker:
    """Follows the people of one video. It remembers: one tracker a stream.

    The crop of a person follows their last points. The detector works beside the crops, every `detect_every`
    seconds for new people, in every frame where there is nobody, and sooner where somebody was lost.

    estimator: finds people and their points; several trackers may share one, and none closes it.
    detect_every: seconds between two searches, 0 or more.
    forget_after: seconds for which a person who was lost keeps the id for coming back to the same place;
        later it is a new person. A jump in time of more, one backwards, or another picture size forgets
        all.
    max_people: at most so many are followed.
    min_presence, min_score: as in `PoseEstimator.submit`.
    smooth: whether points are smoothed over time (One Euro filter); crops are not.

    `detections` counts the frames in which the detector has run. Raises UsageError for a presence out of
    range.
    """

    def __init__(
        self,
        estimator: PoseEstimator,
        *,
        detect_every: float = 0.5,
        forget_after: float = 1.0,
        max_people: int = 16,
        min_presence: float = 0.5,
        min_score: float | None = None,
        smooth: bool = True,
    ) -> None:
        _check(min_presence)
        self.estimator = estimator
        self.max_people, self.smooth = max_people, smooth
        self.min_presence, self.min_score = min_presence, min_score
        self.detections = 0
        self._crowd = Crowd(detect_every, forget_after)

    def __call__(self, image: Image, time: float) -> Poses:
        """The people in the next frame.

        image: (H,W,3) uint8 BGR.
        time: seconds.

        The ids count from 1. Raises UsageError for another image, DataError where time is not finite.
        """
        self._crowd.begin(checked_image(image), time)
        looking = self.estimator.find([image], self.min_score) if self._crowd.due() else None
        poses, kept = self._estimate(image, [subject.box for subject in self._crowd.present])
        self._crowd.keep(kept.tolist(), poses.boxes)
        if looking is not None:
            self.detections += 1
            found = self._new(image, looking()[0])
            poses = Poses(*(
                np.concatenate([getattr(poses, name), getattr(found, name)]) for name in Poses._layout
            ))
        present = self._crowd.present
        points = poses.points.copy()
        if self.smooth:
            for i, subject in enumerate(present):
                points[i] = subject.smooth(points[i], time, scale=max(1.0, float(np.ptp(subject.box[1::2]))))
        return replace(poses, points=points, ids=np.array([subject.id for subject in present], np.int64))

    def state(self) -> dict[str, Any]:
        """All that it remembers of the stream, in plain values and arrays (JSON and npz can hold it)."""
        return {"crowd": self._crowd.state(), "detections": self.detections}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state()`, of a tracker with the same settings."""
        self._crowd.restore(state["crowd"])
        self.detections = state["detections"]

    def _estimate(self, image: Image, boxes: Sequence[Floats]) -> tuple[Poses, npt.NDArray[np.int64]]:
        """The people in boxes, and whose box each was; of two on one person that stays which was there before."""
        asked = np.array(boxes, np.float32).reshape(-1, 4)
        poses = self.estimator(image, asked, min_presence=0.0)
        rows = np.flatnonzero(poses.presence >= self.min_presence)
        moved_little = np.diag(iou(asked, poses.boxes))[rows]
        apart = nms(poses.boxes[rows], moved_little, None, _SAME_PERSON)
        rows = rows[np.sort(apart)]
        return poses[rows], rows

    def _new(self, image: Image, boxes: Floats) -> Poses:
        """Those in the boxes who are not followed yet: they are from now on."""
        poses, _ = self._estimate(image, [box for box in boxes if not self._crowd.overlapped(box, _FOLLOWED)])
        fresh = []
        for i, box in enumerate(poses.boxes):
            room = len(self._crowd.present) < self.max_people
            if room and not self._crowd.overlapped(box, _SAME_PERSON):
                self._crowd.admit(box)
                fresh.append(i)
        return poses[fresh]
