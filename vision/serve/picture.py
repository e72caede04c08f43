"""Pictures of strangers: three formats, with a bound, and an error that says what is wrong."""

from __future__ import annotations

from vision.errors import SourceError
from vision.io.pictures import decode_picture
from vision.types import Image

_LARGEST_HEAD = 12


class TooLarge(SourceError):
    """A picture of more pixels than are allowed."""


def picture_of(data: bytes, max_pixels: int) -> Image:
    """A JPEG, PNG or WebP as (H,W,3) uint8 BGR, upright. Raises TooLarge, SourceError for anything else."""
    webp = data[:4] == b"RIFF" and data[8:_LARGEST_HEAD] == b"WEBP"
    if not (webp or data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))):
        raise SourceError(f"a picture is a JPEG, a PNG or a WebP; got {len(data)} bytes of something else.")
    try:
        return decode_picture(data, "picture", max_pixels)
    except SourceError as error:
        if "are allowed" in str(error):
            raise TooLarge(f"a picture has at most {max_pixels} pixels here. Make it smaller first.") from None
        raise
