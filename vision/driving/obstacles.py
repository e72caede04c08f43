"""What is on the road: how far away, how fast it comes nearer, when it is here, and whether it is in the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.drawing import class_name
from vision.driving.growth import Growth
from vision.driving.lights import NAMES as LIGHTS
from vision.driving.lights import light_state
from vision.driving.lines import LaneLines
from vision.errors import DataError
from vision.geometry.closing import Closing, Distances
from vision.geometry.distance import SIZES, Estimate, by_foot, by_size, combined
from vision.shown import Shown
from vision.state import State
from vision.types import Floats, Frame, Ints, Names, Tracks

HALF_CAR = 0.9                     # metres: half of our own width
_OVERLAP = 0.3                     # of the narrower of both: so much of it is in the way
_TOLD = 0.3                        # seconds of a track before its time to collision is given
_LOG_SIZE = 0.025                  # one deviation of the logarithm of a box's size, and 1.5 pixels
_SURE = 0.12                       # 1/s: a rate of approach that is known worse is not given
_FORGET = 1.5                      # seconds
_IGNORED = frozenset({"aeroplane", "airplane", "boat", "bottle", "chair", "diningtable", "dining table", "pottedplant",
                      "potted plant", "sofa", "couch", "tvmonitor", "tv", "bird", "cat"})


@dataclass(frozen=True, eq=False, repr=False)
class Obstacles(Shown):
    """Objects of a frame, N rows.

    boxes: (N,4) float32, xyxy in frame pixels. ids: (N,) int64, of the tracks. labels: (N,) int64.
    in_path: (N,) bool, whether it is in the car's way.
    places: (N,2) float32, forward and left in metres of the lanes' plane.
    distances: (N,3) float32, metres to its nearest surface, and the ends of the 90 % interval; not numbers without a
        calibration.
    speeds: (N,2) float32, metres a second at which it comes nearer, and one standard deviation; not numbers where
        they are not known.
    times: (N,3) float32, seconds to collision, and the ends of the 90 % interval; infinite: never; not numbers where
        they are not known.
    states: N texts: of a traffic light, what is lit; else empty.
    """

    boxes: Floats
    ids: Ints
    labels: Ints
    in_path: npt.NDArray[np.bool_]
    places: Floats
    distances: Floats
    speeds: Floats
    times: Floats
    states: tuple[str, ...]

    def __post_init__(self) -> None:
        lengths = {field.name: len(getattr(self, field.name)) for field in fields(self)}
        if len(set(lengths.values())) != 1:
            raise DataError(f"the rows of Obstacles stay in step; got {lengths}")

    def __len__(self) -> int:
        return len(self.ids)

    def to_dict(self, names: Names | None = None) -> list[dict[str, Any]]:
        """A mapping for each: `id`, `label`, `in_path`, and of what is known `distance_m` and `ttc_s` with their 90 %
        intervals, `speed_m_s` (positive: nearer), `left_m`, `state`. A time that is infinite is null."""
        found = []
        for n in range(len(self)):
            label = int(self.labels[n])
            one: dict[str, Any] = {
                "id": int(self.ids[n]), "label": class_name(names or (), label), "in_path": bool(self.in_path[n]),
            }
            if np.isfinite(self.distances[n, 0]):
                one |= {"distance_m": _number(self.distances[n, 0]), "distance_90": _interval(self.distances[n, 1:]),
                        "left_m": _number(self.places[n, 1])}
            if np.isfinite(self.speeds[n]).all():
                one |= {"speed_m_s": _number(self.speeds[n, 0]), "speed_error_m_s": _number(self.speeds[n, 1])}
            if not np.isnan(self.times[n, 0]):
                one |= {"ttc_s": _number(self.times[n, 0]), "ttc_90": _interval(self.times[n, 1:])}
            found.append(one | ({"state": self.states[n]} if self.states[n] else {}))
        return found


def _number(value: Any) -> float | None:
    return round(float(value), 2) if np.isfinite(value) else None


def _interval(ends: Floats) -> list[float | None]:
    return [_number(end) for end in ends]


class _Watch:
    """What is known of one track."""

    def __init__(self) -> None:
        self.scale, self.away, self.distance = Closing(), Closing(), Distances()
        self.time = 0.0

    def state(self) -> State:
        return {"scale": self.scale.state(), "away": self.away.state(), "distance": self.distance.state(),
                "time": self.time}

    def restore(self, state: State) -> None:
        self.scale.restore(state["scale"])
        self.away.restore(state["away"])
        self.distance.restore(state["distance"])
        self.time = state["time"]


class Observer:
    """`observer(frame, tracks, lanes, names) -> Obstacles`, called once a frame of one stream."""

    def __init__(self) -> None:
        self.growth = Growth()
        self._watches: dict[int, _Watch] = {}

    def __call__(self, frame: Frame, tracks: Tracks, lanes: LaneLines, names: Names) -> Obstacles:
        """The objects of a frame.

        frame: with its picture and time. tracks: of that frame, names: of their labels. lanes: with the plane that the
        distances are on."""
        time = frame.time
        kept = np.array([self._matters(names, label) for label in tracks.labels.tolist()], bool)
        boxes, ids, labels = tracks.boxes[kept], tracks.ids[kept], tracks.labels[kept]
        if any(time < watch.time for watch in self._watches.values()):              # time went back: all anew
            self._watches.clear()
        self._watches = {i: one for i, one in self._watches.items() if time - one.time <= _FORGET}
        growth = self.growth(frame.image, ids, boxes)
        places, in_path = placed(boxes, lanes)
        count = len(ids)
        distances, times = np.full((2, count, 3), np.nan, np.float32)
        speeds = np.full((count, 2), np.nan, np.float32)
        states = [""] * count
        covered = _covered(boxes)
        for n, i in enumerate(ids.tolist()):
            name = names[labels[n]] if labels[n] < len(names) else ""
            if name in LIGHTS:
                states[n] = light_state(frame.image, boxes[n])[0]
                continue
            watch = self._watches.setdefault(i, _Watch())
            watch.time = time
            seen = _distance(boxes[n], name, lanes, bool(covered[n])) if lanes.calibrated else None
            rate = _rate(watch, time, boxes[n], frame.size_wh, growth.get(i), seen)
            away = watch.distance(time, seen, rate)
            if away is not None and away.inverse > 0:
                distances[n] = away.value, *away.interval
                places[n] = places[n] * (away.value / max(float(places[n, 0]), 0.1))
            if watch.scale.age < _TOLD or rate.total > max(_SURE, 0.5 * abs(rate.inverse)):
                continue
            times[n] = rate.value, *rate.interval
            if away is not None and away.inverse > 0:
                speeds[n] = away.value * rate.inverse, np.hypot(
                    away.value * rate.total, rate.inverse * away.total / away.inverse**2)
        return Obstacles(boxes, ids, labels, in_path, places, distances, speeds, times, tuple(states))

    def _matters(self, names: Names, label: int) -> bool:
        return not (0 <= label < len(names) and names[label] in _IGNORED)

    def state(self) -> State:
        """All that it remembers."""
        return {"growth": self.growth.state(), "watches": {str(i): one.state() for i, one in self._watches.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was asked for."""
        self.growth.restore(state["growth"])
        self._watches = {}
        for i, one in state["watches"].items():
            self._watches[int(i)] = watch = _Watch()
            watch.restore(one)


