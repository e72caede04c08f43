"""Hands: a picture in, 21 points a hand out (Zhang et al. 2020, "MediaPipe Hands").

Palms are found, for they are stiff and nearly square; a crop that is turned so that the fingers point up shows the
whole hand to a second network; on a video the next crop follows from these points, and palms are looked for seldom.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vision.boxes import nms
from vision.card import Card
from vision.engine import Engine
from vision.errors import UsageError
from vision.people.cascade import Cascade, Closeup, Crop, look_closer
from vision.people.crowd import Crowd
from vision.people.face_detector import FaceDetector
from vision.people.gestures import Gesturing, gestures, palm
from vision.people.hand import POINTS, Hands
from vision.types import Floats, Image, Ints, Landmarks
from vision.view import checked_image, turn

_PALM_MARGIN, _PALM_SHIFT = 2.6, 0.5     # the crop of a palm: in longer sides of its box; towards the fingers
_HAND_MARGIN, _HAND_SHIFT = 2.0, 0.1     # the crop of points: in longer sides of the box around the palm's
_KNUCKLES = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)                # what the next crop follows
SAME_HAND = 0.4                          # two hands whose boxes overlap by more are one


class PalmDetector(FaceDetector):
    """Finds palms, as `FaceDetector` finds faces: a box and seven points each, the wrist first and the middle finger's
    knuckle third."""

    task, smallest = "palms", 14.0

    def __init__(self, engine: Engine, card: Card) -> None:
        super().__init__(engine, card)
        self.names = ("palm",)


def crop_of_palm(found: Landmarks) -> Crop:
    """The crop for one detected palm, a row of what `PalmDetector` gave."""
    left, top, right, bottom = found.boxes[0].tolist()
    side = max(right - left, bottom - top, 1.0)
    angle = _upright(found.points[0, 0], found.points[0, 2])
    x, y = (np.array([(left + right) / 2, (top + bottom) / 2]) - turn(angle) @ [0, _PALM_SHIFT * side]).tolist()
    return Crop((x, y), side * _PALM_MARGIN, angle)


def crop_of_points(points: Floats) -> Crop:
    """The crop for a hand's points (21,2): around the palm and the first joints, with room for the fingers."""
    fingers = points[[5, 9, 9, 13]].mean(axis=0)
    angle = _upright(points[0], fingers)
    level = points[list(_KNUCKLES)] @ turn(angle)
    low, high = level.min(axis=0), level.max(axis=0)
    side = max(1.0, float((high - low).max()))
    x, y = (turn(angle) @ ((low + high) / 2 - [0, _HAND_SHIFT * side])).tolist()
    return Crop((x, y), side * _HAND_MARGIN, angle)


def _upright(wrist: Floats, fingers: Floats) -> float:
    """The angle of a crop in which the fingers are above the wrist."""
    across, down = (fingers - wrist).tolist()
    return float(np.arctan2(across, -down))


