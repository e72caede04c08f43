"""Containers opened through PyAV: what may be opened, which stream is the video, what it says of itself."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from functools import cache
from typing import Any

import av
import av.error
from av.stream import Disposition

from vision.errors import SourceError
from vision.io.base import FEWER_PIXELS, Info
from vision.io.turning import Turn

_ONE_THREAD_PIXELS = 1_000_000     # up to here one core decodes hundreds of frames a second, at less cost
_LARGE_PIXELS = 16_000_000         # from here on frames are decoded one at a time, for the sake of memory
# texts, lists of other files, and devices: FFmpeg reads them as video, and no user means that
_NO_FILES = {"tty", "concat", "image2", "lavfi", "fbdev", "kmsgrab", "x11grab", "video4linux2,v4l2", "alsa", "oss",
             "vobsub"}
_NO_LOCAL_FILES = {"hls", "dash", "sdp", "rtp", "rtsp", "sap", "webm_dash_manifest"}
STAMPED = ("mp4", "matroska", "mpegts")                  # containers that state when each frame is shown
_NETWORK = "crypto,data,ftp,http,httpproxy,https,rtmp,rtmps,rtp,rtsp,rtsps,srt,srtp,tcp,tls,udp"
# streams without a container: they have no time stamps, and a rate that is FFmpeg's guess
CLOCKLESS = {"h264", "hevc", "vvc", "mpegvideo", "m4v", "h261", "h263", "mjpeg", "mpjpeg", "dirac", "vc1", "cavsvideo",
             "obu"}                                                                 # fmt: skip


def open_container(
    uri: str, target: Any, options: Mapping[str, str] | None = None, timeout: float | None = None
) -> Any:
    """A container for reading. target: what PyAV opens, an address or a file object; uri: its name in messages.
    Raises SourceError."""
    local = not (isinstance(target, str) and "://" in target)
    try:
        return av.open(
            target, options={**_allowed(local), **(options or {})},
            timeout=timeout, metadata_errors="replace",
        )                                                                           # fmt: skip
    except (av.error.FFmpegError, OSError, ValueError) as error:
        said = "no kind of video" if isinstance(error, av.error.ArgumentError) else reason(error)
        # the cause names the address in full, password included
        raise SourceError(f"{uri!r} cannot be read as a video ({said}). Is it one, and whole?") from None


@cache
def _allowed(local: bool) -> Mapping[str, str]:
    """What FFmpeg may open: of a network no file of this machine, whatever a playlist or a server names; of a file
    nothing else."""
    formats = ",".join(sorted(av.formats_available - _NO_FILES - (_NO_LOCAL_FILES if local else set())))
    return {"format_whitelist": formats, "protocol_whitelist": "file" if local else _NETWORK}


def video_stream(uri: str, container: Any, max_pixels: int) -> Any:
    """The first video stream that is no cover picture, ready to decode. Raises SourceError."""
    for stream in container.streams.video:
        context = stream.codec_context
        if context is None or Disposition.attached_pic in stream.disposition:
            continue
        pixels = context.width * context.height
        if pixels > max_pixels:
            size = f"{context.width}x{context.height}"
            raise SourceError(f"{uri!r} has {size} pixels; {max_pixels} are allowed. {FEWER_PIXELS}")
        context.options = {"max_pixels": str(max_pixels)}          # later frames may be larger
        stream.thread_type = "SLICE" if pixels > _LARGE_PIXELS else "AUTO"
        if pixels <= _ONE_THREAD_PIXELS:
            context.thread_count = 1
        return stream
    found = [f"{s.type}/{s.codec_context.name}" for s in container.streams if s.codec_context is not None]
    raise SourceError(
        f"{uri!r} has no video stream (found: {', '.join(found) or 'nothing'}). "
        "Give a file with video, or list it with: vision probe"
    )


def describe(uri: str, container: Any, stream: Any, turn: Turn) -> Info:
    """What a container says of its video stream."""
    context = stream.codec_context
    size = context.width, context.height
    rate = stream.average_rate or stream.guessed_rate
    if container.format.name in CLOCKLESS:         # without stamps the container's rate is a default, 25
        rate = context.framerate or rate
    seconds = None if container.duration is None else container.duration / 1_000_000
    if seconds is None and stream.duration:
        seconds = float(stream.duration * stream.time_base)
    audio = [s.codec_context.name for s in container.streams.audio if s.codec_context is not None]
    return Info(
        uri=uri,
        kind="video",
        size_wh=size[::-1] if turn.degrees in (90, 270) else size,
        rate=float(rate) if rate else None,
        duration=seconds,
        frames_estimate=stream.frames or (round(seconds * rate) if seconds and rate else None),
        codec=context.codec.canonical_name,
        rotation=turn.degrees if turn.known else 0,
        mirrored=turn.mirrored and turn.known,
        audio=audio[0] if audio else None,
    )


def reason(error: BaseException) -> str:
    """What went wrong, without the address."""
    if isinstance(error, av.error.ExitError):            # FFmpeg's word for a timeout
        return "no answer in time"
    if getattr(error, "errno", None) == errno.EIO and str(getattr(error, "filename", "")).startswith("https:"):
        return "no connection that can be trusted; SSL_CERT_FILE names the certificates that are"
    return getattr(error, "strerror", None) or str(error)
