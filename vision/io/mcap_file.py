"""MCAP files, of whoever wrote them: chunk by chunk, in bounded memory, to the last whole chunk of one that is cut
off."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from vision.errors import MissingExtra, SourceError
from vision.io.base import Log
from vision.io.topics import Logged, Topic

MAGIC = b"\x89MCAP0\r\n"
MAX_CHUNK = 256 << 20                            # bytes of a chunk, unpacked, and of any other record
_MAX_RECORDS = 1 << 20                           # channels, schemas and entries of the index
_LOOKED_AT = 64 << 20                            # bytes of a file without an index, for its topics
_HEAD = 9                                        # bytes before a record: what it is, and how long
_FAILURES = (ValueError, TypeError, LookupError, ArithmeticError, MemoryError, OSError, EOFError)


class _Bounded:
    """A file of which no more is read at once than there is, or than a record may have."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self.file, self.size = file, size

    def read(self, size: int = -1) -> bytes:
        """At most that many bytes."""
        left = self.size - self.file.tell()
        if size < 0 or size > left:
            size = left
        if size > MAX_CHUNK:
            raise ValueError(f"a record of {size} bytes")
        return self.file.read(size)


class McapFile:
    """An MCAP file that is open for reading. name: in messages. Raises SourceError for a file that is none,
    MissingExtra.

    topics: the channels that its index or its first chunks tell of, in order. span_ns: the first and the last stamp,
    where the index knows them.
    """

    def __init__(self, name: str, path: Path) -> None:
        try:
            from mcap import records
        except ImportError:
            raise MissingExtra("mcap", "robot", "an MCAP file") from None
        self.name, self._records = name, records
        self._file = path.open("rb")
        self._size = os.fstat(self._file.fileno()).st_size
        self._stream = _Bounded(self._file, self._size)
        self._schemas: dict[int, Any] = {}
        self._channels: dict[int, Any] = {}
        self.chunks: list[Any] = []                      # the index, by place; empty where there is none
        self.span_ns: tuple[int, int] | None = None
        self._counts: dict[int, int] = {}
        self._cut = False
        try:
            if self._file.read(len(MAGIC)) != MAGIC:
                raise SourceError(f"{name!r} is no MCAP file: it does not begin as one.")
            if not self._index():
                self._look()
        except BaseException as error:
            self.close()
            if isinstance(error, _FAILURES):
                raise SourceError(f"{name!r} cannot be read as MCAP ({_said(error)}).") from error
            raise

    @property
    def topics(self) -> list[Topic]:
        """The channels."""
        found = []
        for number, channel in sorted(self._channels.items()):
            schema = self._schemas.get(channel.schema_id)
            found.append(Topic(
                number, channel.topic, "" if schema is None else schema.name, channel.message_encoding,
                "" if schema is None else schema.encoding,
                "" if schema is None or schema.encoding == "protobuf" else schema.data.decode(errors="replace"),
                self._counts.get(number), tuple(sorted(channel.metadata.items())),
            ))
        return found

    def messages(self, topic: Topic, log: Log, first: int = 0) -> Iterator[Logged]:
        """The messages of a channel in the order of the file, to its end or to where it is cut off, which is told to
        the log. first: the number of the chunk to begin at, of those in the index."""
        place = len(MAGIC) if not first else self.chunks[first].chunk_start_offset
        try:
            for record in self._walk(place):
                if type(record) is self._records.Message and record.channel_id == topic.number:
                    yield Logged(record.log_time, record.data)
        except _FAILURES as error:
            where = f"{self._file.tell()} of {self._size} bytes"
            log.note(f"{self.name!r} is broken after {where} ({_said(error)}); what came before was read")
        if self._cut:
            log.note(f"{self.name!r} is cut off: it was read to its last whole chunk")

    def messages_before(self, topic: Topic, chunk: int) -> int | None:
        """How many messages of a channel lie in the chunks before one; None where the index does not tell."""
        total = 0
        try:
            for one in self.chunks[:chunk]:
                place = one.message_index_offsets.get(topic.number)
                if place is not None:
                    self._file.seek(place)
                    found = self._one()
                    if found is None or found[0] != "MessageIndex":
                        return None
                    total += len(found[1].records)
        except _FAILURES:
            return None
        return total

    def holds(self, topic: Topic, chunk: int) -> bool:
        """Whether a chunk of the index has messages of a channel."""
        return topic.number in self.chunks[chunk].message_index_offsets

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _index(self) -> bool:
        """Read the summary at the end; False where there is none that can be believed."""
        tail = 8 + 8 + 4 + _HEAD + len(MAGIC)            # the footer
        if self._size < len(MAGIC) + tail:
            return False
        self._file.seek(-tail, os.SEEK_END)
        if self._file.read(1) != b"\x02":
            self._cut = True
            return False
        self._file.seek(-tail + _HEAD, os.SEEK_END)
        place = int.from_bytes(self._file.read(8), "little")
        if not len(MAGIC) <= place < self._size - tail:
            return False
        try:
            self._file.seek(place)
            while (found := self._one()) is not None and found[0] != "Footer":
                self._keep(*found)
        except _FAILURES:
            self._schemas, self._channels, self.chunks, self._counts, self.span_ns = {}, {}, [], {}, None
            return False
        self.chunks = [one for one in self.chunks if len(MAGIC) <= one.chunk_start_offset < place]
        self.chunks.sort(key=lambda one: one.chunk_start_offset)
        return bool(self._channels)

    def _look(self) -> None:
        """Read the first chunks for what channels there are."""
        with suppress(*_FAILURES):
            for seen, _ in enumerate(self._walk(len(MAGIC))):
                if seen > _MAX_RECORDS or self._file.tell() > _LOOKED_AT:
                    break

    def _walk(self, place: int) -> Iterator[Any]:
        """The records from a place on, those in chunks too; channels and schemas are kept."""
        self._file.seek(place)
        while (found := self._one()) is not None:
            kind, record = found
            if kind in ("DataEnd", "Footer"):
                return
            self._keep(kind, record)
            if kind == "Chunk":
                after = self._file.tell()
                yield from self._in_chunk(record)
                self._file.seek(after)
            elif record is not None:
                yield record
        self._cut = True

    def _in_chunk(self, chunk: Any) -> Iterator[Any]:
        data = unpacked(chunk)
        stream = BytesIO(data)
        while len(head := stream.read(_HEAD)) == _HEAD:
            length = int.from_bytes(head[1:], "little")
            after = stream.tell() + length
            if after > len(data):
                raise ValueError("a record that is longer than its chunk")
            kind = _KINDS.get(head[0], "")
            if kind in ("Message", "Schema", "Channel"):
                record = self._parsed(kind, stream, length)
                self._keep(kind, record)
                yield record
            stream.seek(after)

    def _one(self) -> tuple[str, Any] | None:
        """The next record, by its kind; None at the end of the file or where it is cut off."""
        head = self._file.read(_HEAD)
        if len(head) < _HEAD:
            return None
        length, begin = int.from_bytes(head[1:], "little"), self._file.tell()
        if begin + length > self._size:
            return None
        kind = _KINDS.get(head[0], "")
        record = None
        if kind:
            if length > MAX_CHUNK:
                raise ValueError(f"a record of {length} bytes; {MAX_CHUNK} are allowed")
            record = self._parsed(kind, self._stream, length)
        self._file.seek(begin + length)
        return kind, record

    def _parsed(self, kind: str, stream: Any, length: int) -> Any:
        """A record of a kind. Raises ValueError for bytes that are none."""
        from mcap.data_stream import ReadDataStream
        from mcap.exceptions import McapError

        reader = getattr(self._records, kind).read
        try:
            return reader(ReadDataStream(stream), *([max(22, length)] if kind == "Message" else []))
        except (McapError, struct.error) as error:
            raise ValueError(f"a {kind} that is cut off ({type(error).__name__})") from error

    def _keep(self, kind: str, record: Any) -> None:
        """Remember what a record says of the file."""
        if kind == "Schema":
            self._schemas.setdefault(record.id, record)
        elif kind == "Channel":
            self._channels.setdefault(record.id, record)
        elif kind == "ChunkIndex":
            self.chunks.append(record)
        elif kind == "Statistics":
            self._counts = dict(record.channel_message_counts)
            self.span_ns = (record.message_start_time, record.message_end_time) if record.message_count else None
        if max(len(self._schemas), len(self._channels), len(self.chunks)) > _MAX_RECORDS:
            raise ValueError("an index without end")


