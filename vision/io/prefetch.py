"""Frames made in a thread of their own: `ahead` keeps all of them, `latest` only the newest."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterable
from dataclasses import replace
from typing import Any, Generic, Self, TypeVar

from vision.errors import UsageError
from vision.io.base import Counts, Info
from vision.types import Frame

T = TypeVar("T")

QUEUED_BYTES = 256 << 20             # of pictures that wait between two threads


class Channel(Generic[T]):
    """A way from one thread to another, bounded in items and in bytes, closed from either side.

    Full, it makes the sender wait; with `newest` it lets the oldest item go instead. One item always
    has a place, however large: but one that is too large by itself keeps the sender waiting until the receiver
    asks for another, so that no second one is made meanwhile.
    """

    def __init__(self, depth: int, *, newest: bool = False) -> None:
        self.depth, self.newest = depth, newest
        self.skipped = 0
        self._items: deque[T] = deque()
        self._bytes = 0
        self._change = threading.Condition()
        self._ended = self._abandoned = self._asked = False
        self._error: BaseException | None = None

    def _full(self, size: int) -> bool:
        return bool(self._items) and (
            len(self._items) >= self.depth or self._bytes + size > QUEUED_BYTES
        )

    def send(self, item: T) -> bool:
        """Hand an item over; False when no more are wanted."""
        size = _size(item)
        with self._change:
            while self._full(size) and not (self._abandoned or self._ended):
                if self.newest:
                    item = _with_gap_of(self._take(), item)
                    self.skipped += 1
                else:
                    self._change.wait()
            self._items.append(item)
            self._bytes += size
            self._asked = False
            self._change.notify_all()
            while size > QUEUED_BYTES and not (self.newest or self._asked or self._abandoned or self._ended):
                self._change.wait()
            return not (self._abandoned or self._ended)

    def _take(self) -> T:
        item = self._items.popleft()
        self._bytes -= _size(item)
        return item

    def end(self, error: BaseException | None) -> None:
        """Nothing more is to be sent; an error is raised on the other side after what was sent."""
        with self._change:
            self._ended, self._error = True, self._error or error
            self._change.notify_all()

    def abandon(self) -> None:
        """Nothing more will be received."""
        with self._change:
            self._abandoned = True
            self._items.clear()
            self._change.notify_all()

    def take(self, timeout: float) -> T | None:
        """The next item, or None where none comes within so many seconds. Raises the sender's error in its place."""
        with self._change:
            self._change.wait_for(lambda: self._items or self._ended, timeout)
            if self._items:
                item = self._take()
                self._change.notify_all()
                return item
            if self._error is not None:
                raise self._error
            return None

    def receive(self) -> Generator[T]:
        """Items until the end."""
        while True:
            with self._change:
                while not self._items and not self._ended:
                    self._asked = True
                    self._change.notify_all()
                    self._change.wait()
                if not self._items:
                    break
                item = self._take()
                self._change.notify_all()
            yield item
            del item                                     # a frame must not live on in this loop
        if self._error is not None:
            raise self._error


def _size(item: Any) -> int:
    """Bytes of the picture of a frame or of what has one, or of those in a tuple; 0 for anything else."""
    if isinstance(item, tuple):
        return sum(map(_size, item))
    frame = getattr(item, "frame", item)
    return frame.image.nbytes if isinstance(frame, Frame) else 0


def _with_gap_of(dropped: T, item: T) -> T:
    """The item; a gap that a dropped frame told of is told by the one that takes its place."""
    if isinstance(dropped, Frame) and isinstance(item, Frame) and dropped.gap:
        return replace(item, gap=dropped.gap + item.gap)
    return item


def _call(items: object, name: str) -> None:
    """Call a method of a source or a generator; a list has none."""
    method = getattr(items, name, None)
    if method is not None:
        method()


def _produce(items: Iterable[T], channel: Channel[T]) -> None:
    try:
        try:
            for item in items:
                if not channel.send(item):
                    break
                del item
        finally:
            _call(items, "close")
    except BaseException as error:
        channel.end(error)
    else:
        channel.end(None)


def _through(items: Iterable[T], channel: Channel[T]) -> Generator[T]:
    thread = threading.Thread(target=_produce, args=(items, channel), name="vision-reader", daemon=True)
    thread.start()
    try:
        yield from channel.receive()
    finally:
        channel.abandon()
        _call(items, "interrupt")
        thread.join()


class Ahead(Generic[T]):
    """An iterator over the items of `source`, read ahead in a thread: in order, none dropped.

    `info`, `counts` and `notes` are the source's own; its counts include what was read ahead and not
    yet handed out.
    """

    def __init__(self, source: Iterable[T], channel: Channel[T]) -> None:
        self.source = source
        self._channel = channel
        self._items = _through(source, channel)

    @property
    def info(self) -> Info:
        """What the source says about itself. Raises AttributeError where it is a plain iterable."""
        info: Info = self._source.info
        return info

    @property
    def counts(self) -> Counts:
        """What became of the source's frames so far. Raises AttributeError as `info` does."""
        counts: Counts = self._source.counts
        return counts

    @property
    def notes(self) -> list[str]:
        """The source's remarks. Raises AttributeError as `info` does."""
        notes: list[str] = self._source.notes
        return notes

    @property
    def _source(self) -> Any:
        return self.source

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        return next(self._items)

    def interrupt(self) -> None:
        """End it, from another thread: what was read is handed out, and no more."""
        self._channel.end(None)
        _call(self.source, "interrupt")

    def close(self) -> None:
        """End and join the reading thread, and close the source."""
        self._items.close()
        _call(self.source, "close")                      # where the thread was never started

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Latest(Ahead[T]):
    """An iterator over the newest item at each step of `source`; `skipped` counts those that were
    replaced. A frame tells of the gaps of those that it replaced."""

    @property
    def skipped(self) -> int:
        """How many items were replaced by a newer one before anybody asked for them."""
        return self._channel.skipped


def ahead(frames: Iterable[T], depth: int = 8) -> Ahead[T]:
    """Read up to `depth` items ahead in a thread: in order, none dropped.

    frames: a source of `vision.read`, or any iterable. depth: at least 1; fewer wait where their
    pictures together exceed `QUEUED_BYTES`.

    An error of the reader is raised here, after the items before it. Leaving the loop early, by
    `break`, an exception or `close()`, ends and joins the thread. `frames` is closed when it ends.
    Raises UsageError for a depth below 1.
    """
    if depth < 1:
        raise UsageError(f"depth must be at least 1; got {depth}")
    return Ahead(frames, Channel(depth))


def latest(frames: Iterable[T]) -> Latest[T]:
    """For live sources: a thread reads all the time, each step gets the newest item, once.

    frames: a source of `vision.read`, or any iterable. Errors and early leaving are as with `ahead`.
    """
    return Latest(frames, Channel(1, newest=True))
