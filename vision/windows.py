"""A chain of windows, one a step: several frames are under way, each step on its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import Any

from vision.errors import StepError, VisionError
from vision.io.prefetch import QUEUED_BYTES
from vision.report import Report
from vision.steps.base import Pending, Ready, Step
from vision.types import Frame


class _Flight:
    """A frame under way: what was said of it, and by whom something is still to be said."""

    def __init__(self, frame: Frame, number: int, keys: set[str]) -> None:
        self.frame, self.number, self.left = frame, number, keys
        self.results: dict[str, Any] = {}


class _Window:
    """A step with the frames that stand before it, and those that are under way in it."""

    def __init__(self, step: Step, every: int) -> None:
        self.step, self.every = step, every
        self.line: deque[_Flight] = deque()
        self.under: deque[tuple[_Flight, Pending]] = deque()

    @property
    def first(self) -> _Flight | None:
        """The frame that it could begin on now, were there room: all that it needs is there."""
        ready = self.line and not (self.step.needs | self.step.uses) & self.line[0].left
        return self.line[0] if ready else None

    @property
    def full(self) -> bool:
        """Whether as many frames are under way as the step takes, or as memory should hold."""
        held = 0 if self.step.ahead else sum(flight.frame.image.nbytes for flight, _ in self.under)
        return len(self.under) >= max(1, self.step.in_flight) or held >= QUEUED_BYTES

    def may_answer(self, flight: _Flight, last: bool) -> bool:
        """Whether the frame is its oldest, and its answer may be asked for: as many later ones have begun as the step
        looks ahead, or there are no more (`last`)."""
        oldest = bool(self.under) and self.under[0][0] is flight
        return oldest and (last or len(self.under) > self.step.ahead)


class Windows:
    """The steps of one stream over its frames, which go in by `push` and come out in their order.

    A step begins on frames in their order, as soon as the results that it needs are there and it has room,
    so that one step may be at frame k while another is at k + 3. steps: each with its `every`.
    """

    def __init__(self, steps: Sequence[tuple[Step, int]], report: Report) -> None:
        self._windows = [_Window(step, every) for step, every in steps]
        self._report = report
        self._flights: deque[_Flight] = deque()
        self._error: VisionError | None = None
        self.count = 0                           # of frames that went in

    def push(self, frame: Frame) -> Iterator[tuple[Frame, dict[str, Any]]]:
        """Put a frame in; those that are done by then come out. Waits while a step has no room.

        Raises StepError, after the frames before it, for a frame on which a step failed.
        """
        flight = _Flight(frame, self.count, {window.step.key for window in self._windows})
        self.count += 1
        self._flights.append(flight)
        for window in self._windows:
            window.line.append(flight)
        self._begin()
        while any(window.first is not None and window.full for window in self._windows):
            self._wait()
            self._begin()
        yield from self.drain() if self._error else self._done()

    def drain(self) -> Iterator[tuple[Frame, dict[str, Any]]]:
        """Wait for every frame that went in. Raises as `push` does."""
        self._begin()
        while self._flights:
            if self._flights[0].left:
                self._wait(last=True)
                self._begin()
            yield from self._done()
        if self._error:
            raise self._error

    def _done(self) -> Iterator[tuple[Frame, dict[str, Any]]]:
        while self._flights and not self._flights[0].left:
            flight = self._flights.popleft()
            yield flight.frame, flight.results

    def _begin(self) -> None:
        """Begin whatever can be begun."""
        moved = True
        while moved:
            moved = False
            for window in self._windows:
                while (flight := window.first) is not None:
                    absent = not window.step.needs <= flight.results.keys()
                    if absent or flight.number % window.every:
                        flight.left.discard(window.step.key)
                    elif window.full:
                        break
                    else:
                        self._start(window, flight)
                    moved = True
                    if window.line and window.line[0] is flight:
                        window.line.popleft()

    def _start(self, window: _Window, flight: _Flight) -> None:
        step, asked = window.step, perf_counter()
        try:
            sofar = {key: flight.results[key] for key in step.needs | step.uses if key in flight.results}
            pending = step.begin(flight.frame, sofar)
        except Exception as error:
            self._fail(flight, step, error)
            return
        if isinstance(pending, Ready):
            self._answered(flight, step, pending.result)
        else:
            window.under.append((flight, pending))
        self._report.waited(step.key, perf_counter() - asked)

    def _wait(self, last: bool = False) -> None:
        """Wait for the oldest frame's oldest answer. last: no more frames come."""
        window = next(
            window for flight in self._flights for window in self._windows if window.may_answer(flight, last)
        )
        flight, pending = window.under[0]
        asked = perf_counter()
        try:
            result = pending()
        except Exception as error:
            self._fail(flight, window.step, error)
            return
        window.under.popleft()
        self._answered(flight, window.step, result)
        self._report.waited(window.step.key, perf_counter() - asked)

    def _answered(self, flight: _Flight, step: Step, result: Any) -> None:
        flight.results[step.key] = result
        flight.left.discard(step.key)

    def _fail(self, failed: _Flight, step: Step, error: Exception) -> None:
        """The frame and those after it are given up; those before it come out, then the error."""
        self._error = StepError.of(step.key, failed.frame, error)
        for window in self._windows:
            window.line = deque(flight for flight in window.line if flight.number < failed.number)
            window.under = deque(pair for pair in window.under if pair[0].number < failed.number)
        self._flights = deque(flight for flight in self._flights if flight.number < failed.number)
