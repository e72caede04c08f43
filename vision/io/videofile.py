"""`VideoFile`: H.264 in mp4 that a browser plays, with the source's times and sound."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import av
import av.error
import cv2
import numpy as np

from vision.errors import SinkError
from vision.types import Image
from vision.view import letterbox

_TICK = Fraction(1, 90_000)          # seconds; the clock of MPEG
_FRAGMENT_US = 1_000_000             # a killed run loses about the last second
_BT601 = 6                           # H.273: SMPTE 170M, the matrix that OpenCV converts with
_LIMITED = 1                         # luma 16..235


class VideoFile:
    """Pictures with their times into an mp4: H.264, yuv420p.

    path: the file to make, `.mp4`. audio_from: a file whose sound is copied beside the pictures.
    origin: the source time in seconds that is the file's 0. crf: x264's quality, 0 (best) to 51.
    preset: x264's trade of time for size, `ultrafast` to `veryslow`.

    The film grows in `NAME.part.mp4`, in fragments that play even when the process is killed; `close`
    moves it into place, indexed for the web. The first picture's size is the film's (one pixel more
    where a side is odd); another size is fitted in with black borders. Raises SinkError.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        audio_from: str | None = None,
        origin: float = 0.0,
        crf: int = 23,
        preset: str = "ultrafast",
    ) -> None:
        self.path = Path(path)
        self.part = self.path.with_name(f"{self.path.stem}.part.mp4")
        self._audio_from, self._origin = audio_from, origin
        self._options = {"preset": preset, "crf": str(crf), "bf": "0"}     # no B-frames: decode order = time
        self._stream: Any = None
        self._last = -1
        try:
            self._container = av.open(
                f"file:{self.part}", "w", format="mp4",
                options={
                    "movflags": "empty_moov+default_base_moof+frag_keyframe",
                    "frag_duration": str(_FRAGMENT_US),
                },
            )                                                                       # fmt: skip
        except (av.error.FFmpegError, OSError) as error:
            raise self._failed(error) from error

    def write(self, image: Image, time: float) -> None:
        """Add a picture (H,W,3) uint8 BGR at `time` seconds of the source.

        A time that goes back (the next file of several) follows on from the last picture.
        """
        try:
            stream = self._stream or self._begin(image)
            frame = av.VideoFrame.from_ndarray(self._yuv(image, (stream.width, stream.height)), "yuv420p")
            tick = round((time - self._origin) / _TICK)
            frame.pts = self._last = max(tick, self._last + 1)
            frame.time_base = _TICK
            self._container.mux(stream.encode(frame))
        except (av.error.FFmpegError, OSError) as error:
            raise self._failed(error) from error

    def _begin(self, image: Image) -> Any:
        height, width = image.shape[:2]
        self._stream = stream = self._container.add_stream("libx264", options=self._options)
        stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        context = stream.codec_context
        context.time_base = _TICK
        context.colorspace = context.color_primaries = context.color_trc = _BT601
        context.color_range = _LIMITED
        return stream

    @staticmethod
    def _yuv(image: Image, size_wh: tuple[int, int]) -> Image:
        """(H,W,3) BGR -> (H*3/2,W) planar 4:2:0 of an even size."""
        height, width = image.shape[:2]
        right, below = size_wh[0] - width, size_wh[1] - height
        if (right, below) != (0, 0):
            if right in (0, 1) and below in (0, 1):
                grown = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE)
                image = np.asarray(grown, np.uint8)
            else:
                image = letterbox(image, size_wh, fill=0).pixels
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420), np.uint8)

    def _finish(self) -> None:
        if self._stream is not None:
            self._container.mux(self._stream.encode())
        self._container.close()

    def close(self) -> None:
        """Finish the film and move it into place. Without a single picture there is no file."""
        try:
            self._finish()
            self.part.replace(self.path)
        except (av.error.FFmpegError, OSError) as error:
            raise self._failed(error) from error

    def _failed(self, error: BaseException) -> SinkError:
        return SinkError(f"cannot write {str(self.path)!r} ({getattr(error, 'strerror', None) or error}).")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
