"""Several sources of a run at once, since live ones wait for nobody: each a stream of its own, in its own thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence

from vision.errors import SourceError, VisionError
from vision.io.prefetch import Channel
from vision.item import Item
from vision.sinks.base import Sink
from vision.stream import Opener, Stream

RETRY_S = 5.0                        # between attempts to open a source again that was lost for good
_WAITING = 4                         # items a stream that may wait for the caller

Named = tuple[str, Opener]


class AtOnce:
    """An iterator over (stream, item), in the order in which items are done; item is None when its stream has
    ended, with `stream.error` where that was an error. Leaving the loop ends all of them, with whole outputs.

    A source that is lost, or missing at the start, ends its stream and no other. While others go on it is tried
    again, and comes back as a new stream, with new steps and a report of its own.
    """

    def __init__(
        self, sources: Sequence[Named], stream: Callable[[str, Opener], Stream], direct: Sequence[Sink]
    ) -> None:
        self._sources, self._stream = sources, stream
        self._direct = direct                            # sinks that are called in the caller's thread
        self._done = Channel[tuple[Stream, Item | None]](_WAITING * len(sources))
        self.begun: list[Stream] = []                    # all so far
        self._stop = threading.Event()
        self._reading = len(sources)                     # sources that are not lost
        self._left = len(sources)                        # threads that have not ended
        self._streams: dict[int, Stream] = {}            # under way, by source
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._work, args=(n, *source), name=f"vision-source-{n}", daemon=True)
            for n, source in enumerate(sources)
        ]

    def __iter__(self) -> Generator[tuple[Stream, Item | None]]:
        """What is done, until every source has ended. Raises what is no VisionError."""
        shown = set[Stream]()
        try:
            for thread in self._threads:
                thread.start()
            for stream, item in self._done.receive():
                if item is not None:
                    self._show(stream, item, begin=stream not in shown)
                    shown.add(stream)
                yield stream, item
                if any(sink.done for sink in self._direct):
                    return
        finally:
            self._end()

    def _show(self, stream: Stream, item: Item, *, begin: bool) -> None:
        for sink in self._direct:
            if begin:
                sink.begin(stream.info)
            sink.take(item)

    def _end(self) -> None:
        """End what is still under way, with whole outputs, and wait for it."""
        self._stop.set()
        self._done.abandon()
        with self._lock:
            for stream in self._streams.values():
                stream.interrupt()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _work(self, number: int, name: str, opener: Opener) -> None:
        """One source, again and again while it comes back and others go on."""
        try:
            again: Opener | None = opener
            while again is not None:
                stream = self._stream(name, again)
                with self._lock:
                    self._streams[number] = stream
                    self.begun.append(stream)
                self._through(stream)
                with self._lock:
                    del self._streams[number]
                again = self._back(opener) if stream.lost else None
            self._count(-1)
        except BaseException as error:
            self._done.end(error)
        with self._lock:
            self._left -= 1
            last = not self._left
        if last:
            self._done.end(None)

    def _through(self, stream: Stream) -> None:
        items = iter(stream)
        try:
            for item in items:
                if not self._done.send((stream, item)):
                    break
        except VisionError as error:
            stream.error = error
        finally:
            items.close()
        self._done.send((stream, None))

    def _back(self, opener: Opener) -> Opener | None:
        """What opens a lost source that is there again; None when no other source is read any more."""
        self._count(-1)
        while self._reading and not self._stop.wait(RETRY_S):
            try:
                source = opener()
            except SourceError:
                continue
            self._count(1)
            return lambda: source
        self._count(1)
        return None

    def _count(self, change: int) -> None:
        with self._lock:
            self._reading += change