_KINDS = {
    0x01: "Header", 0x02: "Footer", 0x03: "Schema", 0x04: "Channel", 0x05: "Message", 0x06: "Chunk",
    0x07: "MessageIndex", 0x08: "ChunkIndex", 0x0B: "Statistics", 0x0F: "DataEnd",
}


def unpacked(chunk: Any) -> bytes:
    """What a chunk holds. Raises ValueError for one that is damaged, or larger than `MAX_CHUNK`."""
    size = chunk.uncompressed_size
    if size > MAX_CHUNK:
        raise ValueError(f"a chunk of {size} bytes; {MAX_CHUNK} are allowed")
    data: bytes
    if chunk.compression == "zstd":
        data = unzstd(chunk.data, size)
    elif chunk.compression == "lz4":
        import lz4.frame

        try:
            data = lz4.frame.LZ4FrameDecompressor().decompress(chunk.data, size)
        except RuntimeError as error:
            raise ValueError(f"lz4: {error}") from error
    elif chunk.compression == "":
        data = chunk.data
    else:
        raise ValueError(f"a chunk packed by {chunk.compression!r}; there are zstd and lz4")
    if len(data) != size:
        raise ValueError(f"a chunk of {len(data)} bytes that claims {size}")
    if chunk.uncompressed_crc and zlib.crc32(data) != chunk.uncompressed_crc:
        raise ValueError("a chunk whose checksum is another")
    return data


def unzstd(data: bytes, most: int) -> bytes:
    """What zstd packed, `most` bytes of it at most. Raises ValueError."""
    import zstandard

    try:
        stated = zstandard.frame_content_size(data)
        if stated > most:
            raise ValueError(f"zstd: {stated} bytes; {most} are allowed")
        with zstandard.ZstdDecompressor(max_window_size=max(1 << 27, 1024)).stream_reader(BytesIO(data)) as stream:
            return bytes(stream.read(most))
    except zstandard.ZstdError as error:
        raise ValueError(f"zstd: {error}") from error


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
