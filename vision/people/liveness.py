"""Whether a face is one, or a picture of one that is held up: by a blink, and by parallax.

A picture is flat: however it is turned, all of its points move as one plane does (a homography). A head is not: where
it turns, its nose moves against its ears. Between two views that differ by 15 % in width or height, 10 of 11 heads of
YouTube Faces left 0.06 of the distance of their eyes and more, and 95 of 100 pictures of them, tilted, 0.04 and less.

Both a blink and depth are asked for, for a mask has depth and a film of a face blinks. A film on a screen in which
somebody turns the head would pass: this makes cheating harder, and proves nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

import cv2
import numpy as np

from vision.people.eyes import Eye
from vision.people.mesh import LEFT_EYE, MESH, RIGHT_EYE
from vision.types import Floats, Ints

_STRETCH = 1.15                 # of the face from one view to another, before the parallax says anything
_DEPTH, _FLAT = 0.06, 0.04      # residual over the distance of the eyes: above a head, below a picture
_LONGEST_BLINK = 0.5            # seconds
_KEPT, _EVERY = 24, 0.1         # views that are remembered, and the seconds between two


class Live(IntEnum):
    """What is known of a face's liveness."""

    UNASKED = 0
    UNSURE = 1
    YES = 2
    NO = 3


class Liveness:
    """One face over time. `verdict` says what is known; `blinks` and `depth` say why.

    stretch: how much more the face was stretched one way than the other between the two views that differ most; 1 where
        it was not. depth: how far points moved apart from any plane's motion between these, over the distance of the
        eyes.
    """

    def __init__(self) -> None:
        self.blinks, self.depth, self.stretch = 0, 0.0, 1.0
        self._views: deque[tuple[float, Floats]] = deque(maxlen=_KEPT)               # time, points
        self._opened, self._closed = False, -1.0

    def __call__(self, points: Floats, eyes: Ints, time: float) -> Live:
        """Take in a frame.

        points: (478,2), the face's. eyes: (2,), an `Eye` each. time: seconds.
        """
        self._watch(eyes, time)
        if not self._views or time - self._views[-1][0] >= _EVERY:
            now = np.asarray(points[:MESH], np.float32)
            most = max(((stretched(before, now), before) for _, before in self._views), key=lambda one: one[0],
                       default=(1.0, now))
            if most[0] > self.stretch:
                self.stretch, self.depth = most[0], parallax(most[1], now)
            self._views.append((time, now))
        return self.verdict

    @property
    def verdict(self) -> Live:
        """`YES` after a blink and a turn of a head, `NO` where what turned was flat, else `UNSURE`."""
        if self.stretch < _STRETCH:
            return Live.UNSURE
        if self.depth < _FLAT:
            return Live.NO
        return Live.YES if self.blinks and self.depth > _DEPTH else Live.UNSURE

    def _watch(self, eyes: Ints, time: float) -> None:
        if (eyes == Eye.OPEN).all():
            self.blinks += 0 <= time - self._closed <= _LONGEST_BLINK and self._closed >= 0
            self._opened, self._closed = True, -1.0
        elif (eyes == Eye.CLOSED).all() and self._opened:
            self._opened, self._closed = False, time
        elif (eyes == Eye.UNKNOWN).any():
            self._opened, self._closed = False, -1.0                # what was not seen is no blink

    def state(self) -> dict[str, Any]:
        """All that it remembers, in plain values and arrays."""
        return {
            "blinks": self.blinks, "depth": self.depth, "stretch": self.stretch,
            "opened": self._opened, "closed": self._closed, "times": [time for time, _ in self._views],
            "points": np.array([points for _, points in self._views], np.float32).reshape(-1, MESH, 2),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state()`."""
        self.blinks, self.depth, self.stretch = int(state["blinks"]), float(state["depth"]), float(state["stretch"])
        self._opened, self._closed = bool(state["opened"]), float(state["closed"])
        self._views.clear()
        self._views.extend(zip(state["times"], np.asarray(state["points"], np.float32), strict=True))


def stretched(before: Floats, after: Floats) -> float:
    """How much more points (K,2) were stretched one way than the other, by the best affine map: 1 and more."""
    from_all = np.column_stack([before, np.ones(len(before))]).astype(np.float64)
    fitted = np.linalg.lstsq(from_all, after.astype(np.float64), rcond=None)[0][:2]
    longest, shortest = np.linalg.svd(fitted, compute_uv=False).tolist()
    return float(longest / max(shortest, 1e-6))


def parallax(before: Floats, after: Floats) -> float:
    """How far points (K,2) moved apart from the motion of any plane: the root of the mean square of what the best
    homography leaves, over the distance of the eyes."""
    found, _ = cv2.findHomography(before.astype(np.float64), after.astype(np.float64), 0)
    if found is None:
        return 0.0
    moved = cv2.perspectiveTransform(before[None].astype(np.float64), found)[0]
    apart = float(np.linalg.norm(after[RIGHT_EYE[0]] - after[LEFT_EYE[0]]))
    return float(np.sqrt(((moved - after) ** 2).sum(axis=1).mean()) / max(apart, 1e-6))
