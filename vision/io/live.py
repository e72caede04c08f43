"""Live sources: cameras and network streams. One that drops is opened again: a bounded number of times, or until it
is back."""

from __future__ import annotations

import logging
import os
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.client import HTTPException
from typing import NamedTuple, Protocol
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import Request, urlopen

from vision.errors import SourceError
from vision.io.base import Info, Log, Reader, Span, shown
from vision.io.container import CLOCKLESS
from vision.io.video import Video
from vision.types import Frame, Image

_log = logging.getLogger("vision.live")
PAUSES_S = (0.5, 1.0, 2.0, 3.0, 4.0)         # before each attempt to open a lost source again; then the last one
TIMEOUT_S = 10.0                             # without a word from the network
_SERVED_SCHEMES = {"http", "https", "ftp"}
_LIVE_SCHEMES = {"rtsp", "rtsps", "rtmp", "rtmps", "rtp", "udp", "srt", "tcp"}


class Arrival(NamedTuple):
    """A picture of a live source: (H,W,3) uint8 BGR; time, seconds on the connection's own clock; captured,
    when it came, in seconds of `time.monotonic`; stamp_ns, the source's wall clock, where it has one."""

    image: Image
    time: float
    captured: float
    stamp_ns: int | None = None


class Feed(Protocol):
    """One connection to a live source."""

    info: Info

    def arrivals(self, log: Log) -> Iterator[Arrival]:
        """Pictures as they come, until the connection is lost."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class Live:
    """Frames of a live source. Its first frame has time 0, and a gap is a gap in the times too.

    missing: what is known of a source that need not be there: it is waited for, at the start and whenever it is lost,
    until `interrupt`. None: it must be there, and is given up after a few attempts.
    lost_at: since when there is no connection, in seconds of `time.monotonic`; None while there is one.
    """

    def __init__(self, connect: Callable[[], Feed], missing: Info | None = None) -> None:
        self._connect, self._waits = connect, missing is not None
        self._stop = threading.Event()
        self._feed: Feed | None = None
        self.lost_at: float | None = None
        try:
            self._feed = connect()
        except SourceError as error:
            if missing is None:
                raise
            self._lose(str(error))
        known = self._feed.info if self._feed is not None else missing
        assert known is not None
        self.info = replace(known, live=True, duration=None, frames_estimate=None)

    def _lose(self, why: str) -> None:
        """There is no connection any more; said once where it is waited for."""
        if self.lost_at is None:
            self.lost_at = time.monotonic()
            if self._waits:
                _log.warning("%s It is waited for: Ctrl-C ends.", why)

    def frames(self, span: Span, log: Log) -> Iterator[Frame]:
        """The wanted frames, until the range ends. SourceError when the source is lost for good."""
        index, last, gap, attempts = 0, 0.0, 0.0, 0
        began: float | None = None
        while not self._stop.is_set():
            offset: float | None = None                # from the connection's clock to the source's
            for image, stamp, captured, stamp_ns in self._pictures(log):
                self.lost_at = None
                began = captured if began is None else began
                if offset is None:
                    offset = max(captured - began, last) - stamp
                    if attempts and index:             # not one that was missing at the start
                        back = stamp + offset
                        gap += back - last
                        log.note(f"{self.info.uri!r} dropped at {last:.1f} s and came back at {back:.1f} s")
                    attempts = 0
                last = max(stamp + offset, last)
                log.counts.decoded += 1
                wanted = span.wants(index, last) and not span.over(last)
                log.counts.passed_over += not wanted
                if span.over(last):
                    return
                if wanted:
                    yield Frame(image, index, last, self.info.uri, stamp_ns, gap, captured)
                    gap = 0.0
                index += 1
            self.close()
            self._lose(f"{self.info.uri!r} was lost after {index} frames.")
            if attempts == len(PAUSES_S) and not self._waits:
                raise SourceError(
                    f"{self.info.uri!r} was lost after {index} frames, at {last:.1f} s, and did not come "
                    f"back in {attempts} attempts. Is it switched on, and in reach?"
                )
            self._stop.wait(PAUSES_S[min(attempts, len(PAUSES_S) - 1)])
            attempts += 1

    def _pictures(self, log: Log) -> Iterator[Arrival]:
        """The pictures of one connection, which is opened if need be; none where it cannot be."""
        try:
            self._feed = self._feed or self._connect()
            yield from self._feed.arrivals(log)
        except SourceError:
            return

    def interrupt(self) -> None:
        """End a wait for a lost source, or for the next picture of a feed that can be interrupted, from another
        thread: no attempt follows."""
        self._stop.set()
        interrupt = getattr(self._feed, "interrupt", None)
        if interrupt is not None:
            interrupt()

    def close(self) -> None:
        """Close the connection."""
        if self._feed is not None:
            self._feed.close()
            self._feed = None


class _CameraFeed:
    """A camera's pictures, with the time at which it took each."""

    def __init__(self, uri: str) -> None:
        from vision.io.capture import Camera

        self._camera = Camera(uri)
        self.info = replace(self._camera.info, kind="camera")

    def arrivals(self, log: Log) -> Iterator[Arrival]:
        """Pictures until the camera fails."""
        for image, age in self._camera:
            captured = time.monotonic() - age
            yield Arrival(image, captured, captured, time.time_ns() - round(age * 1e9))

    def close(self) -> None:
        """Give the camera back."""
        self._camera.close()


