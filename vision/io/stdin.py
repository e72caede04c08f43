"""Standard input: pictures one after the other, or a video."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from vision.errors import SourceError
from vision.io.base import Info, Log, Reader, Span
from vision.io.pictures import decode_picture
from vision.io.video import Video
from vision.types import Frame

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_IN_SCAN = {0x00, *range(0xD0, 0xD8)}        # after FF in a JPEG's scan: a stuffed FF, a restart
_BARE = {0x01, 0xFF, *_IN_SCAN}              # JPEG markers without a length
_MAX_BYTES = 1 << 29                         # of one encoded picture
MAX_SPOOLED = 1 << 34                        # bytes of a film that goes through a temporary file


def open_stream(stream: BinaryIO, still: int, moving: int) -> Reader:
    """A reader for JPEG or PNG pictures, or mp4, mkv, y4m, ..., from a stream; a pipe will do.

    still, moving: pixels that a picture and a frame of a video may have.
    """
    ahead = Ahead(stream)
    head = ahead.peek(12)
    if not head:
        raise SourceError("standard input is empty. Pipe pictures or a video into it.")
    if head.startswith((_JPEG, _PNG)):
        return _PictureStream(ahead, still)
    if head[4:8] == b"ftyp" and not _index_first(ahead):
        return Spooled("-", ahead, moving)
    return Video("-", ahead, moving)


class Ahead:
    """A stream that can be looked into before it is read."""

    def __init__(self, stream: BinaryIO) -> None:
        # what has arrived, rather than waiting for more: a picture is handed out when it is complete
        self._some = getattr(stream, "read1", stream.read)
        self._buffer = bytearray()

    def _fill(self, size: int) -> bool:
        """Have at least `size` bytes in the buffer; False where the stream ends before."""
        while len(self._buffer) < size:
            more = self._some(1 << 16)
            if not more:
                return False
            self._buffer += more
        return True

    def peek(self, size: int, at: int = 0) -> bytes:
        """Bytes that stay to be read, from `at` on; fewer at the end."""
        self._fill(at + size)
        return bytes(self._buffer[at : at + size])

    def find(self, marks: tuple[bytes, ...], at: int = 0) -> int:
        """Where the first of the marks begins, from `at` on; the length of the rest if there is none."""
        while True:
            found = [i for i in (self._buffer.find(mark, at) for mark in marks) if i >= 0]
            if found:
                return min(found)
            at = max(at, len(self._buffer) - max(map(len, marks)) + 1)
            if not self._fill(len(self._buffer) + 1):
                return len(self._buffer)

    def read(self, size: int) -> bytes:
        """The next bytes: at least one, unless the stream has ended."""
        self._fill(1)
        some = bytes(self._buffer[:size])
        del self._buffer[:size]
        return some


class _PictureStream:
    """JPEG and PNG pictures, one after the other; index counts them, time is the index over `rate`."""

    def __init__(self, ahead: Ahead, max_pixels: int) -> None:
        self._ahead, self._max_pixels = ahead, max_pixels
        self.rate: float | None = None                   # a second; one unless it is given
        self.info = Info("-", "pictures")

    def frames(self, span: Span, log: Log) -> Iterator[Frame]:
        """The wanted pictures; those that cannot be read are counted and passed over."""
        if self.rate is None:
            log.note("pictures on standard input have no times: each counts as one second")
        index = 0
        broken: SourceError | None = None
        while self._ahead.peek(1) and not span.over(time := index / (self.rate or 1.0)):
            name = f"picture {index} on standard input"
            try:
                data = _next_picture(self._ahead, name)
                image = decode_picture(data, name, self._max_pixels) if span.wants(index, time) else None
            except SourceError as error:
                broken = error
                log.counts.corrupt += 1
                log.note(str(error))
            else:
                log.counts.decoded += 1
                if image is None:
                    log.counts.passed_over += 1
                else:
                    yield Frame(image, index, time, "-")
            index += 1
        if broken and not log.counts.decoded:
            raise broken

    def close(self) -> None:
        """Standard input stays open: it was not opened here."""


class Spooled(Video):
    """An mp4 whose index lies at its end cannot be read from a pipe: it goes through a temporary
    file, deleted at the end."""

    def __init__(self, uri: str, ahead: Ahead, max_pixels: int) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close)
        try:
            while block := ahead.read(1 << 20):
                if self._file.tell() + len(block) > MAX_SPOOLED:
                    raise SourceError(
                        f"{uri!r} has its index at the end, and more than {MAX_SPOOLED >> 30} GB before it. Save it as "
                        "a file first."
                    )
                self._file.write(block)
            self._file.seek(0)
            super().__init__(uri, self._file, max_pixels)
        except SourceError:
            self._file.close()
            raise
        except OSError as error:
            self._file.close()
            raise SourceError(f"{uri!r} cannot be kept in a temporary file ({error.strerror or error}).") from error

    def close(self) -> None:
        """Close the container and delete the file."""
        super().close()
        self._file.close()


def _index_first(ahead: Ahead) -> bool:
    """Whether an mp4's index, or a first fragment of it, comes before the pictures."""
    at = 0
    while at < 1 << 20:
        header = ahead.peek(at + 8)[at:]
        if len(header) < 8 or header[4:] == b"mdat":
            return False
        if header[4:] in (b"moov", b"moof"):
            return True
        at += max(8, int.from_bytes(header[:4], "big"))
    return False


