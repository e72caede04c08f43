"""What is on the road ahead, how far and how soon, and when to warn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from vision.drawing import Canvas, paint
from vision.driving import dashboard  # noqa: F401  (registers how it is drawn)
from vision.driving.alerts import Alert, Warnings
from vision.driving.free import free_space, road_by_colour, road_of
from vision.driving.lines import LaneLines
from vision.driving.obstacles import Observer
from vision.driving.situation import Situation
from vision.spec import Option, spec
from vision.state import State
from vision.steps.base import Pending, Ready, Spec, Step
from vision.types import ClassMap, Frame, Result, Tracks

if TYPE_CHECKING:
    from vision.io import Info


@spec
class Drive(Spec):
    """Look at the road as a driver does: lanes, free road, distance and time to collision, warnings."""

    task = "drive"
    result = Situation
    timed = True

    on: Annotated[str, Option("the step whose tracks are looked at, by its key")] = "track"
    lanes: Annotated[str, Option("the step that finds the lanes, by its key")] = "lanes"
    area: Annotated[str, Option(
        "the step that says what is road, by its key; where it is not there, the road's colour says so")] = "segment"

    @property
    def needs(self) -> tuple[str, ...]:
        """Tracks and lanes."""
        return self.on, self.lanes

    def open(self, info: Info, model: Any) -> Step:
        """A step for one stream."""
        return DriveStep(self)


class DriveStep(Step):
    """One stream's road."""

    remembers = True

    def __init__(self, spec: Drive) -> None:
        super().__init__(spec.key)
        self.spec = spec
        self.needs = frozenset((spec.on, spec.lanes))
        self.uses = frozenset((spec.area,))
        self.covers, self.hides = self.needs | self.uses, frozenset((spec.on,))
        self.observer, self.warnings = Observer(), Warnings()
        self._road: Any = None                           # of the last frame that was segmented
        self._classes: Sequence[str] = ()
        self._segmented = False
        self._time = 0.0

    def join(self, before: Mapping[str, Step]) -> None:
        """Take the class names of the tracks, and those of the road."""
        self.names = before[self.spec.on].names
        self._segmented = self.spec.area in before
        self._classes = before[self.spec.area].names if self._segmented else ()

    def begin(self, frame: Frame, sofar: Mapping[str, Result]) -> Pending:
        """What is on the road in the frame, at once."""
        tracks, lanes = sofar[self.spec.on], sofar[self.spec.lanes]
        assert isinstance(tracks, Tracks)
        assert isinstance(lanes, LaneLines)
        if frame.time < self._time:                      # the clock went back: another scene
            self.observer, self.warnings, self._road = Observer(), Warnings(), None
        self._time = frame.time
        obstacles = self.observer(frame, tracks, lanes, self.names)
        area = sofar.get(self.spec.area)
        if isinstance(area, ClassMap):
            self._road = road_of(area.labels[::4, ::4], self._classes)
        elif lanes.road is not None:
            self._road = lanes.road
        elif not self._segmented:
            self._road = road_by_colour(frame.image, lanes.plane.horizon())
        free = None if self._road is None else free_space(self._road, lanes.plane, lanes.calibrated, obstacles.boxes)
        in_way = obstacles.places[obstacles.in_path, 0]
        lanes = lanes.until(float(in_way.min())) if len(in_way) else lanes
        events = self.warnings(frame.time, obstacles, lanes, self.names)
        return Ready(Situation(obstacles, lanes, free, self._road, events, dict(self.warnings.active)))

    def end(self) -> Sequence[Alert]:
        """Warnings that are on end."""
        return self.warnings.close(self._time)

    def paint(self, result: Situation, canvas: Canvas, others: Mapping[str, Any]) -> None:
        """The dashboard."""
        paint(result, canvas, self.names)

    def state(self) -> State:
        """What is known of the objects, the warnings and the road."""
        road = None if self._road is None else self._road.astype("uint8")
        return {"observer": self.observer.state(), "warnings": self.warnings.state(), "road": road, "time": self._time}

    def restore(self, state: State) -> None:
        """Continue from what `state` returned."""
        self.observer.restore(state["observer"])
        self.warnings.restore(state["warnings"])
        self._road = None if state["road"] is None else state["road"].astype(bool)
        self._time = state["time"]
