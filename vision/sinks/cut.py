"""Pieces of a film: cut out by copying packets where that can be, else encoded anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import av
import av.error

from vision.errors import SinkError, SourceError
from vision.io.base import MAX_FRAME_PIXELS
from vision.io.container import STAMPED, open_container, reason, video_stream
from vision.io.source import read
from vision.sinks.sound import COPIED

_IN_MP4 = {"h264", "hevc", "av1", "mpeg4", "vp9"}        # that players look for there; others go into .mkv
_MAX_BYTES = 1 << 30                                     # of packets that are held; a longer piece is encoded anew


class Piece(NamedTuple):
    """What was cut. begins: its first picture's time in the source, seconds. copied: nothing was encoded anew."""

    path: Path
    begins: float
    copied: bool


class _Packets(NamedTuple):
    video: Any
    audio: Any
    key: Any                                             # the first packet of the video that is wanted
    packets: list[Any]


def cut(source: str | Path, start: float, end: float, stem: Path, earlier: float = 3.0) -> Piece:
    """Cut the stretch from `start` to `end` (seconds of presentation time) out of a video.

    stem: the path of the piece without its suffix. Packets are copied, with the sound, from the last key frame
    at or before `start`. Where that is more than `earlier` seconds before, and where packets cannot be cut (times
    that are made up, an edit list), pictures are encoded anew from `start` on, without sound.

    Raises SourceError where the stretch has no picture, SinkError where the piece cannot be written.
    """
    try:
        with open_container(str(source), f"file:{source}") as container:
            found = _found(str(source), container, start, end)
            if found is not None and float(found.key.pts * found.key.time_base) >= start - earlier:
                return _copied(found, stem)
    except (av.error.FFmpegError, ValueError):           # FFmpeg cannot put these packets into a file
        pass
    return _encoded(source, start, end, stem.with_name(f"{stem.name}.mp4"))


def _found(name: str, container: Any, start: float, end: float) -> _Packets | None:
    """The packets of the stretch; None where they cannot be cut."""
    video = video_stream(name, container, MAX_FRAME_PIXELS)
    if video.codec_context.has_b_frames and not any(kind in container.format.name for kind in STAMPED):
        return None                                      # presentation stamps are made up: see `BestEffort`
    audio = next((one for one in container.streams.audio if one.codec_context and one.codec_context.sample_rate), None)
    if "mp4" in container.format.name:                   # others have no index, or no decoding times after a seek
        container.seek(int(start / video.time_base), stream=video)
    packets: list[Any] = []
    key, size, left = None, 0, {one for one in (video, audio) if one is not None}
    for packet in container.demux(list(left)):
        if not packet.size or packet.stream not in left:
            continue
        if packet.pts is None or packet.is_discard or size > _MAX_BYTES:
            return None
        time = float(packet.pts * packet.time_base)
        if packet.dts is not None and float(packet.dts * packet.time_base) >= end:
            left.discard(packet.stream)
            if not left:
                break
            continue
        if packet.stream is video and packet.is_keyframe and (key is None or time <= start + 1e-6):
            packets = [one for one in packets if one.stream is audio] if key is None else packets[-200:]
            key, size = packet, 0
        packets.append(packet)
        size += packet.size
    if key is None or float(key.pts * key.time_base) > start + 1e-6:
        return None
    first = next((one.dts for one in packets if one.stream is video and one.dts is not None), key.pts)
    unknown = [one for one in packets if one.stream is video and one.dts is None]        # Matroska's first ones
    for n, packet in enumerate(reversed(unknown), 1):
        packet.dts = first - n
    return _Packets(video, audio, key, packets)


def _copied(found: _Packets, stem: Path) -> Piece:
    """Write the packets from the key frame on, which becomes the time 0."""
    begins = float(found.key.pts * found.key.time_base)
    kinds = [one.codec_context.codec.canonical_name for one in (found.video, found.audio) if one is not None]
    suffix = ".mp4" if kinds[0] in _IN_MP4 and set(kinds[1:]) <= COPIED else ".mkv"
    suffix = ".ts" if "mpegts" in found.video.container.format.name else suffix     # its packets have no headers
    path, part = stem.with_name(f"{stem.name}{suffix}"), stem.with_name(f"{stem.name}.part{suffix}")
    try:
        with av.open(f"file:{part}", "w") as out:
            streams = {one: out.add_stream_from_template(one) for one in (found.video, found.audio) if one is not None}
            reached = False
            for packet in found.packets:
                reached = reached or packet is found.key
                shift = round(begins / packet.time_base)
                if packet.pts < shift or (packet.stream is found.video and not reached):
                    continue                             # before the key frame, or leaning on what is
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = streams[packet.stream]
                out.mux(packet)
        part.replace(path)
    except OSError as error:
        raise SinkError(f"{str(path)!r} cannot be written ({reason(error)}).") from error
    finally:
        part.unlink(missing_ok=True)
    return Piece(path, begins, True)


def _encoded(source: str | Path, start: float, end: float, path: Path) -> Piece:
    from vision.sinks.film import VideoWriter

    begins: float | None = None
    with read(source, start=start, end=end) as frames, VideoWriter(path, origin=start) as film:
        for frame in frames:
            begins = frame.time if begins is None else begins
            film.write(frame.image, frame.time)
    if begins is None:
        raise SourceError(f"{str(source)!r} has no picture from {start:.3f} to {end:.3f} s.")
    return Piece(path, begins, False)
