"""`run.mcap`: the film, what was found in it and the records, in one file that Foxglove and ROS tools open."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import resources
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Literal

from vision import record
from vision.errors import MissingExtra, SinkError, UsageError
from vision.files import behind, check_writable, own
from vision.sinks.base import Sink, SinkSpec
from vision.sinks.frames import Preset
from vision.spec import Option, spec
from vision.state import State

if TYPE_CHECKING:
    from vision.io import Info
    from vision.item import Item
    from vision.steps.base import Spec

SUFFIX = ".mcap"
VIDEO, RECORDS, ANNOTATIONS = "/vision/video", "/vision/records", "/vision/annotations"
CLOCK = "clock"                                  # in a channel's metadata: `film`, where stamps are a film's seconds
_FLUSH_NS = 1_000_000_000                        # of the source, after which a chunk is closed: what a kill may cost
_CHUNK = 4 << 20                                 # bytes of a chunk at most


@spec
class Mcap(SinkSpec):
    """One video as MCAP: its pictures as H.264, the records, each task's results, and annotations over the pictures.

    Topics: `/vision/video` (foxglove.CompressedVideo), `/vision/annotations` (foxglove.ImageAnnotations), both as
    protobuf; `/vision/records` (the lines of `--jsonl`) and `/vision/KEY` for each step, as JSON with their schemas.
    Messages have the source's stamps (`stamp_ns`), or without such the film's time. After a kill what was written
    until the second before can be read.
    """

    name = "mcap"

    path: Annotated[Path | str, Option("film, results and records of one video in an MCAP file", flags=("--mcap",))]
    pictures: Annotated[Literal["plain", "drawn", "none"], Option(
        "the film: as it was read, with the results drawn on it, or left out")] = "plain"
    crf: Annotated[int, Option("x264's quality: 0 is the best, 51 the smallest", min=0, max=51)] = 23
    preset: Annotated[Preset, Option("x264's trade of time for size")] = "ultrafast"
    frame_id: Annotated[str, Option("what the messages call the camera")] = "camera"

    @property
    def not_resumed(self) -> str:
        """The index of a file that grew is not taken up again."""
        return ("an MCAP file is not taken up again in the middle; what a run that was killed had written can be "
                f"read, as NAME.part{SUFFIX}. Run again without --resume.")

    def check(self) -> None:
        """Raise UsageError for another suffix, MissingExtra without the packages."""
        if Path(self.path).suffix.lower() != SUFFIX:
            raise UsageError(f"--mcap writes a file with the suffix {SUFFIX}; got {str(self.path)!r}.")
        writer_of_mcap()

    def open(self, plan: Sequence[Spec]) -> Sink:
        """The sink of a run. Raises UsageError for a step whose topic is another's."""
        for one in plan:
            if (topic := f"/vision/{one.key}") in (VIDEO, RECORDS, ANNOTATIONS):
                raise UsageError(f"{topic} is a topic of its own in an MCAP file: give the step another key than "
                                 f"{one.key!r}.")
        return _Mcap(self, {one.key: one.result.__name__ for one in plan})


def writer_of_mcap() -> Any:
    """The package's module for writing. Raises MissingExtra."""
    try:
        from mcap import writer
    except ImportError:
        raise MissingExtra("mcap", "robot", "an MCAP file") from None
    return writer


