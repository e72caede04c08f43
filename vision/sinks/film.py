"""`VideoWriter`: H.264 in mp4 that a browser plays, with the source's times and sound."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from fractions import Fraction
from heapq import merge
from itertools import repeat
from pathlib import Path
from typing import IO, Any, Self, get_args

import av
import av.error
import cv2
import numpy as np

from vision.errors import SinkError, UsageError
from vision.files import behind, own
from vision.sinks.frames import FILMS, Preset, either
from vision.sinks.sound import Sound, sound_of
from vision.types import Image
from vision.view import View, checked_image, letterbox

_log = logging.getLogger(__name__)
_TICK = Fraction(1, 90_000)                # seconds; the clock of MPEG
_FRAGMENT_US = 1_000_000                   # a killed run loses about the last second
_BT601, _LIMITED = 6, 1                    # H.273: the matrix that OpenCV converts with; luma 16..235
_FAILURES = (av.error.FFmpegError, OSError, ValueError)


class VideoWriter:
    """Pictures with their times into an mp4: H.264, yuv420p.

    path: the film, `.mp4`, `.m4v` or `.mov`. audio_from: a file whose sound goes beside the pictures,
    copied where mp4 can hold it, else as AAC; a stream and `-`, which cannot be read a second time,
    give none. origin: the second of the source that is the film's 0. notes: what became of the sound.
    crf: x264's quality, 0 (best) to 51. preset: x264's trade of time for size, `ultrafast` (the
    default: about 2 ms for 768x576 on one core) to `veryslow`.

    The film grows as `NAME.part.mp4`, in fragments that play even when the process is killed. `close`
    moves it into place, with its index in front for the web; after an exception in the `with` block
    it stays where it is. `state` closes what has grown so far and goes on as `NAME.part.2.mp4`, and so on;
    the parts are joined without encoding anew. The first picture's size is the film's, one pixel more where a side is
    odd; another size is fitted in with black borders. Raises SinkError, also where another run is
    writing the same film, UsageError for another preset.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        audio_from: str | Path | None = None,
        origin: float = 0.0,
        crf: int = 23,
        preset: Preset = "ultrafast",
    ) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() not in FILMS:
            raise SinkError(f"{str(path)!r}: a film is written as {either(FILMS)}.")
        if preset not in get_args(Preset):
            raise UsageError(f"preset is one of x264's, {', '.join(get_args(Preset))}; got {preset!r}")
        self.parts = [working(self.path)[1]]             # the last one grows
        self._lock: IO[bytes] | None = None
        self.notes: list[str] = []
        self._sound = None if audio_from is None else sound_of(str(audio_from), self.notes)
        self._origin = origin
        self._options = {"preset": preset, "crf": str(crf), "bf": "0"}   # no B-frames: decoded as shown
        self._container: Any = None
        self._stream: Any = None
        self._last_tick = -1
        self._shift = 0.0
        self._last_time: float | None = None
        self._step = 0.04
        self._size_wh: tuple[int, int] | None = None
        try:
            self._lock = own(self.part)
        except _FAILURES as error:
            raise self._failed(error) from error
        self._open = True

    @property
    def part(self) -> Path:
        """The file that grows."""
        return self.parts[-1]

    def state(self) -> dict[str, Any]:
        """Close the part that grows, and tell what `restore` needs to go on after it."""
        if self._stream is not None:
            self._end_part()
            self._open = True
            self.parts.append(_part_of(self.path, len(self.parts) + 1))
        clock = {"tick": self._last_tick, "shift": self._shift, "time": self._last_time, "step": self._step}
        return {**clock, "parts": [part.stat().st_size for part in self.parts[:-1]], "size": self._size_wh}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on after the parts that were there when `state` was asked for. Raises SinkError where one is gone or
        has another size."""
        if lacking := lacking_part(self.path, state):
            raise SinkError(f"{lacking}. Run again without --resume.")
        self.parts += [_part_of(self.path, n + 2) for n in range(len(state["parts"]))]
        self._last_tick, self._shift = state["tick"], state["shift"]
        self._last_time, self._step = state["time"], state["step"]
        self._size_wh = None if state["size"] is None else (state["size"][0], state["size"][1])

    def write(self, image: Image, time: float) -> None:
        """Add a picture (H,W,3) uint8 BGR at `time` seconds of the source.

        Times that begin anew (the next clip of several) follow on from the picture before. Raises
        UsageError for another picture and a time that is not finite, after which the film goes on.
        """
        if not self._open:
            raise SinkError(f"{str(self.path)!r} is closed.")
        checked_image(image)
        if not math.isfinite(time):
            raise UsageError(f"time must be finite seconds; got {time}")
        try:
            stream = self._stream or self._begin(image)
            frame = av.VideoFrame.from_ndarray(yuv420(image, (stream.width, stream.height)), "yuv420p")
            frame.pts, frame.time_base = self._tick(time), _TICK
            self._container.mux(stream.encode(frame))
        except _FAILURES as error:
            raise self._broken(error) from error

    def _begin(self, image: Image) -> Any:
        flags = {
            "movflags": "empty_moov+default_base_moof+frag_discont",
            "frag_duration": str(_FRAGMENT_US),
            "avoid_negative_ts": "make_non_negative",    # the first time need not become 0
            "flush_packets": "1",                        # a fragment goes to the disk when it is whole
        }
        stale = len(self.parts) + 1
        while _part_of(self.path, stale).exists():                # of a run that was killed
            _part_of(self.path, stale).unlink()
            stale += 1
        self._container = av.open(f"file:{self.part}", "w", format="mp4", options=flags)
        self._stream = stream = self._container.add_stream("libx264", options=self._options)
        height, width = image.shape[:2]
        self._size_wh = self._size_wh or (width + width % 2, height + height % 2)
        stream.width, stream.height, stream.pix_fmt = *self._size_wh, "yuv420p"
        context = stream.codec_context
        context.time_base = _TICK
        context.colorspace = context.color_primaries = context.color_trc = _BT601
        context.color_range = _LIMITED
        return stream

    def _tick(self, time: float) -> int:
        """The film's time for a picture, in ticks, later than the one before."""
        time += self._shift - self._origin
        if self._last_time is not None:
            if time < self._last_time:
                self._shift += self._last_time + self._step - time
                time = self._last_time + self._step
            self._step = time - self._last_time or self._step
        self._last_time = time
        self._last_tick = max(round(time / _TICK), self._last_tick + 1)
        return self._last_tick

    def close(self) -> None:
        """Finish the film and move it into place. Without a single picture there is no film. After `state` the
        parts stay until `forget`."""
        if not self._open:
            return
        self._end_part()
        made = [part for part in self.parts if part.is_file() and part.stat().st_size]
        if self._last_time is None:
            self.forget()
            self._let_go()
            return
        film, _, whole = working(self.path)
        try:
            self._join(made, whole)
            whole.replace(film)
            if len(self.parts) == 1:
                self.forget()
        except _FAILURES as error:
            raise self._failed(error, f" The pictures are in {_said(made)}.") from error
        finally:
            whole.unlink(missing_ok=True)
            self._let_go()

    def _join(self, parts: Sequence[Path], whole: Path) -> None:
        """The parts as one film with its sound; without it where the two cannot be put together."""
        try:
            _remux(parts, whole, self._sound, self._origin)
        except (ValueError, NotImplementedError) as error:           # FFmpeg's too, for what a stream holds
            if self._sound is None:
                raise
            self.notes.append(f"the film has no sound: it cannot be put beside the pictures ({_reason(error)})")
            _remux(parts, whole, None, self._origin)

    def abandon(self) -> None:
        """An error has ended the film: what was written until then stays where it is, and plays."""
        if not self._open:
            return
        if self._last_time is None:
            self.close()
            return
        with suppress(SinkError):                        # the first error is the one to tell
            self._end_part()
        self._let_go()
        if written := self._written():
            _log.warning("%s is not finished; what was written until then plays: %s", self.path, _said(written))

    def forget(self) -> None:
        """Remove the parts."""
        if sys.platform == "win32":                      # which removes no file that is open, and locks none
            self._let_go()
        for part in self.parts:
            part.unlink(missing_ok=True)

    def _end_part(self) -> None:
        self._open = False
        stream, self._stream = self._stream, None
        try:
            if stream is not None:
                self._container.mux(stream.encode())
                self._container.close()
        except _FAILURES as error:
            raise self._broken(error) from error

    def _broken(self, error: BaseException) -> SinkError:
        """Writing failed: what is on the disk plays up to its last whole fragment."""
        self._open = False
        if self._container is not None:
            with suppress(*_FAILURES):
                self._container.close()
        written = self._written()
        return self._failed(error, f" What was written until then plays: {_said(written)}." if written else "")

    def _written(self) -> list[Path]:
        """The parts that play. An empty one is removed."""
        there = [part for part in self.parts if part.is_file()]
        for part in there:
            if not part.stat().st_size:
                part.unlink()
        return [part for part in there if part.is_file()]

    def _failed(self, error: BaseException, more: str = "") -> SinkError:
        self._let_go()
        return SinkError(f"{str(self.path)!r} cannot be written ({_reason(error)}).{more}")

    def _let_go(self) -> None:
        for file in (self._sound, self._lock):
            if file is not None:
                file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or issubclass(kind, (KeyboardInterrupt, BrokenPipeError)):
            self.close()
        else:
            self.abandon()


