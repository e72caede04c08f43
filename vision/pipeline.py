"""Frames through a model into sinks: overlapped, in order, and accounted for.

Three threads share a run: one reads ahead, the caller's prepares and collects, one draws and
writes. The engine keeps its device busy by itself. Every queue between them is bounded, so that
memory does not grow with the length of the video.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from time import perf_counter
from typing import Any, Protocol, TypeVar

import numpy as np

from vision.drawing import draw
from vision.errors import LostFrames, SinkError, VisionError
from vision.io import Latest, ahead
from vision.records import Result, record
from vision.types import Frame, Image, Names

R_co = TypeVar("R_co", bound=Result, covariant=True)
Pending = Callable[[], Sequence[Any]]          # waits for a batch, hands out a result a frame


class Model(Protocol[R_co]):
    """What a task offers to a pipeline. It keeps no state between calls."""

    @property
    def task(self) -> str:
        """`detect`, `classify`, ..."""

    @property
    def name(self) -> str:
        """The card's name."""

    @property
    def names(self) -> Names:
        """The classes."""

    @property
    def in_flight(self) -> int:
        """How many submitted pictures keep its device busy."""

    def submit(self, images: Sequence[Image]) -> Callable[[], Sequence[R_co]]:
        """Start on a batch; what comes back waits for it and hands out a result a picture."""


@dataclass(frozen=True)
class Step:
    """What happens to frames on their way to the sinks.

    begin: starts on a batch without waiting for it. then: what remembers (a tracker, a recognizer):
    called with each frame and its result, in order. in_flight: how many frames may be under way.
    min_score: where a detector decides, for its records.
    """

    task: str
    model: str
    names: Names
    begin: Callable[[Sequence[Frame]], Pending]
    then: Callable[[Frame, Any], Any] | None = None
    in_flight: int = 1
    min_score: float | None = None


def apply(
    model: Model[Any],
    submit: Callable[[Sequence[Image]], Pending] | None = None,
    *,
    then: Callable[[Frame, Any], Any] | None = None,
    task: str | None = None,
) -> Step:
    """A model as a step. `submit` stands for `model.submit` with its options bound
    (`partial(detector.submit, min_score=0.5)`); `task` names the records where `then` changes them."""
    start = submit or model.submit
    return Step(
        task or model.task, model.name, model.names,
        lambda frames: start([frame.image for frame in frames]), then, model.in_flight,
    )


@dataclass
class Item:
    """A frame with its result, as a sink gets it; drawn and recorded once, when first asked for."""

    frame: Frame
    result: Any
    task: str
    model: str
    names: Names
    min_score: float | None = None

    @cached_property
    def record(self) -> dict[str, Any]:
        """The JSON record of this frame."""
        return record(self.frame, self.result, task=self.task, model=self.model, names=self.names,
                      min_score=self.min_score)

    @cached_property
    def drawn(self) -> Image:
        """The result drawn on a copy of the frame."""
        return draw(self.result, self.frame.image, self.names)


Sink = Callable[[Item], None]
_CAUSES: dict[type[BaseException], str] = {          # of frames that get no result, where it is no error
    KeyboardInterrupt: "interrupted", BrokenPipeError: "the reader of an output has gone",
}


@dataclass
class Report:
    """What became of every frame of a run, and where its time went.

    read: frames that the source handed out. inferred: with a result. written: through every sink.
    dropped: frames without a result, by cause. corrupt, passed_over: as the source counted them
    (broken data; outside the range or between strides). stages_s: busy seconds of each stage
    (`infer`: waited for the engine). waited_s: what the run's own thread waited for; the largest
    names the bottleneck. latency: seconds from decoded to written, of the last 10,000 frames.
    """

    read: int = 0
    inferred: int = 0
    written: int = 0
    corrupt: int = 0
    passed_over: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    stages_s: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("read", "prepare", "infer", "write"), 0.0)
    )
    waited_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("read", "infer", "write"), 0.0))
    latency: deque[float] = field(default_factory=lambda: deque(maxlen=10_000))

    def drop(self, cause: str, count: int) -> None:
        """Count frames that get no result."""
        if count:
            self.dropped[cause] = self.dropped.get(cause, 0) + count

    @property
    def fps(self) -> float:
        """Frames inferred per second of the run."""
        return self.inferred / self.seconds if self.seconds else 0.0

    @property
    def bottleneck(self) -> str:
        """The stage that limits: `read`, `prepare`, `infer` or `write`."""
        return max({**self.waited_s, "prepare": self.stages_s["prepare"]}.items(), key=lambda kv: kv[1])[0]

    @property
    def unexplained(self) -> int:
        """Frames that were read and are neither written nor dropped for a cause: must be 0."""
        return self.read - self.written - sum(self.dropped.values())

    def to_dict(self) -> dict[str, Any]:
        """The report in plain values, for `--report`."""
        ms = np.percentile(list(self.latency) or [0.0], [50, 95, 99]) * 1000
        return {
            "decoded": self.read + self.passed_over,
            "passed_over": self.passed_over,
            "corrupt": self.corrupt,
            "inferred": self.inferred,
            "dropped": self.dropped,
            "written": self.written,
            "unexplained": self.unexplained,
            "seconds": round(self.seconds, 3),
            "fps": round(self.fps, 2),
            "latency_ms": {p: round(float(v), 1) for p, v in zip(("p50", "p95", "p99"), ms, strict=True)},
            "stages_s": {name: round(s, 3) for name, s in self.stages_s.items()},
            "bottleneck": self.bottleneck,
            "notes": self.notes,
        }


