"""How fast an object comes nearer: its rate of approach, time to collision, and its distance over time.

What comes nearer grows in the picture: its scale s changes at a rate of (ds/dt) / s = speed / distance, and one over
that rate is the time to collision (Lee 1976, "A theory of visual control of braking").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vision.geometry.distance import Estimate
from vision.state import State, put_back, snapshot

_LONGEST_STEP = 1.0                # seconds: after a longer gap, or a step back in time, it begins anew
_AGILE = 0.08                      # 1/s per root second: how much a rate of approach changes by itself
_SHIFTS = 0.3                      # of what is wrong all the time: how much of it another view of the object changes
_UNKNOWN = 1.0                     # 1/s: what a rate may be before anything is known of it


def time_to_collision(distance: Estimate, speed: float, speed_error: float) -> Estimate:
    """The time until something is here, from its distance and the speed at which it comes nearer.

    distance: in metres. speed: metres a second, positive: nearer. speed_error: one standard deviation of it.
    Returns seconds, infinite where it does not come nearer."""
    rate = speed * max(distance.inverse, 0.0)
    error = np.hypot(speed_error * distance.inverse, speed * distance.total)
    return Estimate(float(rate), float(error))


class Closing:
    """One object's rate of approach: a Kalman filter over the logarithm of its size (or of one over its distance) and
    that rate, in 1/s. Times may come at any rate; after a gap of more than a second, or a step back, it begins anew.

    agile: how much the rate changes by itself, in 1/s per root second.
    """

    _FIELDS = ("_time", "_mean", "_cov", "_since")

    def __init__(self, agile: float = _AGILE) -> None:
        self.agile = agile
        self._time: float | None = None
        self._mean, self._cov = np.zeros(2), np.diag([1e6, _UNKNOWN**2])
        self._since = 0.0

    @property
    def rate(self) -> Estimate:
        """The time to collision: its inverse is the rate of approach."""
        return Estimate(float(self._mean[1]), float(np.sqrt(max(self._cov[1, 1], 0.0))))

    @property
    def age(self) -> float:
        """Seconds of what it has seen since it began."""
        return 0.0 if self._time is None else self._time - self._since

    def __call__(
        self, time: float, log_size: float, error: float, growth: tuple[float, float] | None = None
    ) -> Estimate:
        """Take a frame in.

        time: seconds. log_size: the logarithm of its size. error: one standard deviation of it.
        growth: by how much that logarithm grew since the last frame, measured in the picture itself, with one standard
            deviation; None where it was not.
        Returns the time to collision."""
        step = 0.0 if self._time is None else time - self._time
        if self._time is None or not 0 < step <= _LONGEST_STEP:
            self._time = self._since = time
            self._mean, self._cov = np.array([log_size, 0.0]), np.diag([error**2, _UNKNOWN**2])
            return self.rate
        self._time = time
        move = np.array([[1.0, step], [0.0, 1.0]])
        q = self.agile**2
        self._mean = move @ self._mean
        self._cov = move @ self._cov @ move.T + q * np.array([[step**3 / 3, step**2 / 2], [step**2 / 2, step]])
        if growth is not None:
            self._update(np.array([0.0, 1.0]), growth[0] / step, growth[1] / step)
        self._update(np.array([1.0, 0.0]), log_size, error)
        return self.rate

    def _update(self, row: np.ndarray, value: float, error: float) -> None:
        spread = float(row @ self._cov @ row) + error**2
        gain = self._cov @ row / spread
        self._mean = self._mean + gain * (value - float(row @ self._mean))
        self._cov = self._cov - np.outer(gain, row @ self._cov)

    def state(self) -> State:
        """All that it remembers."""
        return snapshot(self, self._FIELDS)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was asked for."""
        put_back(self, self._FIELDS, state)


class Distances:
    """One object's distance over time: what differs from frame to frame is averaged out, while the object moves as
    its change of scale says; what is wrong all the time stays in the interval. A Kalman filter over one over the
    distance, in which both are straight lines."""

    _FIELDS = ("_time", "_inverse", "_variance", "_lasting")

    def __init__(self) -> None:
        self._time: float | None = None
        self._inverse = self._variance = self._lasting = 0.0

    def __call__(self, time: float, seen: Estimate | None, rate: Estimate) -> Estimate | None:
        """Take a frame in.

        time: seconds. seen: the distance in this frame alone, in metres; None where there is none. rate: the time to
        collision, whose inverse says how much nearer it has come. Returns the distance; None before there was one."""
        step = 0.0 if self._time is None else time - self._time
        if self._time is None or not 0 < step <= _LONGEST_STEP:
            self._time = None
        if self._time is not None:
            growth = float(np.exp(np.clip(rate.inverse * step, -1, 1)))
            self._inverse *= growth
            self._variance = self._variance * growth**2 + (self._inverse * rate.total * step) ** 2
        if seen is not None:
            noise = seen.passing**2
            if self._time is None:
                self._inverse, self._variance, self._lasting = seen.inverse, noise, seen.error
            else:
                known = self._variance + (_SHIFTS * self._lasting) ** 2
                gain = known / max(known + noise + (_SHIFTS * seen.error) ** 2, 1e-18)
                self._inverse += gain * (seen.inverse - self._inverse)
                self._variance = (1 - gain) ** 2 * self._variance + gain**2 * noise
                self._lasting = (1 - gain) * self._lasting + gain * seen.error
        elif self._time is None:
            return None
        self._time = time
        return Estimate(self._inverse, self._lasting, float(np.sqrt(self._variance)))

    def state(self) -> State:
        """All that it remembers."""
        return snapshot(self, self._FIELDS)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was asked for."""
        put_back(self, self._FIELDS, state)
