"""Zenoh as a source: pictures that others publish, and records."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Any, NamedTuple, Self

from vision.errors import SourceError
from vision.io.base import MAX_FRAME_PIXELS, MAX_PIXELS, Info, Log, shown
from vision.io.carried import Pictures
from vision.io.live import TIMEOUT_S, Arrival, Live
from vision.messages import ros
from vision.messages.pictures import Carried, Compressed
from vision.messages.wire import Address, Note, session, zenoh

_OLDEST_S = 10.0                     # that a message is thought to be: beyond it the two clocks do not agree
_LATE_S = 1.0                        # for an answer to who is late
_SILENT_S = 2.0                      # after which another publisher of the same name takes the place of one
_MAX_BYTES = 256 << 20               # of a message
_DEPTH = 256                         # messages that wait, where none is to be left out


class Heard(NamedTuple):
    """A message: its bytes, what is written on it, and when it came, in seconds of `time.monotonic`."""

    data: bytes
    note: Note
    came: float


class Subscription:
    """Messages under one key, as they come. newest: one that is not taken in time is replaced by the next. patience:
    seconds of silence that end it; None: none do. missed: how many of the publisher's were not handed out. others:
    how many of other publishers of that name were passed over: the first one is kept to until it has been silent for
    2 seconds."""

    def __init__(self, address: Address, newest: bool = True, patience: float | None = None) -> None:
        self.address, self.missed, self.others = address, 0, 0
        self._session = session(address, SourceError)
        self._waiting = Queue[Heard | None](1 if newest else _DEPTH)
        self._patience = patience
        self._over = Event()
        self._sender, self._last = "", 0.0
        self._number: int | None = None
        channel = zenoh().handlers.RingChannel(1 if newest else _DEPTH)
        self._subscriber = self._session.declare_subscriber(address.key, channel)
        self._threads = [Thread(target=work, daemon=True, name="vision-zenoh") for work in (self._late, self._listen)]
        for thread in self._threads:
            thread.start()

    def _listen(self) -> None:
        """What comes, until the session ends."""
        for sample in self._subscriber:
            self._heard(sample)
            del sample

    def _late(self) -> None:
        """The last message, for who is late."""
        for reply in self._session.get(self.address.key, timeout=_LATE_S):
            if reply.ok is not None:
                self._heard(reply.ok)

    def _heard(self, sample: Any) -> None:
        if len(sample.payload) <= _MAX_BYTES:
            self._put(Heard(bytes(sample.payload), Note.decode(sample.attachment), time.monotonic()))

    def _put(self, heard: Heard | None) -> None:
        """Hand over, in place of what nobody took in time."""
        while True:
            with suppress(Full):
                self._waiting.put_nowait(heard)
                return
            with suppress(Empty):
                self._waiting.get_nowait()

    def __iter__(self) -> Iterator[Heard]:
        while not self._over.is_set():
            try:
                heard = self._waiting.get(timeout=self._patience)
            except Empty:
                return
            if heard is None or self._over.is_set():     # what wakes it may itself be replaced by a message
                return
            note = heard.note
            if note.sender != self._sender and self._sender and heard.came - self._last < _SILENT_S:
                self.others += 1
                continue
            if note.sender != self._sender:
                self._sender, self._number = note.sender, None
            if self._number is not None and 0 <= note.number <= self._number:
                continue                                 # the answer to who is late, heard before
            if self._number is not None and note.number > self._number:
                self.missed += note.number - self._number - 1
            self._number, self._last = note.number, heard.came
            yield heard

    def interrupt(self) -> None:
        """End the iteration for good, from another thread."""
        self._over.set()
        self._put(None)

    def close(self) -> None:
        """End the session."""
        self.interrupt()
        self._subscriber.undeclare()
        for thread in self._threads:                     # none is left that Zenoh could wake when Python has ended
            thread.join()
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Records(Subscription):
    """The records of a run that publishes them (`--publish`), as they come.

    address: such as `zenoh://robot/vision`. newest: the newest alone, for who steers; else all that come in time.
    Raises UsageError for another address, SourceError where Zenoh cannot begin.
    """

    def __init__(self, address: str, newest: bool = True) -> None:
        super().__init__(Address.parse(address), newest)

    def __iter__(self) -> Iterator[Any]:
        for heard in super().__iter__():
            try:
                yield json.loads(heard.data)
            except (ValueError, RecursionError):
                self.others += 1


class _Times:
    """The times of senders that come one after the other, as those of one clock: where the sender changes, or begins
    its next source, they go on by arrival."""

    def __init__(self) -> None:
        self._shift = 0.0
        self._last: tuple[str, float, float] | None = None

    def __call__(self, sender: str, time: float, captured: float) -> float:
        """The time of a picture. time: its sender's. captured: of this process's clock. All are in seconds."""
        if self._last is not None:
            before, last, came = self._last
            if sender != before or time < last:
                self._shift += last - time + max(captured - came, 0.0)
        self._last = sender, time, captured
        return time + self._shift


class _ZenohFeed:
    """The pictures under a key: JPEG, PNG, WebP, or sensor_msgs/Image and CompressedImage as CDR."""

    def __init__(self, uri: str) -> None:
        self.uri = shown(uri)
        self._subscription = Subscription(Address.parse(uri), patience=TIMEOUT_S)
        self.info = Info(self.uri, "stream", live=True)
        self._images = ros.Definitions("sensor_msgs/msg/Image")
        self._files = ros.Definitions("sensor_msgs/msg/CompressedImage")

    def arrivals(self, log: Log) -> Iterator[Arrival]:
        """Pictures until none has come for ten seconds."""
        pictures, times = Pictures(repr(self.uri), MAX_PIXELS, MAX_FRAME_PIXELS), _Times()
        for heard in self._subscription:
            age = (time.time_ns() - heard.note.made_ns) / 1e9
            captured = heard.came - age if heard.note.number >= 0 and 0 <= age < _OLDEST_S else heard.came
            try:
                stamp, carried = self._carried(heard)
                image = pictures.put(0, carried)[0][1]
            except (SourceError, IndexError) as error:
                log.counts.corrupt += 1
                log.note(f"a message of {self.uri!r} is no picture: {error}")
                continue
            if self._subscription.others:
                log.note(f"{self.uri!r} has more than one publisher; the first one's pictures are read")
            stated = captured if heard.note.time_s is None else heard.note.time_s
            yield Arrival(image, times(heard.note.sender, stated, captured), captured, stamp)

    def _carried(self, heard: Heard) -> tuple[int | None, Carried]:
        if heard.data[:2] not in (b"\0\0", b"\0\1"):     # else the mark of CDR
            return heard.note.stamp_ns, Compressed("", heard.data)
        try:
            return self._files.picture(heard.data)
        except SourceError:
            return self._images.picture(heard.data)

    def interrupt(self) -> None:
        """End the wait for a picture, from another thread."""
        self._subscription.interrupt()

    def close(self) -> None:
        """End the subscription."""
        self._subscription.close()


def open_zenoh(uri: str, reconnect: bool = False) -> Live:
    """A live source of pictures. reconnect: it is waited for, as `Live` has it. Raises UsageError, SourceError,
    MissingExtra."""
    zenoh()
    return Live(lambda: _ZenohFeed(uri), Info(shown(uri), "stream") if reconnect else None)