class _StreamFeed:
    """A network stream's pictures, with the times that it states, or else at which they come."""

    def __init__(self, video: Video) -> None:
        self._video = video
        self._states_times = video.container.format.name not in CLOCKLESS
        self.info = replace(video.info, kind="stream")

    def arrivals(self, log: Log) -> Iterator[Arrival]:
        """Pictures until the stream ends or breaks off; what failed to decode is told to the log."""
        own = Log(notes=log.notes)
        try:
            for frame in self._video.frames(Span(), own):
                yield Arrival(frame.image, frame.time if self._states_times else frame.captured, frame.captured)
        finally:
            log.counts.corrupt += own.counts.corrupt

    def close(self) -> None:
        """Close the connection."""
        self._video.close()


def open_camera(uri: str, reconnect: bool = False) -> Live:
    """A camera by its number or its /dev/video path. reconnect: it is waited for, as `Live` has it."""
    return Live(lambda: _CameraFeed(uri), Info(uri, "camera") if reconnect else None)


def open_url(uri: str, max_pixels: int, reconnect: bool = False) -> Reader:
    """A stream, live by its scheme or because it has no end; or a file on a server. A password in the address
    reaches the opener alone. reconnect: a stream is waited for, as `Live` has it. Raises SourceError for a scheme that
    is none of a network's."""
    name, scheme = shown(uri), uri.partition("://")[0].lower()
    if scheme not in _SERVED_SCHEMES | _LIVE_SCHEMES:
        known = ", ".join(sorted(_SERVED_SCHEMES | _LIVE_SCHEMES | {"zenoh"}))
        raise SourceError(f"{name!r} is no address that can be read: its scheme is {scheme!r}. There are: {known}.")
    options = {"rtsp_transport": "tcp"} if scheme.startswith("rtsp") else {}
    served, live = scheme in ("http", "https"), scheme in _LIVE_SCHEMES
    if served:
        options = {"reconnect": "1", "reconnect_on_network_error": "1", "reconnect_delay_max": "5"}
    if scheme == "https":                                # where no file is known, FFmpeg asks the system itself
        trusted = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
        options |= {"tls_verify": "1", **({"ca_file": trusted} if trusted else {})}

    def connect() -> Video:
        return Video(name, uri, max_pixels, options=options, timeout=TIMEOUT_S, live=live)

    missing = Info(name, "stream") if reconnect else None
    if live:
        return Live(lambda: _StreamFeed(connect()), missing)
    try:
        video = connect()
    except SourceError:
        if missing is None:
            raise
        return Live(lambda: _StreamFeed(connect()), missing)
    if served and video.out_of_reach:
        video.close()
        return _spooled(name, uri, max_pixels)
    if not video.endless:
        return video
    opened = [video]
    return Live(lambda: _StreamFeed(opened.pop() if opened else connect()), missing)


def _spooled(name: str, uri: str, max_pixels: int) -> Reader:
    """A file whose index comes last, from a server that does not give parts of it: through a temporary file."""
    from vision.io.stdin import Ahead, Spooled

    parts = urlsplit(uri)
    request = Request(urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])))
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        request.add_header("Authorization", "Basic " + b64encode(login.encode()).decode())
    try:
        with urlopen(request, timeout=TIMEOUT_S) as response:
            return Spooled(name, Ahead(response), max_pixels)
    except (OSError, HTTPException) as error:
        raise SourceError(f"{name!r} cannot be fetched ({type(error).__name__}).") from None
