"""Recordings of robots as sources: MCAP files and ROS 2 bags, one topic of pictures out of them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain, islice, pairwise, takewhile
from pathlib import Path
from typing import Any, NamedTuple

from vision.errors import SourceError
from vision.io.base import MAX_FRAME_PIXELS, MAX_PIXELS, Info, Log, Span
from vision.io.carried import Pictures
from vision.io.clock import Clock
from vision.io.listing import RECORDING_SUFFIXES, bag_files, unread_journal
from vision.io.topics import Logged, RecordingFile, Topic
from vision.io.unpacked import suffix_of, unpacked
from vision.messages import foxglove, ros
from vision.messages.annexb import is_key
from vision.messages.pictures import Carried, Packet
from vision.types import Frame

_SECOND = 1_000_000_000
_MAX_HELD = 64 << 20                             # bytes of packets that are kept while looking for a key frame
_LOOKED_AT = 9                                   # messages, for their size and rate, when a recording is opened
_DEFINED = ("ros2msg", "ros1msg", "")            # definitions of ROS that are read; IDL is not
RECORDS = "/vision/records"
_log = logging.getLogger(__name__)


class _Message(NamedTuple):
    stamp: int                                   # nanoseconds, of its header; of the log where that has none
    carried: Carried


class Recording:
    """The pictures of one topic. uri: its name. files: one, or those that a bag is split into, in order. topic: which
    one, of several. still, moving: pixels that a picture, and a frame of a film, may have. Raises SourceError."""

    def __init__(
        self, uri: str, files: Sequence[Path], topic: str | None = None,
        still: int = MAX_PIXELS, moving: int = MAX_FRAME_PIXELS,
    ) -> None:
        self.uri, self._still, self._moving = uri, still, moving
        self._files: list[RecordingFile] = []
        self._notes: list[str] = []
        self._step = 1 / 25                              # seconds from one picture to the next, about
        try:
            self._files = [opened(uri if len(files) == 1 else str(file), file) for file in files]
            self._notes += [f"{str(file)!r}: {note}" for file in files if (note := unread_journal(file))]
            self.topic = self._chosen(topic)
            self._reads = reader_of(self.topic)
            log = Log()
            self._first = next(self._messages(log), None)
            if self._first is None:
                why = f" ({'; '.join(log.notes)})" if log.notes else ""
                raise SourceError(f"{self._said} has no message that can be read as {self.topic.kind}{why}.")
            self.info = self._info()
        except BaseException:
            self.close()
            raise

    def frames(self, span: Span, log: Log) -> Iterator[Frame]:
        """The wanted frames; messages that cannot be decoded are counted and passed over: a still picture keeps its
        index, a packet before a film's first key frame has none. Where `start` is far in, reading begins at the last
        key frame before it, by the file's index where it has one."""
        log.notes += self._notes
        messages, index = self._from(span.start, log)
        log.counts.decoded += index
        log.counts.passed_over += index
        whole = index
        pictures, clock = Pictures(self._said, self._still, self._moving), Clock(self._step, log)
        corrupt = log.counts.corrupt
        for stamp, made in self._decoded(messages, pictures, span, log):
            time = clock(self._time(stamp))
            wanted = span.wants(index, time) and not span.over(time)
            log.counts.passed_over += not wanted
            image = made() if wanted else None
            if image is None and wanted:
                index += 1                               # counted as corrupt
                continue
            whole += 1
            log.counts.decoded += 1
            if span.over(time):
                return
            if image is not None:
                yield Frame(image, index, time, self.uri, None if self._film else stamp)
            index += 1
        if whole == 0:
            raise SourceError(f"no picture of {self._said} can be decoded ({log.counts.corrupt - corrupt} failed).")
        if span.first is None:
            log.note(f"{self.uri!r} has no frame in the range asked for; its last one is at {clock.last:.3f} s")

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()

    @property
    def _said(self) -> str:
        return f"{self.topic.name!r} of {self.uri!r}"

    @property
    def _film(self) -> bool:
        """Whether stamps are a film's seconds rather than those of a clock."""
        return ("clock", "film") in self.topic.metadata

    def _time(self, stamp: int) -> float:
        assert self._first is not None
        return (stamp if self._film else stamp - self._first.stamp) / _SECOND

    def _chosen(self, wanted: str | None) -> Topic:
        """The topic that was asked for, or the one that has pictures. Raises SourceError, with those that there are."""
        found: dict[str, list[Topic]] = {}
        for file in self._files[:1] if len(self._files) == 1 else self._files:
            here: dict[str, list[Topic]] = {}
            for one in file.topics:
                here.setdefault(one.name, []).append(one)
            for name, several in here.items():
                found.setdefault(name, several)
        of_pictures = sorted(name for name, several in found.items() if is_picture(several[0]))
        others = ", ".join(f"{name} ({several[0].kind or 'no type'})" for name, several in sorted(found.items())
                           if name not in of_pictures)
        there = f"Topics with pictures: {', '.join(map(repr, of_pictures))}; others: {others or 'none'}."
        if not of_pictures:
            there = f"Its topics: {others}." if others else "It has no topics."
        if wanted is None and len(of_pictures) != 1:
            many = f"has {len(of_pictures)} topics with pictures. Give one as --topic (topic=)."
            raise SourceError(f"{self.uri!r} {many if of_pictures else 'has no topic with pictures.'} {there}")
        name = wanted or of_pictures[0]
        if name not in found:
            raise SourceError(f"{self.uri!r} has no topic {name!r}. {there}")
        topic = found[name][0]
        if not is_picture(topic):
            what = f"{topic.kind or 'messages of no type'} as {topic.encoding}"
            raise SourceError(f"{name!r} of {self.uri!r} holds {what}, which is no picture. {there}")
        if len(found[name]) > 1:
            self._notes.append(f"{name!r} has {len(found[name])} publishers; the first one's messages are read, as "
                               f"{topic.kind}, and the others' are passed over")
        return topic

    def _info(self) -> Info:
        assert self._first is not None
        pictures, size, codec = Pictures(self._said, self._still, self._moving), None, None
        first = list(islice(self._messages(Log()), _LOOKED_AT))
        for message in first:
            codec = message.carried.format if isinstance(message.carried, Packet) else None
            with suppress(SourceError):
                if done := pictures.put(*message):
                    height, width = done[0][1].shape[:2]
                    size = width, height
                    break
        steps = sorted(b.stamp - a.stamp for a, b in pairwise(first) if b.stamp > a.stamp)
        self._step = steps[len(steps) // 2] / _SECOND if steps else 1 / 25
        spans = [file.span_ns for file in self._files if file.span_ns]
        seconds = (max(last for _, last in spans) - min(first for first, _ in spans)) / _SECOND if spans else None
        count = self.topic.messages if len(self._files) == 1 else None
        rate = (count - 1) / seconds if count and count > 1 and seconds and seconds > 0 else None
        return Info(self.uri, "video", size, rate if rate and 0 < rate < 1e4 else None, seconds, count, codec)

    def _messages(self, log: Log, first: int = 0) -> Iterator[_Message]:
        """The messages of the topic, those that are none counted as corrupt. first: the chunk to begin at."""
        for file in self._files:
            same = [one for one in file.topics if (one.name, one.kind) == (self.topic.name, self.topic.kind)]
            for logged in chain.from_iterable(file.messages(one, log, first) for one in same[:1]):
                try:
                    stamp, carried = self._reads(logged)
                except SourceError as error:
                    log.counts.corrupt += 1
                    log.note(str(error))
                    continue
                yield _Message(stamp or logged.log_ns, carried)

    def _from(self, start: float | None, log: Log) -> tuple[Iterator[_Message], int]:
        """The messages from the last key frame at or before `start` on, and how many pictures come before them."""
        if not start:
            return self._messages(log), 0
        chunk, count = self._chunk_before(start)
        held: list[_Message] = []
        size = before = 0
        messages = self._messages(log, chunk)
        for message in messages:
            if _begins(message) and self._time(message.stamp) <= start:
                before += len(held)
                held, size = [], 0
            held.append(message)
            size += len(message.carried.data)
            if self._time(message.stamp) >= start or size > _MAX_HELD:
                break
        count += before
        if count and self._first is not None and not _begins(self._first):
            early = sum(1 for _ in takewhile(lambda one: not _begins(one), self._messages(Log())))
            log.counts.corrupt += early
            log.note(self._too_early(early))
            count -= early
        if count:
            log.note(f"{count} frames before {start:g} s were counted by their messages, not decoded")
        return chain(held, messages), count

    def _too_early(self, count: int) -> str:
        return f"{count} messages of {self._said} before the first key frame cannot be decoded"

    def _chunk_before(self, start: float) -> tuple[int, int]:
        """The chunk of the last key frame at or before `start`, and how many messages come before it."""
        file = self._files[0]
        if len(self._files) > 1 or len(file.chunks) < 2 or self._first is None:
            return 0, 0
        zero = 0 if self._film else self._first.stamp
        wanted = zero + round(start * _SECOND)
        for chunk in range(len(file.chunks) - 1, 0, -1):
            if file.chunks[chunk].message_start_time > wanted or not file.holds(self.topic, chunk):
                continue
            log = Log()
            for n, message in enumerate(self._messages(log, chunk)):
                if message.stamp > wanted or log.notes:
                    break
                if _begins(message):
                    count = file.messages_before(self.topic, chunk)
                    return (0, 0) if count is None else (chunk, count)
                if n >= 256:
                    break
        return 0, 0

    def _decoded(
        self, messages: Iterator[_Message], pictures: Pictures, span: Span, log: Log
    ) -> Iterator[tuple[int, Callable[[], Any]]]:
        """Each picture's stamp, and what makes it: a still one is decoded when it is wanted alone."""
        early = 0

        def still(message: _Message) -> Any:
            try:
                return pictures.put(*message)[0][1]
            except SourceError as error:
                log.counts.corrupt += 1
                log.note(str(error))
                return None

        def moving(image: Any) -> Any:
            return image

        for message in messages:
            if not isinstance(message.carried, Packet):
                yield message.stamp, partial(still, message)
                continue
            if not pictures.began(message.carried):
                early += 1
                log.counts.corrupt += 1
                continue
            try:
                done = pictures.put(*message)
            except SourceError as error:
                log.counts.corrupt += 1
                log.note(str(error))
                continue
            yield from ((stamp, partial(moving, image)) for stamp, image in done)
        yield from ((stamp, partial(moving, image)) for stamp, image in pictures.end())
        if early:
            log.note(self._too_early(early))


def _begins(message: _Message) -> bool:
    """Whether it can be decoded without those before it."""
    return not isinstance(message.carried, Packet) or is_key(message.carried.data, message.carried.format)


def opened(name: str, path: Path) -> RecordingFile:
    """A recording, by its suffix. Raises SourceError."""
    try:
        with unpacked(name, path) as whole:
            if suffix_of(path) == ".db3":
                from vision.io.db3_file import Db3File

                return Db3File(name, whole)
            from vision.io.mcap_file import McapFile

            return McapFile(name, whole)
    except OSError as error:
        raise SourceError(f"{name!r} cannot be opened ({error.strerror}).") from error


def open_recording(uri: str, path: Path, topic: str | None, still: int, moving: int) -> Recording:
    """An MCAP file, a `.db3`, or the `metadata.yaml` of a bag. Raises SourceError."""
    files = [path] if suffix_of(path) in RECORDING_SUFFIXES else bag_files(path.parent)
    return Recording(uri, files, topic, still, moving)


def is_picture(topic: Topic) -> bool:
    """Whether a topic's messages are pictures that can be read."""
    return _ros_name(topic.kind) in ros.PICTURES if topic.encoding in ("cdr", "ros1") else (
        topic.kind in foxglove.PICTURES and topic.encoding in ("protobuf", "json"))


def reader_of(topic: Topic) -> Callable[[Logged], tuple[int, Carried]]:
    """What reads the messages of a topic of pictures. Raises SourceError for a definition that cannot be read."""
    if topic.encoding in ("cdr", "ros1"):
        text = topic.schema if topic.schema_encoding in _DEFINED else ""
        defined = ros.Definitions(_ros_name(topic.kind), text, topic.encoding)
        return lambda logged: defined.picture(logged.data)
    return lambda logged: foxglove.picture_in(topic.kind, topic.encoding, logged.data)


def _ros_name(kind: str) -> str:
    """A type by its name in ROS 2: `sensor_msgs/Image` is `sensor_msgs/msg/Image`."""
    package, _, name = kind.partition("/")
    return kind if "/" in name else f"{package}/msg/{name}"


def records(path: str | Path, topic: str = RECORDS) -> Iterator[dict[str, Any]]:
    """The records that a run wrote into an MCAP file (`-o run.mcap`) or a bag (`--bag`), as `--jsonl` has them.

    path: the file, or the bag's folder. Raises SourceError where there are none.
    """
    where = Path(path)
    files = [where] if where.is_file() else bag_files(where)
    if not files:
        raise SourceError(f"{str(path)!r} is neither an MCAP file nor a ROS 2 bag, or is not there.")
    for file in files:
        if note := unread_journal(file):
            _log.warning("%s: %s", file, note)
        source = opened(str(file), file)
        try:
            found = [one for one in source.topics if one.name == topic]
            if not found:
                raise SourceError(f"{str(path)!r} has no topic {topic!r}. There are: "
                                  f"{', '.join(one.name for one in source.topics) or 'none'}.")
            text = None if found[0].encoding == "json" else ros.Definitions("std_msgs/msg/String")
            for logged in source.messages(found[0], Log()):
                yield json.loads(logged.data if text is None else text.message(logged.data).data)
        except ValueError as error:
            raise SourceError(f"{str(path)!r} has a record that is no JSON ({error}).") from error
        finally:
            source.close()
