"""Velocities towards a person who is followed: from old pictures, for slow motors, without swinging."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from vision.types import Floats

_TALL, _WIDE = 1.7, 0.5                          # metres: a person
_EDGE = 3                                        # pixels from the lower edge: the feet are below the picture


@dataclass
class Pilot:
    """Commands for a base that drives and turns, so that it comes up to a person and faces them.

    What was commanded since a picture was taken, and by dead_time before, is taken into account (a Smith predictor):
    the delay of the camera and that of the motors make it neither late nor swing. It commands a stop while the newest
    frame is older than max_latency, and while the person was not seen for stop_after. It never drives backwards.

    fov: degrees across the picture. max_latency, dead_time, stop_after: seconds. keep: metres to stay away. forward,
    turn: m/s and rad/s at most; faster, turn_faster: m/s2 and rad/s2 at most, twice that for slowing down. rate:
    commands a second.
    """

    fov: float = 60.0
    max_latency: float = 0.3
    dead_time: float = 0.15
    stop_after: float = 0.5
    keep: float = 1.5
    forward: float = 0.8
    turn: float = 1.2
    faster: float = 1.0
    turn_faster: float = 4.0
    rate: float = 20.0

    def __post_init__(self) -> None:
        self.frame_at = self.seen_at = -math.inf         # when the newest frame was taken, and the one with the person
        self.bearing = self.distance = 0.0               # of the person then: radians to the left, metres
        self._given: deque[tuple[float, float, float]] = deque(maxlen=256)         # time, forward, turn

    def see(self, box: Floats | None, size_wh: tuple[int, int], captured: float) -> None:
        """A frame, with the person's box if there is one.

        box: (4,) xyxy in pixels. size_wh: of the frame. captured: when it was taken, in seconds of the clock of
        `command`; an older one than before changes nothing."""
        if captured < self.frame_at:
            return
        self.frame_at = captured
        if box is None:
            return
        (width, height), (left, top, right, bottom) = size_wh, box.tolist()
        focal = width / 2 / math.tan(math.radians(self.fov / 2))
        self.bearing = math.atan((width - left - right) / 2 / focal)
        cut = bottom >= height - _EDGE
        self.distance = focal * (_WIDE / max(1.0, right - left) if cut else _TALL / max(1.0, bottom - top))
        self.seen_at = captured

    def command(self, now: float) -> tuple[float, float]:
        """Forward in m/s and turn in rad/s, left positive, for `now` in seconds. Called `rate` times a second."""
        _, forward, turn = self._given[-1] if self._given else (now, 0.0, 0.0)
        if now - self.frame_at > self.max_latency or now - self.seen_at > self.stop_after:
            forward = turn = 0.0
        else:
            bearing, distance = self._by_then(now)
            ahead = min(max(0.0, distance - self.keep) * max(0.0, math.cos(bearing)) ** 3, self.forward)
            forward += float(np.clip(ahead - forward, -2 * self.faster / self.rate, self.faster / self.rate))
            aside = float(np.clip(2 * bearing, -self.turn, self.turn))
            turn += float(np.clip(aside - turn, -self.turn_faster / self.rate, self.turn_faster / self.rate))
        self._given.append((now, forward, turn))
        return forward, turn

    def _by_then(self, now: float) -> tuple[float, float]:
        """Where the person is when a command of `now` begins to move the base."""
        since = np.array([one for one in self._given if one[0] >= self.seen_at - self.dead_time]).reshape(-1, 3)
        moved, turned = np.diff(since[:, 0], append=now) @ since[:, 1:]
        return self.bearing - float(turned), self.distance - float(moved)
