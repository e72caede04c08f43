"""What the back ends share: graphs made when a picture size first comes, and threads to run them."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from vision.card import Card
from vision.engine.base import CannotRun, Outputs, Work, checked_batch, refuse_fork
from vision.engine.program import Program, Shape
from vision.errors import EngineError, VisionError

Run = Callable[[np.ndarray], Outputs]

_SIZES_KEPT = 3                 # compiled graphs; a folder of pictures may bring every aspect ratio
BATCH = 8                       # pictures that an accelerator is given together, where so many wait
_OFTEN = 64                     # pictures of a size, from which on a graph of its own pays


class PictureEngine(ABC):
    """An engine whose graph is compiled for one picture size, or for any.

    The first size that comes gets a graph of its own, which is the fastest. Where the program has a graph
    for any size, that one serves the others, until one of them has come often.

    Submitted batches wait in one queue, whoever submits them. A thread that is free takes the first, and with
    it those of the same picture size that wait, up to `most` pictures; nothing waits for a batch to fill. With
    `whole_batches=False` every picture is taken by itself. A back end says in `_build` how a graph is made and
    run.
    """

    _program: Program

    def __init__(
        self,
        backend: str,
        device: str,
        precision: str,
        threads: int,
        in_flight: int,
        program: Program,
        whole_batches: bool = False,
        most: int = 1,
        any_size: bool = True,
    ) -> None:
        self.backend, self.device, self.precision = backend, device, precision
        self.label = f"{backend} {device.upper()} {precision}"
        self.in_flight = in_flight
        self.work = Work()
        self.input_wh = program.input_wh
        self._program = program
        self._whole_batches, self._most = whole_batches, most
        self._any_size = any_size and program.any_size
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"vision-{backend}")
        self._waiting: deque[_Waiting] = deque()
        self._graphs: dict[tuple[Shape | None, bool], Run] = {}
        self._came: Counter[Shape] = Counter()
        self._lock, self._queue_lock = threading.Lock(), threading.Lock()
        self._closed = False
        self._process = os.getpid()

    @classmethod
    def at_hand(cls, program: Program, shape: Shape, precision: str, streams: int) -> bool:
        """Whether the graph for pictures of `shape` is made in no time."""
        return program.at_hand(shape)

    @property
    def card(self) -> Card:
        """Of the network that it runs."""
        return self._program.card

    @abstractmethod
    def _build(self, shape: Shape | None, alone: bool) -> Run:
        """A function that runs a batch of pictures of `shape` (None: of any), callable from several threads.

        alone: one call at a time gets the whole device, rather than many calls a share each.
        Raises CannotRun where the back end has no way to run the network.
        """

    def submit(self, batch: np.ndarray) -> Future[Outputs]:
        """Start on a batch; see `Engine`."""
        batch = checked_batch(batch, self.input_wh)
        run = self._graph(batch.shape[1:], alone=False, pictures=len(batch))
        parts = [batch] if self._whole_batches else [batch[i : i + 1] for i in range(len(batch))]
        waiting = [_Waiting(part, run) for part in parts]
        with self._queue_lock:                           # in which `close` begins
            self._refuse_closed()
            self._waiting.extend(waiting)
            for _ in waiting:
                self._pool.submit(self._take)
        return _joined([one.future for one in waiting])

    def __call__(self, batch: np.ndarray) -> Outputs:
        """Run a batch and wait for it. One picture gets the whole device."""
        if len(batch) != 1 or self._most > 1:
            return self.submit(batch).result()
        batch = checked_batch(batch, self.input_wh)
        return self._graph(batch.shape[1:], alone=True, pictures=1)(batch)

    def close(self) -> None:
        """Finish what was submitted, then give memory and threads back. In a forked process there is
        nothing to give back."""
        if os.getpid() != self._process:
            return
        with self._queue_lock:
            self._closed = True
        self._pool.shutdown(wait=True)
        self._graphs.clear()

    def compile(self, shape: Shape) -> None:
        """Make the graph for submitted pictures of `shape`, and keep it in the cache."""
        self._graph(shape, alone=False, pictures=1)

    def _refuse_closed(self) -> None:
        if self._closed:
            raise EngineError(f"the engine {self.label!r} is closed. Load another one.")

    def _take(self) -> None:
        """Run what waits first, and with it what can be run together."""
        with self._queue_lock:
            if not self._waiting:                        # an earlier call took it along
                return
            together = [self._waiting.popleft()]
            pictures, shape = len(together[0].batch), together[0].batch.shape[1:]
            for other in list(self._waiting) if self._most > 1 else ():
                if other.batch.shape[1:] == shape and pictures + len(other.batch) <= self._most:
                    self._waiting.remove(other)
                    together.append(other)
                    pictures += len(other.batch)
        _run_together(together)

    def _graph(self, shape: Shape, alone: bool, pictures: int) -> Run:
        refuse_fork(self._process, f"the engine {self.label!r}")
        alone = alone and self._threads > 1
        with self._lock:
            self._refuse_closed()
            self._came[shape] += pictures
            if not self._own(shape) and (None, False) not in self._graphs:
                self._graphs[None, False] = self._guarded(self._build(None, False))
                self._any_size = self._agrees(next(iter(self._came)))
            key = (shape, alone or not self._usual(shape)) if self._own(shape) else (None, False)
            graph = self._graphs.pop(key, None) or self._guarded(self._build(*key))
            self._graphs[key] = graph                             # the last one is the latest used
            while len(self._graphs) > _SIZES_KEPT:
                del self._graphs[next(iter(self._graphs))]
        return graph

    def _own(self, shape: Shape) -> bool:
        """Whether pictures of a size get a graph of their own."""
        return not self._any_size or self._usual(shape)

    def _usual(self, shape: Shape) -> bool:
        """Whether pictures of a size are the first or come often. The graphs of others are for one call at a time:
        streams take memory for each size."""
        return next(iter(self._came)) == shape or self._came[shape] > _OFTEN

    def _agrees(self, shape: Shape) -> bool:
        """Whether the graph for any size gives what one for pictures of `shape` does; not where that cannot be made."""
        own = next((run for (of, _), run in self._graphs.items() if of == shape), None)
        if own is None:                                           # later sizes may have taken its place
            try:
                own = self._guarded(self._build(shape, False))
            except CannotRun:
                return False
        picture = np.random.default_rng(0).integers(0, 256, (1, *shape), np.uint8)
        pairs = zip(self._graphs[None, False](picture), own(picture), strict=True)
        return all(one.shape == other.shape and np.allclose(one, other, rtol=1e-2, atol=1e-2)
                   for one, other in pairs)

    def _guarded(self, run: Run) -> Run:
        """`run`, whose failures are of our tree."""

        def guarded(batch: np.ndarray) -> Outputs:
            with self._queue_lock:
                self.work.pictures += len(batch)
                self.work.executions += 1
            try:
                return run(batch)
            except VisionError:
                raise
            except Exception as error:
                size = "x".join(map(str, batch.shape[1:]))
                raise EngineError(f"{self.label} failed on {len(batch)} x {size}: {error}") from error

        return guarded


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A batch that was submitted, what runs it, and where its outputs go."""

    batch: np.ndarray
    run: Run
    future: Future[Outputs] = field(default_factory=Future)


