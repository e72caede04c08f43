"""The sound of a film: copied or encoded from its source, with time stamps in order. It never costs the film."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import av
import av.error

from vision.errors import SinkError, SourceError
from vision.io.base import shown
from vision.io.container import open_container, reason

COPIED = {"aac", "mp3", "opus", "flac", "alac", "ac3", "eac3"}        # sound that mp4 holds as it is
_ANEW_S = 1.0                              # a clock that goes back by more has begun anew
_STANDING = 100                            # packets in a row whose clock stands still: no sound to keep


class Sound:
    """The sound of one file, to go beside the pictures of a film. notes: is told what was repaired or left out."""

    def __init__(self, container: Any, notes: list[str]) -> None:
        self.notes, self._container = notes, container
        self._stream = container.streams.audio[0]

    @classmethod
    def of(cls, uri: str, notes: list[str]) -> Sound | None:
        """The sound of a file or of an address that can be read a second time; None where there is none.

        Raises SinkError for a file that is not there, SourceError for one that cannot be read.
        """
        if uri == "-" or ("://" in uri and not uri.startswith(("http://", "https://", "file://"))):
            return None
        path = unquote(urlsplit(uri).path) if uri.startswith("file://") else uri
        if "://" not in path and not Path(path).exists():
            raise SinkError(f"the sound of {uri!r} cannot be read: there is no such file.")
        container = open_container(shown(uri), path if "://" in path else f"file:{path}")
        endless = container.duration is None and container.size <= 0
        if endless or not container.streams.audio or container.streams.audio[0].codec_context is None:
            container.close()
            return None
        return cls(container, notes)

    def into(self, out: Any, origin: float) -> tuple[Any, Iterator[Any]]:
        """A stream of `out` for it, and its packets from `origin` seconds on, which becomes their 0."""
        context = self._stream.codec_context
        if context.codec.canonical_name in COPIED:
            return out.add_stream_from_template(self._stream), _since(self._packets(), origin)
        target = out.add_stream("aac", rate=context.sample_rate)
        return target, _since(self._encoded(target), origin)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _packets(self) -> Iterator[Any]:
        """The packets, with stamps that rise: one that does not moves behind the one before it, and a clock that
        begins anew goes on from there, as the times of the pictures do."""
        tick = float(self._stream.time_base)
        last: int | None = None
        step, shift, moved, standing = 1, 0, 0, 0
        for packet in self._demuxed():
            following = 0 if last is None else last + step
            stamp = following if packet.dts is None else packet.dts + shift
            if last is not None and (last - stamp) * tick > _ANEW_S:
                self.notes.append(f"the clock of the sound begins anew after {last * tick:.3f} s; it goes on there")
                shift, stamp = shift + following - stamp, following
            standing = standing + 1 if last is not None and stamp <= last else 0
            if last is not None and standing:
                stamp, moved = last + 1, moved + 1
            if standing > _STANDING:
                self.notes.append(f"the clock of the sound stands still at {stamp * tick:.3f} s: left out from there")
                return
            last, step = stamp, packet.duration or step
            packet.pts = packet.dts = stamp
            yield packet
        if moved:
            self.notes.append(f"{moved} pieces of the sound had the time stamp of another, and were moved behind it")

    def _demuxed(self) -> Iterator[Any]:
        """The packets as they are, up to where the file breaks off."""
        try:
            yield from (packet for packet in self._container.demux(self._stream) if packet.size)
        except (av.error.FFmpegError, OSError) as error:
            self.notes.append(f"the sound breaks off ({reason(error)})")

    def _encoded(self, target: Any) -> Iterator[Any]:
        """The packets as AAC; pieces that cannot be decoded are left out."""
        context = target.codec_context
        resampler = av.AudioResampler(
            format="fltp", layout=context.layout.name, rate=context.sample_rate, frame_size=context.frame_size or 1024,
        )
        broken = 0
        for packet in self._packets():
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                broken += 1
                continue
            for frame in frames:
                for piece in resampler.resample(frame):
                    yield from target.encode(piece)
        if broken:
            self.notes.append(f"{broken} pieces of the sound are broken, and left out")
        for piece in resampler.resample(None):
            yield from target.encode(piece)
        yield from target.encode(None)


def sound_of(uri: str, notes: list[str]) -> Sound | None:
    """The sound of a source; where it cannot be read there is none, and a note."""
    try:
        return Sound.of(uri, notes)
    except SourceError as error:
        notes.append(f"the film has no sound: {error}")
        return None


def _since(packets: Iterator[Any], origin: float) -> Iterator[Any]:
    """The packets from `origin` seconds on, which becomes their 0."""
    for packet in packets:
        ticks = round(origin / packet.time_base)
        packet.pts, packet.dts = packet.pts - ticks, packet.dts - ticks
        if packet.pts >= 0 or not origin:
            yield packet
