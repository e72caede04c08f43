"""A source that is read in a process of its own, whose pictures come through shared memory: none is sent or copied
here."""

from __future__ import annotations

import multiprocessing
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from time import sleep
from typing import Any, NamedTuple, Self

import numpy as np

from vision.errors import SourceError, UsageError, VisionError
from vision.io.base import Counts, Info, Log
from vision.io.source import read
from vision.types import Frame

SLOTS = 16                           # pictures that may be held at once
PATIENCE_S = 10.0                    # with all of them held, before that is an error
_JOIN_S = 5.0
_POLL_S = 0.0005                     # while the other process waits for a place


class _Block(SharedMemory):
    """Places for pictures, with a byte for each in front: 1 while it is held."""

    buf: memoryview

    def __del__(self) -> None:
        with suppress(BufferError, OSError):             # an array that outlives everything still looks into it
            self.close()


class _Sent(NamedTuple):
    """A frame on its way: where its picture lies, and the rest of it."""

    slot: int
    at: int                                              # bytes from the beginning of the block
    shape: tuple[int, int, int]
    rest: dict[str, Any]
    counts: Counts


class Apart:
    """An iterator over the frames of a source that another process reads; as a `Source`, it has `info`, `counts`,
    `notes` and `close`.

    A frame's image is a view of memory that both processes have. Its place is free for another picture when the last
    array that looks into it is gone: what is kept for long is to be copied. While all places are held the other
    process waits, for ten seconds; then UsageError is raised.
    """

    def __init__(self, opener: Callable[[], Any], slots: int = SLOTS) -> None:
        if slots < 2:
            raise UsageError(f"slots must be at least 2; got {slots}.")
        context = multiprocessing.get_context("spawn")
        self._pipe, there = context.Pipe()
        self._slots = slots
        self._blocks: list[_Block] = []
        self._log, self._stopped, self._closed = Log(), False, False
        self._process = context.Process(target=_work, args=(there, opener, slots), name="vision-reader", daemon=True)
        self._process.start()
        there.close()
        try:
            self.info: Info = self._next()
        except BaseException:
            self.close()
            raise

    @property
    def counts(self) -> Counts:
        """What became of the frames so far."""
        return self._log.counts

    @property
    def notes(self) -> list[str]:
        """Remarks for the user; complete at the end."""
        return self._log.notes

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Frame:
        try:
            sent = None if self._closed else self._next()
        except BaseException:
            self.close()
            raise
        if sent is None:
            self.close()
            raise StopIteration
        self._log.counts = sent.counts
        block = self._blocks[-1]
        image = np.ndarray(sent.shape, np.uint8, block.buf, sent.at)
        weakref.finalize(image, _free, block, sent.slot).atexit = False
        return Frame(image, **sent.rest)

    def _next(self) -> Any:
        """What the other process has: its source's `Info`, a frame, or None at the end. Raises what ended it."""
        try:
            while isinstance(asked := self._said(), int):            # bytes that a picture needs
                self._blocks.append(_Block(create=True, size=self._slots * (asked + 1)))
                self._blocks[-1].buf[: self._slots] = bytes(self._slots)
                self._pipe.send(self._blocks[-1].name)
        except (EOFError, OSError) as error:
            if self._stopped:
                return None
            raise SourceError("the process that reads has ended by itself. Was it killed?") from error
        if isinstance(asked, tuple) and not isinstance(asked, _Sent):
            failed, self._log.counts, self._log.notes = asked
            if failed is not None:
                raise failed
            return None
        return asked

    def _said(self) -> Any:
        """What the other process says next. Raises UsageError where it waits for a place, and none gets free."""
        while not self._pipe.poll(PATIENCE_S):
            if self._blocks and all(self._blocks[-1].buf[: self._slots]):
                raise UsageError(f"all {self._slots} pictures are held, and no other can come. Copy those that are "
                                 "kept for long (frame.image.copy()), or give more slots.")
        return self._pipe.recv()

    def interrupt(self) -> None:
        """End it, from another thread."""
        self._stopped = True
        self._process.terminate()

    def close(self) -> None:
        """End the other process. Pictures that are still held stay as they are."""
        if self._closed:
            return
        self._closed = True
        self._pipe.close()
        self._process.join(_JOIN_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        for block in self._blocks:
            block.unlink()
        self._blocks.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def read_apart(uri: str | int | Path, slots: int = SLOTS, **how: Any) -> Apart:
    """Open a source in a process of its own: decoding and Python's lock are then that process's.

    uri, how: as `vision.read` has them. slots: pictures that may be held at once, those that are read ahead included.
    A script that calls it begins its work under `if __name__ == "__main__":`, since the other process imports it.
    Raises what `vision.read` raises.
    """
    return Apart(partial(read, uri, **how), slots)


def _free(block: _Block, slot: int) -> None:
    """The place of a picture that nobody looks at any more."""
    with suppress(ValueError, TypeError):                # the block is gone
        block.buf[slot] = 0


def _work(pipe: Connection, opener: Callable[[], Any], slots: int) -> None:
    """The other process: read, and put each picture in a free place."""
    log, failed = Log(), None
    try:
        with opener() as source:
            log.counts, log.notes = source.counts, source.notes
            pipe.send(source.info)
            block, room = None, 0
            for frame in source:
                if block is None or frame.image.nbytes > room:
                    room = frame.image.nbytes
                    pipe.send(room)
                    block = _Block(pipe.recv())
                slot = _place(pipe, block, slots)
                at = slots + slot * room
                block.buf[slot] = 1
                np.ndarray(frame.image.shape, np.uint8, block.buf, at)[:] = frame.image
                rest = {name: getattr(frame, name) for name in Frame.__slots__ if name != "image"}
                pipe.send(_Sent(slot, at, frame.image.shape, rest, source.counts))
                del frame
    except (EOFError, BrokenPipeError, KeyboardInterrupt):           # nobody wants any more
        return
    except VisionError as error:
        failed = error
    except Exception as error:
        failed = SourceError(f"the process that reads has failed ({type(error).__name__}: {error}).")
    with suppress(OSError):
        pipe.send((failed, log.counts, log.notes))


def _place(pipe: Connection, block: _Block, slots: int) -> int:
    """A place that is free. Raises EOFError where nobody reads on."""
    while True:
        free = bytes(block.buf[:slots]).find(0)
        if free >= 0:
            return free
        if pipe.poll(_POLL_S):
            pipe.recv()
        sleep(_POLL_S)
