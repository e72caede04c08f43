"""The thread that draws and writes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from time import monotonic, perf_counter
from typing import Any

from vision.errors import SinkError, VisionError
from vision.io.prefetch import Channel
from vision.item import Item
from vision.report import Report
from vision.sinks.base import Sink

_DEPTH = 8                                       # items under way


class Writer:
    """The thread that draws and writes: items go in by `put`, an error comes out of it. lock: is held while sinks
    that are shared take an item."""

    def __init__(self, sinks: Sequence[Sink], report: Report, lock: AbstractContextManager[Any]) -> None:
        self.error: BaseException | None = None
        self._here = [sink for sink in sinks if sink.direct]
        self._there = [sink for sink in sinks if not sink.direct]
        self._report, self._lock = report, lock
        self._waiting = Channel[Item | threading.Event](_DEPTH)
        self._thread = threading.Thread(target=self._work, name="vision-writer", daemon=True)

    def put(self, item: Item) -> None:
        """Hand over an item; waits while too many are under way. Raises what a sink raised."""
        self._raise()
        asked = perf_counter()
        for sink in self._here:
            sink.take(item)
        self._waiting.send(item)
        self._report.waited("write", perf_counter() - asked)

    def wait(self) -> None:
        """Wait until everything is written. Raises what a sink raised."""
        written = threading.Event()
        self._waiting.send(written)
        written.wait()
        self._raise()

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._waiting.end(None)
        self._thread.join()
        if kind is None or issubclass(kind, VisionError):
            self._raise()

    def _raise(self) -> None:
        if isinstance(self.error, (VisionError, BrokenPipeError)):
            raise self.error
        if self.error is not None:
            raise SinkError(f"an output failed: {type(self.error).__name__}: {self.error}") from self.error

    def _work(self) -> None:
        for item in self._waiting.receive():
            if isinstance(item, threading.Event):
                item.set()
            elif self.error is None:                   # else keep taking, so that nobody waits for a place
                self._write(item)
            del item

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