def working(path: Path) -> tuple[Path, Path, Path]:
    """The files of a film: itself, the part that grows, and the whole before it moves into place. Where `path` is a
    link, they lie beside what it is to."""
    film = behind(path)
    return film, film.with_name(f"{film.stem}.part.mp4"), film.with_name(f"{film.stem}.whole.mp4")


def _part_of(path: Path, number: int) -> Path:
    """The part of a film with a number; they count from 1."""
    first = working(path)[1]
    return first if number == 1 else first.with_suffix(f".{number}.mp4")


def lacking_part(path: Path, state: Mapping[str, Any]) -> str:
    """Which part of the film `path` is gone, or has another size than `VideoWriter.state` has it, in words; else
    empty."""
    for number, size in enumerate(state["parts"], 1):
        part = _part_of(path, number)
        if not part.is_file():
            return f"{str(part)!r} is gone"
        if part.stat().st_size != size:
            return f"{str(part)!r} has {part.stat().st_size} bytes, and had {size}"
    return ""


def _said(parts: Sequence[Path]) -> str:
    """The names of parts, for a message."""
    several = f" to {str(parts[-1])!r} ({len(parts)} files)" if len(parts) > 1 else ""
    return f"{str(parts[0])!r}{several}"


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)


def fitted_in(image: Image, size_wh: tuple[int, int]) -> View | None:
    """A picture (H,W,3) on a film's size, with black borders; None where it is that size, or a pixel less."""
    spare = (size_wh[0] - image.shape[1], size_wh[1] - image.shape[0])
    return None if spare[0] in (0, 1) and spare[1] in (0, 1) else letterbox(image, size_wh, fill=0)


