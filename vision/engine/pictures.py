"""What the back ends share: graphs made when a picture size first comes, and threads to run them."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from vision.engine.base import Outputs, checked_batch, refuse_fork
from vision.engine.program import Program, Shape
from vision.errors import EngineError, VisionError

Run = Callable[[np.ndarray], Outputs]

_SIZES_KEPT = 12                # compiled graphs; a folder of pictures may bring every aspect ratio


class PictureEngine(ABC):
    """An engine whose graph is compiled for one picture size.

    A submitted batch becomes single pictures (whole batches with `whole_batches`) on `threads`
    threads. A back end says in `_build` how a graph is made and run.
    """

    _program: Program

    def __init__(
        self,
        backend: str,
        device: str,
        precision: str,
        threads: int,
        in_flight: int,
        input_wh: tuple[int, int] | None = None,
        whole_batches: bool = False,
    ) -> None:
        self.backend, self.device, self.precision = backend, device, precision
        self.label = f"{backend} {device.upper()} {precision}"
        self.in_flight = in_flight
        self.input_wh = input_wh
        self._whole_batches = whole_batches
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"vision-{backend}")
        self._graphs: dict[tuple[Shape, bool], Run] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._process = os.getpid()

    @abstractmethod
    def _build(self, shape: Shape, alone: bool) -> Run:
        """A function that runs a batch of pictures of `shape`, callable from several threads.

        alone: one call at a time gets the whole device, rather than many calls a share each.
        Raises CannotRun where the back end has no way to run the network.
        """

    def submit(self, batch: np.ndarray) -> Future[Outputs]:
        """Start on a batch; see `Engine`."""
        batch = checked_batch(batch, self.input_wh)
        run = self._graph(batch.shape[1:], alone=False)
        if self._whole_batches:
            return self._pool.submit(run, batch)
        return _joined([self._pool.submit(run, batch[i : i + 1]) for i in range(len(batch))])

    def __call__(self, batch: np.ndarray) -> Outputs:
        """Run a batch and wait for it. One picture gets the whole device."""
        if len(batch) != 1:
            return self.submit(batch).result()
        batch = checked_batch(batch, self.input_wh)
        return self._graph(batch.shape[1:], alone=True)(batch)

    def close(self) -> None:
        """Finish what was submitted, then give memory and threads back. In a forked process there is
        nothing to give back."""
        if os.getpid() != self._process:
            return
        self._closed = True
        self._pool.shutdown(wait=True)
        self._graphs.clear()

    def _graph(self, shape: Shape, alone: bool) -> Run:
        refuse_fork(self._process, f"the engine {self.label!r}")
        key = (shape, alone and self._threads > 1)
        with self._lock:
            if self._closed:
                raise EngineError(f"the engine {self.label!r} is closed. Load another one.")
            graph = self._graphs.pop(key, None) or self._guarded(self._built(*key), shape)
            self._graphs[key] = graph                             # the last one is the latest used
            while len(self._graphs) > _SIZES_KEPT:
                del self._graphs[next(iter(self._graphs))]
        return graph

    def _built(self, shape: Shape, alone: bool) -> Run:
        try:
            return self._build(shape, alone)
        except Exception:                                # as each back end puts it
            if not self._program.renew():
                raise
            return self._build(shape, alone)

    def _guarded(self, run: Run, shape: Shape) -> Run:
        """`run`, whose failures are of our tree."""

        def guarded(batch: np.ndarray) -> Outputs:
            try:
                return run(batch)
            except VisionError:
                raise
            except Exception as error:
                size = "x".join(map(str, shape))
                raise EngineError(f"{self.label} failed on {len(batch)} x {size}: {error}") from error

        return guarded


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
