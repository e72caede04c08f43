"""When to warn: forward collision, people in the way, leaving the lane; each begins and ends once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from vision.drawing import class_name
from vision.driving.lines import CLEAR, SIDES, LaneLines
from vision.driving.obstacles import HALF_CAR, Obstacles, placed
from vision.state import State
from vision.types import Names

PEOPLE = frozenset({"person", "pedestrian", "bicyclist", "bicycle", "rider"})
COLLISION, PERSON, DEPARTURE = "forward collision", "pedestrian", "lane departure"
_HOLD = {COLLISION: (0.2, 0.5), PERSON: (0.2, 0.5), DEPARTURE: (0.2, 0.6)}     # seconds before it begins, and ends
_COLLISION = (2.7, 3.6)            # seconds to collision: it begins below the one, and ends above the other
_PERSON = (4.0, 5.5)
_PERSON_NEAR = (8.0, 12.0)         # metres: a person in the way that is so near
_PERSON_TALL = (0.40, 0.32)        # of the picture's height: the same without a calibration
_LINE = (0.10, 0.30)               # metres from our side to the line
_CROSSES = 0.6                     # seconds: or it is reached so soon
_USUAL = 3.6                       # metres: a lane without a calibration
_LINE_SURE = 0.4


@dataclass(frozen=True)
class Alert:
    """A warning begins or ends; its end has the place, the track and the class that it began with.

    kind: `forward collision`, `pedestrian` or `lane departure`. side: `begin` or `end`; place: of a departure, `left`
    or `right`.
    time: seconds. track: the object's id, 0: none. label: its class.
    values: the numbers that caused it, by name: `ttc_s`, `distance_m`, `speed_m_s`, `to_line_m`, `to_line_ratio`,
        `lateral_m_s`, each where it is known.
    """

    kind: str
    side: str
    time: float
    values: Mapping[str, float]
    place: str = ""
    track: int = 0
    label: int = -1

    def to_dict(self, names: Names | None = None) -> dict[str, Any]:
        """The event in plain values."""
        what = {"id": self.track, "label": class_name(names or (), self.label)} if self.track else {}
        return {"time_s": round(self.time, 6), "event": self.kind, "side": self.side,
                **({"place": self.place} if self.place else {}), **what,
                **{name: round(value, 3) for name, value in self.values.items()}}


@dataclass
class _Latch:
    """One warning: on while its cause lasts, and for a while before it changes."""

    on: bool = False
    since: float | None = None                     # when what speaks for a change began

    def step(self, time: float, wanted: bool, begin: float, end: float) -> bool:
        """Whether it changes now."""
        if wanted == self.on or (self.since is not None and time < self.since):
            self.since = None
        if wanted == self.on:
            return False
        self.since = time if self.since is None else self.since
        if time - self.since + 1e-9 < (begin if wanted else end):
            return False
        self.on, self.since = wanted, None
        return True


class Warnings:
    """`warnings(time, obstacles, lanes, names) -> alerts`, called once a frame of one stream.

    active: the warnings that are on, with what causes them now, by kind."""

    def __init__(self) -> None:
        self._latches = {kind: _Latch() for kind in _HOLD}
        self.active: dict[str, Alert] = {}
        self._begun: dict[str, Alert] = {}                       # what those began with, by kind
        self._offset: tuple[float, float] | None = None          # time and metres
        self._drift = 0.0

    def __call__(self, time: float, obstacles: Obstacles, lanes: LaneLines, names: Names) -> tuple[Alert, ...]:
        """The warnings that begin or end in a frame."""
        found = {
            COLLISION: self._nearest(time, COLLISION, obstacles, obstacles.in_path, names),
            PERSON: self._nearest(time, PERSON, obstacles, placed(obstacles.boxes, lanes, 0.7)[1], names,
                                  lanes.plane.size_wh[1]),
            DEPARTURE: self._departure(time, lanes),
        }
        events = []
        for kind, cause in found.items():
            latch = self._latches[kind]
            if latch.step(time, cause is not None, *_HOLD[kind]):
                if cause is not None:
                    self._begun[kind] = cause
                    events.append(cause)
                else:
                    del self.active[kind]
                    events.append(_ended(self._begun.pop(kind), time))
            if latch.on and cause is not None:
                self.active[kind] = cause
        return tuple(events)

    def _nearest(
        self, time: float, kind: str, obstacles: Obstacles, in_way: np.ndarray, names: Names, height: int = 1
    ) -> Alert | None:
        """The most urgent object in the way."""
        on = self._latches[kind].on
        best, urgency = None, 0.0
        for n in np.flatnonzero(in_way).tolist():
            is_person = class_name(names, int(obstacles.labels[n])) in PEOPLE
            if is_person != (kind == PERSON) or obstacles.states[n]:
                continue
            seconds, metres = float(obstacles.times[n, 0]), float(obstacles.distances[n, 0])
            latest = float(obstacles.times[n, 2])
            limit = (_PERSON if is_person else _COLLISION)[on]
            soon = seconds < limit and (on or latest < 2.5 * limit)
            near = is_person and metres < _PERSON_NEAR[on]
            tall = float(obstacles.boxes[n, 3] - obstacles.boxes[n, 1]) / height
            near = near or (is_person and np.isnan(metres) and tall > _PERSON_TALL[on])
            if not (soon or near):
                continue
            pressing = 1 / max(seconds, 1e-3) if soon else 1e-3
            if pressing > urgency:
                urgency = pressing
                values = {"ttc_s": seconds, "distance_m": metres, "speed_m_s": float(obstacles.speeds[n, 0])}
                known = {name: value for name, value in values.items() if np.isfinite(value)}
                best = Alert(kind, "begin", time, known, "", int(obstacles.ids[n]), int(obstacles.labels[n]))
        return best

    def _departure(self, time: float, lanes: LaneLines) -> Alert | None:
        """The line that the car is on, or soon will be."""
        offset, width = lanes.offset, lanes.width
        hidden = lanes.ahead[1] < CLEAR            # a queue, which is slow
        if offset is None or width is None or hidden or float(lanes.scores.min()) < _LINE_SURE:
            self._offset = None
            return None
        scale = 1.0 if lanes.calibrated else _USUAL / max(width, 1.0)
        offset, width = offset * scale, width * scale
        if self._offset is not None and 0 < time - self._offset[0] < 0.5 and not lanes.crossed:
            step = time - self._offset[0]
            share = step / (step + 0.3)
            self._drift += share * ((offset - self._offset[1]) / step - self._drift)
        elif self._offset is None or lanes.crossed:
            self._drift = 0.0
        self._offset = (time, offset)
        limit = _LINE[self._latches[DEPARTURE].on]
        for side, sign in ((0, 1.0), (1, -1.0)):
            room = width / 2 - HALF_CAR - sign * offset
            towards = sign * self._drift
            if room < limit or (towards > 0.15 and room / towards < _CROSSES):
                values = {"to_line_m": room, "lateral_m_s": towards} if lanes.calibrated else {
                    "to_line_ratio": room / width}
                return Alert(DEPARTURE, "begin", time, values, SIDES[side])
        return None

    def state(self) -> State:
        """All that it remembers."""
        return {"latches": {kind: asdict(one) for kind, one in self._latches.items()}, "drift": self._drift,
                "offset": None if self._offset is None else list(self._offset),
                **{name: {kind: {**asdict(one), "values": dict(one.values)} for kind, one in alerts.items()}
                   for name, alerts in (("active", self.active), ("begun", self._begun))}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was asked for."""
        self._latches = {kind: _Latch(**one) for kind, one in state["latches"].items()}
        self._drift = state["drift"]
        self._offset = None if state["offset"] is None else (state["offset"][0], state["offset"][1])
        self.active, self._begun = (
            {kind: Alert(**one) for kind, one in state[name].items()} for name in ("active", "begun"))

    def close(self, time: float) -> Sequence[Alert]:
        """The end of the stream: what is on ends."""
        return [_ended(one, time) for one in self._begun.values()]


def _ended(begun: Alert, time: float) -> Alert:
    """The end of the warning that began so."""
    return replace(begun, side="end", time=time, values={})
