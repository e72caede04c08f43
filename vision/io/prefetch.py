"""Frames made in a thread of their own: `ahead` keeps all of them, `latest` only the newest."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from typing import Generic, Self, TypeVar

from vision.errors import UsageError

T = TypeVar("T")


class _Channel(Generic[T]):
    """A bounded way from one thread to another, closed from either side.

    Full, it makes the sender wait; with `replace` it lets the oldest item go instead.
    """

    def __init__(self, depth: int, replace: bool) -> None:
        self.depth, self.replace = depth, replace
        self.skipped = 0
        self._items: deque[T] = deque()
        self._change = threading.Condition()
        self._ended = self._abandoned = False
        self._error: BaseException | None = None

    def send(self, item: T) -> bool:
        """Hand an item over; False when nobody wants any more."""
        with self._change:
            while len(self._items) >= self.depth and not self._abandoned:
                if self.replace:
                    self._items.popleft()
                    self.skipped += 1
                else:
                    self._change.wait()
            self._items.append(item)
            self._change.notify_all()
            return not self._abandoned

    def end(self, error: BaseException | None) -> None:
        """Nothing more will be sent; an error is raised on the other side after what was sent."""
        with self._change:
            self._ended, self._error = True, error
            self._change.notify_all()

    def abandon(self) -> None:
        """Nothing more will be received."""
        with self._change:
            self._abandoned = True
            self._items.clear()
            self._change.notify_all()

    def receive(self) -> Generator[T]:
        """Items until the end."""
        while True:
            with self._change:
                while not self._items and not self._ended:
                    self._change.wait()
                if not self._items:
                    break
                item = self._items.popleft()
                self._change.notify_all()
            yield item
            del item                                     # a frame must not live on in this loop
        if self._error is not None:
            raise self._error


def _close(items: object) -> None:
    """Close a source or a generator; a list has nothing to close."""
    close = getattr(items, "close", None)
    if close is not None:
        close()


def _produce(items: Iterable[T], channel: _Channel[T]) -> None:
    try:
        try:
            for item in items:
                if not channel.send(item):
                    break
                del item
        finally:
            _close(items)
    except BaseException as error:
        channel.end(error)
    else:
        channel.end(None)


def _through(items: Iterable[T], channel: _Channel[T]) -> Generator[T]:
    thread = threading.Thread(target=_produce, args=(items, channel), name="vision-reader", daemon=True)
    thread.start()
    try:
        yield from channel.receive()
    finally:
        channel.abandon()
        thread.join()


def ahead(frames: Iterable[T], depth: int = 8) -> Generator[T]:
    """Read up to `depth` items ahead in a thread: in order, none dropped.

    An error of the reader is raised here, after the items before it. Leaving the loop early, by
    `break`, an exception or `close()`, ends and joins the thread. `frames` is closed when it ends.
    """
    if depth < 1:
        raise UsageError(f"depth must be at least 1; got {depth}")
    return _through(frames, _Channel(depth, replace=False))


class Latest(Generic[T]):
    """An iterator over the newest item at each step of `source`; `skipped` counts those that were
    replaced."""

    def __init__(self, frames: Iterable[T]) -> None:
        self.source = frames
        self._channel: _Channel[T] = _Channel(1, replace=True)
        self._items = _through(frames, self._channel)

    @property
    def skipped(self) -> int:
        """How many items were replaced by a newer one before anybody asked for them."""
        return self._channel.skipped

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        return next(self._items)

    def close(self) -> None:
        """End and join the reading thread, and close the source."""
        self._items.close()
        _close(self.source)                              # where the thread was never started

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def latest(frames: Iterable[T]) -> Latest[T]:
    """For live sources: a thread reads all the time, each step gets the newest item, once.

    Errors and early leaving are as with `ahead`.
    """
    return Latest(frames)