class _Broken(Exception):
    """A picture is not whole; `at` is where it was last in step."""

    def __init__(self, at: int) -> None:
        self.at = at


def _next_picture(ahead: Ahead, name: str) -> bytes:
    """The bytes of the next picture. After a broken one the stream stands where the next begins."""
    head = ahead.peek(8)
    try:
        if head.startswith(_JPEG):
            return ahead.read(_jpeg_length(ahead))
        if head == _PNG:
            return ahead.read(_png_length(ahead))
        at, what = 0, "is neither JPEG nor PNG"
    except _Broken as broken:
        at, what = broken.at, "is cut off or broken"
    ahead.read(ahead.find((_JPEG, _PNG), at))
    raise SourceError(f"{name} {what}.")


def _png_length(ahead: Ahead) -> int:
    at = len(_PNG)
    while at < _MAX_BYTES:
        size, kind = int.from_bytes(ahead.peek(4, at), "big"), ahead.peek(4, at + 4)
        chunk = ahead.peek(size + 8, at + 4) if kind.isalpha() and at + size < _MAX_BYTES else b""
        if len(chunk) < size + 8 or zlib.crc32(chunk[:-4]) != int.from_bytes(chunk[-4:], "big"):
            break
        at += size + 12
        if kind == b"IEND":
            return at
    raise _Broken(at)


def _jpeg_length(ahead: Ahead) -> int:
    at = safe = 2                                        # safe: where a search for the next may begin
    while at < _MAX_BYTES:
        marker = ahead.peek(2, at)
        if len(marker) < 2 or marker[0] != 0xFF or marker[1] == 0xD8:      # D8: the next one begins
            break
        code, safe = marker[1], at
        at += 1 if code == 0xFF else 2                   # FF FF: padding
        if code == 0xD9:
            return at
        if code not in _BARE:
            at += max(2, int.from_bytes(ahead.peek(2, at), "big"))
        if 0xE0 <= code <= 0xEF:                         # may hold a small picture of its own
            safe = at
        if code == 0xDA:                                 # the scan, up to an FF that is a real marker
            at = ahead.find((b"\xff", _PNG), at)
            while (following := ahead.peek(2, at)[1:]) and following[0] in _IN_SCAN:
                at = ahead.find((b"\xff", _PNG), at + 2)
            safe = at
    raise _Broken(safe)