def run(
    frames: Iterable[Frame],
    step: Step,
    sinks: Sequence[Sink] = (),
    *,
    batch: int = 1,
    report: Report | None = None,
    watch: Callable[[Report, Item], None] = lambda report, item: None,
) -> Report:
    """Take every frame through `step` and hand it, in order, to every sink.

    frames: a source of `vision.read`, `latest(...)` of one, or any iterable; it is closed at the end.
    batch: how many frames go to the model at once. report: a new one to fill; it is right also when
    this raises. watch: called with each item before it is written, by the thread that called `run`
    (a progress bar; a window, which must be shown by that thread).

    Raises what the source, the model or a sink raised, after everything that came before it has been
    written; SinkError for an error of a sink, but BrokenPipeError where the reader of a pipe has gone;
    LostFrames if a frame cannot be accounted for.
    """
    report = Report() if report is None else report
    began, live = perf_counter(), isinstance(frames, Latest)
    depth = 0 if live else max(1, -(-step.in_flight // batch))    # live: the newest result, not the most
    pending: deque[tuple[list[tuple[Frame, float]], Pending]] = deque()
    writer = _Writer(sinks, report)

    def collect() -> None:
        chunk, wait = pending[0]
        asked = perf_counter()
        results = wait()
        pending.popleft()
        _add(report, "infer", perf_counter() - asked, waited=True)
        for (frame, read_at), result in zip(chunk, results, strict=True):
            report.inferred += 1
            final = step.then(frame, result) if step.then else result
            item = Item(frame, final, step.task, step.model, step.names, step.min_score)
            watch(report, item)
            writer.put(item, read_at)

    cause = ""
    try:
        with writer, closing(_reader(frames, report, live)) as incoming:
            try:
                while chunk := _next_chunk(incoming, batch, report):
                    started = perf_counter()
                    pending.append((chunk, step.begin([frame for frame, _ in chunk])))
                    _add(report, "prepare", perf_counter() - started)
                    while len(pending) > depth:
                        collect()
            except VisionError:
                while pending and writer.error is None:      # what was begun before it is not lost
                    collect()
                raise
            while pending:
                collect()
    except BaseException as error:
        cause = _CAUSES.get(type(error), type(error).__name__)
        raise
    finally:
        report.seconds = perf_counter() - began
        _take_counts(frames, report)
        if cause:
            report.drop(cause, report.unexplained)
    if report.unexplained:
        raise LostFrames(f"{report.unexplained} of {report.read} frames were decoded but not written")
    return report


def _add(report: Report, stage: str, seconds: float, *, waited: bool = False) -> None:
    report.stages_s[stage] += seconds
    if waited:
        report.waited_s[stage] += seconds


def _reader(frames: Iterable[Frame], report: Report, live: bool) -> Any:
    def stamped() -> Iterator[tuple[Frame, float]]:
        source = iter(frames)
        try:
            while True:
                asked = perf_counter()
                frame = next(source, None)
                now = perf_counter()
                report.stages_s["read"] += now - asked
                if frame is None:
                    return
                yield frame, now
        finally:
            close = getattr(frames, "close", None)
            if close is not None:
                close()

    return stamped() if live else ahead(stamped())


def _next_chunk(
    incoming: Iterator[tuple[Frame, float]], batch: int, report: Report
) -> list[tuple[Frame, float]]:
    asked = perf_counter()
    chunk = list(islice(incoming, batch))
    report.waited_s["read"] += perf_counter() - asked
    report.read += len(chunk)
    return chunk


def _take_counts(frames: Iterable[Frame], report: Report) -> None:
    if isinstance(frames, Latest):
        report.drop("late", frames.skipped)
        report.read += frames.skipped
        frames = frames.source
    counts = getattr(frames, "counts", None)
    if counts is not None:
        report.corrupt, report.passed_over = counts.corrupt, counts.passed_over
        report.read = max(report.read, counts.decoded - counts.passed_over)    # with those read ahead
    report.notes += getattr(frames, "notes", [])


class _Writer:
    """The thread that draws and writes: items go in by `put`, an error comes out of it."""

    def __init__(self, sinks: Sequence[Sink], report: Report) -> None:
        self.error: BaseException | None = None
        self._sinks, self._report = sinks, report
        self._queue: queue.Queue[tuple[Item, float] | None] = queue.Queue(maxsize=8)
        self._thread = threading.Thread(target=self._work, name="vision-writer", daemon=True)

    def put(self, item: Item, read_at: float) -> None:
        """Hand over an item; waits while eight are under way. Raises what a sink raised."""
        self._raise()
        asked = perf_counter()
        self._queue.put((item, read_at))
        self._report.waited_s["write"] += perf_counter() - asked

    def __enter__(self) -> _Writer:
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
        while (entry := self._queue.get()) is not None:
            if self.error is not None:
                continue                       # keep taking, so that nobody waits for a place
            item, read_at = entry
            started = perf_counter()
            try:
                for sink in self._sinks:
                    sink(item)
            except BaseException as error:
                self.error = error
            else:
                now = perf_counter()
                self._report.written += 1
                self._report.stages_s["write"] += now - started
                self._report.latency.append(now - read_at)
