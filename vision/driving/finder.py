"""The ego lane in a stream: classical, without weights, or from what a network says; and where the camera looks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from vision.driving.fit import SPREAD, LaneFit, Vote
from vision.driving.lines import CLEAR, LaneLines
from vision.driving.rows import Evidence, Rows
from vision.driving.vanishing import vanishing_point
from vision.errors import UsageError
from vision.geometry.camera import Camera
from vision.geometry.ground import Ground
from vision.geometry.mounting import Mounting
from vision.geometry.setup import Setup
from vision.state import State
from vision.types import Image

GUESS_VIEW, GUESS_HEIGHT = 60.0, 1.3           # degrees across and metres of a camera that nothing is known of
_USUAL = (3.5, 0.45), (3.6, 0.8)               # a lane's width in metres and its deviation: calibrated, guessed
_SEEN = 0.07                                   # of the rows: less support of a line is none
_SURE = 0.25
_FADES = 0.6                                   # seconds in which the score of a line that is not seen falls by e
_GAP = 0.9                                     # seconds between frames: what is further apart is apart
_LOST = 1.5                                    # seconds without a line: begin anew
_VOTE_EVERY = 5                                # frames between votes while both lines are held
_ELSEWHERE = 0.9                               # metres: a vote so far from the lines that are held speaks against them
_NOD = 0.25                                    # of what the spread says of the pitch, taken over a frame
_KNOWN, _GUESSED = 0.4, 1.5                    # degrees: one deviation of a pitch that lanes told, that one frame told
_SETTLES = 15                                  # frames of lanes until the one becomes the other
_MOUNTED = 0.04                                # radians: one deviation of how cameras are mounted


Look = Callable[[Rows], Evidence]              # what says where markings are


class LaneFinder:
    """`finder(image, time) -> LaneLines`, called once a frame of one stream.

    size_wh: of the frames, in pixels. setup: what is known of the camera. Where its mounting is known, metres are
    metres; where only its height is not known, or nothing, lines are found in the picture alone, and where the
    camera looks is read off the lines themselves.
    height: metres, of a camera whose lens is known and whose pitch is not. Raises UsageError as `Setup.ground` does.
    """

    def __init__(self, size_wh: tuple[int, int], setup: Setup = Setup(), height: float | None = None) -> None:  # noqa: B008
        self.size_wh = size_wh
        self.given = setup.ground(size_wh)
        self.calibrated = self.given is not None or (setup.camera is not None and height is not None)
        lens = setup.camera.scaled(size_wh) if setup.camera is not None else Camera.of_view(size_wh, GUESS_VIEW)
        self._lens, self._height = lens, height or GUESS_HEIGHT
        self._pitch: float | None = None                     # where it is read off the lines
        self._told = 0                                       # frames in which the pitch was read
        straight = Ground.of(lens, Mounting(self._height)).horizon()
        self._level = (straight, lens.focal[1] * _MOUNTED) if setup.camera is not None else None
        self.rows = Rows.of(self.given or Ground.of(lens, Mounting(self._height)))
        self.fit = LaneFit()
        self._begun, self._since, self._last = False, [-np.inf, -np.inf], -np.inf
        self._count, self._against = 0, 0

    def __call__(self, image: Image, time: float, evidence: Look | None = None) -> LaneLines:
        """The lines in the frame (H,W,3) uint8 BGR at `time` seconds.

        evidence: a function from `Rows` to `Evidence`, of a network's; the markings of the picture unless given."""
        look = evidence or (lambda rows: rows.markings(image))
        if time < self._last or time - self._last > _GAP:                # a cut, another picture: nothing goes on
            self._begun = False
        self._last = time
        if not self._begun:
            points = self._search(image, look, time)
        else:
            points = look(self.rows)
            self.fit.predict(time)
        self._vote(points, time)
        self.fit.update(points, self.rows.forward)
        crossed = self.fit.crossed()
        if self.given is None:
            self._read_pitch()
        return self._result(time, crossed)

    def _search(self, image: Image, look: Look, time: float) -> Evidence:
        """Begin: where the camera looks, if that is not known, and where the lane is."""
        width = _USUAL[0] if self.calibrated else _USUAL[1]
        if self.given is None and (self._pitch is None or self._told < _SETTLES):
            point = vanishing_point(image, self._level)
            self._pitch = Mounting.from_vanishing_point(self._lens, point, self._height).pitch
            self.rows = self._at_pitch(self._pitch)
        points = look(self.rows)
        lane, _ = Vote(points).best(width, (0.0, 0.6), None)
        self.fit.begin(lane, time)
        self._begun, self._count, self._against = True, 0, 0
        return points

    def _vote(self, points: Evidence, time: float) -> None:
        """Ask all points again where the lane is; what they say three times against the lines that are held counts."""
        held = bool((self.fit.support > 2 * _SEEN).all())
        self._count += 1
        if held and self._count % _VOTE_EVERY:
            return
        mean = self.fit.mean
        spread = 0.5 if self.calibrated else 0.8
        near = (float(mean[0] - mean[1]), spread), (float(mean[0] + mean[1]) / 2, 0.7)
        lane, votes = Vote(points).best(*near, mean)
        far = np.abs(lane[:2] - mean[:2]) > _ELSEWHERE
        better = far & (self.fit.support < 2 * _SEEN)
        self._against = self._against + 1 if better.any() and votes > 0 else 0
        if self._against >= 3:
            self.fit.begin(lane, time)
            self._against = 0

    def _read_pitch(self) -> None:
        """Lines that spread or close in are seen by a camera that looks further up or down."""
        far = (self.fit.reach > CLEAR).all()
        if far and (self.fit.support > 1.5 * _SEEN).all() and (self.fit.residual < 0.2).all():
            self._told += 1
            self._nod(_NOD)

    def _nod(self, share: float) -> None:
        """Turn the camera by a share of what the spread of the lines says."""
        assert self._pitch is not None
        wide = float(self.fit.mean[0] - self.fit.mean[1])
        off = float(np.degrees(np.arctan(self._height * 2 * self.fit.mean[SPREAD] / max(wide, 1.0))))
        move = float(np.clip(share * off, -2, 2))
        self._pitch = float(np.clip(self._pitch + move, -30, 40))
        at = self.rows.plane.mounting
        surer = self._told in (_SETTLES // 2, _SETTLES, 2 * _SETTLES)
        if at is not None and (surer or abs(self._pitch - at.pitch) > 0.08):
            self.rows = self._at_pitch(self._pitch)
            self.fit.mean[SPREAD] -= np.radians(self._pitch - at.pitch) * wide / (2 * self._height)

    def _at_pitch(self, pitch: float) -> Rows:
        error = max(_KNOWN, _GUESSED * float(np.exp(-self._told / _SETTLES)))
        return Rows.of(Ground.of(self._lens, Mounting(self._height, pitch, pitch_error=error)))

    def _result(self, time: float, crossed: int) -> LaneLines:
        scores = np.zeros(2)
        for side in (0, 1):
            support, residual = self.fit.support[side], self.fit.residual[side]
            now = min(1.0, support / _SURE) * float(np.exp(-residual / 0.5)) if support > _SEEN else 0.0
            if now > 0.15:
                self._since[side] = time
                scores[side] = now
            else:
                scores[side] = 0.5 * np.exp(-(time - self._since[side]) / _FADES)
        shown = np.flatnonzero(scores > 0.12)
        if not len(shown) and time - max(self._since) > _LOST:
            self._begun = False
        curves = np.array([self.fit.curve(side) for side in shown.tolist()]).reshape(-1, 3)
        return LaneLines(curves, shown.astype(np.int64), scores[shown].astype(np.float32), self.rows.ahead,
                         self.rows.plane, self.calibrated, crossed)

    def state(self) -> State:
        """All that it remembers."""
        at = self.rows.plane.mounting
        plane = None if self.given is not None or at is None else [at.pitch, at.pitch_error]
        return {"fit": self.fit.state(), "pitch": self._pitch, "begun": self._begun, "since": list(self._since),
                "last": self._last, "count": self._count, "against": self._against,
                "told": self._told, "plane": plane}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was asked for."""
        self.fit.restore(state["fit"])
        self._pitch, self._begun, self._since = state["pitch"], state["begun"], list(state["since"])
        self._last, self._count, self._against = state["last"], state["count"], state["against"]
        self._told = state["told"]
        if state["plane"] is not None:
            pitch, error = state["plane"]
            self.rows = Rows.of(Ground.of(self._lens, Mounting(self._height, pitch, pitch_error=error)))


def sized(setup: Setup, height: float | None, pitch: float | None) -> Setup:
    """A setup with a mounting given by hand: height in metres and pitch in degrees, where both are known. Raises
    UsageError where the setup has points on the ground, which say it all."""
    if height is None and pitch is None:
        return setup
    if setup.points is not None:
        raise UsageError("the calibration has four points on the ground, which say how the camera is mounted: leave "
                         "out --height and --pitch, or take [ground] out of it.")
    if setup.mounting is not None:
        base = setup.mounting
        return replace(setup, mounting=replace(base, height=height or base.height,
                                               pitch=base.pitch if pitch is None else pitch))
    if height is None or pitch is None:
        return setup
    return replace(setup, mounting=Mounting(height, pitch))