def placed(boxes: Floats, lanes: LaneLines, wider: float = 0.0) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Where boxes stand, and whether that is in the way.

    boxes: (N,4) xyxy in frame pixels. lanes: with the plane. wider: metres by which the way is broader on each side.
    Returns forward and left in metres of the plane (N,2), and (N,) bool."""
    if not len(boxes):
        return np.empty((0, 2), np.float32), np.empty(0, bool)
    plane = lanes.plane
    height = plane.size_wh[1]
    lowest = plane.horizon() + 0.015 * height                           # beyond it the ground tells nothing
    feet = np.clip(boxes[:, 3], lowest, height)
    left, right = (plane.guessed(np.column_stack([boxes[:, side], feet])) for side in (0, 2))
    place = (left + right) / 2
    middle = lanes.middle(place[:, 0])
    half = HALF_CAR + wider
    shared = np.minimum(left[:, 1], middle + half) - np.maximum(right[:, 1], middle - half)
    least = np.minimum(left[:, 1] - right[:, 1], 2 * half)
    return place.astype(np.float32), np.asarray(shared > _OVERLAP * np.maximum(least, 0.1), bool)


def _covered(boxes: Floats) -> npt.NDArray[np.bool_]:
    """(N,) whether the middle of a box's lower edge lies in a box that stands nearer."""
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]
    inside = (x[:, None] > boxes[:, 0]) & (x[:, None] < boxes[:, 2]) & (y[:, None] > boxes[:, 1]) & (
        y[:, None] < boxes[:, 3] - 2)
    return np.asarray(inside.any(axis=1), bool)


def _distance(box: Floats, name: str, lanes: LaneLines, covered: bool) -> Estimate | None:
    """The distance of one object in one frame."""
    size, plane = SIZES.get(name), lanes.plane
    foot = None if covered else by_foot(plane, box, size)
    known = by_size(plane.camera, box, size) if size is not None and plane.camera is not None else None
    return combined(foot, known)


def _rate(
    watch: _Watch, time: float, box: Floats, size_wh: tuple[int, int], growth: tuple[float, float] | None,
    seen: Estimate | None,
) -> Estimate:
    """The time to collision, from the change of scale, and where there is a distance also from its change."""
    wide, high = float(box[2] - box[0]), float(box[3] - box[1])
    width, height = size_wh
    cut = (box[0] < 2 or box[2] > width - 2), (box[1] < 2 or box[3] > height - 2)
    sides = [side for side, is_cut in zip((wide, high), cut, strict=True) if not is_cut] or [wide, high]
    size = max(float(np.sqrt(np.prod(sides))) if len(sides) == 2 else sides[0], 1.0)
    error = float(np.hypot(_LOG_SIZE, 1.5 / size)) * (4.0 if all(cut) else 1.0)
    scale = watch.scale(time, float(np.log(size)), error, growth)
    if seen is None or seen.inverse <= 0:
        return scale
    share = max(0.08, seen.passing / seen.inverse)
    away = watch.away(time, float(np.log(seen.inverse)), share)
    return combined(scale, away) or scale
