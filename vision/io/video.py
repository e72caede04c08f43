"""Video containers and network streams through PyAV, with the container's own times."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import chain
from time import monotonic
from typing import Any

import av
import av.error
from av.video.reformatter import VideoReformatter

from vision.errors import SourceError
from vision.io.base import FEWER_PIXELS, Log, Span
from vision.io.clock import BestEffort, Clock
from vision.io.container import describe, open_container, reason, video_stream
from vision.io.turning import DisplayTurns, Turn, upright
from vision.types import Frame

_COUNTABLE = {"h264", "hevc", "vp9", "av1", "mjpeg", "png"}        # in mp4 and mkv: one packet, one frame
_PEEK_PACKETS = 64
_MOST_THREADS = 32                 # that hold frames back; FFmpeg uses at most 16
_MAX_HELD = 64 << 20               # bytes of packets that are kept while looking for a key frame


def _raising(error: Exception) -> Iterator[Any]:
    """Nothing but an error."""
    raise error
    yield


class Video:
    """One video stream of a container, decoded in presentation order.

    container: PyAV's. target: what PyAV opens, an address or a file object. options: for FFmpeg's protocol. timeout:
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
        self._discarded, self._most = 0, max_pixels
        self.address = target if isinstance(target, str) and "://" in target else ""         # with a password in it
        self.container = open_container(uri, target, {"max_pixels": str(max_pixels), **(options or {})}, timeout)
        try:
            self._stream = video_stream(uri, self.container, max_pixels)
            if live:
                self._stream.thread_type = "SLICE"
            self._demuxed: Iterator[Any] = self.container.demux(self._stream)
            # what was decoded to see the first frame, which alone tells of its turn: packets with what came of them
            self._peeked: deque[tuple[Any, list[Any] | Exception]] = deque()
            self._turns = DisplayTurns()
            self.info = describe(uri, self.container, self._stream, self._first_turn())
        except SourceError:
            self.container.close()
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
        clock = Clock(1 / (self.info.rate or 25.0), log)
        tick = self._stream.time_base or Fraction(1, 1000)
        index = first - 1
        for index, (picture, stamp, arrived) in enumerate(self._decoded(packets, log), first):
            time = clock(None if stamp is None else stamp * tick.numerator / tick.denominator)
            log.counts.decoded += 1
            if not span.wants(index, time) or span.over(time):
                log.counts.passed_over += 1
                if span.over(time):
                    return
                continue
            image = to_bgr.reformat(picture, format="bgr24").to_ndarray()
            turn = self._turns(picture)
            if not turn.known:
                log.note(f"{uri!r} asks to be turned by {turn.degrees} degrees: only quarter turns are applied")
            yield Frame(upright(image, turn), index, time, uri, captured=arrived)
            del picture, image
        failed = log.counts.corrupt - corrupt_before
        if index < 0:
            larger = "" if all(self.info.size_wh or (0,)) else (
                f" Its size is not known, and frames of more than {self._most} pixels are not decoded. {FEWER_PIXELS}")
            raise SourceError(
                f"{uri!r} opens as {self.info.codec}, but no frame of it can be decoded ({failed} failed).{larger}"
            )
        if span.first is None:
            log.note(f"{uri!r} has no frame in the range asked for; its last one is at {clock.last:.3f} s")
        self._compare(index + 1 + failed, clock.last, log)

    def close(self) -> None:
        """Close the container."""
        self.container.close()

    @property
    def endless(self) -> bool:
        """Whether the container states neither a length in seconds nor one in bytes."""
        return self.info.duration is None and self.container.size <= 0

    @property
    def countable(self) -> bool:
        """Whether frames can be counted by their packets, so that reading from a later start passes over what lies
        before it without decoding it."""
        return self._countable() and self._clean_beginning()

    @property
    def out_of_reach(self) -> bool:
        """Whether it is an mp4 whose frames a server without ranges has already passed by: nothing came of it,
        not even an error."""
        return "mp4" in self.container.format.name and not any(
            packet.size or isinstance(outcome, Exception) for packet, outcome in self._peeked
        )

    def _compare(self, frames: int, last: float, log: Log) -> None:
        """Tell where the container's word on its length was wrong; last: the last frame's time."""
        stated = self._stream.frames - self._discarded           # some are cut away by an edit list
        if stated > 0 and stated != frames:
            log.note(f"{self.info.uri!r} claims {stated} frames and holds {frames}")
        # Matroska counts no frames, but most of its writers state how long each stream is
        seconds = _seconds(self._stream.metadata.get("DURATION", ""))
        if seconds > last + 1.0:
            log.note(f"{self.info.uri!r} claims {seconds:.3f} s; its last frame is at {last:.3f} s")

    def _decoded(self, packets: Iterator[Any], log: Log) -> Iterator[tuple[Any, int | None, float]]:
        """Whole frames in presentation order, each with its stamp in ticks, and when its data came."""
        fed = came = failed = 0
        best = BestEffort()
        for packet in packets:
            arrived = monotonic()
            fed += packet.size > 0 and not packet.is_discard
            try:
                pictures = self._decode(packet)
            except av.error.EOFError:                    # flushed already
                continue
            except av.error.FFmpegError:
                failed += 1
                log.counts.corrupt += 1
                continue
            came += len(pictures)
            for picture in pictures:
                stamp = best(picture.pts, picture.dts)
                if picture.is_corrupt:
                    log.counts.corrupt += 1
                else:
                    yield picture, stamp, arrived
        # PyAV gives up without a word at an error among the frames that decoding threads still hold
        lost = fed - came - failed
        if self._countable() and 0 < lost <= _MOST_THREADS and self._stream.codec_context.thread_count != 1:
            log.counts.corrupt += lost
            log.note(f"{lost} frames at the end of {self.info.uri!r} were lost to one that fails to decode")

    def _decode(self, packet: Any) -> list[Any]:
        """The frames that a packet brings; no packet is decoded twice, which would lose or double frames."""
        if self._peeked and self._peeked[0][0] is packet:
            _, outcome = self._peeked.popleft()
            if isinstance(outcome, Exception):
                raise outcome
            return outcome
        return list(packet.decode())

    def _countable(self) -> bool:
        """Whether each packet is known to be one frame."""
        kind, codec = self.container.format.name, self._stream.codec_context.codec.canonical_name
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
            log.note(f"{self.info.uri!r} ends early ({reason(error)})")
        except (av.error.FFmpegError, OSError) as error:
            broken = SourceError(f"{self.info.uri!r} broke off ({reason(error)}).")
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

    def _first_turn(self) -> Turn:
        """How the first frame is brought upright; what was decoded to see it is kept."""
        held: list[Any] = []
        turn, rest = Turn(), self._demuxed
        try:
            for packet in self._demuxed:
                held.append(packet)
                outcome: list[Any] | Exception
                try:
                    outcome = list(packet.decode())
                except av.error.FFmpegError as error:
                    outcome = error
                self._peeked.append((packet, outcome))
                if isinstance(outcome, list) and outcome:
                    turn = self._turns(outcome[0])
                    break
                if len(held) >= _PEEK_PACKETS:
                    break
        except (av.error.FFmpegError, OSError) as error:
            rest = _raising(error)                       # as without the look: after the packets before it
        self._demuxed = chain(held, rest)
        return turn

    def _from_key_frame(self, start: float | None, log: Log) -> tuple[Iterator[Any], int]:
        """The packets from the last key frame at or before `start` seconds, and how many frames come
        before them. From the beginning, where the packets give no reason to trust them: where the first ones
        cannot be decoded, lean on something before them, are out of order, hidden or bring other settings."""
        packets = self._packets(log)
        if not start or not self._countable() or not self._clean_beginning():
            return packets, 0
        wanted = start / self._stream.time_base
        held: list[Any] = []
        size = before = 0
        trusted, last, earliest = True, None, None
        for packet in packets:
            earliest = packet.pts if earliest is None else earliest
            trusted = trusted and packet.pts is not None and packet.dts is not None and not (
                packet.is_corrupt or packet.is_discard or packet.has_sidedata("new_extradata")
                or (last is not None and packet.dts <= last)
                or packet.pts < earliest                 # shown before the first key frame: decoders drop it
            )                                                                       # fmt: skip
            if trusted and packet.is_keyframe and packet.pts <= wanted:
                before += len(held)
                held, size = [], 0
            held.append(packet)
            size += packet.size
            last = packet.dts
            if not trusted or packet.dts > wanted or size > _MAX_HELD:
                break
        if before:
            # pictures that come after the key frame but are shown before it lean on dropped ones
            key = held[0].pts
            before += sum(p.pts is not None and p.pts < key and not p.is_discard for p in held)
            held = [p for p in held if p.pts is None or p.pts >= key]
            self._peeked.clear()
            self._stream.codec_context.flush_buffers()
            log.note(
                f"{before} frames before {start:g} s were counted by their packets, not decoded: "
                "if one of them is damaged, a whole run counts fewer"
            )
        return chain(held, packets), before

    def _clean_beginning(self) -> bool:
        """Whether the first packet is a key frame, and the first frame comes whole, not in two fields."""
        outcomes = [outcome for _, outcome in self._peeked]
        return (
            bool(outcomes) and self._peeked[0][0].is_keyframe
            and not any(isinstance(outcome, Exception) for outcome in outcomes)
            and isinstance(outcomes[-1], list) and bool(outcomes[-1]) and not outcomes[-1][0].is_corrupt
            and not outcomes[-1][0].interlaced_frame         # whose fields may be a packet each
        )                                                                           # fmt: skip


def _seconds(clock: str) -> float:
    """Seconds of `HH:MM:SS.sss`; 0 for anything else."""
    try:
        hours, minutes, seconds = clock.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return 0.0
