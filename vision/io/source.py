"""`read`: one door to every source of frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal, Protocol, Self

from vision.errors import SourceError, UsageError
from vision.types import Frame

MAX_PIXELS = 200_000_000
ReaderName = Literal["auto", "av", "opencv"]


@dataclass(frozen=True)
class Info:
    """What a source says about itself before it is read; whatever it does not say is None.

    kind: video, picture, pictures, animation, camera, stream. size_wh: pixels, upright. rate: frames
    a second, on average. duration: seconds. frames_estimate: an estimate from the container's or the
    folder's word, never to be relied on. rotation: degrees clockwise that were applied. audio: codec.
    """

    uri: str
    kind: str
    size_wh: tuple[int, int] | None = None
    rate: float | None = None
    duration: float | None = None
    frames_estimate: int | None = None
    codec: str | None = None
    rotation: int = 0
    audio: str | None = None
    live: bool = False


@dataclass
class Counts:
    """What became of the frames so far.

    decoded: came out of the decoder whole. corrupt: failed to decode. passed_over: decoded or
    counted, but outside the asked-for range or stride. Handed out: decoded - passed_over.
    """

    decoded: int = 0
    corrupt: int = 0
    passed_over: int = 0


@dataclass
class Log:
    """What a reader tells while it reads: counts, and notes for the user, each once."""

    counts: Counts = field(default_factory=Counts)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Add a note, unless it is there."""
        if text not in self.notes:
            self.notes.append(text)


@dataclass
class Span:
    """Which frames of one stream are wanted: start <= time < end in seconds, every stride-th from
    the first of them. Times count as equal when they agree to the microsecond of a record."""

    start: float | None = None
    end: float | None = None
    stride: int = 1
    _first: int | None = field(default=None, init=False)

    def wants(self, index: int, time: float) -> bool:
        """Whether the frame is in the range and on the stride."""
        if self.start is not None and time < self.start - 1e-6:
            return False
        if self._first is None:
            self._first = index
        return (index - self._first) % self.stride == 0

    def over(self, time: float) -> bool:
        """Whether this time and all later ones are behind the range."""
        return self.end is not None and time >= self.end - 1e-6


class Reader(Protocol):
    """One stream of frames, open."""

    info: Info

    def frames(self, span: Span, log: Log) -> Iterator[Frame]:
        """The wanted frames."""
        ...

    def close(self) -> None:
        """Close what was opened."""
        ...


class Source:
    """An iterator over frames, once through; a context manager that closes what `read` opened."""

    def __init__(self, reader: Reader, span: Span, max_frames: int | None) -> None:
        self.info = reader.info
        self._log = Log()
        self._reader = reader
        self._frames = islice(reader.frames(span, self._log), max_frames)

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
            return next(self._frames)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the source; it hands out no more frames."""
        self._frames = iter(())  # type: ignore[assignment]
        self._reader.close()

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
    max_pixels: int = MAX_PIXELS,
) -> Source:
    """Open a source of frames.

    uri: a picture, a video file, a folder. start, end: seconds of presentation time, start <= time < end. stride: every so
    many frames from the first of them. max_frames: at most so many in all. reader: `opencv` reads
    videos with cv2.VideoCapture instead of PyAV. max_pixels: a larger picture is refused.
    Raises SourceError when there is nothing to read, UsageError for an impossible range.
    """
    if stride < 1:
        raise UsageError(f"stride must be at least 1; got {stride}")
    if max_frames is not None and max_frames < 0:
        raise UsageError(f"max_frames must not be negative; got {max_frames}")
    if start is not None and end is not None and end <= start:
        raise UsageError(f"end must be later than start; got start={start}, end={end}")
    return Source(_open(str(uri), reader, max_pixels), Span(start, end, stride), max_frames)


def _open(uri: str, reader: ReaderName, max_pixels: int) -> Reader:
    path = Path(uri)
    from vision.io.pictures import Pictures, is_picture, pictures_in
    from vision.io.video import Video

    if path.is_dir():
        return Pictures(uri, pictures_in(path), max_pixels)
    if not path.is_file():
        raise SourceError(f"there is no {uri!r}. Give a file, a folder, a glob, a URL or a camera's number.")
    with path.open("rb") as file:
        head = file.read(32)
    if not head:
        raise SourceError(f"{uri!r} is empty (0 bytes). Give a file with pictures in it.")
    if is_picture(head):
        return Pictures(uri, [path], max_pixels)
    return Video(uri, f"file:{path}", max_pixels)
