"""Video containers and network streams through PyAV, with the container's own times."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import av.error
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from vision.errors import SourceError
from vision.io.source import Info, Log, Span
from vision.types import Frame, Image

_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
_ONE_THREAD_PIXELS = 1_000_000      # up to here one core decodes hundreds of frames a second, at less cost


class Video:
    """One video stream of a container, decoded in presentation order."""

    def __init__(self, uri: str, target: Any, max_pixels: int) -> None:
        try:
            self._container = av.open(target)
        except (av.error.FFmpegError, OSError) as error:
            raise SourceError(
                f"{uri!r} cannot be read as a video ({_reason(error)}). Is it whole, and a video? "
                "See: vision probe"
            ) from error
        try:
            self._stream = _video_stream(uri, self._container)
            self.info = _info(uri, self._container, self._stream)
            if (size := self.info.size_wh) is not None and size[0] * size[1] > max_pixels:
                raise SourceError(f"{uri!r} has {size[0]}x{size[1]} pixels, over the limit of {max_pixels}.")
        except SourceError:
            self._container.close()
            raise

    def frames(self, span: Span, log: Log) -> Iterator[Frame]:
        """The wanted frames; those that fail to decode are counted and passed over."""
        uri, rate = self.info.uri, self.info.rate or 25.0
        time_base = self._stream.time_base or Fraction(1, 1000)
        to_bgr = VideoReformatter()                       # keeps its tables from frame to frame
        clock = _Clock(1 / rate, log)
        for index, picture in enumerate(self._decoded(log)):
            stamp = picture.pts if picture.pts is not None else picture.dts
            time = clock(None if stamp is None else float(stamp * time_base))
            log.counts.decoded += 1
            if span.over(time):
                log.counts.passed_over += 1
                return
            if not span.wants(index, time):
                log.counts.passed_over += 1
                continue
            image = to_bgr.reformat(picture, format="bgr24").to_ndarray()
            yield Frame(_upright(image, picture.rotation), index, time, uri)
            del picture, image
        if log.counts.decoded == 0:
            raise SourceError(
                f"{uri!r} opens as {self.info.codec}, but not one frame can be decoded "
                f"({log.counts.corrupt} failed)."
            )

    def close(self) -> None:
        """Close the container."""
        self._container.close()

    def _decoded(self, log: Log) -> Iterator[Any]:
        """Whole frames in presentation order."""
        for packet in self._packets(log):
            try:
                pictures = packet.decode()
            except av.error.FFmpegError:
                log.counts.corrupt += 1
                continue
            for picture in pictures:
                if picture.is_corrupt:
                    log.counts.corrupt += 1
                else:
                    yield picture

    def _packets(self, log: Log) -> Iterator[Any]:
        """The stream's packets, then the empty one that flushes the decoder."""
        try:
            yield from self._container.demux(self._stream)
        except (av.error.FFmpegError, OSError) as error:
            log.note(f"the file ends early: {_reason(error)}")
            yield av.Packet()


class _Clock:
    """Presentation times: made from the rate where a frame has none, and never going back."""

    def __init__(self, step: float, log: Log) -> None:
        self._step, self._log = step, log
        self._last: float | None = None
        self._shift = 0.0

    def __call__(self, stamp: float | None) -> float:
        expected = 0.0 if self._last is None else self._last + self._step
        if stamp is None:
            self._log.note(f"frames without a time stamp got times from the rate, {1 / self._step:g} fps")
            self._last = expected
            return expected
        time = stamp + self._shift
        if self._last is not None and time < self._last:
            self._log.note(f"the time stamps go back after {self._last:.3f} s; later times follow on from there")
            self._shift += expected - time
            time = expected
        self._last = time
        return time


def _video_stream(uri: str, container: Any) -> Any:
    """The first video stream that is no cover picture, ready to decode."""
    found = [f"{s.type}/{s.codec_context.name}" for s in container.streams if s.codec_context is not None]
    for stream in container.streams.video:
        if stream.codec_context is not None and "attached_pic" not in str(stream.disposition):
            size = stream.codec_context.width * stream.codec_context.height
            stream.thread_type = "AUTO"
            if size <= _ONE_THREAD_PIXELS:
                stream.codec_context.thread_count = 1
            return stream
    raise SourceError(
        f"{uri!r} has no video stream (found: {', '.join(found) or 'nothing'}). "
        "Give a file with video, or list it with: vision probe"
    )


def _info(uri: str, container: Any, stream: Any) -> Info:
    context = stream.codec_context
    rate = stream.average_rate or stream.guessed_rate
    seconds = None if container.duration is None else container.duration / 1_000_000
    if seconds is None and stream.duration:
        seconds = float(stream.duration * stream.time_base)
    frames = stream.frames or (round(seconds * rate) if seconds and rate else None)
    audio = container.streams.audio
    return Info(
        uri=uri,
        kind="video",
        size_wh=(context.width, context.height),
        rate=float(rate) if rate else None,
        duration=seconds,
        frames_estimate=frames,
        codec=context.codec.name,
        audio=audio[0].codec_context.name if audio and audio[0].codec_context else None,
    )


def _upright(image: Any, rotation: int) -> Image:
    """The picture turned as its display matrix says; rotation is in degrees counter-clockwise."""
    turn = _TURNS.get(-rotation % 360)
    return np.asarray(image if turn is None else cv2.rotate(image, turn), np.uint8)


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)
