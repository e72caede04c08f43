"""Which kind of file it is, by its first bytes and its name: so that nothing is read as a video by a guess."""

from __future__ import annotations

from typing import Any

from vision.io.listing import VIDEO_SUFFIXES

HEAD_BYTES = 4096                    # that are looked at
_OTHERS = {
    b"%PDF": "a PDF document", b"%!PS": "a PostScript picture", b"\xc5\xd0\xd3\xc6": "a PostScript picture",
    b"\xd7\xcd\xc6\x9a": "a Windows metafile", b"\x89HDF": "an HDF5 file", b"GRIB": "a GRIB file",
    b"BUFR": "a BUFR file", b"PK\3\4": "a ZIP archive", b"\x1f\x8b": "a compressed file", b"7z\xbc\xaf": "an archive",
    b"\x7fELF": "a program", b"MZ": "a program", b"#EXTM3U": "a playlist", b"SQLite": "a data base",
}                                                                                   # fmt: skip
_CONTROLS = set(range(32)) - set(b"\t\n\r\f\b\x1b")
_TEXT_VIDEO = b"YUV4MPEG2 "          # the one kind of video that begins like a text
# containers that are known by their first bytes; of the others FFmpeg guesses, and the name must agree
_SURE = {
    "mov", "mp4", "matroska", "webm", "avi", "mpegts", "mpeg", "flv", "asf", "ogg", "mxf", "nut", "ivf",
    "yuv4mpegpipe", "rm", "wtv", "swf", "gxf", "gif", "apng",
}                                                                                   # fmt: skip


def other_kind(head: bytes) -> str:
    """What a file that begins with these bytes is, where it is known to be neither picture nor video; else empty."""
    for mark, kind in _OTHERS.items():
        if head.startswith(mark):
            return kind
    if head[40:44] == b" EMF":
        return "a Windows metafile"
    return "" if head.startswith(_TEXT_VIDEO) or not _is_text(head) else "a text"


def _is_text(head: bytes) -> bool:
    if _CONTROLS & set(head):
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start > HEAD_BYTES - 4      # a letter that is cut through
    return True


def is_guess(container: Any, suffix: str) -> bool:
    """Whether a container was opened on a guess that the file's name, by its suffix, does not bear out."""
    kind = container.format
    sure = bool(_SURE & set(kind.name.split(","))) or not kind.extensions
    return not sure and suffix not in VIDEO_SUFFIXES and suffix.removeprefix(".") not in kind.extensions
