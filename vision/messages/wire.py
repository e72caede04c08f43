"""Zenoh: addresses, sessions, and what is written on each message beside its contents."""

from __future__ import annotations

import json
import time
from threading import Thread
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

from vision.errors import MissingExtra, SinkError, SourceError, UsageError, VisionError

SCHEME = "zenoh"
PICTURE = "picture"                              # below the key of the records
_SETTINGS = {"connect": "connect/endpoints", "listen": "listen/endpoints"}
_ASKING = 64                                     # who are late, at the same time
_MAX_NOTE = 1 << 16                              # bytes of what is written on a message


class Address(NamedTuple):
    """`zenoh://robot/vision?connect=tcp/10.0.0.2:7447`: a key, and how peers find each other.

    connect, listen: endpoints, such as `tcp/0.0.0.0:7447`. With none of both peers look for each other on the local
    network. mode: peer or client.
    """

    key: str
    connect: tuple[str, ...] = ()
    listen: tuple[str, ...] = ()
    mode: str = "peer"

    @classmethod
    def parse(cls, text: str) -> Address:
        """The address of a text. Raises UsageError."""
        try:
            parts = urlsplit(text)
        except ValueError:                               # of brackets: no address, as below
            parts = urlsplit("")
        key = "/".join(part for part in (parts.netloc, parts.path.strip("/")) if part)
        asked = parse_qs(parts.query, keep_blank_values=True)
        such = "zenoh://robot/vision, or zenoh://robot/vision?connect=tcp/127.0.0.1:7447"
        if parts.scheme != SCHEME or not key or parts.fragment:
            raise UsageError(f"an address of Zenoh is such as {such}; got {text!r}.")
        if set(key) & set("*$#?") or "//" in f"{key}{parts.path}":
            raise UsageError(f"{key!r} is no key of one thing: it must have none of * $ # ? and no empty part.")
        unknown = sorted(set(asked) - {*_SETTINGS, "mode"})
        mode = asked.get("mode", ["peer"])[-1]
        if unknown or mode not in ("peer", "client"):
            raise UsageError(f"an address of Zenoh has connect, listen and mode (peer or client), such as {such}; got "
                             f"{unknown[0] if unknown else mode!r}.")
        connect, listen = (tuple(end for value in asked.get(name, ()) for end in value.split(",") if end)
                           for name in ("connect", "listen"))
        return cls(key, connect, listen, mode)


def zenoh() -> Any:
    """The package. Raises MissingExtra."""
    try:
        import zenoh as package
    except ImportError:
        raise MissingExtra("eclipse-zenoh", "robot", "Zenoh") from None
    return package


def session(address: Address, error: type[VisionError] = SourceError) -> Any:
    """A session of Zenoh. error: what is raised where there can be none: SourceError or SinkError."""
    package = zenoh()
    config = package.Config()
    try:
        config.insert_json5("mode", json.dumps(address.mode))
        for name, place in _SETTINGS.items():
            ends = getattr(address, name)
            if ends:
                config.insert_json5(place, json.dumps(ends))
        if address.connect or address.listen:
            config.insert_json5("scouting/multicast/enabled", "false")
        return package.open(config)
    except Exception as problem:                 # Zenoh's own, which is the root of all that it raises
        said = str(problem).splitlines()[0].partition(" at /")[0][:300]
        raise error(f"Zenoh cannot begin for {address.key!r} ({said}). Is the endpoint right, and free?") from None


class Note(NamedTuple):
    """What is written on a message: sender, a run's own name; number, of its messages from 0; made_ns, the wall clock
    when the message was made; of pictures also the frame's time in seconds and stamp in nanoseconds."""

    sender: str
    number: int
    made_ns: int
    time_s: float | None = None
    stamp_ns: int | None = None

    def encode(self) -> bytes:
        """As JSON."""
        return json.dumps({name: value for name, value in self._asdict().items() if value is not None}).encode()

    @classmethod
    def decode(cls, data: Any) -> Note:
        """What is written on a message, by this package or nobody: made-up values where there is none."""
        raw = b"" if data is None else bytes(data)[:_MAX_NOTE]
        try:
            values = json.loads(raw)
            stamp, seconds = values.get("stamp_ns"), values.get("time_s")
            return cls(str(values["sender"])[:100], int(values["number"]), int(values["made_ns"]),
                       None if seconds is None else float(seconds), None if stamp is None else int(stamp))
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError):
            return cls("", -1, time.time_ns())


class Sender:
    """Puts messages under one key, and keeps the last for whoever asks late. address: where. below: the parts of keys
    below the address's that will be used too. Raises SinkError."""

    def __init__(self, address: Address, *below: str) -> None:
        self.address, self.name = address, uuid4().hex
        self._session = session(address, SinkError)
        self._publishers: dict[str, Any] = {}
        self._asked: list[Any] = []
        self._threads: list[Thread] = []
        self._last: dict[str, tuple[bytes, str, bytes]] = {}
        self._numbers: dict[str, int] = {}
        for part in ("", *below):                        # at once: so that the first message finds who listens
            self._declare(f"{address.key}/{part}" if part else address.key)

    def put(self, data: bytes, encoding: str, below: str = "", time_s: float | None = None,
            stamp_ns: int | None = None) -> None:
        """Send a message, without waiting for anybody. below: the part of the key below the address's. Raises
        SinkError."""
        key = f"{self.address.key}/{below}" if below else self.address.key
        number = self._numbers[key] = self._numbers.get(key, -1) + 1
        note = Note(self.name, number, time.time_ns(), time_s, stamp_ns).encode()
        try:
            if key not in self._publishers:
                self._declare(key)
            self._last[key] = data, encoding, note
            self._publishers[key].put(data, encoding=encoding, attachment=note)
        except Exception as error:               # Zenoh's own
            raise SinkError(f"{key!r} cannot be published ({error}).") from error

    def _declare(self, key: str) -> None:
        package = zenoh()
        self._publishers[key] = self._session.declare_publisher(
            key, congestion_control=package.CongestionControl.DROP, express=True)

        asked = self._session.declare_queryable(key, package.handlers.RingChannel(_ASKING))
        self._asked.append(asked)
        self._threads.append(Thread(target=self._answer, args=(key, asked), daemon=True, name="vision-zenoh"))
        self._threads[-1].start()

    def _answer(self, key: str, asked: Any) -> None:
        """Give the last message to who is late, until the session ends."""
        for query in asked:
            if key not in self._last:
                continue
            data, encoding, note = self._last[key]
            query.reply(key, data, encoding=encoding, attachment=note)
            del query

    def close(self) -> None:
        """End the session."""
        for one in (*self._asked, *self._publishers.values()):
            one.undeclare()
        for thread in self._threads:                     # none is left that Zenoh could wake when Python has ended
            thread.join()
        self._session.close()
