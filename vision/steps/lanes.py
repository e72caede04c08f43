"""The lines of the lane that the car is in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from vision.driving.lines import LaneLines
from vision.errors import UsageError
from vision.spec import Option, spec
from vision.state import State
from vision.steps.base import InTurn, Named, Pool, Spec, Step, told
from vision.types import Detections, Floats, Frame, Result

if TYPE_CHECKING:
    from vision.driving.finder import LaneFinder
    from vision.driving.rows import Evidence, Rows
    from vision.geometry import Setup
    from vision.io import Info

CLASSICAL = "classical"


@spec
class FindLanes(Spec):
    """Find the lines of the car's lane, where it is between them, and how the lane bends."""

    task = "lanes"
    result = LaneLines

    model: Annotated[Named, Option(
        "classical, which needs no weights, or a lane network: a name of `vision models`, a path")
    ] = CLASSICAL
    camera: Annotated[Path | str | None, Option(
        "the camera's calibration: a .toml, or a .yaml of ROS or OpenCV; metres need one")] = None
    height: Annotated[float | None, Option("of the camera above the ground", "metres", min=0.05, max=100)] = None
    pitch: Annotated[float | None, Option(
        "how far the camera looks below the horizontal; read off the lanes unless known", "degrees", min=-45, max=79)
    ] = None
    around: Annotated[str, Option("the step whose boxes are left out: no lines on cars; none where it is not there")
                      ] = "detect"

    @cached_property
    def setup(self) -> Setup:
        """What is known of the camera. Raises DataError for a file that is no calibration, UsageError for metres
        without one."""
        if self.camera is None and self.height is not None:
            raise UsageError("--height gives metres only together with a calibration: --camera camera.toml, which "
                             "`vision calibrate` makes. Without one, times and ratios are given.")
        from vision.driving.finder import sized
        from vision.geometry import Setup, read_setup

        known = read_setup(self.camera) if self.camera is not None else Setup()
        if self.pitch is not None and self.height is None and known.mounting is None:
            raise UsageError("--pitch tells metres only together with how high the camera is: give --height, too, and "
                             "--camera camera.toml.")
        return sized(known, self.height, self.pitch)

    def check(self) -> None:
        """Read the calibration."""
        _ = self.setup

    def load(self, pool: Pool) -> Any:
        """The network, or None."""
        if self.model == CLASSICAL:
            return None
        from vision.tasks.lanes import LaneNetwork

        return pool.load(LaneNetwork.load, self.model)

    def open(self, info: Info, model: Any) -> Step:
        """A step for one stream. Raises UsageError for frames of another aspect than the calibration's."""
        step = LanesStep(self, model)
        if info.size_wh is not None:
            step.finder_for(info.size_wh)
        return step


class LanesStep(InTurn):
    """One stream's lane."""

    def __init__(self, spec: FindLanes, model: Any) -> None:
        from vision.driving.upright import Upright

        super().__init__(spec.key)
        self.spec, self.model = spec, model
        self.uses = frozenset((spec.around,))
        self._finder: LaneFinder | None = None
        self._upright = Upright()
        self._state: State | None = None

    def finder_for(self, size_wh: tuple[int, int]) -> LaneFinder:
        """The finder of the stream's frames. Raises UsageError as `Setup.ground` does."""
        from vision.driving.finder import LaneFinder

        if self._finder is None or self._finder.size_wh != size_wh:
            self._finder = LaneFinder(size_wh, self.spec.setup, self.spec.height)
        if self._state is not None:
            self._finder.restore(self._state)
            self._state = None
        return self._finder

    def look(self, frame: Frame, sofar: Mapping[str, Result]) -> Result:
        """The frame's lines."""
        finder = self.finder_for(frame.size_wh)
        self._upright.look(frame.image, frame.time)
        seen = sofar.get(self.spec.around)
        boxes = seen.boxes if isinstance(seen, Detections) else None
        found = self.model(frame.image) if self.model is not None else None
        lines = finder(frame.image, frame.time, self._evidence(frame, boxes, found))
        return lines if found is None else replace(lines, road=found.road)

    def _evidence(self, frame: Frame, boxes: Floats | None, found: Any) -> Callable[[Rows], Evidence]:

        def look(rows: Rows) -> Evidence:
            points = rows.markings(frame.image) if found is None else found.evidence(rows)
            return points if boxes is None else rows.outside(points, boxes)

        return look

    @property
    def notes(self) -> Sequence[str]:
        """That the camera is upside down, and that there are no metres, where it is so."""
        if self._finder is None or self._finder.calibrated:
            return self._upright.notes
        return (*self._upright.notes,
                "uncalibrated: lanes as ratios, no metres. `vision calibrate` makes a calibration for --camera; "
                "--height and --pitch say how the camera is mounted.")

    def state(self) -> State:
        """The lines, and where the camera looks."""
        finder = self._state if self._finder is None else self._finder.state()
        return {} if finder is None else {"finder": finder, "upright": self._upright.state()}

    def restore(self, state: State) -> None:
        """Continue from what `state` returned."""
        self._state = state.get("finder")
        if "upright" in state:
            self._upright.restore(state["upright"])
        if self._finder is not None:
            self.finder_for(self._finder.size_wh)

    def about(self) -> dict[str, Any]:
        """The model."""
        return {"model": CLASSICAL} if self.model is None else told(self.model)
