"""H.264 and H.265 as Annex B has them: which packets can be decoded without those before them."""

from __future__ import annotations

from collections.abc import Iterator

CODECS = {"h264": "h264", "h265": "hevc"}        # `format` of a CompressedVideo: what FFmpeg calls it
_LOOKED_AT = 1 << 16                             # bytes of a packet; parameter sets and the first slice come first


def unit_types(data: bytes, codec: str = "h264") -> Iterator[int]:
    """The types of the NAL units in a packet, in their order. codec: `h264` or `h265`."""
    at = data.find(b"\0\0\1")
    while 0 <= at < len(data) - 3:
        head = data[at + 3]
        yield head & 0x1F if codec == "h264" else head >> 1 & 0x3F
        at = data.find(b"\0\0\1", at + 3)


def is_key(data: bytes, codec: str = "h264") -> bool:
    """Whether a packet holds a picture that leans on no other: an IDR (H.264), an IRAP (H.265)."""
    keys = range(5, 6) if codec == "h264" else range(16, 22)
    return any(kind in keys for kind in unit_types(data[:_LOOKED_AT], codec))