def yuv420(image: Image, size_wh: tuple[int, int]) -> Image:
    """(H,W,3) BGR -> (h*3/2,w) planar 4:2:0, in OpenCV's BT.601, for a film of an even size."""
    view = fitted_in(image, size_wh)
    image = image if view is None else view.pixels
    right, below = size_wh[0] - image.shape[1], size_wh[1] - image.shape[0]
    if right or below:
        image = np.asarray(cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE), np.uint8)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420), np.uint8)


def _remux(parts: Sequence[Path], whole: Path, sound: Sound | None, origin: float) -> None:
    """The parts' pictures, and the sound, into one mp4 with its index in front."""
    with ExitStack() as stack:
        first = stack.enter_context(av.open(f"file:{parts[0]}"))
        flags = {"movflags": "faststart", "movie_timescale": str(_TICK.denominator)}    # a late start, exact
        out = stack.enter_context(av.open(f"file:{whole}", "w", format="mp4", options=flags))
        streams: list[tuple[Any, Iterator[Any]]] = [
            (out.add_stream_from_template(first.streams.video[0]), _with_durations(_packets(parts)))
        ]
        if sound is not None:
            streams.append(sound.into(out, origin))
        tagged = [zip(repeat(stream), packets) for stream, packets in streams]
        for stream, packet in merge(*tagged, key=lambda pair: pair[1].dts * pair[1].time_base):
            packet.stream = stream
            out.mux_one(packet)


def _packets(parts: Sequence[Path]) -> Iterator[Any]:
    """The packets of the parts' pictures, with no more than one part open."""
    for part in parts:
        with av.open(f"file:{part}") as opened:
            yield from opened.demux(opened.streams.video[0])


def _with_durations(packets: Iterator[Any]) -> Iterator[Any]:
    """The packets, each lasting until the next; the last as long as the one before."""
    before: Any = None
    for packet in packets:
        if packet.size == 0:
            continue
        if before is not None:
            before.duration = packet.dts - before.dts
            packet.duration = before.duration
            yield before
        before = packet
    if before is not None:
        yield before
