"""What is on the road ahead, how far and how soon, and when to warn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from vision.drawing import Canvas, paint
from vision.driving.lines import LaneLines
from vision.driving.situation import Situation
from vision.spec import Option, spec
from vision.state import State
from vision.steps.base import Pending, Ready, Spec, Step
from vision.types import ClassMap, Frame, Tracks

if TYPE_CHECKING:
    from vision.io import Info


@spec
class Drive(Spec):
    """Look at the road as a driver does: lanes, free road, distance and time to collision, warnings."""

    task = "drive"
    result = Situation
    takes: ClassVar = {"on": Tracks, "lanes": LaneLines, "area": ClassMap}
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
        from vision.driving.driver import Driver
        from vision.driving.upright import Upright

        super().__init__(spec.key)
        self.spec = spec
        self.needs = frozenset((spec.on, spec.lanes))
        self.uses = frozenset((spec.area,))
        self.covers, self.hides = self.needs | self.uses, frozenset((spec.on,))
        self.driver, self._upright = Driver(), Upright()

    def join(self, before: Mapping[str, Step]) -> None:
        """Take the class names of the tracks, and those of the road."""
        self.names = self.driver.names = before[self.spec.on].names
        self.driver.classes = before[self.spec.area].names if self.spec.area in before else ()

    def begin(self, frame: Frame, sofar: Mapping[str, Any]) -> Pending:
        """What is on the road in the frame, at once."""
        area = sofar.get(self.spec.area)
        if area is not None:
            self._upright.sky(area, self.driver.classes)
        return Ready(self.driver(frame, sofar[self.spec.on], sofar[self.spec.lanes], area))

    @property
    def notes(self) -> Sequence[str]:
        """That the camera is upside down, where the sky says so."""
        return self._upright.notes

    def end(self) -> Sequence[Any]:
        """Warnings that are on end."""
        return self.driver.close()

    def paint(self, result: Situation, canvas: Canvas, others: Mapping[str, Any]) -> None:
        """The dashboard."""
        from vision.driving import dashboard  # noqa: F401  (registers how it is drawn)

        paint(result, canvas, self.names)

    def state(self) -> State:
        """What is known of the objects, the warnings and the road."""
        return {**self.driver.state(), "upright": self._upright.state()}

    def restore(self, state: State) -> None:
        """Continue from what `state` returned."""
        self.driver.restore(state)
        self._upright.restore(state["upright"])
