"""Body pose: people's boxes in, 33 points a person out; on video the crop follows the person.

BlazePose (Bazarevsky et al. 2020) looks at one person at a time: a square around the box that a
detector gave, or on video around the points that it found before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from vision.body import Poses
from vision.boxes import nms
from vision.card import Card
from vision.engine import Engine
from vision.errors import UsageError
from vision.roster import Roster
from vision.tasks.model import Model
from vision.types import Floats, Image
from vision.view import checked_image, patch

_MARGIN = 1.25                # the crop's side, in longer sides of the person's box
_SAME_PERSON = 0.6            # two people whose boxes overlap by more are one
_VISIBLE = 0.5                # a point's score from which it counts for its person's box


class PoseEstimator(Model):
    """Places 33 points on people whose boxes are known."""

    task = "pose"

    def __init__(self, engine: Engine, card: Card) -> None:
        super().__init__(engine, card)
        self.names = ("person",)

    def __call__(self, image: Image, boxes: Floats, *, min_presence: float = 0.5) -> Poses:
        """The people in `boxes` (N,4) xyxy, in pixels, of `image` (H,W,3) uint8 BGR; for the option see
        `submit`. Raises UsageError for another image."""
        return self.submit([image], [boxes], min_presence=min_presence)()[0]

    def submit(
        self, images: Sequence[Image], boxes: Sequence[Floats], *, min_presence: float = 0.5
    ) -> Callable[[], list[Poses]]:
        """Start on `images` with the people's boxes (N,4) xyxy of each; what comes back waits.

        min_presence: 0..1; a crop in which the network is less sure to see somebody gives nobody, so
        that fewer people than boxes may come back. Raises UsageError for a value that cannot be.
        """
        if not 0 <= min_presence <= 1:
            raise UsageError(f"min_presence lies in 0..1; got {min_presence}")
        places = [np.asarray(some, np.float32).reshape(-1, 4) for some in boxes]
        views = []
        for image, some in zip(images, places, strict=True):
            for left, top, right, bottom in some.tolist():
                side = max(right - left, bottom - top, 1.0) * _MARGIN
                centre = ((left + right) / 2, (top + bottom) / 2)
                views.append(patch(image, centre, side, self.card.input.size_wh[0]))
        future = self.engine.submit(np.stack([view.pixels for view in views])) if views else None

        def collect() -> list[Poses]:
            if future is None:
                return [Poses.empty() for _ in images]
            found, presence = future.result()
            points = np.stack([v.points_to_frame(p[:, :2]) for v, p in zip(views, found, strict=True)])
            scores = found[:, :, 3:5].min(axis=2)                    # visible, and inside the crop at all
            results, start = [], 0
            for some in places:
                rows = np.arange(start, start + len(some))
                start += len(some)
                rows = rows[presence[rows] >= min_presence]
                ids = np.zeros(len(rows), np.int64)
                extent = _boxes(points[rows], scores[rows])
                results.append(Poses(extent, points[rows], scores[rows], ids, presence[rows]))
            return results

        return collect


def _boxes(points: Floats, scores: Floats) -> Floats:
    """(N,33,2) points and their scores -> (N,4): around the visible ones, all where none is."""
    hidden = (scores < _VISIBLE) & (scores >= _VISIBLE).any(axis=1, keepdims=True)
    low = np.where(hidden[..., None], np.inf, points).min(axis=1, initial=np.inf)
    high = np.where(hidden[..., None], -np.inf, points).max(axis=1, initial=-np.inf)
    return np.concatenate([low, high], axis=1).astype(np.float32)


class PoseTracker:
    """People on a video: the crop follows the last points, and `find` is asked for boxes only where
    somebody was lost, where there is nobody, and every `detect_every` seconds for new people.

    It remembers: one tracker a stream. find: from a picture to people's boxes (N,4) xyxy. A person
    keeps the id (from 1) while the presence holds, and for `forget_after` seconds where they come back
    to the same place. A jump in time of more than that, backwards, or another picture size starts
    anew. Points are smoothed over time (One Euro filter).
    """

    def __init__(
        self,
        estimator: PoseEstimator,
        find: Callable[[Image], Floats],
        *,
        detect_every: float = 0.5,
        forget_after: float = 1.0,
        max_people: int = 16,
        min_presence: float = 0.5,
        smooth: bool = True,
    ) -> None:
        self.estimator, self.find = estimator, find
        self.max_people, self.min_presence, self.smooth = max_people, min_presence, smooth
        self.detections = 0                           # how often `find` was asked
        self._roster = Roster(detect_every, forget_after)

    def __call__(self, image: Image, time: float) -> Poses:
        """The people in the frame (H,W,3) uint8 BGR at `time` seconds. Raises UsageError for another image,
        DataError for a time that is not finite."""
        self._roster.begin(checked_image(image).shape, time)
        poses, kept = self._estimate(image, [subject.box for subject in self._roster.present])
        self._roster.keep(kept.tolist(), poses.boxes)
        if self._roster.due() or self._roster.missing:
            found = self._look_for_new(image)
            poses = Poses(*(
                np.concatenate([getattr(poses, name), getattr(found, name)]) for name in Poses._layout
            ))
        present = self._roster.present
        points = poses.points.copy()
        if self.smooth:
            for i, subject in enumerate(present):
                points[i] = subject.smooth(points[i], time, scale=max(1.0, float(np.ptp(subject.box[1::2]))))
        return replace(poses, points=points, ids=np.array([subject.id for subject in present], np.int64))

    def _estimate(self, image: Image, boxes: Sequence[Floats]) -> tuple[Poses, npt.NDArray[np.int64]]:
        """The people in boxes, and whose box each was; of two on one person the surer stays."""
        poses = self.estimator(image, np.array(boxes, np.float32).reshape(-1, 4), min_presence=0.0)
        rows = np.flatnonzero(poses.presence >= self.min_presence)
        apart = nms(poses.boxes[rows], poses.presence[rows], None, _SAME_PERSON)
        rows = rows[np.sort(apart)]
        return poses[rows], rows

    def _look_for_new(self, image: Image) -> Poses:
        """People who are not followed yet: they are from now on."""
        self.detections += 1
        boxes = np.asarray(self.find(image), np.float32).reshape(-1, 4)
        poses, _ = self._estimate(image, [box for box in boxes if not self._roster.overlapped(box, 0.3)])
        fresh = []
        for i, box in enumerate(poses.boxes):
            room = len(self._roster.present) < self.max_people
            if room and not self._roster.overlapped(box, _SAME_PERSON):
                self._roster.admit(box)
                fresh.append(i)
        return poses[fresh]
