"""ROS 2 bags in SQLite: of whoever wrote them, so that nothing but two tables is asked, in bounded memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vision.errors import SourceError
from vision.io.base import Log
from vision.io.listing import unread_journal
from vision.io.mcap_file import MAX_CHUNK, unzstd
from vision.io.topics import Logged, Topic

_ZSTD = b"\x28\xb5\x2f\xfd"                      # a message that was packed by itself
_MAX_TOPICS = 10_000
_STEPS = 1_000_000_000                           # of SQLite's machine, for what is asked at the beginning


class Db3File:
    """A `.db3` that is open for reading; see `RecordingFile`. Raises SourceError for a file that is none."""

    chunks: Sequence[Any] = ()

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.topics = name, list[Topic]()
        self.span_ns: tuple[int, int] | None = None
        where = f"file:{quote(str(path.resolve()))}?immutable=1"
        self._base = sqlite3.connect(where, uri=True, check_same_thread=False)
        try:
            self._base.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_CHUNK)
            self._base.execute("PRAGMA trusted_schema = OFF")
            self._base.set_progress_handler(lambda: 1, _STEPS)
            try:
                self._base.execute("SELECT count(*) FROM sqlite_master")
            except sqlite3.DatabaseError:                # shorter than its head says: what is there can be read so
                self._base.execute("PRAGMA writable_schema = ON")
            self._open()
            self._base.set_progress_handler(None, 0)
        except (sqlite3.Error, ValueError, TypeError, OverflowError, MemoryError) as error:
            self.close()
            more = f" {note[0].upper()}{note[1:]}." if (note := unread_journal(path)) else ""
            raise SourceError(f"{name!r} cannot be read as a bag of ROS 2 ({error}).{more}") from error

    def _open(self) -> None:
        ask = self._base.execute
        tables = {row[0] for row in ask("SELECT name FROM sqlite_master WHERE type = 'table' LIMIT 1000")}
        if not {"topics", "messages"} <= tables:
            raise ValueError("it has no tables of topics and messages")
        written: dict[str, tuple[str, str]] = {}
        if "message_definitions" in tables:
            rows = ask("SELECT topic_type, encoding, encoded_message_definition FROM message_definitions LIMIT ?",
                       (_MAX_TOPICS,))
            written = {str(kind): (str(encoding), str(text)) for kind, encoding, text in rows}
        rows = ask("SELECT id, name, type, serialization_format FROM topics ORDER BY id LIMIT ?", (_MAX_TOPICS,))
        for number, topic, kind, encoding in rows:
            words, text = written.get(str(kind), ("", ""))
            self.topics.append(Topic(int(number), str(topic), str(kind), str(encoding), words, text))
        with suppress(sqlite3.Error):                    # the end may be cut off
            first, last = (ask(f"SELECT timestamp FROM messages ORDER BY id {way} LIMIT 1").fetchone()
                           for way in ("ASC", "DESC"))
            self.span_ns = (int(first[0]), int(last[0])) if first and last else None

    def messages(self, topic: Topic, log: Log, first: int = 0) -> Iterator[Logged]:
        """The messages of a topic in the order in which they were written down."""
        try:
            asked = "SELECT timestamp, data FROM messages WHERE topic_id = ? ORDER BY id"
            rows = self._base.execute(asked, (topic.number,))
            for stamp, data in rows:
                packed = bytes(data)
                yield Logged(int(stamp), unzstd(packed, MAX_CHUNK) if packed.startswith(_ZSTD) else packed)
        except (sqlite3.Error, ValueError, TypeError, OverflowError, MemoryError) as error:
            log.note(f"{self.name!r} is broken ({error}); what came before was read")

    def messages_before(self, topic: Topic, chunk: int) -> int | None:
        """Nothing: a bag has no chunks."""
        return None

    def holds(self, topic: Topic, chunk: int) -> bool:
        """Nothing does."""
        return False

    def close(self) -> None:
        """Close the file."""
        self._base.close()