class _Mcap(Sink):
    one_source = True

    def __init__(self, spec: Mcap, kinds: Mapping[str, str]) -> None:
        self.spec, self.path, self.kinds = spec, Path(spec.path), kinds
        self._whole = behind(self.path)
        self.part = self._whole.with_name(f"{self._whole.stem}.part{SUFFIX}")
        self.paths = (self.path,)
        self._file: IO[bytes] | None = None
        self._writer: Any = None
        self._packets: Any = None
        self._channels: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._flushed: int | None = None
        self._stamped: bool | None = None        # whether the source has a clock of its own

    def targets(self, info: Info) -> tuple[Path, ...]:
        """The file, and the one under whose name it grows."""
        return self.path, self.part

    def begin(self, info: Info) -> None:
        """Open the file. Raises SinkError, UsageError for a second source."""
        from vision.sinks.h264 import Packets

        if self._stamped is not None:
            raise UsageError(f"{str(self.path)!r} is of one video. Several sources need a file each.")
        try:
            check_writable(self.path)
            self._file = own(self.part)
            self._file.truncate(0)
        except OSError as error:
            raise self._failed(error) from error
        made = writer_of_mcap()
        self._writer = made.Writer(self._file, chunk_size=_CHUNK, compression=made.CompressionType.ZSTD)
        self._writer.start(profile="", library="vision")
        if self.spec.pictures != "none":
            self._packets = Packets(self.spec.crf, self.spec.preset)

    def take(self, item: Item) -> None:
        """Write the messages of a frame."""
        frame = item.frame
        self._stamped = frame.stamp_ns is not None
        stamp = frame.stamp_ns if frame.stamp_ns is not None else max(0, round(frame.time * 1e9))
        try:
            if self._packets is not None:
                image = item.drawn if self.spec.pictures == "drawn" else frame.image
                self._film(self._packets.put(image, stamp))
            if frame.gap:
                self._json(RECORDS, record.gap(frame), stamp)
            self._json(RECORDS, item.record, stamp)
            for key in item:
                self._json(f"/vision/{key}", item.record[key], stamp)
            self._annotate([item.record[key] for key in item.shown], stamp)
            if self._flushed is None or not 0 <= stamp - self._flushed < _FLUSH_NS:
                self._writer.flush()
                self._flushed = stamp
        except OSError as error:
            raise self._failed(error) from error

    def _film(self, packets: Any) -> None:
        from vision.messages.foxglove import video_message

        for stamp, packet in packets:
            self._put(VIDEO, "foxglove.CompressedVideo", stamp, video_message(packet, stamp, self.spec.frame_id))

    def _annotate(self, payloads: Sequence[Mapping[str, Any]], stamp: int) -> None:
        from vision.messages.foxglove import annotations_message

        view = None if self._packets is None else self._packets.view
        self._put(ANNOTATIONS, "foxglove.ImageAnnotations", stamp, annotations_message(payloads, stamp, view))

    def _json(self, topic: str, values: Mapping[str, Any], stamp: int) -> None:
        self._put(topic, "", stamp, record.line(values).rstrip("\n").encode(errors="backslashreplace"))

    def _put(self, topic: str, kind: str, stamp: int, data: bytes) -> None:
        if topic not in self._channels:
            self._channels[topic] = self._channel(topic, kind)
        count = self._counts[topic] = self._counts.get(topic, -1) + 1
        self._writer.add_message(self._channels[topic], stamp, data, stamp, count)

    def _channel(self, topic: str, kind: str) -> int:
        """A new channel. kind: its type of protobuf; empty: JSON."""
        from vision.messages.foxglove import schema

        if kind:
            number = self._writer.register_schema(kind, "protobuf", schema(kind))
        else:
            key = topic.rpartition("/")[2]
            name = "Record" if topic == RECORDS else self.kinds.get(key, key)
            text = json.dumps(_schema("frame_line" if topic == RECORDS else key))
            number = self._writer.register_schema(f"vision.{name}", "jsonschema", text.encode())
        clock = {} if self._stamped else {CLOCK: "film"}
        return int(self._writer.register_channel(topic, "protobuf" if kind else "json", number, clock))

    def end(self, results: Mapping[str, Sequence[Any]], complete: bool) -> None:
        """Finish the file and move it into place; after an error it stays where it grew, whole up to then."""
        if self._writer is None:
            return
        try:
            if self._packets is not None:
                self._film(self._packets.end())
            self._writer.finish()
            self._writer.flush()
            if complete:
                if sys.platform == "win32":              # which renames no file that is open, and locks none
                    self._let_go()
                self.part.replace(self._whole)
        except OSError as error:
            raise self._failed(error) from error
        finally:
            self._writer = None
            self._let_go()

    def close(self) -> None:
        """Leave a file that is still open where it grew."""
        self.end({}, False)

    def state(self) -> State | None:
        """None: the index of a file that grew cannot be taken up again."""
        return None

    @property
    def written(self) -> list[Path]:
        """The file, or where it grew."""
        return [path for path in (self.path, self.part) if path.exists() and path.stat().st_size]

    def _let_go(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None

    def _failed(self, error: OSError) -> SinkError:
        return SinkError(f"{str(self.path)!r} cannot be written ({error.strerror or error}).")


@cache
def _schema(part: str) -> dict[str, Any]:
    """A part of the schema of records by itself, without references; any object where it has no such part."""
    whole = json.loads(resources.files("vision").joinpath("record.schema.json").read_text(encoding="utf-8"))
    parts = whole["$defs"]

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(one) for one in value]
        if not isinstance(value, dict):
            return value
        if "$ref" in value:
            return plain(parts[value["$ref"].rpartition("/")[2]])
        return {key: plain(one) for key, one in value.items()}

    found: dict[str, Any] = plain(parts.get(part, {"type": "object"}))
    return found
