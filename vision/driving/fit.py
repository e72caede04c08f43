"""Two lane lines through many points: votes for where they are, then a Kalman filter over their polynomials.

Both lines bend alike: left = offset + (heading -+ spread) * forward + bend * forward^2. The spread is what an error of
the pitch makes of lines that are parallel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vision.driving.rows import Evidence
from vision.geometry.camera import Points
from vision.state import State, put_back, snapshot

LEFT, RIGHT, HEADING, SPREAD, BEND = range(5)
_HEADINGS = np.linspace(-0.14, 0.14, 15)
_BENDS = np.array([-4, -2.5, -1.5, -0.75, 0, 0.75, 1.5, 2.5, 4]) * 1e-3       # 1 / (2 radius)
_BIN = 0.1                                                                    # metres
_REACH = 6.0                                                                  # metres to each hand
_FREE = np.array([3.0, 3.0, 0.15, 0.03, 2e-3])                               # before anything is known: deviations
_DRIFT = np.array([0.5, 0.5, 0.06, 0.01, 1e-3])                              # per root second
_POINT = 0.35                      # metres: one deviation of a row's marking; rows of one dash err together
_BANDS = (0.45, 0.3)               # metres: points further from a line are not of it
_NARROW, _BROAD = 1.9, 5.6         # metres between lines


class Vote:
    """Where a lane is most likely, from all points of a frame: a Hough transform over offset, heading and bend."""

    def __init__(self, points: Evidence) -> None:
        z, y, w = points
        heading, bend = (grid.ravel() for grid in np.meshgrid(_HEADINGS, _BENDS, indexing="ij"))
        offset = y - np.outer(heading, z) - np.outer(bend, z**2)                         # (K,P)
        count = round(2 * _REACH / _BIN)
        bins = np.floor((offset + _REACH) / _BIN).astype(np.int64)
        inside = (bins >= 0) & (bins < count)
        flat = (np.arange(len(heading))[:, None] * count + bins)[inside]
        votes = np.bincount(flat, np.broadcast_to(w, bins.shape)[inside], len(heading) * count)
        votes = votes.reshape(len(heading), count)
        self.votes = votes + 0.5 * (np.roll(votes, 1, 1) + np.roll(votes, -1, 1))
        self.heading, self.bend = heading, bend
        self.offset = (np.arange(count) + 0.5) * _BIN - _REACH

    def best(
        self, width: tuple[float, float], centre: tuple[float, float], near: Points | None
    ) -> tuple[Points, float]:
        """The likeliest lane (5,), and its votes.

        width, centre: of the lane, in metres, each with one standard deviation. near: a lane (5,) that it should be
        like; None."""
        left = self.offset > 0.2
        a_left, a_right = self.offset[left], self.offset[self.offset < -0.2]
        apart = a_left[:, None] - a_right
        middle = (a_left[:, None] + a_right) / 2
        prior = -0.5 * ((apart - width[0]) / width[1]) ** 2 - 0.5 * ((middle - centre[0]) / centre[1]) ** 2
        prior = np.where((apart >= _NARROW) & (apart <= _BROAD), prior, -50.0)
        cost = 0.02 * np.abs(self.heading) / 0.14 + 0.04 * np.abs(self.bend) / 4e-3
        if near is not None:
            cost = cost + 0.5 * (np.minimum(np.abs(self.heading - near[HEADING]) / 0.06, 2.0)
                                 + np.minimum(np.abs(self.bend - near[BEND]) / 2e-3, 2.0)) / 4
        most = max(float(self.votes.max()), 1e-6)
        # a solid line has many votes, a dashed one few: the root makes two fair ones win over one good one
        strength = np.sqrt(self.votes / most)
        total = strength[:, left][:, :, None] + strength[:, self.offset < -0.2][:, None, :] + 0.35 * prior
        total -= cost[:, None, None]
        k, i, j = np.unravel_index(int(np.argmax(total)), total.shape)
        lane = np.array([a_left[i], a_right[j], self.heading[k], 0.0, self.bend[k]])
        return lane, float(self.votes[k][left][i] + self.votes[k][self.offset < -0.2][j])


class LaneFit:
    """The two lines of the ego lane over time: mean (5,) and covariance (5,5), as an information filter takes points.

    support: for left and right, the share of the rows that had a marking on the line in the last frame. residual: how
    far these lay from it, in metres. reach: how far ahead the furthest lay, in metres.
    """

    _FIELDS = ("mean", "covariance", "support", "residual", "reach", "_time")

    def __init__(self) -> None:
        self.mean, self.covariance = np.array([1.8, -1.8, 0, 0, 0]), np.diag(_FREE**2)
        self.support, self.residual, self.reach = np.zeros(2), np.full(2, 1.0), np.zeros(2)
        self._time: float | None = None

    def begin(self, lane: Points, time: float) -> None:
        """Forget all, and begin with a lane."""
        self.mean, self.covariance, self._time = lane.copy(), np.diag((_FREE * [0.1, 0.1, 0.3, 1, 0.5]) ** 2), time

    def predict(self, time: float) -> None:
        """Let the lines drift until a time in seconds."""
        step = 0.0 if self._time is None else min(max(time - self._time, 0.0), 1.0)
        self.covariance = self.covariance + np.diag(_DRIFT**2 * step)
        self._time = time

    def update(self, points: Evidence, rows: Points) -> None:
        """Take the points of a frame in. rows: forward (R,) of the rows that were looked at."""
        prior = np.linalg.inv(self.covariance)
        for band in _BANDS:
            z, y, w = points
            table = np.zeros((2, len(z), 5))
            table[0, :, LEFT] = table[1, :, RIGHT] = 1
            table[:, :, HEADING], table[:, :, BEND] = z, z**2
            table[0, :, SPREAD], table[1, :, SPREAD] = z, -z
            away = y - table @ self.mean                                     # (2,P)
            near = np.abs(away) < band
            weight = np.where(near, w, 0.0) / _POINT**2
            design = table[near]
            lhs = prior + (design * weight[near][:, None]).T @ design
            rhs = (design * (weight[near] * away[near])[:, None]).sum(0) + prior @ (self._prior_mean(band) - self.mean)
            self.mean = self.mean + np.linalg.solve(lhs, rhs)
        self.covariance = np.linalg.inv(lhs)
        for side in (0, 1):
            mine = near[side]
            self.support[side] = len(np.unique(z[mine])) / len(rows)
            self.reach[side] = float(z[mine].max()) if mine.any() else 0.0
            rest = np.average(away[side][mine] ** 2, weights=w[mine]) if mine.any() else 1.0
            self.residual[side] = float(np.sqrt(rest))

    def _prior_mean(self, band: float) -> Points:
        if band == _BANDS[0]:
            self._before = self.mean.copy()
        return self._before

    def crossed(self) -> int:
        """After a lane change: 1 where the car is now in the lane to the left, -1 to the right, else 0; the lines are
        those of the new lane."""
        left, right = self.mean[:2]
        wide = left - right
        if left < -0.15:
            self._shift(LEFT, RIGHT, wide)
            return 1
        if right > 0.15:
            self._shift(RIGHT, LEFT, -wide)
            return -1
        return 0

    def _shift(self, known: int, other: int, wide: float) -> None:
        """The line that was crossed is now the other one; its own place is a lane's width further."""
        variance = self.covariance[known, known]
        self.mean[other], self.mean[known] = self.mean[known], self.mean[known] + wide
        for i in (LEFT, RIGHT):
            self.covariance[i, :] = self.covariance[:, i] = 0
        self.covariance[other, other], self.covariance[known, known] = variance, 0.5**2
        self.support = self.support[::-1].copy()

    def curve(self, side: int) -> Points:
        """(3,): offset, heading and bend of the left (0) or right (1) line."""
        sign = 1 if side == 0 else -1
        return np.array([self.mean[side], self.mean[HEADING] + sign * self.mean[SPREAD], self.mean[BEND]])

    def state(self) -> State:
        """All that it remembers."""
        return snapshot(self, self._FIELDS)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was asked for."""
        put_back(self, self._FIELDS, state)
