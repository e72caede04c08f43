"""HEIC pictures, which FFmpeg decodes and Pillow does not."""

from __future__ import annotations

from io import BytesIO

import av.error

from vision.errors import SourceError
from vision.io.container import open_container, reason, video_stream
from vision.io.turning import DisplayTurns, upright
from vision.types import Image


def decode_heif(data: bytes, name: str, max_pixels: int) -> Image:
    """The picture of a HEIC file, upright: (H,W,3) uint8 BGR. Raises SourceError, also for one that is made of
    tiles, as telephones write them: what FFmpeg gives of it are the tiles."""
    with open_container(name, BytesIO(data), {"max_pixels": str(max_pixels)}) as container:
        if len(container.streams.video) > 1:
            raise SourceError(f"{name!r} is a HEIC picture made of tiles, which are not put together here. "
                              "Save it as JPEG or PNG first.")                      # fmt: skip
        try:
            picture = next(container.decode(video_stream(name, container, max_pixels)), None)
        except av.error.FFmpegError as error:
            raise SourceError(f"{name!r} is a broken picture ({reason(error)}).") from error
        if picture is None or picture.is_corrupt:
            raise SourceError(f"{name!r} is a broken picture (nothing of it can be decoded).")
        return upright(picture.to_ndarray(format="bgr24"), DisplayTurns()(picture))
