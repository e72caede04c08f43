"""`read`: one door to every source of frames."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from numbers import Real
from pathlib import Path
from typing import Any, Literal, Self

from vision.errors import SourceError, UsageError
from vision.io.base import MAX_FRAME_PIXELS, MAX_PIXELS, Counts, Info, Log, Reader, Span, shown
from vision.io.chain import Chain, Group, set_rate
from vision.io.kinds import HEAD_BYTES, is_guess, other_kind
from vision.io.listing import (
    VIDEO_SUFFIXES,
    is_camera,
    is_file_or_closed,
    is_recording,
    is_still,
    is_url,
    leaves_of,
    listed_in,
    nothing_in,
)
from vision.io.pictures import PICTURE_SUFFIXES, Pictures, is_picture, open_picture, pillow_knows
from vision.types import Frame

ReaderName = Literal["auto", "opencv"]


@dataclass(frozen=True)
class Member:
    """One stream of a source that has several: a video, a camera, or a run of pictures. Called, it opens:
    SourceError where that fails, and the others can still be read.

    uri: the member's own name; of pictures that were not named one by one, the folder's or the list's. pictures:
    their files, in order; none of a video.
    """

    uri: str
    opened: Callable[[], Source]
    pictures: tuple[Path, ...] = ()

    def __call__(self) -> Source:
        """Open the member. Raises SourceError."""
        return self.opened()


@dataclass
class _Quota:
    """How many frames may still be handed out, by all members of a source together; None: any number."""

    left: int | None
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)     # members may be read at once

    def limit(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        while self._took(1):                                 # before the wait for the frame
            frame = None
            try:
                frame = next(frames, None)
            finally:
                if frame is None:
                    self._took(-1)
            if frame is None:
                return
            yield frame
            del frame

    def _took(self, count: int) -> bool:
        """Take a frame off, or give it back (-1): whether there was one."""
        with self.lock:
            if self.left is None:
                return True
            if self.left < count:
                return False
            self.left -= count
            return True


class Source:
    """An iterator over frames, once through; a context manager that closes what `read` opened.

    members: the streams that it holds, each to be opened by a call: the videos and the runs of pictures
    of a folder, a glob or a list; else itself. Read either the source or its members.
    """

    def __init__(self, reader: Reader, span: Span, max_frames: int | None = None, log: Log | None = None,
                 quota: _Quota | None = None) -> None:                              # fmt: skip
        whole = span.start is None and span.end is None and (quota or _Quota(max_frames)).left is None
        self.info: Info = replace(reader.info, start=span.start or 0.0, whole=whole)
        self._log = log or Log()
        self._reader, self._span = reader, span
        self._quota = quota or _Quota(max_frames)
        self.rate: float | None = None                       # that still pictures were given
        self.asked: dict[str, Any] = {}                      # which part of it, of `read`
        self.closed = False                                  # also by its end, or by an error
        self._again: Callable[..., Reader] | None = None     # opens it again, without some of its files
        self._renamed: Callable[[str], str] | None = None    # a frame's source
        self._frames = self._quota.limit(reader.frames(span, self._log))

    @property
    def members(self) -> tuple[Member, ...]:
        """What the source holds: at least one."""
        if not isinstance(self._reader, Chain):
            return (Member(self.info.uri, lambda: self, self.pictures),)
        return tuple(Member(group.uri, partial(self._open, group), group.pictures) for group in self._reader.groups)

    def _open(self, group: Group) -> Source:
        source = Source(group.open(), replace(self._span), quota=self._quota)
        if self.rate is not None:
            source.at_rate(self.rate)
        return source

    def streams(self) -> Iterator[Member]:
        """The members one after the other, until `max_frames` of the source have been handed out."""
        for member in self.members:
            if self._quota.left == 0:
                return
            yield member

    @property
    def pictures(self) -> tuple[Path, ...]:
        """The files of still pictures, in order; none of anything else."""
        reader = getattr(self._reader, "reader", self._reader)         # behind `Realtime`
        return tuple(reader.paths) if isinstance(reader, Pictures) else ()

    @property
    def address(self) -> str:
        """What opens a file on a server a second time, a password in it included; empty for anything else."""
        return getattr(self._reader, "address", "")

    @property
    def left(self) -> int | None:
        """How many frames may still be handed out, by all members together; None: any number."""
        return self._quota.left

    @left.setter
    def left(self, count: int | None) -> None:
        self._quota.left = count

    def leave_out(self, passed: Callable[[Path], bool]) -> None:
        """Pass over files of a folder, a glob or a list. To be called before the first frame, where nothing is live.
        Raises SourceError where none are left."""
        named = self.pictures == (Path(self.info.uri),)                # by itself
        if self._again is None or named or not isinstance(self._reader, (Chain, Pictures)):
            return
        self._reader = self._again(passed=passed)
        said = self._reader.info
        self.info = replace(self.info, kind=said.kind, size_wh=said.size_wh, frames_estimate=said.frames_estimate)
        self._frames = self._quota.limit(self._reader.frames(self._span, self._log))
        if self.rate is not None:
            self.at_rate(self.rate)

    @property
    def counts(self) -> Counts:
        """What became of the frames so far."""
        return self._log.counts

    @property
    def notes(self) -> list[str]:
        """Remarks for the user, in plain sentences."""
        return self._log.notes

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Frame:
        try:
            frame = next(self._frames)
        except BaseException:
            self.close()
            raise
        return frame if self._renamed is None else replace(frame, source=self._renamed(frame.source))

    def at_rate(self, rate: float) -> None:
        """Still pictures come `rate` a second, in place of one. To be called before the first frame. Raises
        UsageError for a rate that is not more than 0."""
        if not 0 < rate < float("inf"):
            raise UsageError(f"a rate is more than 0 frames a second; got {rate}.")
        self.rate = rate
        set_rate(self._reader, rate)

    def rename(self, uri: str, renamed: Callable[[str], str]) -> None:
        """Call the source, and its frames, otherwise than what was opened. renamed: gives a frame's new name for its
        old one. To be called before the first frame."""
        self.info, self._renamed = replace(self.info, uri=uri), renamed

    def interrupt(self) -> None:
        """End a wait for a lost camera or for the time of a frame, from another thread; no frame follows."""
        interrupt = getattr(self._reader, "interrupt", None)
        if interrupt is not None:
            interrupt()

    @property
    def lost_at(self) -> float | None:
        """Since when a live source is not there, in seconds of `time.monotonic`; None while it is."""
        return getattr(self._reader, "lost_at", None)

    def close(self) -> None:
        """Close the source; it hands out no more frames."""
        self._frames, self.closed = iter(()), True
        self._reader.close()

    def __repr__(self) -> str:
        return f"Source({shown(self.info.uri)!r}: {self.info.kind})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def read(
    uri: str | int | Path,
    start: float | None = None,
    end: float | None = None,
    stride: int = 1,
    max_frames: int | None = None,
    reader: ReaderName = "auto",
    max_pixels: int | None = None,
    realtime: bool = False,
    rate: float | None = None,
    reconnect: bool = False,
    topic: str | None = None,
) -> Source:
    """Open a source of frames.

    uri: a picture; a video file; a folder (recursive, in natural order: a2 before a10, each folder's files before its
    folders); a glob; a `.txt` file of URIs, one a line; an HTTP or RTSP URL; a camera's number or /dev/video path;
    `-`, standard input, with JPEG or PNG pictures one after the other or a video; an MCAP file or a ROS 2 bag. An
    animated GIF, WebP or PNG and a TIFF of several pages give all of their pictures when named by themselves, the
    first one among others.

    start, end: seconds of presentation time, start <= time < end. stride: every so many frames, from the first one in
    the range. Both hold for each video of several by itself. max_frames: at most so many in all. reader: `opencv`
    reads videos with cv2.VideoCapture instead of PyAV. max_pixels: a larger picture is refused, before it is decoded;
    200 million unless given, 50 million of a frame of a video, of which several are held at once. realtime: a file
    plays a camera: it counts as live, and each frame comes when it is due on the wall clock, the first one at once.
    rate: frames a second of still pictures, which have no times of their own; one a second unless given. reconnect: a
    camera or a stream that is missing at the start, or is lost, is waited for as long as it takes; else it is given up
    after some ten seconds. topic: whose pictures are read of an MCAP file or a bag, where it has several.

    Raises SourceError when there is nothing to read, UsageError for an impossible range.
    """
    if stride < 1:
        raise UsageError(f"stride must be at least 1; got {stride}")
    if max_frames is not None and max_frames < 0:
        raise UsageError(f"max_frames must not be negative; got {max_frames}")
    for name, value in (("start", start), ("end", end), ("rate", rate)):
        if value is not None and not (isinstance(value, Real) and abs(value) < float("inf")):
            raise UsageError(f"{name} is a number; got {value!r:.60}")
    if start is not None and end is not None and end <= start:
        raise UsageError(f"end must be later than start; got start={start}, end={end}")
    if reader not in ("auto", "opencv"):
        raise UsageError(f"reader must be 'auto' or 'opencv'; got {reader!r}")
    log = Log()
    again = partial(open_reader, str(uri), reader, max_pixels, log, reconnect, topic)
    opened = again()
    source = Source(_paced(opened) if realtime else opened, Span(start, end, stride), max_frames, log)
    source._again = again
    source.asked = {
        "start": start, "end": end, "stride": stride, "max_frames": max_frames, "reader": reader, "rate": rate,
        "realtime": realtime, "reconnect": reconnect, **({} if topic is None else {"topic": topic}),
    }
    if rate is not None:
        source.at_rate(rate)
    return source


def _paced(reader: Reader) -> Reader:
    """The reader at the pace of the wall clock; a live one has it already."""
    from vision.io.realtime import Realtime

    if reader.info.live:
        return reader
    if isinstance(reader, Chain):
        groups = [replace(group, open=partial(_opened_paced, group)) for group in reader.groups]
        return Chain(replace(reader.info, live=True), groups)
    return Realtime(reader)


def _opened_paced(group: Group) -> Reader:
    return _paced(group.open())


def open_reader(
    uri: str, reader: ReaderName = "auto", max_pixels: int | None = None, log: Log | None = None,
    reconnect: bool = False, topic: str | None = None, passed: Callable[[Path], bool] | None = None,
) -> Reader:
    """The reader for a URI, open; what was passed over on the way is told to the log. passed: which files of a folder,
    a glob or a list are left out. Raises SourceError."""
    still, moving = max_pixels or MAX_PIXELS, max_pixels or MAX_FRAME_PIXELS
    if uri == "-":
        from vision.io.stdin import open_stream

        if sys.stdin is None:
            raise SourceError("standard input is closed. Pipe pictures or a video into it.")
        return open_stream(sys.stdin.buffer, still, moving)
    if is_camera(uri):
        from vision.io.live import open_camera

        return open_camera(uri, reconnect)
    if uri.startswith("zenoh://"):
        from vision.io.zenoh_source import open_zenoh

        return open_zenoh(uri, reconnect)
    if is_url(uri):
        from vision.io.live import open_url

        return open_url(uri, moving, reconnect)

    path = Path(uri)
    listed = path.suffix.lower() == ".txt"
    if uri and not listed and is_file_or_closed(path):
        return _open_file(uri, path, reader, still, moving, topic)
    leaves = leaves_of(uri, log or Log())
    if passed is not None:
        leaves = [leaf for leaf in leaves if not (isinstance(leaf, Path) and passed(leaf))]
    if leaves in ([uri], [path], []):
        if listed and is_file_or_closed(path):
            listed_in(path)                # one that this user may not read tells so
        raise SourceError(nothing_in(uri))
    one = leaves[0] if len(leaves) == 1 and isinstance(leaves[0], Path) else None
    if one is not None and (uri.startswith("file://") or (path.is_dir() and is_recording(one))):
        return _open_file(uri, one, reader, still, moving, topic)
    return _several(uri, leaves, reader, max_pixels, reconnect, topic)


def _open_file(uri: str, path: Path, reader: ReaderName, still: int, moving: int, topic: str | None) -> Reader:
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise SourceError(f"{uri!r} cannot be opened ({error.strerror}).") from error
    if not head:
        raise SourceError(f"{uri!r} is empty (0 bytes). Was it saved whole?")
    suffix = path.suffix.lower()
    if is_recording(path):
        from vision.io.recording import open_recording

        return open_recording(uri, path, topic, still, moving)
    if topic is not None:
        raise SourceError(f"{uri!r} has no topics: it is neither an MCAP file nor a ROS 2 bag. Leave out --topic.")
    if is_picture(head) or suffix in PICTURE_SUFFIXES:
        return open_picture(uri, path, still)
    if suffix not in VIDEO_SUFFIXES and pillow_knows(path):
        return open_picture(uri, path, still)
    if kind := other_kind(head):
        raise SourceError(f"{uri!r} is {kind}, neither a picture nor a video.")
    if reader == "opencv":
        from vision.io.capture import Capture

        return Capture(uri, str(path), moving)
    from vision.io.video import Video

    video = Video(uri, f"file:{path}", moving)
    if is_guess(video.container, suffix):
        video.close()
        raise SourceError(f"{uri!r} is neither a picture nor a video by its name or its first bytes.")
    return video


def _several(
    uri: str, leaves: list[Path | str], reader: ReaderName, max_pixels: int | None, reconnect: bool, topic: str | None
) -> Reader:
    """Pictures in a row are one sequence; a video stands by itself."""
    groups: list[Group] = []
    first = 0
    for pictures, run in groupby(leaves, is_still):
        if pictures:
            paths = tuple(Path(leaf) for leaf in run)
            groups.append(Group(uri, partial(Pictures, uri, paths, max_pixels or MAX_PIXELS, first), paths))
            first += len(paths)
        else:
            opener = partial(open_reader, reader=reader, max_pixels=max_pixels, reconnect=reconnect, topic=topic)
            groups += [Group(shown(str(leaf)), partial(opener, str(leaf))) for leaf in run]
    return groups[0].open() if pictures and len(groups) == 1 else Chain(Info(uri, "list"), groups)
