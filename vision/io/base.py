"""What a reader is, and what it tells about itself and its frames."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from vision.types import Frame

MAX_PIXELS = 200_000_000             # of one picture; 600 MB as BGR
MAX_FRAME_PIXELS = 50_000_000        # of a video's frame, of which decoders keep up to 17: 1.3 GB; 8K has 33 million
FEWER_PIXELS = "Make it smaller first, or allow more in Python: vision.read(SOURCE, max_pixels=N)."

_PASSWORD = re.compile(r"(?<=://)([^/?#:]*):[^/?#]*(?=@)")
_SECRET = re.compile(
    r"(?i)\b((?:access_?|auth_?|api_?)?(?:pass(?:word|wd)?|pwd|token|secret|key|signature|sig)=)[^&#;/?]*"
)


def shown(uri: str) -> str:
    """A URI as it may be printed and recorded: with `***` for a password, in an address or among its options."""
    if "://" not in uri:
        return uri
    return _SECRET.sub(r"\1***", _PASSWORD.sub(r"\1:***", uri))


@dataclass(frozen=True)
class Info:
    """What a source says about itself before it is read; None where it does not say.

    kind: picture, pictures, animation, video, stream, camera or list. size_wh: pixels, upright. rate:
    frames a second, on average. duration: seconds. frames_estimate: from the container's or the
    folder's word, never to be relied on. rotation: degrees clockwise by which frames are turned. mirrored: whether
    they are then mirrored, left to right.
    audio: the sound's codec. live: frames come when they happen, whether they are taken or not.
    start: the second at which reading begins. whole: whether all of it is read.
    """

    uri: str
    kind: str
    size_wh: tuple[int, int] | None = None
    rate: float | None = None
    duration: float | None = None
    frames_estimate: int | None = None
    codec: str | None = None
    rotation: int = 0
    mirrored: bool = False
    audio: str | None = None
    live: bool = False
    start: float = 0.0
    whole: bool = True


@dataclass
class Counts:
    """What became of the frames so far; decoded - passed_over were handed out.

    decoded: found whole, those before `start` that were only counted included. corrupt: failed to
    decode. passed_over: whole, but outside the range or between strides.
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
        """Add a note, unless it is there or there are a hundred."""
        if text not in self.notes and len(self.notes) < 100:
            self.notes.append(text)


@dataclass
class Span:
    """Which frames of one stream are wanted: start <= time < end in seconds, every stride-th from
    the first of them. Times are equal when they agree to the microsecond, as in a record."""

    start: float | None = None
    end: float | None = None
    stride: int = 1
    first: int | None = field(default=None, init=False)

    def wants(self, index: int, time: float) -> bool:
        """Whether the frame is in the range and on the stride."""
        if self.start is not None and time < self.start - 1e-6:
            return False
        if self.first is None:
            self.first = index
        return (index - self.first) % self.stride == 0

    def over(self, time: float) -> bool:
        """Whether this time and all later ones are behind the range."""
        return self.end is not None and time >= self.end - 1e-6


class Reader(Protocol):
    """One open stream of frames."""

    info: Info

    def frames(self, span: Span, log: Log) -> Iterator[Frame]:
        """The wanted frames, once through; the others are counted in the log."""
        ...

    def close(self) -> None:
        """Close what was opened."""
        ...
