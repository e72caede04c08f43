"""Counts that can be audited: every number is a list of events with track, time, side and place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

import numpy as np

from vision.drawing import class_name
from vision.state import State
from vision.tracking.scene import Line, Point, Scene, Zone
from vision.tracking.speed import Speedometer
from vision.types import Floats, Names, Tracks

HYSTERESIS = 0.1           # box sizes (the root of the area)


@dataclass(frozen=True)
class Event:
    """A track crossed a line, or entered or left a zone.

    kind: `cross` a line, `enter` or `leave` a zone. place: the name of the line or the zone.
    track: the track's id. label: its class.
    side: the line's name for the side that it went to; for a zone `in`, `out`, or `lost` where the track ended
        inside.
    time: seconds; interpolated between the two frames.
    point: where, x and y in pixels.
    dwell: seconds in the zone (for `leave`; else 0).
    """

    kind: Literal["cross", "enter", "leave"]
    place: str
    track: int
    label: int
    side: str
    time: float
    point: Point
    dwell: float = 0.0

    def to_dict(self, names: Names | None = None) -> dict[str, Any]:
        """The event in plain values: microseconds, 0.01 pixels."""
        values: dict[str, Any] = {
            "time_s": round(self.time, 6), "event": self.kind, "place": self.place, "side": self.side,
            "id": self.track, "label": class_name(names or (), self.label),
            "x": round(self.point[0], 2), "y": round(self.point[1], 2),
        }
        return values | ({"dwell_s": round(self.dwell, 3)} if self.kind == "leave" else {})


@dataclass(frozen=True)
class Counted:
    """The tracks of a frame with what was counted so far.

    tracks: N of them. events: those since the frame before.
    totals: for each place, how many events on each side. inside: for each zone, how many tracks are in it now.
    speeds, speed_errors: (N,) float32, metres a second and their standard deviation; NaN where not known.
    scene: the lines and zones.
    """

    tracks: Tracks
    events: tuple[Event, ...]
    totals: Mapping[str, Mapping[str, int]]
    inside: Mapping[str, int]
    speeds: Floats
    speed_errors: Floats
    scene: Scene

    def to_dict(self, names: Names | None = None) -> dict[str, Any]:
        """`events`, `totals`, `inside`, and the `speeds` that are known, by track id; the tracks themselves are in the
        record under their own key."""
        columns = self.tracks.ids.tolist(), self.speeds.tolist(), self.speed_errors.tolist()
        speeds = [
            {"id": i, "speed_m_s": round(speed, 3), "speed_error_m_s": round(error, 3)}
            for i, speed, error in zip(*columns, strict=True) if speed == speed
        ]
        return {
            "events": [event.to_dict(names) for event in self.events],
            "totals": {place: dict(sides) for place, sides in self.totals.items()},
            "inside": dict(self.inside),
            **({"speeds": speeds} if speeds else {}),
        }


def _point(values: Sequence[float]) -> Point:
    x, y = values
    return x, y


@dataclass
class _Passage:
    """One track at one border: the side it is known to be on, and where it last passed.

    It changes sides when it is further from the border than a margin; until then it may waver.
    """

    side: int = 0                                   # 1: right hand or inside, -1; 0: not known yet
    distance: float = 0.0
    passed: tuple[float, Point] | None = None

    def step(
        self, time: float, point: Point, distance: float, margin: float, last: tuple[float, Point]
    ) -> bool:
        """Whether the track has now changed sides."""
        if self.side and self.distance * distance <= 0 and distance != self.distance:
            share = self.distance / (self.distance - distance)
            (x, y), (u, v) = last[1], point
            self.passed = last[0] + share * (time - last[0]), (x + share * (u - x), y + share * (v - y))
        self.distance = distance
        if abs(distance) <= margin:
            return False
        before, self.side = self.side, 1 if distance > 0 else -1
        return before == -self.side


@dataclass
class _Path:
    """What is known of one track."""

    label: int
    time: float
    point: Point
    passages: dict[str, _Passage] = field(default_factory=dict)
    entered: dict[str, float] = field(default_factory=dict)          # zone -> since when

    @classmethod
    def of(cls, state: State) -> Self:
        """The way back from `asdict`."""
        passages = {}
        for name, values in state["passages"].items():
            passed = None if values["passed"] is None else (values["passed"][0], _point(values["passed"][1]))
            passages[name] = _Passage(values["side"], values["distance"], passed)
        point = _point(state["point"])
        return cls(state["label"], state["time"], point, passages, dict(state["entered"]))


class Counter:
    """`counter(tracks, time) -> Counted`, called once a frame with a tracker's confirmed tracks.

    A track crosses a line only between its ends. One that is first seen in a zone enters it then.

    scene: lines, zones and the ground, in the pixels of the frames.
    hysteresis: a track that comes within so many box sizes of a border keeps its side until it is that far
        on the other one; it is counted then, once, with the time and place where it passed.
    lost_after: the tracker's; a track that is not seen for so many seconds leaves its zones where it was
        last seen.

    totals: place -> side -> events so far. dwells: zone -> seconds that each track stayed in it.
    """

    def __init__(self, scene: Scene, *, hysteresis: float = HYSTERESIS, lost_after: float = 1.5) -> None:
        self.scene, self.hysteresis, self.lost_after = scene, hysteresis, lost_after
        self.dwells: dict[str, list[float]] = {zone.name: [] for zone in scene.zones}
        self.totals = {line.name: {line.right: 0, line.left: 0} for line in scene.lines}
        self.totals |= {zone.name: {"in": 0, "out": 0, "lost": 0} for zone in scene.zones}
        self._paths: dict[int, _Path] = {}
        self._speedometer = Speedometer(scene.ground) if scene.ground is not None else None

    def __call__(self, tracks: Tracks, time: float) -> Counted:
        """The counts of the next frame. tracks: the confirmed ones (ids from 1). time: seconds."""
        anchors = self.scene.anchors(tracks.boxes)
        sides = tracks.boxes[:, 2:] - tracks.boxes[:, :2]
        sizes = np.sqrt(np.maximum(sides[:, 0] * sides[:, 1], 0)).astype(np.float64)
        places: tuple[Line | Zone, ...] = (*self.scene.lines, *self.scene.zones)
        distances = [place.distance(anchors).tolist() for place in places]
        events = self._over(time - self.lost_after - 1e-6, time)
        for n, (i, label) in enumerate(zip(tracks.ids.tolist(), tracks.labels.tolist(), strict=True)):
            point = (float(anchors[n, 0]), float(anchors[n, 1]))
            path = self._paths.setdefault(i, _Path(label, time, point))
            last, path.label, path.time, path.point = (path.time, path.point), label, time, point
            for place, distance in zip(places, distances, strict=True):
                events += self._step(i, path, place, distance[n], self.hysteresis * sizes[n], last)
        self._add(events)
        return self._counted(tracks, events, anchors, sizes, time)

    def close(self) -> list[Event]:
        """The last events of the run: whoever is in a zone leaves it where last seen."""
        events = self._over(float("inf"), float("inf"))
        self._add(events)
        return events

    def summary(self) -> list[str]:
        """A line for each line and zone: what was counted so far, and how long tracks were inside."""
        rows = []
        for place, sides in self.totals.items():
            dwells = self.dwells.get(place)
            mean = f"; {sum(dwells) / len(dwells):.1f} s inside on average" if dwells else ""
            rows.append(f"{place}: " + ", ".join(f"{side} {n}" for side, n in sides.items()) + mean)
        return rows

    def state(self) -> State:
        """All that it remembers: plain values and arrays, which later frames do not change."""
        return {
            "totals": {place: dict(sides) for place, sides in self.totals.items()},
            "dwells": {zone: list(dwells) for zone, dwells in self.dwells.items()},
            "paths": [{"id": i, **asdict(path)} for i, path in self._paths.items()],
            "speeds": self._speedometer.state() if self._speedometer is not None else None,
        }

    def restore(self, state: State) -> None:
        """Go on from the `state` of a counter of the same scene, `hysteresis` and `lost_after`."""
        self.totals = {place: dict(sides) for place, sides in state["totals"].items()}
        self.dwells = {zone: list(dwells) for zone, dwells in state["dwells"].items()}
        self._paths = {path["id"]: _Path.of(path) for path in state["paths"]}
        if self._speedometer is not None:
            self._speedometer.restore(state["speeds"])

    def _add(self, events: list[Event]) -> None:
        for event in events:
            self.totals[event.place][event.side] += 1

    def _step(
        self, i: int, path: _Path, place: Line | Zone, distance: float, margin: float,
        last: tuple[float, Point],
    ) -> list[Event]:
        passage = path.passages.get(place.name)
        if passage is None:                                          # first seen
            passage = path.passages[place.name] = _Passage(0, distance)
            if isinstance(place, Zone):
                passage.side = 1 if distance >= 0 else -1
                if passage.side == 1:
                    return [self._enter(i, path, place, path.time, path.point)]
        if not passage.step(path.time, path.point, distance, margin, last):
            return []
        assert passage.passed is not None                            # the sides differ
        time, point = passage.passed
        if isinstance(place, Zone):
            enter = self._enter if passage.side == 1 else self._leave
            return [enter(i, path, place, time, point)]
        if not 0 <= place.along(point) <= 1:
            return []
        side = place.right if passage.side == 1 else place.left
        return [Event("cross", place.name, i, path.label, side, time, point)]

    def _enter(self, i: int, path: _Path, zone: Zone, time: float, point: Point) -> Event:
        path.entered[zone.name] = time
        return Event("enter", zone.name, i, path.label, "in", time, point)

    def _leave(
        self, i: int, path: _Path, zone: Zone, time: float, point: Point, side: str = "out"
    ) -> Event:
        dwell = time - path.entered.pop(zone.name)
        self.dwells[zone.name].append(dwell)
        return Event("leave", zone.name, i, path.label, side, time, point, dwell)

    def _over(self, before: float, now: float) -> list[Event]:
        """The tracks that were last seen before `before` are over."""
        events = []
        for i in [i for i, path in self._paths.items() if path.time < before]:
            path = self._paths.pop(i)
            events += [self._leave(i, path, zone, path.time, path.point, "lost")
                       for zone in self.scene.zones if zone.name in path.entered]
        return events

    def _counted(
        self, tracks: Tracks, events: list[Event], anchors: np.ndarray, sizes: np.ndarray, time: float
    ) -> Counted:
        if self._speedometer is not None:
            speeds, errors = self._speedometer(tracks.ids, anchors, sizes, time)
        else:
            speeds = errors = np.full(len(tracks), np.nan, np.float32)
        inside = {zone.name: sum(zone.name in path.entered for path in self._paths.values())
                  for zone in self.scene.zones}
        totals = {place: dict(sides) for place, sides in self.totals.items()}
        return Counted(tracks, tuple(events), totals, inside, speeds, errors, self.scene)
