"""What crosses lines and is in zones, with the event behind every number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from vision.errors import UsageError
from vision.spec import Option, spec
from vision.state import State
from vision.steps.base import Pending, Ready, Spec, Step
from vision.tracking.count import HYSTERESIS, Counted, Counter, Event
from vision.types import Frame, Result, Tracks

if TYPE_CHECKING:
    from vision.io import Info
    from vision.tracking.scene import Scene


_MOST = 100                                              # lines and zones without a scene: each is asked of each track


@spec
class Count(Spec):
    """Count who crosses lines and who is in zones, with time, place and track of each event."""

    task = "count"
    result = Counted
    takes: ClassVar = {"on": Tracks}
    timed = True

    on: Annotated[str, Option("the step whose tracks it counts, by its key")] = "track"
    scene: Annotated[Path | str | None, Option(
        "lines, zones and the ground, as a TOML file: see docs/tasks/count.md")] = None
    line: Annotated[tuple[str, ...], Option(
        "its two ends, x1,y1:x2,y2 in pixels (commas alone do too): as often as you like; `vision grid` helps to find "
        "them", remote=True)] = ()
    zone: Annotated[tuple[str, ...], Option(
        "its corners, x1,y1:x2,y2:x3,y3 and on, in pixels: as often as you like", remote=True)] = ()
    hysteresis: Annotated[float, Option(
        "how far past a border a track counts as across, in sizes of its box", min=0, remote=True)] = HYSTERESIS
    lost_after: Annotated[float | None, Option(
        "a track that is not seen for so long leaves its zones; the tracker's unless given", "seconds", min=1e-3,
        remote=True)] = None

    @cached_property
    def view(self) -> Scene:
        """The scene, with the lines of `line` and the zones of `zone`. Raises UsageError where there is neither a line
        nor a zone, DataError for an invalid scene."""
        from vision.tracking.scene import Line, Scene, Zone, read_scene

        if len(self.line) + len(self.zone) > _MOST:
            raise UsageError(f"at most {_MOST} lines and zones; got {len(self.line) + len(self.zone)}.")
        scene = read_scene(self.scene) if self.scene is not None else Scene()
        ends = [_points(text, "line", "its two ends, x1,y1:x2,y2,", 2) for text in self.line]
        lines = [Line(f"line {number}", start, end) for number, (start, end) in enumerate(ends, 1)]
        zones = [Zone(f"zone {number}", tuple(_points(text, "zone", "its corners, x1,y1:x2,y2:x3,y3 and on,")))
                 for number, text in enumerate(self.zone, 1)]
        if not (scene.lines or scene.zones or lines or zones):
            raise UsageError("there is nothing to count at: give --scene FILE.toml or --line x1,y1:x2,y2.")
        return replace(scene, lines=(*scene.lines, *lines), zones=(*scene.zones, *zones))

    def check(self) -> None:
        """Read the scene."""
        _ = self.view

    def open(self, info: Info, model: Any) -> Step:
        """A step for one stream. Raises DataError where the scene is for another picture size."""
        if info.size_wh is not None:
            self.view.fits(info.size_wh)
        return CountStep(self)


class CountStep(Step):
    """One stream's counts."""

    remembers = True

    def __init__(self, spec: Count) -> None:
        super().__init__(spec.key)
        self.needs = self.covers = frozenset((spec.on,))
        self.spec, self.on = spec, spec.on
        self.counter = Counter(spec.view, hysteresis=spec.hysteresis)

    def join(self, before: Mapping[str, Step]) -> None:
        """Take the class names of the tracker, and for how long it looks for a track."""
        super().join(before)
        own = self.spec.lost_after
        self.counter.lost_after = getattr(before[self.on], "lost_after", 1.5) if own is None else own

    def begin(self, frame: Frame, sofar: Mapping[str, Result]) -> Pending:
        """Take the frame's tracks in."""
        tracks = sofar[self.on]
        assert isinstance(tracks, Tracks)
        return Ready(self.counter(tracks, frame.time))

    def end(self) -> Sequence[Event]:
        """Tracks that are still in a zone leave it, where they were last seen."""
        return self.counter.close()

    def summary(self) -> Sequence[str]:
        """The totals of every line and zone, and how long tracks were inside."""
        return self.counter.summary()

    def state(self) -> State:
        """The counts, and where each track is."""
        return self.counter.state()

    def restore(self, state: State) -> None:
        """Continue from what `state` returned."""
        self.counter.restore(state)


def _points(text: str, name: str, such: str, most: int = 100) -> list[tuple[float, float]]:
    """The points of x1,y1:x2,y2 (commas alone do too). Raises UsageError for anything else."""
    try:
        values = [float(value) for value in text.replace(":", ",").split(",")]
        points = list(zip(values[::2], values[1::2], strict=True))
        if not 2 <= len(points) <= most:
            raise ValueError
    except ValueError:
        raise UsageError(f"--{name} is {such} in pixels; got {text[:200]!r}.") from None
    return points
