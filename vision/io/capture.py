"""`cv2.VideoCapture`: cameras, and videos for those who want OpenCV's reader (`reader="opencv"`)."""

from __future__ import annotations

import time
from collections.abc import Iterator

import cv2
import numpy as np

from vision.errors import SourceError
from vision.io.base import FEWER_PIXELS, Info, Log, Span
from vision.types import Frame, Image

_OLDEST_S = 10.0             # that a picture in a driver's queue is thought to be
_STALE_S = 0.2               # from this age on it is passed over, not even decoded
_MOST_STALE = 32             # in a row: a driver whose clock goes wrong is believed in the end


class Capture:
    """A video file through OpenCV: with its times and its rotation, but it cannot tell a frame that
    fails to decode from the end, and may end early where PyAV does not."""

    def __init__(self, uri: str, path: str, max_pixels: int) -> None:
        self._capture = cv2.VideoCapture(path)
        if not self._capture.isOpened():
            raise SourceError(f"{uri!r} cannot be read as a video by OpenCV. Try it without reader='opencv'.")
        self.info = _info(uri, self._capture)
        width, height = self.info.size_wh or (0, 0)
        if width * height > max_pixels:
            self.close()
            size = f"{width}x{height}"
            raise SourceError(f"{uri!r} has {size} pixels; {max_pixels} are allowed. {FEWER_PIXELS}")

    def frames(self, span: Span, log: Log) -> Iterator[Frame]:
        """The wanted frames."""
        index = -1
        while self._capture.grab():
            index += 1
            time = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            log.counts.decoded += 1
            if not span.wants(index, time) or span.over(time):
                log.counts.passed_over += 1
                if span.over(time):
                    return
                continue
            whole, image = self._capture.retrieve()
            if not whole:
                log.counts.decoded -= 1
                log.counts.corrupt += 1
                continue
            yield Frame(np.asarray(image, np.uint8), index, time, self.info.uri)
        if index < 0:
            raise SourceError(
                f"{self.info.uri!r} opens in OpenCV, but no frame of it can be decoded. "
                "Try it without reader='opencv'."
            )
        stated = self.info.frames_estimate
        if stated and stated != index + 1:
            log.note(f"{self.info.uri!r} claims {stated} frames; OpenCV read {index + 1}")

    def close(self) -> None:
        """Close the file."""
        self._capture.release()


class Camera:
    """A camera of this machine: its number or its /dev/video path. Iterates over pictures, each with its
    age in seconds, until it fails. What lay in a full buffer is passed over: when it is opened, when it comes back,
    and after a pause."""

    def __init__(self, uri: str) -> None:
        self._capture = cv2.VideoCapture(int(uri) if uri.isdecimal() else uri)
        if not self._capture.isOpened():
            raise SourceError(f"camera {uri!r} cannot be opened. Is it plugged in, and free?")
        self.info = _info(uri, self._capture)

    def __iter__(self) -> Iterator[tuple[Image, float]]:
        stale = 0
        while self._capture.grab():
            age = self._age()
            if age > _STALE_S and stale < _MOST_STALE:
                stale += 1
                continue
            stale = 0 if age <= _STALE_S else stale
            whole, image = self._capture.retrieve()
            if not whole:
                return
            yield np.asarray(image, np.uint8), age

    def _age(self) -> float:
        """Seconds for which the picture lay in the driver's queue. Video4Linux stamps pictures by the
        clock of `time.monotonic`; other drivers do not, and their pictures count as new."""
        stamp = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        age = time.monotonic() - stamp
        return age if stamp > 0 and 0 <= age < _OLDEST_S else 0.0

    def close(self) -> None:
        """Give the camera back."""
        self._capture.release()


def _info(uri: str, capture: cv2.VideoCapture) -> Info:
    width, height = (int(capture.get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    rate, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    fourcc = int(capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF
    return Info(
        uri,
        "video",
        size_wh=(width, height),
        rate=rate if 0 < rate < 1000 else None,
        duration=count / rate if rate > 0 and count > 0 else None,
        frames_estimate=int(count) if count > 0 else None,
        codec=fourcc.to_bytes(4, "little").decode("latin-1").strip("\0 ") or None,
        rotation=int(capture.get(cv2.CAP_PROP_ORIENTATION_META)) % 360,
    )
