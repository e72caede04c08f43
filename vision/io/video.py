"""Video containers and network streams through PyAV, with the container's own times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from fractions import Fraction
from itertools import chain
from typing import Any

import av
import av.error
import cv2
import numpy as np
from av.stream import Disposition
from av.video.reformatter import VideoReformatter

from vision.errors import SourceError
from vision.io.base import FEWER_PIXELS, Info, Log, Span
from vision.types import Frame, Image

_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
_ONE_THREAD_PIXELS = 1_000_000     # up to here one core decodes hundreds of frames a second, at less cost
_COUNTABLE = {"h264", "hevc", "vp9", "av1", "mjpeg", "png"}        # in mp4 and mkv: one packet, one frame
_PEEK_PACKETS = 64
_MOST_THREADS = 32                 # that hold frames back; FFmpeg uses at most 16
_MAX_HELD = 64 << 20               # bytes of packets that are kept while looking for a key frame


class Video:
    """One video stream of a container, decoded in presentation order.

    target: what PyAV opens, an address or a file object. options: for FFmpeg's protocol. timeout:
    seconds to wait for a network. live: hold no frames back for the sake of speed.
    """

    def __init__(
        self,
        uri: str,
        target: Any,
        max_pixels: int,
        *,
        options: Mapping[str, str] | None = None,
        timeout: float | None = None,
        live: bool = False,
    ) -> None:
        limit = {"max_pixels": str(max_pixels)}           # FFmpeg refuses larger frames, later ones too
        self._discarded = 0
        try:
            self._container = av.open(target, options={**limit, **(options or {})}, timeout=timeout)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise SourceError(
                f"{uri!r} cannot be read as a video ({_reason(error)}). Is it one, and whole?"
            ) from error
        try:
            self._stream = video_stream(uri, self._container)
            context = self._stream.codec_context
            if context.width * context.height > max_pixels:
                size = f"{context.width}x{context.height}"
                raise SourceError(f"{uri!r} has {size} pixels; {max_pixels} are allowed. {FEWER_PIXELS}")
            context.options = limit
            if live:
                self._stream.thread_type = "SLICE"
            self._demuxed: Iterator[Any] = self._container.demux(self._stream)
            self.info = _info(uri, self._container, self._stream, self._first_rotation())
        except SourceError:
            self._container.close()
            raise

    def frames(self, span: Span, log: Log) -> Iterator[Frame]:
        """The wanted frames; those that fail to decode are counted and passed over.

        The index counts the frames that decode. Where `start` is far in, and a packet is known to be
        a frame (H.264, HEVC, VP9, AV1 in mp4 or mkv), frames before it are counted by their packets,
        without decoding them; elsewhere everything is decoded from the beginning.
        """
        uri, corrupt_before = self.info.uri, log.counts.corrupt
        packets, first = self._from_key_frame(span.start, log)
        log.counts.decoded += first
        log.counts.passed_over += first
        to_bgr = VideoReformatter()                       # keeps its tables from frame to frame
        clock = _Clock(1 / (self.info.rate or 25.0), log)
        tick = self._stream.time_base or Fraction(1, 1000)
        index = first - 1
        for index, picture in enumerate(self._decoded(packets, log), first):
            stamp = picture.pts if picture.pts is not None else picture.dts
            time = clock(None if stamp is None else stamp * tick.numerator / tick.denominator)
            log.counts.decoded += 1
            if not span.wants(index, time) or span.over(time):
                log.counts.passed_over += 1
                if span.over(time):
                    return
                continue
            image = to_bgr.reformat(picture, format="bgr24").to_ndarray()
            yield Frame(upright(image, picture.rotation), index, time, uri)
            del picture, image
        failed = log.counts.corrupt - corrupt_before
        if index < 0:
            raise SourceError(
                f"{uri!r} opens as {self.info.codec}, but no frame of it can be decoded ({failed} failed)."
            )
        if span.first is None:
            log.note(f"{uri!r} has no frame in the range asked for; its last one is at {clock.last:.3f} s")
        self._compare(index + 1 + failed, clock.last, log)

    def close(self) -> None:
        """Close the container."""
        self._container.close()

    @property
    def endless(self) -> bool:
        """Whether the container states neither a length in seconds nor one in bytes."""
        return self.info.duration is None and self._container.size <= 0

    def _compare(self, frames: int, last: float, log: Log) -> None:
        """Tell where the container's word on its length was wrong; last: the last frame's time."""
        stated = self._stream.frames - self._discarded           # some are cut away by an edit list
        if stated > 0 and stated != frames:
            log.note(f"{self.info.uri!r} claims {stated} frames and holds {frames}")
        # Matroska counts no frames, but most of its writers state how long each stream is
        seconds = _seconds(self._stream.metadata.get("DURATION", ""))
        if seconds > last + 1.0:
            log.note(f"{self.info.uri!r} claims {seconds:.3f} s; its last frame is at {last:.3f} s")

    def _decoded(self, packets: Iterator[Any], log: Log) -> Iterator[Any]:
        """Whole frames in presentation order."""
        fed = came = failed = 0
        for packet in packets:
            fed += packet.size > 0 and not packet.is_discard
            try:
                pictures = packet.decode()
            except av.error.EOFError:                    # flushed already
                continue
            except av.error.FFmpegError:
                failed += 1
                log.counts.corrupt += 1
                continue
            came += len(pictures)
            for picture in pictures:
                if picture.is_corrupt:
                    log.counts.corrupt += 1
                else:
                    yield picture
        # PyAV gives up without a word at an error among the frames that decoding threads still hold
        lost = fed - came - failed
        if self._countable() and 0 < lost <= _MOST_THREADS and self._stream.codec_context.thread_count != 1:
            log.counts.corrupt += lost
            log.note(f"{lost} frames at the end of {self.info.uri!r} were lost to one that fails to decode")

    def _countable(self) -> bool:
        """Whether each packet is known to be one frame."""
        kind, codec = self._container.format.name, self._stream.codec_context.codec.canonical_name
        return codec in _COUNTABLE and ("mp4" in kind or "matroska" in kind)

    def _packets(self, log: Log) -> Iterator[Any]:
        """The stream's packets, then the empty one that flushes the decoder, also where the stream breaks
        off: what had come until then is handed out before the error."""
        broken: SourceError | None = None
        try:
            for packet in self._demuxed:
                self._discarded += packet.is_discard
                yield packet
        except (av.error.InvalidDataError, av.error.EOFError) as error:
            log.note(f"{self.info.uri!r} ends early ({_reason(error)})")
        except (av.error.FFmpegError, OSError) as error:
            broken = SourceError(f"{self.info.uri!r} broke off ({_reason(error)}).")
            broken.__cause__ = error
        except IndexError:               # PyAV at the very end, where a stream has appeared in mid-file
            pass
        else:
            return
        flush = av.Packet()
        flush.stream = self._stream
        yield flush
        if broken is not None:
            raise broken

    def _first_rotation(self) -> int:
        """Degrees counter-clockwise, from the first frame: only frames tell. The decoder starts anew
        afterwards, on the same packets."""
        held: list[Any] = []
        rotation = 0
        with suppress(av.error.FFmpegError, OSError):
            for packet in self._demuxed:
                held.append(packet)
                with suppress(av.error.FFmpegError):
                    if pictures := packet.decode():
                        rotation = pictures[0].rotation
                        break
                if len(held) >= _PEEK_PACKETS:
                    break
        self._stream.codec_context.flush_buffers()
        self._demuxed = chain(held, self._container.demux(self._stream)) if held else self._demuxed
        return rotation

    def _from_key_frame(self, start: float | None, log: Log) -> tuple[Iterator[Any], int]:
        """The packets from the last key frame at or before `start` seconds, and how many frames come
        before them."""
        packets = self._packets(log)
        if not start or not self._countable():
            return packets, 0
        wanted = start / self._stream.time_base
        held: list[Any] = []
        size = before = 0
        for packet in packets:
            if packet.is_keyframe and packet.pts is not None and packet.pts <= wanted:
                before += sum(not p.is_discard for p in held)
                held, size = [], 0
            held.append(packet)
            size += packet.size
            if packet.dts is None or packet.dts > wanted or size > _MAX_HELD:
                break
        if before:
            # pictures that come after the key frame but are shown before it lean on dropped ones
            key = held[0].pts
            before += sum(p.pts is not None and p.pts < key and not p.is_discard for p in held)
            held = [p for p in held if p.pts is None or p.pts >= key]
            log.note(f"{before} frames before {start:g} s were counted by their packets, not decoded")
        return chain(held, packets), before


class _Clock:
    """Presentation times: made from the rate where a frame has none, and never going back."""

    def __init__(self, step: float, log: Log) -> None:
        self._step, self._log = step, log
        self._shift = 0.0
        self._started = False
        self.last = 0.0

    def __call__(self, stamp: float | None) -> float:
        expected = self.last + self._step if self._started else 0.0
        if stamp is None:
            self._log.note(f"frames without a time stamp got times from the rate, {1 / self._step:g} fps")
            stamp = expected - self._shift
        elif self._started and stamp + self._shift < self.last:
            self._log.note(f"the time stamps go back after {self.last:.3f} s; later times follow on there")
            self._shift = expected - stamp
        self._started = True
        self.last = stamp + self._shift
        return self.last


def video_stream(uri: str, container: Any) -> Any:
    """The first video stream that is no cover picture, ready to decode."""
    for stream in container.streams.video:
        context = stream.codec_context
        if context is not None and Disposition.attached_pic not in stream.disposition:
            stream.thread_type = "AUTO"
            if context.width * context.height <= _ONE_THREAD_PIXELS:
                context.thread_count = 1
            return stream
    found = [f"{s.type}/{s.codec_context.name}" for s in container.streams if s.codec_context is not None]
    raise SourceError(
        f"{uri!r} has no video stream (found: {', '.join(found) or 'nothing'}). "
        "Give a file with video, or list it with: vision probe"
    )


def _info(uri: str, container: Any, stream: Any, rotation: int) -> Info:
    context = stream.codec_context
    size = context.width, context.height
    rate = stream.average_rate or stream.guessed_rate
    seconds = None if container.duration is None else container.duration / 1_000_000
    if seconds is None and stream.duration:
        seconds = float(stream.duration * stream.time_base)
    audio = [s.codec_context.name for s in container.streams.audio if s.codec_context is not None]
    return Info(
        uri=uri,
        kind="video",
        size_wh=size if rotation % 180 == 0 else size[::-1],
        rate=float(rate) if rate else None,
        duration=seconds,
        frames_estimate=stream.frames or (round(seconds * rate) if seconds and rate else None),
        codec=context.codec.canonical_name,
        rotation=-rotation % 360,
        audio=audio[0] if audio else None,
    )


def upright(image: Any, rotation: int) -> Image:
    """The picture turned as its display matrix says; rotation is in degrees counter-clockwise."""
    turn = _TURNS.get(-rotation % 360)
    return np.asarray(image if turn is None else cv2.rotate(image, turn), np.uint8)


def _seconds(clock: str) -> float:
    """Seconds of `HH:MM:SS.sss`; 0 for anything else."""
    try:
        hours, minutes, seconds = clock.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return 0.0


def _reason(error: BaseException) -> str:
    if isinstance(error, av.error.ExitError):            # FFmpeg's word for a timeout
        return "no answer in time"
    return getattr(error, "strerror", None) or str(error)