def _run_together(waiting: Sequence[_Waiting]) -> None:
    """Run batches of one picture size as one; where that fails, each by itself, so that each has its own
    outputs or its own error."""
    waiting = [one for one in waiting if one.future.set_running_or_notify_cancel()]
    if len(waiting) > 1:
        try:
            outputs = waiting[0].run(np.concatenate([one.batch for one in waiting]))
        except Exception:
            for one in waiting:
                _run_alone(one)
            return
        first = 0
        for one in waiting:
            after = first + len(one.batch)
            one.future.set_result(tuple(output[first:after] for output in outputs))
            first = after
    elif waiting:
        _run_alone(waiting[0])


def _run_alone(one: _Waiting) -> None:
    try:
        one.future.set_result(one.run(one.batch))
    except BaseException as error:
        one.future.set_exception(error)


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _joined(parts: list[Future[Outputs]]) -> Future[Outputs]:
    """One future for the pictures of a batch, in their order; the first error is its error."""
    if len(parts) == 1:
        return parts[0]
    whole: Future[Outputs] = Future()
    left, lock = len(parts), threading.Lock()

    def landed(_: Future[Outputs]) -> None:
        nonlocal left
        with lock:
            left -= 1
            if left:
                return
        try:
            rows = [part.result() for part in parts]
            whole.set_result(tuple(np.concatenate(column) for column in zip(*rows, strict=True)))
        except ValueError as error:
            whole.set_exception(EngineError(f"the pictures of a batch gave outputs of other shapes: {error}"))
        except Exception as error:
            whole.set_exception(error)

    for part in parts:
        part.add_done_callback(landed)
    return whole