class HandFinder(Cascade):
    """Finds hands and their 21 points in pictures. `HandFinder.load()` makes one.

    detector: finds the palms.
    engine: (B,224,224,3) uint8 to points (B,21,3), presence (B,), how likely it is a left hand (B,) of a mirrored
        picture, and points in metres (B,21,3).
    card: of the points.
    """

    task = "hands"
    finder = PalmDetector

    def __init__(self, detector: PalmDetector, engine: Engine, card: Card) -> None:
        super().__init__(detector, engine, card)
        self.names = ("hand",)

    def __call__(
        self, image: Image, *, min_score: float | None = None, min_hand: float = 40.0, min_presence: float = 0.5
    ) -> Hands:
        """The hands in `image` (H,W,3) uint8 BGR, best first; the arguments are `submit`'s."""
        return self.submit([image], min_score=min_score, min_hand=min_hand, min_presence=min_presence)()[0]

    def submit(
        self,
        images: Sequence[Image],
        *,
        min_score: float | None = None,
        min_hand: float = 40.0,
        min_presence: float = 0.5,
    ) -> Callable[[], list[Hands]]:
        """Start on `images`; the function that comes back waits, and gives the hands of each, best first.

        images: (H,W,3) uint8 BGR each; they must not change until then.
        min_score: of a palm, above 0, up to 1; None is the card's own.
        min_hand: width of a palm in pixels, above 0. A picture in which such a palm is too small for the detector is
            looked at in overlapping tiles too.
        min_presence: 0..1. A crop in which the network is less sure of a hand gives none.

        Raises UsageError for a picture or a value out of range.
        """
        check(min_presence)
        wait = self.detector.submit(images, min_score=min_score, min_face=min_hand)

        def collect() -> list[Hands]:
            placed = self.fit(images, [[crop_of_palm(one) for one in some] for some in wait()])
            return [hands[distinct(hands, min_presence)] for hands in placed]

        return collect

    def fit(self, images: Sequence[Image], crops: Sequence[Sequence[Crop]]) -> list[Hands]:
        """The hand in each crop of each image, however unsure."""
        size = self.card.input.size_wh[0]
        return [_hands(some) for some in look_closer(
            self.engine, images, crops, lambda image, crop: crop.view(image, size),
        )()]


def check(min_presence: float) -> None:
    """Raises UsageError for a presence outside 0..1."""
    if not 0 <= min_presence <= 1:
        raise UsageError(f"min_presence lies in 0..1; got {min_presence}")


def distinct(hands: Hands, min_presence: float) -> Ints:
    """The rows that are hands of their own, best first: present, and no other's double."""
    presence = hands.scores[:, 0]
    held = np.flatnonzero(presence >= min_presence)
    return held[nms(hands.boxes[held], presence[held], None, SAME_HAND)]


def _hands(answers: Sequence[Closeup]) -> Hands:
    """The network's answers to the crops of one picture, in its pixels and axes."""
    n = len(answers)
    points, world = np.empty((n, len(POINTS), 2), np.float32), np.empty((n, len(POINTS), 3), np.float32)
    presence, left = np.empty(n, np.float32), np.empty(n, np.float32)
    for i, (view, (flat, sure, side, metres)) in enumerate(answers):
        points[i] = view.points_to_frame(flat[:, :2])
        world[i, :, :2] = metres[:, :2] @ turn(view.angle).T
        world[i, :, 2] = metres[:, 2]
        presence[i], left[i] = sure, 1 - side            # it learned from pictures that are mirrored, as selfies are
    boxes = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)
    scores = np.repeat(presence[:, None], len(POINTS), axis=1)
    return Hands(boxes, points, scores, np.zeros(n, np.int64), left, world, gestures(world))


