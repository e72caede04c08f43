"""The thread that draws and writes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from time import monotonic, perf_counter
from typing import Any

from vision.errors import SinkError, VisionError
from vision.io.prefetch import QUEUED_BYTES
from vision.item import Item
from vision.report import Report
from vision.sinks.base import Sink

_DEPTH = 8                                       # items under way


class _Items(queue.Queue[Item | None]):
    """A queue that is full with `_DEPTH` items, or with as many bytes of pictures as may wait."""

    def _init(self, maxsize: int) -> None:
        super()._init(maxsize)
        self._bytes = 0

    def _qsize(self) -> int:
        return max(len(self.queue), self._bytes * _DEPTH // QUEUED_BYTES)

    def _put(self, item: Item | None) -> None:
        super()._put(item)
        self._bytes += 0 if item is None else item.frame.image.nbytes

    def _get(self) -> Item | None:
        item: Item | None = super()._get()
        self._bytes -= 0 if item is None else item.frame.image.nbytes
        return item


class Writer:
    """The thread that draws and writes: items go in by `put`, an error comes out of it. lock: is held while sinks
    that are shared take an item."""

    def __init__(self, sinks: Sequence[Sink], report: Report, lock: AbstractContextManager[Any]) -> None:
        self.error: BaseException | None = None
        self._here = [sink for sink in sinks if sink.direct]
        self._there = [sink for sink in sinks if not sink.direct]
        self._report, self._lock = report, lock
        self._queue = _Items(maxsize=_DEPTH)
        self._thread = threading.Thread(target=self._work, name="vision-writer", daemon=True)

    def put(self, item: Item) -> None:
        """Hand over an item; waits while too many are under way. Raises what a sink raised."""
        self._raise()
        asked = perf_counter()
        for sink in self._here:
            sink.take(item)
        self._queue.put(item)
        self._report.waited("write", perf_counter() - asked)

    def wait(self) -> None:
        """Wait until everything is written. Raises what a sink raised."""
        self._queue.join()
        self._raise()

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._queue.put(None)
        self._thread.join()
        if kind is None or issubclass(kind, VisionError):
            self._raise()

    def _raise(self) -> None:
        if isinstance(self.error, (VisionError, BrokenPipeError)):
            raise self.error
        if self.error is not None:
            raise SinkError(f"an output failed: {type(self.error).__name__}: {self.error}") from self.error

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            if self.error is None:                     # else keep taking, so that nobody waits for a place
                self._write(item)
            self._queue.task_done()

    def _write(self, item: Item) -> None:
        try:
            with self._lock:
                for sink in self._there:
                    sink.take(item)
        except BaseException as error:
            self.error = error
        else:
            self._report.written += 1
            self._report.latency.append(monotonic() - item.frame.captured)
