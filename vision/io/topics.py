"""What a recording of a robot holds: topics, and messages with their times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from vision.io.base import Log


class Topic(NamedTuple):
    """A channel of a recording: who says what, in which words.

    number: within its file. kind: the type of its messages, such as `sensor_msgs/msg/Image`. encoding: of the messages;
    schema_encoding, schema: their definition. messages: how many, where the file says it; rate: a second."""

    number: int
    name: str
    kind: str
    encoding: str
    schema_encoding: str = ""
    schema: str = ""
    messages: int | None = None
    metadata: tuple[tuple[str, str], ...] = ()


class Logged(NamedTuple):
    """A message: log_ns, when it was written down, in nanoseconds; data, as its topic's encoding has it."""

    log_ns: int
    data: bytes


class RecordingFile(Protocol):
    """A file of messages, open for reading.

    span_ns: the first and the last time, in nanoseconds, where the file says it.
    """

    name: str
    span_ns: tuple[int, int] | None

    @property
    def chunks(self) -> Sequence[Any]:
        """Parts that reading may begin at, in order; empty where it begins at the beginning alone."""

    @property
    def topics(self) -> list[Topic]:
        """What there is."""

    def messages(self, topic: Topic, log: Log, first: int = 0) -> Iterator[Logged]:
        """The messages of a topic, from a chunk on; where the file breaks off is told to the log."""

    def messages_before(self, topic: Topic, chunk: int) -> int | None:
        """How many messages of a topic lie in the chunks before one; None where that is not known."""

    def holds(self, topic: Topic, chunk: int) -> bool:
        """Whether a chunk has messages of a topic."""

    def close(self) -> None:
        """Close the file."""
