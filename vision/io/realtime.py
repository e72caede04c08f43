"""A file that plays a camera: each frame comes when it is due on the wall clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

from vision.io.base import Log, Reader, Span
from vision.types import Frame


class Realtime:
    """The frames of a reader at their presentation times, counted from the first one that is asked for.

    A frame's `captured` is when it was due: where decoding falls behind, frames are old when they come,
    as a camera's are.
    """

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.info = replace(reader.info, live=True)
        self._stop = threading.Event()

    def frames(self, span: Span, log: Log) -> Iterator[Frame]:
        """The wanted frames, each not before it is due."""
        began: float | None = None
        for frame in self.reader.frames(span, log):
            if began is None:
                began = time.monotonic() - frame.time
            due = began + frame.time
            if self._stop.wait(max(0.0, due - time.monotonic())):
                return
            yield replace(frame, captured=due)

    def interrupt(self) -> None:
        """End the wait for the next frame, from another thread: no frame follows."""
        self._stop.set()

    def close(self) -> None:
        """Close the reader."""
        self.reader.close()
