"""Clips: runs of frames cut out of a video, each frame decoded once whatever the clips share.

A scheme says which: a function from the presentation times of a video's frames, (N,) seconds, to
the frames of each clip, (K,T) indices; those that are made here go to other processes, too. Where a
video is shorter than a clip it is looped (frame i is frame i mod N), as C3D's authors and MMAction2 do.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import av.error
import numpy as np
import numpy.typing as npt
from av.video.reformatter import VideoReformatter

from vision.errors import SourceError, UsageError
from vision.io.base import MAX_FRAME_PIXELS, Log, Span
from vision.io.container import STAMPED, open_container, video_stream
from vision.io.listing import VIDEO_SUFFIXES
from vision.io.source import open_reader
from vision.io.turning import DisplayTurns, upright
from vision.types import Image, Ints

Times = npt.NDArray[np.float64]                  # (N,) seconds, rising
Scheme = Callable[[Times], Ints]                 # -> (K,T) indices into them

_EPS = 1e-6                                      # seconds: times that agree to the microsecond are equal


def uniform(clips: int = 10, length: int = 16, step: int = 1) -> Scheme:
    """`clips` clips of `length` frames, every `step`-th frame, starting evenly from the first
    possible place to the last: the usual test of UCF101 and Kinetics (SlowFast's spacing)."""
    _positive(clips=clips, length=length, step=step)
    return partial(_uniform, clips=clips, length=length, step=step)


def dense(stride: int = 8, length: int = 16, step: int = 1) -> Scheme:
    """A clip every `stride` frames; 16 and 8 are the overlapping clips of C3D's descriptor."""
    _positive(stride=stride, length=length, step=step)
    return partial(_dense, stride=stride, length=length, step=step)


def centre(length: int = 16, step: int = 1) -> Scheme:
    """One clip, in the middle."""
    _positive(length=length, step=step)
    return partial(_centre, length=length, step=step)


def whole(length: int = 16) -> Scheme:
    """One clip of every frame of the video, looped to `length` where it is shorter: for 2D networks, which
    take any number of frames and average over them (the consensus of TSN)."""
    _positive(length=length)
    return partial(_whole, length=length)


def at_rate(scheme: Scheme, rate: float) -> Scheme:
    """The scheme on the video as if it had `rate` frames a second, whatever its own rate is and
    whether it varies. A frame serves the ticks up to half its distance from the frame before, at most
    half a tick, after it: at even rates each tick takes the nearest frame."""
    return partial(_resampled, scheme=scheme, rate=rate)


def _uniform(times: Times, clips: int, length: int, step: int) -> Ints:
    return _looped(np.rint(np.linspace(0, _last_start(times, length, step), clips)), len(times), length, step)


def _dense(times: Times, stride: int, length: int, step: int) -> Ints:
    return _looped(np.arange(0, _last_start(times, length, step) + 1, stride), len(times), length, step)


def _centre(times: Times, length: int, step: int) -> Ints:
    return _looped(np.array([_last_start(times, length, step) // 2]), len(times), length, step)


def _whole(times: Times, length: int) -> Ints:
    return np.arange(max(length, len(times)))[None] % len(times)


def _resampled(times: Times, scheme: Scheme, rate: float) -> Ints:
    gaps = np.diff(times, prepend=times[0])
    reach = np.maximum.accumulate(times + np.minimum(gaps, 1 / rate) / 2)
    ticks = np.arange(times[0], reach[-1] + _EPS, 1 / rate)
    shown = np.searchsorted(reach, ticks - _EPS).clip(0, len(times) - 1)
    return np.asarray(shown[scheme(ticks)], np.int64)


def _positive(**values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise UsageError(f"{name} must be at least 1; got {value}")


def _last_start(times: Times, length: int, step: int) -> int:
    return max(0, len(times) - (length - 1) * step - 1)


def _looped(starts: np.ndarray, frames: int, length: int, step: int) -> Ints:
    return np.asarray((starts.astype(np.int64)[:, None] + np.arange(length) * step) % frames, np.int64)


@dataclass(frozen=True, eq=False)
class Clips:
    """K clips of T frames that share frames.

    frames: (N,H,W,3) uint8 BGR, each wanted frame once. index: (N,) their places in decode order.
    times: (N,) their presentation times in seconds. rows: (K,T) each clip's frames, as rows of `frames`.
    """

    frames: Image
    index: Ints
    times: Times
    rows: Ints

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Image]:
        return (self[k] for k in range(len(self)))

    def __getitem__(self, k: int) -> Image:
        """Clip k: (T,H,W,3) uint8 BGR."""
        return np.asarray(self.frames[self.rows[k]])


def read_clips(
    uri: str | Path, scheme: Scheme, prepare: Callable[[Image], Image] = lambda image: image,
    max_pixels: int = MAX_FRAME_PIXELS,
) -> Clips:
    """Read the clips of a video, a folder of pictures, or what else `read` reads.

    Every wanted frame is decoded and prepared once; a stretch without one is passed over from key
    frame to key frame where the container's time stamps allow it, and decoded where they do not.
    prepare: what to keep of a frame, all of one size. Raises SourceError as `read` does.
    """
    found = _jump(Path(uri), scheme, prepare, max_pixels)
    wanted: Ints = np.zeros((0, 0), np.int64)
    while found is None:                         # first the times, then the frames
        frames, times = _sequence(str(uri), np.unique(wanted), prepare, max_pixels)
        planned = scheme(times)
        if np.array_equal(planned, wanted):
            found = frames, times, wanted
        wanted = planned
    frames, times, wanted = found
    index, rows = np.unique(wanted, return_inverse=True)
    return Clips(frames, index, times[index], rows.reshape(wanted.shape))


def _stacked(images: Iterator[Image], count: int) -> Image:
    """(N,H,W,3), N = count unless the images end before; filled as they come, so that none lies twice."""
    frames: Image = np.zeros((0, 0, 0, 3), np.uint8)
    n = 0
    for image in images:
        if n == 0:
            frames = np.empty((count, *image.shape), np.uint8)
        frames[n] = image
        n += 1
    return frames[:n]


@dataclass
class _Only(Span):
    """A span of single frames. It has no end, so that the times of all frames are seen."""

    wanted: frozenset[int] = frozenset()
    times: list[float] = field(default_factory=list)

    def wants(self, index: int, time: float) -> bool:
        self.first = 0
        self.times.append(time)
        return index in self.wanted


def _sequence(
    uri: str, index: Ints, prepare: Callable[[Image], Image], max_pixels: int
) -> tuple[Image, Times]:
    """Decode everything: the wanted frames, and the times of all."""
    reader, span = open_reader(uri, "auto", max_pixels), _Only(wanted=frozenset(index.tolist()))
    try:
        if uri == "-" or reader.info.live or reader.info.kind == "list":
            raise SourceError(f"clips are cut out of one video that can be read twice; {uri!r} is not one.")
        frames = _stacked((prepare(frame.image) for frame in reader.frames(span, Log())), len(index))
    finally:
        reader.close()
    if not span.times:
        raise SourceError(f"{uri!r} has no frame that can be decoded.")
    return frames, np.array(span.times)


def _jump(
    path: Path, scheme: Scheme, prepare: Callable[[Image], Image], max_pixels: int
) -> tuple[Image, Times, Ints] | None:
    """The same by way of the packets' time stamps; None where these cannot be relied on."""
    if not path.is_file() or path.suffix.lower() not in VIDEO_SUFFIXES:
        return None
    try:
        with open_container(str(path), f"file:{path}") as container:
            stream = video_stream(str(path), container, max_pixels)
            if stream.codec_context.has_b_frames and not any(k in container.format.name for k in STAMPED):
                return None                      # presentation stamps are made up: see `BestEffort`
            packets = [(p.pts, p.is_keyframe) for p in container.demux(stream) if p.size and not p.is_discard]
            tick = float(stream.time_base)
        stamps = {pts for pts, _ in packets if pts is not None}
        if not stamps or len(stamps) < len(packets):
            return None
        order = np.array(sorted(stamps), np.int64)
        times: Times = (order * tick).astype(np.float64)
        wanted = scheme(times)
        index = np.unique(wanted)
        keys = sorted(pts for pts, key in packets if key)
        with open_container(str(path), f"file:{path}") as container:
            pictures = _picked(container, video_stream(str(path), container, max_pixels), keys, order[index].tolist())
            to_bgr, turn = VideoReformatter(), DisplayTurns()
            images = (upright(to_bgr.reformat(p, format="bgr24").to_ndarray(), turn(p)) for p in pictures)
            frames = _stacked(map(prepare, images), len(index))
    except (av.error.FFmpegError, SourceError, OSError):
        return None
    return (frames, times, wanted) if len(frames) == len(index) else None


def _picked(container: Any, stream: Any, keys: list[int], stamps: list[int]) -> Iterator[Any]:
    """The decoded frames with these time stamps, rising; it ends at the first that does not come.

    Decoding goes from the key frame before a wanted frame to that frame; where the next one has a
    later key frame, what lies between is not decoded.
    """
    todo = deque(stamps)
    fed: int | None = None                       # the key frame that was decoded last; None: passing over
    for packet in container.demux(stream):       # the last one is empty, and flushes the decoder
        needed = keys[max(0, bisect_right(keys, todo[0]) - 1)]
        if packet.is_keyframe and packet.pts is not None and (fed is not None or packet.pts == needed):
            fed = packet.pts
        if fed is None:
            continue
        for picture in packet.decode():
            if picture.pts == todo[0] and not picture.is_corrupt:
                yield picture
                todo.popleft()
                if not todo:
                    return
            elif picture.pts is None or picture.pts >= todo[0]:
                return
        if keys[max(0, bisect_right(keys, todo[0]) - 1)] > fed:
            stream.codec_context.flush_buffers()
            fed = None
