"""Pictures as H.264 in packets, one a picture: what goes over a wire or into a log, rather than into a film."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import av.error

from vision.errors import SinkError
from vision.sinks.film import fitted_in, yuv420
from vision.sinks.frames import Preset
from vision.types import Image
from vision.view import View

KEY_EVERY = 60                                   # pictures: a reader that seeks decodes at most so many


class Packets:
    """H.264 as Annex B has it: one packet a picture, in the order in which pictures are shown (no B-frames), with SPS
    and PPS before each IDR, so that a reader may begin at any of these.

    crf: x264's quality, 0 (best) to 51. preset: x264's trade of time for size. The first picture's size is all
    pictures', one pixel more where a side is odd; another size is fitted in with black borders. view: how the last
    picture was; None: as it is.
    """

    def __init__(self, crf: int = 23, preset: Preset = "ultrafast") -> None:
        self._options = {"preset": preset, "crf": str(crf), "bf": "0", "g": str(KEY_EVERY)}
        self._context: Any = None
        self._waiting: deque[int] = deque()      # stamps of the pictures that are inside
        self._count = 0
        self.view: View | None = None

    def put(self, image: Image, stamp: int) -> Iterator[tuple[int, bytes]]:
        """Add a picture (H,W,3) uint8 BGR. Returns what is done by then: the stamp of a picture, and its packet. Raises
        SinkError."""
        context = self._context = self._context or self._opened(image)
        size_wh = context.width, context.height
        self.view = fitted_in(image, size_wh)
        frame = av.VideoFrame.from_ndarray(yuv420(image if self.view is None else self.view.pixels, size_wh), "yuv420p")
        frame.pts, frame.time_base = self._count, context.time_base
        self._count += 1
        self._waiting.append(stamp)
        return self._out(frame)

    def end(self) -> Iterator[tuple[int, bytes]]:
        """What is still inside."""
        if self._context is not None:
            yield from self._out(None)
            self._context = None

    def _out(self, frame: Any) -> Iterator[tuple[int, bytes]]:
        try:
            for packet in self._context.encode(frame):
                yield self._waiting.popleft(), bytes(packet)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise SinkError(f"H.264 cannot be made of this picture ({error}).") from error

    def _opened(self, image: Image) -> Any:
        height, width = image.shape[:2]
        context: Any = av.CodecContext.create("libx264", "w")
        context.width, context.height = width + width % 2, height + height % 2
        context.pix_fmt, context.options = "yuv420p", self._options
        context.time_base, context.framerate = Fraction(1, 30), Fraction(30)
        context.colorspace = context.color_primaries = context.color_trc = 6         # BT.601, as OpenCV converts
        context.color_range = 1
        return context
