"""When a decoded frame is shown: of two stamps that may both lie, one time that never goes back."""

from __future__ import annotations

from vision.io.base import Log

_REORDERED = 16                      # frames by which the stamps of one stream may lie out of order


class BestEffort:
    """The stamp to believe, as FFmpeg's `best_effort_timestamp` chooses it: the presentation stamp, until it
    has gone back more often than the decoding stamp. AVI, RealMedia and raw streams have no presentation
    stamps of their own, and those made up for them go back wherever frames are reordered."""

    def __init__(self) -> None:
        self._last: list[int | None] = [None, None]      # pts, dts
        self._faults = [0, 0]

    def __call__(self, pts: int | None, dts: int | None) -> int | None:
        """The stamp of the next frame in decoding order of output; None where it has neither."""
        for kind, (stamp, other) in enumerate(((pts, dts), (dts, pts))):
            last = self._last[kind]
            if stamp is not None:
                self._faults[kind] += last is not None and stamp <= last
                self._last[kind] = stamp
            elif other is not None:
                self._last[kind] = other
        if pts is not None and (dts is None or self._faults[0] <= self._faults[1]):
            return pts
        return dts


class Clock:
    """Presentation times: made from the rate where a frame has none, and never going back."""

    def __init__(self, step: float, log: Log | None = None) -> None:
        self._step, self._log = step, log or Log()
        self._shift = 0.0
        self._started = False
        self.last = 0.0

    def __call__(self, stamp: float | None) -> float:
        """The time of the next frame in seconds; stamp: the container's, in seconds."""
        expected = self.last + self._step if self._started else 0.0
        if stamp is None:
            self._log.note(f"frames without a time stamp got times from the rate, {1 / self._step:g} fps")
            stamp = expected - self._shift
        elif self._started and stamp + self._shift < self.last - _REORDERED * self._step:
            self._log.note(f"the time stamps go back after {self.last:.3f} s; later times follow on there")
            self._shift = expected - stamp
        elif self._started and stamp + self._shift < self.last:
            self._log.note("some time stamps are out of order: such a frame has the time of the one before it")
            return self.last
        self._started = True
        self.last = stamp + self._shift
        return self.last
