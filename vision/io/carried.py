"""Pictures of messages, one after the other: raw pixels, files, and packets of a film, to BGR."""

from __future__ import annotations

from typing import Any

import av
import av.error
import numpy as np
from av.video.reformatter import VideoReformatter

from vision.errors import SourceError
from vision.io.pictures import decode_picture
from vision.messages.annexb import CODECS, is_key
from vision.messages.pictures import Carried, Compressed, Packet, Raw, check_compressed, raw_picture
from vision.types import Image

Dated = tuple[int, Image]                        # nanoseconds, (H,W,3) uint8 BGR


class Pictures:
    """Decodes what messages carry. A film begins at a key frame: packets before the first one give nothing.

    name: for messages. still, moving: pixels that a picture, and a frame of a film, may have.
    """

    def __init__(self, name: str, still: int, moving: int) -> None:
        self.name, self.still, self.moving = name, still, moving
        self._context: Any = None
        self._to_bgr = VideoReformatter()
        self._stamps: dict[int, int] = {}        # of the packets that were fed, by their number
        self._fed = 0

    def put(self, stamp: int, carried: Carried) -> list[Dated]:
        """Add a message. Returns the pictures that are done by then, each with its stamp. Raises SourceError for one
        that cannot be decoded."""
        if isinstance(carried, Raw):
            return [(stamp, raw_picture(carried, self.name, self.still))]
        if isinstance(carried, Compressed):
            check_compressed(carried, self.name)
            return [(stamp, decode_picture(carried.data, self.name, self.still))]
        return self._packet(stamp, carried)

    def end(self) -> list[Dated]:
        """What a decoder still holds."""
        if self._context is None:
            return []
        try:
            return self._out(None)
        except SourceError:
            return []

    def began(self, carried: Carried) -> bool:
        """Whether a message could be decoded now: a packet before a film's first key frame could not."""
        return not isinstance(carried, Packet) or self._context is not None or is_key(carried.data, carried.format)

    def _packet(self, stamp: int, carried: Packet) -> list[Dated]:
        if not self.began(carried):
            raise SourceError(f"{self.name} comes before the first key frame.")
        if self._context is None:
            self._context = av.CodecContext.create(CODECS[carried.format], "r")
            self._context.options = {"max_pixels": str(self.moving)}
            self._context.thread_count = 1
        packet = av.Packet(carried.data)
        packet.pts = packet.dts = self._fed
        self._stamps[self._fed] = stamp
        self._fed += 1
        return self._out(packet)

    def _out(self, packet: Any) -> list[Dated]:
        found: list[Dated] = []
        try:
            for frame in self._context.decode(packet):
                stamp = self._stamps.pop(frame.pts, None)
                if stamp is not None and not frame.is_corrupt:
                    bgr = self._to_bgr.reformat(frame, format="bgr24").to_ndarray()
                    found.append((stamp, np.asarray(bgr, np.uint8)))
        except (av.error.FFmpegError, ValueError) as error:
            raise SourceError(f"{self.name} cannot be decoded ({error}).") from error
        if len(self._stamps) > 64:                       # of pictures that never came
            self._stamps = dict(list(self._stamps.items())[-32:])
        return found