class HandTracker:
    """Follows the hands of one video, and says what they show. It remembers: one tracker a stream.

    The crop of a hand follows its last points. The detector looks for palms every `detect_every` seconds while fewer
    than `max_hands` are followed, in every frame where there is none, and sooner where one was lost.

    finder: finds hands and their points; several trackers may share one, and none closes it.
    detect_every: seconds between two searches, 0 or more. forget_after: as `FaceTracker` has it. max_hands: at most so
    many are followed. smooth: whether points are smoothed over time (One Euro filter); crops and gestures are not.
    min_score, min_hand, min_presence: as in `HandFinder.submit`.

    `detections` counts the frames in which the detector has run. Raises UsageError for a presence out of range.
    """

    def __init__(
        self,
        finder: HandFinder,
        *,
        detect_every: float = 0.5,
        forget_after: float = 1.0,
        max_hands: int = 8,
        smooth: bool = True,
        min_score: float | None = None,
        min_hand: float = 40.0,
        min_presence: float = 0.5,
    ) -> None:
        check(min_presence)
        self.finder, self.max_hands, self.smooth = finder, max_hands, smooth
        self.min_score, self.min_hand, self.min_presence = min_score, min_hand, min_presence
        self.detections = 0
        self._crowd = Crowd(detect_every, forget_after)
        self._crops: list[Crop] = []                     # of those present, in their order
        self._shows: dict[int, Gesturing] = {}

    def __call__(self, image: Image, time: float) -> Hands:
        """The hands in the next frame.

        image: (H,W,3) uint8 BGR.
        time: seconds.

        The ids count from 1. Raises UsageError for another image, DataError where time is not finite.
        """
        self._crowd.begin(checked_image(image), time)
        crops = self._crops[: len(self._crowd.present)]  # none after a jump
        room = len(crops) < self.max_hands and bool(self._crowd.due())
        looking = None
        if room:
            looking = self.finder.detector.submit([image], min_score=self.min_score, min_face=self.min_hand)
        (hands,) = self.finder.fit([image], [crops])
        kept = np.sort(distinct(hands, self.min_presence))
        hands = hands[kept]
        self._crowd.keep(kept.tolist(), hands.boxes)
        if looking is not None:
            self.detections += 1
            fresh = self._new(image, looking()[0])
            both: dict[str, Any] = {
                name: np.concatenate([getattr(hands, name), getattr(fresh, name)]) for name in Hands._layout
            }
            hands = Hands(**both)
        self._crops = [crop_of_points(points) for points in hands.points]
        return self._over_time(hands, time)

    def _new(self, image: Image, palms: Landmarks) -> Hands:
        """Those of the palms that are not followed yet: they are from now on."""
        followed = [subject.box for subject in self._crowd.present]
        middles = (palms.boxes[:, :2] + palms.boxes[:, 2:]) / 2
        unknown = [i for i, (x, y) in enumerate(middles.tolist())
                   if not any(left < x < right and top < y < bottom for left, top, right, bottom in followed)]
        (hands,) = self.finder.fit([image], [[crop_of_palm(palms[i]) for i in unknown]])
        fresh = []
        for i in distinct(hands, self.min_presence).tolist():
            if len(self._crowd.present) < self.max_hands and not self._crowd.overlapped(hands.boxes[i], SAME_HAND):
                self._crowd.admit(hands.boxes[i])
                fresh.append(i)
        return hands[fresh]

    def _over_time(self, hands: Hands, time: float) -> Hands:
        """Those present with their ids, smoothed points, and what began and ended."""
        points, shown, events = hands.points.copy(), hands.gestures.copy(), []
        present = self._crowd.present
        for i, subject in enumerate(present):
            middle, size = palm(points[i])
            shows = self._shows.setdefault(subject.id, Gesturing())
            events += shows(int(shown[i]), middle, size, time, subject.id)
            shown[i] = shows.holds
            if self.smooth:
                points[i] = subject.smooth(points[i], time, scale=max(1.0, size))
        known = self._crowd.ids()
        for gone in sorted(self._shows.keys() - known):
            events += self._shows.pop(gone).ended(time, gone)
        ids = np.array([subject.id for subject in present], np.int64)
        return replace(hands, points=points, ids=ids, gestures=shown, events=tuple(events))

    def end(self, time: float) -> list[Any]:
        """The stream is over: the events of gestures that were still held."""
        return [event for i, shows in self._shows.items() for event in shows.ended(time, i)]

    def state(self) -> dict[str, Any]:
        """All that it remembers of the stream, in plain values and arrays (JSON and npz can hold it)."""
        crops = [[*crop.centre, crop.side, crop.angle] for crop in self._crops]
        return {
            "crowd": self._crowd.state(), "crops": np.array(crops, np.float64).reshape(-1, 4),
            "shows": [{"id": i, **shows.state()} for i, shows in self._shows.items()], "detections": self.detections,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state()`, of a tracker with the same settings."""
        self._crowd.restore(state["crowd"])
        self._crops = [Crop((x, y), side, angle) for x, y, side, angle in state["crops"].tolist()]
        self._shows = {one["id"]: Gesturing() for one in state["shows"]}
        for one in state["shows"]:
            self._shows[one["id"]].restore(one)
        self.detections = state["detections"]
