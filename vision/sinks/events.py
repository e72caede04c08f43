"""What happened, when and where: the events of lines and zones, and the heat map of a scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from vision import record
from vision.errors import SinkError, UsageError
from vision.files import check_writable
from vision.sinks.base import Sink, SinkSpec
from vision.sinks.boxes import one_source
from vision.sinks.text import TextLines, rows_of
from vision.spec import Option, spec
from vision.state import State

if TYPE_CHECKING:
    from vision.io import Info
    from vision.item import Item
    from vision.steps.base import Spec
    from vision.tracking.heatmap import HeatMap

COLUMNS = ("source", "frame", "time_s", "event", "place", "side", "id", "label", "x", "y", "dwell_s")
Of = Annotated[str | None, Option("the step whose events are written, by its key")]


@spec
class Events(SinkSpec):
    """What happened in `vision count`, `text`, `drive` or `hands`, as JSON lines or as CSV by the file's suffix."""

    name = "events"
    of, also = "count", ("text", "drive", "hands")
    streams = True

    path: Annotated[Path | str, Option("events, one JSON line for each, or one row in a .csv", flags=("--events",))]
    on: Of = None

    def open(self, plan: Sequence[Spec]) -> Sink:
        """The sink of a run. Raises UsageError where nothing has events."""
        keys = [one.key for one in plan if "events" in getattr(one.result, "__dataclass_fields__", ())]
        on = self.key_in(plan) if self.on or not keys else keys[-1]
        columns = next((getattr(one.result, "event_columns", COLUMNS) for one in plan if one.key == on), COLUMNS)
        return _Events(Path(self.path), on, columns)


class _Events(TextLines):
    def __init__(self, path: Path, on: str, columns: Sequence[str] = COLUMNS) -> None:
        super().__init__(path)
        self.on, self.needs, self.table = on, frozenset((on,)), path.suffix.lower() == ".csv"
        self.columns = columns
        self._where: dict[str, Any] = {}                 # of the last item: what an event at the end needs
        self._names: list[str] = []

    def apart(self) -> Sink:
        return copy(self)

    def begin(self, info: Info) -> None:
        self.file.open(head=rows_of([self.columns]) if self.table else "")
        self._where = {}

    def take(self, item: Item) -> None:
        self._where = {"source": item.frame.source, "frame": item.frame.index}
        if self.on in item:
            self._names = list(item.names(self.on))
            self._write(item[self.on].events)

    def end(self, results: Mapping[str, Sequence[Any]], complete: bool) -> None:
        if self._where:
            self._write(results.get(self.on, ()))

    def _write(self, events: Sequence[Any]) -> None:
        values = [event.to_dict(self._names) for event in events]
        if self.table:
            text = rows_of([{**self._where, **one}.get(c, "") for c in self.columns] for one in values)
        else:
            text = "".join(record.line(record.event(**self._where, key=self.on, values=one)) for one in values)
        if text:
            self.file.append(text)

    def state(self) -> State | None:
        state = super().state()
        return None if state is None else {**state, "where": self._where, "names": self._names}

    def restore(self, state: State) -> None:
        super().restore(state)
        self._where, self._names = dict(state["where"]), list(state["names"])


@spec
class HeatMapPicture(SinkSpec):
    """Where tracks spent their time, over the first frame of one video."""

    name = "heatmap"
    of = "count"

    path: Annotated[Path | str, Option("where the time was spent (PNG)", flags=("--heatmap",))]
    on: Of = None

    def check(self) -> None:
        """Raise UsageError for a file that is no PNG."""
        one_png("--heatmap", Path(self.path))

    def open(self, plan: Sequence[Spec]) -> Sink:
        """The sink of a run. Raises UsageError where nothing is counted."""
        return _Heat(Path(self.path), self.key_in(plan))


class _Heat(Sink):
    one_source = True

    def __init__(self, path: Path, on: str) -> None:
        self.path, self.on = path, on
        self.paths, self.needs = (path,), frozenset((on,))
        self.heat: HeatMap | None = None
        self.ground: Any = None
        self._source = ""
        check_writable(path)

    def begin(self, info: Info) -> None:
        one_source("--heatmap", self._source, info)
        self._source = info.uri

    def take(self, item: Item) -> None:
        from vision.tracking.heatmap import HeatMap

        if self.on not in item:
            return
        counted = item[self.on]
        if self.heat is None:
            self.heat, self.ground = HeatMap(item.frame.size_wh), item.frame.image.copy()
        self.heat.add(counted.scene.anchors(counted.tracks.boxes), item.frame.time)

    def end(self, results: Mapping[str, Sequence[Any]], complete: bool) -> None:
        from vision.chart import save_png

        if self.heat is not None:
            save_png(self.path, self.heat.picture(self.ground))

    def state(self) -> State:
        return {} if self.heat is None else {"heat": self.heat.state(), "ground": self.ground}

    def restore(self, state: State) -> None:
        from vision.tracking.heatmap import HeatMap

        if state:
            self.ground = np.asarray(state["ground"], np.uint8)
            self.heat = HeatMap((self.ground.shape[1], self.ground.shape[0]))
            self.heat.restore(state["heat"])


@spec
class BasisPicture(SinkSpec):
    """The mean and the eigenvectors that the follower `ivt` has learnt of one object."""

    name = "basis"
    of = "follow"

    path: Annotated[Path | str, Option("the mean and the eigenvectors of --follower ivt at the end (PNG)",
                                 flags=("--show-basis",))]

    def open(self, plan: Sequence[Spec]) -> Sink:
        """The sink of a run. Raises UsageError where nothing is followed by `ivt`."""
        one_png("--show-basis", Path(self.path))
        key = self.key_in(plan)
        if any(getattr(one, "follower", "ivt") != "ivt" for one in plan if one.key == key):
            raise UsageError("--show-basis works with --follower ivt only: the other followers have no subspace.")
        return _Basis(Path(self.path), key)


class _Basis(Sink):
    one_source = True

    def __init__(self, path: Path, on: str) -> None:
        self.path, self.on = path, on
        self.paths, self.needs = (path,), frozenset((on,))

    def take(self, item: Item) -> None:
        """Nothing is written before the end."""

    def end(self, results: Mapping[str, Sequence[Any]], complete: bool) -> None:
        from vision.chart import save_png

        for follower in results.get(self.on, ()):
            save_png(self.path, follower.subspace.picture())


def one_png(option: str, path: Path) -> None:
    """Raise where a picture that is made at the end cannot be: UsageError for another suffix, SinkError for a
    folder that is not there."""
    if path.suffix.lower() != ".png":
        raise UsageError(f"{option} is a .png; got {str(path)!r}.")
    if not path.absolute().parent.is_dir():
        raise SinkError(f"{str(path)!r} cannot be written: its folder is not there.")
