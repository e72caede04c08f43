"""Who is next: workers that take turns between clients, so that a busy one has no more than its share."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from time import monotonic
from typing import Any, TypeVar

from vision.errors import VisionError

T = TypeVar("T")
_PATIENCE_S = 10.0                                       # for what is at work when it is closed
_Job = tuple[Callable[[], Any], Future[Any]]


class Busy(VisionError):
    """More work waits already than will be taken. ahead: how much."""

    def __init__(self, ahead: int) -> None:
        super().__init__(f"busy, {ahead} ahead. Try again in a moment.")
        self.ahead = ahead


class Turns:
    """Threads that work for many clients: one piece of each client that waits, then one of the next.

    workers: pieces at a time, at least 1. most: pieces that may wait, all clients together; each client may have half
    of them. A piece that fails has its error in its future, and ends no worker.
    """

    def __init__(self, workers: int, most: int) -> None:
        self.most = most
        self._lines: dict[str, deque[_Job]] = {}         # of clients with work, in the order of their turns
        self._begun: dict[int, float] = {}               # since when each busy worker is at its piece
        self._change = threading.Condition()
        self._last = monotonic()                         # when a piece was begun or ended, or the first came
        self._closed = False
        self._threads: list[threading.Thread] = []
        self.staff(max(1, workers))

    @property
    def workers(self) -> int:
        """How many pieces are worked on at a time."""
        return len(self._threads)

    def staff(self, workers: int) -> None:
        """Have at least so many workers."""
        with self._change:
            for number in range(len(self._threads), workers):
                self._threads.append(threading.Thread(target=self._work, name=f"vision-turn-{number}", daemon=True))
                self._threads[-1].start()

    @property
    def waiting(self) -> int:
        """How many pieces wait for a worker."""
        with self._change:
            return self._waiting()

    def _waiting(self) -> int:
        return sum(map(len, self._lines.values()))

    def submit(self, client: str, piece: Callable[[], T]) -> Future[T]:
        """Have a piece of work done when its client's turn comes.

        client: whose it is. piece: a function without arguments. Returns its result's future. Raises Busy where too
        much waits already.
        """
        future: Future[T] = Future()
        with self._change:
            waiting, own = self._waiting(), len(self._lines.get(client, ()))
            if self._closed or waiting >= self.most or own >= max(1, self.most // 2):
                raise Busy(max(waiting, own))
            if not waiting and not self._begun:
                self._last = monotonic()
            self._lines.setdefault(client, deque()).append((piece, future))
            self._change.notify()
        return future

    def stalled(self, limit: float) -> str:
        """Why the workers count as stalled, in words: nothing moved for `limit` seconds though there is work; empty
        where all is well."""
        with self._change:
            alive = sum(thread.is_alive() for thread in self._threads)
            work, idle = bool(self._lines or self._begun), monotonic() - self._last
            if alive < len(self._threads) and not self._closed:
                return f"{len(self._threads) - alive} of {len(self._threads)} workers have ended"
            return f"the workers have not moved for {idle:.0f} s" if work and idle > limit else ""

    def close(self) -> None:
        """Let what is at work end, and give up what waits."""
        with self._change:
            self._closed = True
            left = [job for line in self._lines.values() for job in line]
            self._lines.clear()
            self._change.notify_all()
        for _, future in left:
            future.cancel()
        end = monotonic() + _PATIENCE_S
        for thread in self._threads:
            thread.join(timeout=max(0.0, end - monotonic()))

    def _work(self) -> None:
        me = threading.get_ident()
        while True:
            with self._change:
                self._begun.pop(me, None)
                while not self._lines and not self._closed:
                    self._change.wait()
                if self._closed:
                    return
                piece, future = self._next()
                self._begun[me] = self._last = monotonic()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(piece())
                except BaseException as error:           # whatever it is, the next client's turn comes
                    future.set_exception(error)
            with self._change:
                self._last = monotonic()
            del piece, future                            # a picture must not live on while nothing is to be done

    def _next(self) -> _Job:
        """The first piece of the client whose turn it is, who then stands last."""
        client = next(iter(self._lines))
        line = self._lines.pop(client)
        job = line.popleft()
        if line:
            self._lines[client] = line
        return job
