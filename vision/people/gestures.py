"""What a hand shows: open, a fist, pointing, a thumb, V, by rules on its points; and what begins and ends.

A finger is stretched where its last bones go on in the direction of its first: the rules look at angles in space alone,
so that they hold for every size, place and turn of the hand.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from vision.types import Floats, Ints, Names

GESTURES: Names = ("", "open", "fist", "point", "thumb", "v")
_FINGERS = ((5, 6, 7, 8), (9, 10, 11, 12), (13, 14, 15, 16), (17, 18, 19, 20))
_STRETCHED, _BENT = 55.0, 95.0           # degrees that a finger bends in all: below, above; between is neither
_CLENCHED = 115.0                        # the mean of a fist's fingers: hands at rest bend them by about 100
_THUMB_OUT = 0.75                        # tip of the thumb from the index finger's knuckle, in palms: beyond
_BEGIN, _END = 0.2 - 1e-6, 0.25 - 1e-6   # seconds for which a gesture is seen, or is not, before it begins or ends
_SWIPE, _SWIPE_TIME, _REST = 1.2, 0.5, 0.7           # hands' widths that it moves, in so many seconds; pause after it


@dataclass(frozen=True)
class HandEvent:
    """A gesture began or ended, or a hand swiped.

    kind: `begin`, `end` or `swipe`. what: the gesture; of a swipe, where to, as seen: left, right, up or down.
    id: the hand's. time: seconds. point: the middle of the palm, x and y in pixels. lasted: seconds (`end`).
    """

    kind: Literal["begin", "end", "swipe"]
    what: str
    id: int
    time: float
    point: tuple[float, float]
    lasted: float = 0.0

    def to_dict(self, names: Names | None = None) -> dict[str, Any]:
        """The event in plain values: microseconds, 0.01 pixels."""
        values = {
            "time_s": round(self.time, 6), "event": self.kind, "label": self.what, "id": self.id,
            "x": round(self.point[0], 2), "y": round(self.point[1], 2),
        }
        return values | ({"lasted_s": round(self.lasted, 3)} if self.kind == "end" else {})


def gestures(world: Floats) -> Ints:
    """What hands show.

    world: (N,21,3), their points in space, in any unit. Returns (N,) int64, an index into `GESTURES`.
    """
    return np.array([_shown(points.astype(np.float64)) for points in world], np.int64)


def _shown(points: np.ndarray) -> int:
    bends = np.array([_bend(points[[0, *finger]]) for finger in _FINGERS])
    out, curled = bends < _STRETCHED, bends > _BENT
    palm = float(np.linalg.norm(points[9] - points[0]))
    if palm < 1e-9:
        return 0
    reach = float(np.linalg.norm(points[4] - points[5])) / palm
    straight = _bend(points[[1, 2, 3, 4]]) < _STRETCHED
    index, middle = out[:2]
    if out.all():
        return GESTURES.index("open")
    if index and curled[1:].all():
        return GESTURES.index("point")
    if index and middle and curled[2:].all():
        return GESTURES.index("v")
    if curled.all() and bends.mean() > _CLENCHED:
        return GESTURES.index("thumb" if reach > _THUMB_OUT and straight else "fist")
    return 0


def _bend(chain: np.ndarray) -> float:
    """By how many degrees a chain of points (K,3) turns away from its first bone, summed over its joints; the joint at
    the knuckle counts half, for a hand also opens there."""
    bones = np.diff(chain, axis=0)
    bones = bones / np.maximum(np.linalg.norm(bones, axis=1, keepdims=True), 1e-9)
    turns = np.rad2deg(np.arccos(np.clip((bones[1:] * bones[:-1]).sum(axis=1), -1, 1)))
    return float(turns.sum() - 0.5 * turns[0])


class Gesturing:
    """One hand over time: which gesture it holds, and its events.

    A gesture begins when it has been seen for 0.2 seconds, and ends when it has not been for 0.25, so that a frame or
    two of doubt change nothing. A swipe is a hand that moves by more than its length within half a second, straight on.
    """

    def __init__(self) -> None:
        self.holds = 0                    # an index into `GESTURES`
        self._began = 0.0                 # when what it holds was first seen
        self._last = 0.0                  # when what it holds was last seen
        self._next, self._since = 0, 0.0  # what else is seen, and since when
        self._path: deque[tuple[float, float, float]] = deque()
        self._rest = float("-inf")        # no swipe before

    def __call__(
        self, shown: int, point: tuple[float, float], size: float, time: float, id: int
    ) -> list[HandEvent]:
        """Take in a frame; returns the events of it.

        shown: an index into `GESTURES`. point: the middle of the palm in pixels. size: the palm's length in pixels.
        time: seconds. id: the hand's.
        """
        events = self._hold(shown, point, time, id)
        swipe = self._swipe(point, size, time)
        return [*events, *([HandEvent("swipe", swipe, id, time, point)] if swipe else [])]

    def ended(self, time: float, id: int) -> list[HandEvent]:
        """The events of a hand that is gone since `time` seconds."""
        if not self.holds:
            return []
        x, y = self._path[-1][1:] if self._path else (0.0, 0.0)
        event = HandEvent("end", GESTURES[self.holds], id, time, (x, y), self._last - self._began)
        self.holds = 0
        return [event]

    def _hold(self, shown: int, point: tuple[float, float], time: float, id: int) -> list[HandEvent]:
        events = []
        if shown != self._next:
            self._next, self._since = shown, time
        if shown == self.holds:
            self._last = time
        elif self.holds and time - self._last >= _END:
            events.append(HandEvent("end", GESTURES[self.holds], id, time, point, self._last - self._began))
            self.holds = 0
        if shown and not self.holds and time - self._since >= _BEGIN:
            self.holds, self._began, self._last = shown, self._since, time
            events.append(HandEvent("begin", GESTURES[shown], id, time, point))
        return events

    def _swipe(self, point: tuple[float, float], size: float, time: float) -> str:
        self._path.append((time, *point))
        while time - self._path[0][0] > _SWIPE_TIME:
            self._path.popleft()
        if time < self._rest:
            return ""
        path = np.array(self._path)[:, 1:]
        moves = path[-1] - path
        along = int(np.abs(moves).max(axis=0).argmax())
        start = int(np.abs(moves[:, along]).argmax())
        far, aside = moves[start, along], abs(moves[start, 1 - along])
        if abs(far) < _SWIPE * 2 * max(size, 1.0) or aside > 0.5 * abs(far):
            return ""
        self._rest = time + _REST
        return (("left", "right"), ("up", "down"))[along][int(far > 0)]

    def state(self) -> dict[str, Any]:
        """All that it remembers, in plain values and arrays."""
        return {
            "holds": self.holds, "began": self._began, "last": self._last, "next": self._next, "since": self._since,
            "path": np.array(self._path, np.float64).reshape(-1, 3), "rest": self._rest,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state()`."""
        self.holds, self._began, self._last = int(state["holds"]), float(state["began"]), float(state["last"])
        self._next, self._since, self._rest = int(state["next"]), float(state["since"]), float(state["rest"])
        self._path = deque((t, x, y) for t, x, y in np.asarray(state["path"]).tolist())


def palm(points: Sequence[Sequence[float]] | Floats) -> tuple[tuple[float, float], float]:
    """Where a hand's palm is, and how long: from its points (21,2) its middle, x and y, and the distance of the wrist
    from the middle finger's knuckle, all in their unit."""
    hand = np.asarray(points, np.float64)
    x, y = ((hand[0] + hand[5] + hand[17]) / 3).tolist()
    return (x, y), float(np.linalg.norm(hand[9] - hand[0]))
