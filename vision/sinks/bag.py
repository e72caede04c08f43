"""A ROS 2 bag of what was found: detections and free space as messages that ROS tools know, and the records."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import cv2
import numpy as np

from vision import record
from vision.errors import MissingExtra, SinkError, UsageError
from vision.sinks.base import Sink, SinkSpec
from vision.spec import Option, spec
from vision.state import State

if TYPE_CHECKING:
    from vision.io import Info
    from vision.item import Item
    from vision.steps.base import Spec

RECORDS = "/vision/records"
PICTURE = "/vision/image/compressed"
_FAR_M = 100.0                                   # that free space is thought to be seen, where a result does not say


@spec
class Bag(SinkSpec):
    """A ROS 2 bag of one video: a new folder.

    Topics: `/vision/KEY` for each step whose result has boxes, as vision_msgs/Detection2DArray; `/vision/KEY/free`
    where it has free space in metres (`vision drive`), as sensor_msgs/LaserScan; `/vision/records` (std_msgs/String)
    with the lines of `--jsonl`; and, asked for, the pictures as `/vision/image/compressed`. Messages have the
    source's stamps (`stamp_ns`), or without such the film's time.
    """

    name = "bag"

    folder: Annotated[Path | str, Option("a new folder: results of one video as a ROS 2 bag", flags=("--bag",))]
    storage: Annotated[Literal["sqlite3", "mcap"], Option("what the bag is kept in")] = "sqlite3"
    layout: Annotated[Literal["new", "old"], Option(
        "of vision_msgs: since ROS Galactic (new), or Foxy and before (old)")] = "new"
    pictures: Annotated[Literal["none", "plain", "drawn"], Option(
        "pictures as JPEG: none, as they were read, or with the results drawn on them")] = "none"
    frame_id: Annotated[str, Option("what the messages call the camera")] = "camera"

    @property
    def not_resumed(self) -> str:
        """A bag is written once."""
        return "a bag is not taken up again in the middle. Run again without --resume, into another folder."

    def check(self) -> None:
        """Raise SinkError for a folder that is there, MissingExtra without the package."""
        if Path(self.folder).exists():
            raise SinkError(f"{str(self.folder)!r} is there already, and a bag is a new folder. Give another name, or "
                            "move it away.")
        try:
            import rosbags  # noqa: F401
        except ImportError:
            raise MissingExtra("rosbags", "robot", "a ROS 2 bag") from None

    def open(self, plan: Sequence[Spec]) -> Sink:
        """The sink of a run. Raises UsageError for a step whose topic is another's."""
        if any(f"/vision/{one.key}" == RECORDS for one in plan):
            raise UsageError(f"{RECORDS} is a topic of its own in a bag: give the step another key.")
        return _Bag(self)


class _Bag(Sink):
    one_source = True

    def __init__(self, spec: Bag) -> None:
        self.spec, self.folder = spec, Path(spec.folder)
        self.paths = (self.folder,)
        self._writer: Any = None
        self._store: Any = None
        self._topics: dict[str, Any] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vision-bag")        # SQLite stays in one

    def begin(self, info: Info) -> None:
        """Make the bag. Raises SinkError."""
        from rosbags.rosbag2 import StoragePlugin, Writer, WriterError

        from vision.messages.ros import types

        self._store = types(self.spec.layout)
        try:
            self._writer = Writer(self.folder, version=9 if self.spec.layout == "new" else 8,
                                  storage_plugin=StoragePlugin[self.spec.storage.upper()])
            self._thread.submit(self._writer.open).result()
        except (WriterError, OSError) as error:
            self._writer = None
            raise SinkError(f"{str(self.folder)!r} cannot be written ({error}).") from error

    def take(self, item: Item) -> None:
        """Write the messages of a frame."""
        from vision.messages import ros

        frame = item.frame
        stamp = frame.stamp_ns if frame.stamp_ns is not None else max(0, round(frame.time * 1e9))
        head = ros.header(self._store, stamp, self.spec.frame_id)
        for key in item:
            result = item[key]
            if hasattr(result, "boxes"):
                self._put(f"/vision/{key}", ros.detections_message(item.record[key], head, self.spec.layout), stamp)
            spaces: tuple[tuple[str, Any], ...] = (
                (f"/vision/{key}", result), (f"/vision/{key}/free", getattr(result, "free", None)))
            for topic, space in spaces:
                if hasattr(space, "angles") and hasattr(space, "ranges") and not np.isnan(space.ranges).all():
                    most = float(getattr(space, "most", _FAR_M))
                    scan = ros.scan_message(space.angles, space.ranges, head, most=most, layout=self.spec.layout)
                    self._put(topic, scan, stamp)
        for values in [*([record.gap(frame)] if frame.gap else []), item.record]:
            line = record.line(values).rstrip("\n").encode(errors="backslashreplace").decode()
            self._put(RECORDS, self._store.types["std_msgs/msg/String"](line), stamp)
        if self.spec.pictures != "none":
            image = item.drawn if self.spec.pictures == "drawn" else frame.image
            data = cv2.imencode(".jpg", image)[1].ravel()
            kind = self._store.types["sensor_msgs/msg/CompressedImage"]
            self._put(PICTURE, kind(head, "jpeg", np.asarray(data, np.uint8)), stamp)

    def _put(self, topic: str, message: Any, stamp: int) -> None:
        kind = message.__msgtype__
        try:
            data = self._store.serialize_cdr(message, kind)
            self._thread.submit(self._write, topic, kind, stamp, data).result()
        except Exception as error:               # of SQLite, of the disk: whatever the package passes on
            raise SinkError(f"{str(self.folder)!r} cannot be written ({error}).") from error

    def _write(self, topic: str, kind: str, stamp: int, data: Any) -> None:
        if topic not in self._topics:
            self._topics[topic] = self._writer.add_connection(topic, kind, typestore=self._store)
        self._writer.write(self._topics[topic], stamp, data)

    def end(self, results: Mapping[str, Sequence[Any]], complete: bool) -> None:
        """Finish the bag; after an error it holds what was written until then."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        if not self._topics:                             # nothing was written
            self._thread.submit(writer.abort).result()
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        try:
            self._thread.submit(writer.close).result()
        except Exception as error:
            raise SinkError(f"{str(self.folder)!r} cannot be finished ({error}).") from error

    def close(self) -> None:
        """Finish a bag that is still open."""
        self.end({}, False)
        self._thread.shutdown()

    def state(self) -> State | None:
        """None: a bag cannot be taken up again."""
        return None
