"""One stream's road, frame by frame: what stands between the lanes of a frame and its `Situation`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.driving.alerts import Alert, Warnings
from vision.driving.free import free_space, road_by_colour, road_of
from vision.driving.lines import LaneLines
from vision.driving.obstacles import Observer
from vision.driving.situation import Situation
from vision.state import State
from vision.types import ClassMap, Frame, Names, Tracks


class Driver:
    """`driver(frame, tracks, lanes) -> Situation`, called once a frame of one stream.

    names: of the tracks' labels. classes: of the class maps' labels; empty where the road is told by its colour, or
    by a lane network that sees it. A clock that goes back begins anew.
    """

    def __init__(self, names: Names = (), classes: Names = ()) -> None:
        self.names, self.classes = names, classes
        self._begin()

    def _begin(self) -> None:
        self.observer, self.warnings = Observer(), Warnings()
        self._road: npt.NDArray[np.bool_] | None = None          # of the last frame in which it was seen
        self._time = -np.inf

    def __call__(self, frame: Frame, tracks: Tracks, lanes: LaneLines, area: ClassMap | None = None) -> Situation:
        """What is on the road.

        frame: with its picture and time. tracks, lanes: of that frame. area: its class map; None where it was not
        segmented, and the last one holds."""
        if frame.time < self._time:
            self._begin()
        self._time = frame.time
        obstacles = self.observer(frame, tracks, lanes, self.names)
        if area is not None:
            self._road = road_of(area.labels[::4, ::4], self.classes)
        elif lanes.road is not None:
            self._road = lanes.road
        elif not self.classes:
            self._road = road_by_colour(frame.image, lanes.plane.horizon())
        free = None if self._road is None else free_space(self._road, lanes.plane, lanes.calibrated, obstacles.boxes)
        in_way = obstacles.places[obstacles.in_path, 0]
        lanes = lanes.until(float(in_way.min())) if len(in_way) else lanes
        events = self.warnings(frame.time, obstacles, lanes, self.names)
        return Situation(obstacles, lanes, free, self._road, events, dict(self.warnings.active))

    def close(self) -> Sequence[Alert]:
        """The end of the stream: warnings that are on end."""
        return self.warnings.close(self._time) if np.isfinite(self._time) else ()

    def state(self) -> State:
        """What is known of the objects, the warnings and the road."""
        road = None if self._road is None else self._road.astype(np.uint8)
        return {"observer": self.observer.state(), "warnings": self.warnings.state(), "road": road,
                "time": float(self._time)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was asked for."""
        self.observer.restore(state["observer"])
        self.warnings.restore(state["warnings"])
        self._road = None if state["road"] is None else state["road"].astype(bool)
        self._time = state["time"]
