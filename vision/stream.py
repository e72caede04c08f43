"""One source of a run: its frames through the windows into the sinks, with a checkpoint now and then."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any

from vision.checkpoint import Key, identity, states
from vision.drawing import Trails
from vision.errors import DataError, LostFrames, SinkError, SourceError, StepError, UsageError, VisionError
from vision.io import Info, Latest, Source, ahead, latest
from vision.io.base import Counts
from vision.io.prefetch import QUEUED_BYTES
from vision.item import Item
from vision.report import Report
from vision.sinks.base import Sink
from vision.steps.base import Spec, Step
from vision.tally import Tally
from vision.types import Frame
from vision.windows import Windows
from vision.writer import Writer

if TYPE_CHECKING:
    from vision.run import Run

Opener = Callable[[], Any]                       # gives a source
_CAUSES: dict[type[BaseException], str] = {      # of frames that get no result, where it is no error
    KeyboardInterrupt: "interrupted", GeneratorExit: "stopped",
    BrokenPipeError: "the reader of an output has gone",
}


class Stream:
    """One source of a run, an iterator over its items."""

    def __init__(
        self, run: Run, name: str, opener: Opener, key: Key, stored: Any, sinks: Sequence[Sink], *, several: bool,
    ) -> None:
        self._run, self._open, self.key, self._stored = run, opener, key, stored
        self.sinks = sinks
        self.report = Report(name)
        self.error: VisionError | None = None            # that ended it, where several are read at once
        self.info = Info(name, "frames")
        self.several = several                           # other streams of the run go on where it fails
        self.refused = stored is not None and "steps" in stored          # to go on where it was killed, until it does
        self.complete = False                            # it was read to its end, and its outputs are whole
        self._keeps = True                               # what a checkpoint needs, as far as is known
        self._began = perf_counter()
        self._identity: dict[str, Any] = {}              # of the source, for checkpoints
        self._tally = Tally()
        self._frames: Any = None
        self._before = Counts()                          # of a source that is read further here
        self.source: Any = None                          # once it is open
        self._stopped = False
        self._trails = Trails(run.style.trails)
        self.told: list[str] = []                        # what was found, in words, at the end
        self._earlier: set[Path] = set()                 # outputs of the sources before it
        self.begin(())

    def __iter__(self) -> Generator[Item]:
        """The items. Raises VisionError: of the reader, a step or a sink, after what came before it; LostFrames if
        a frame cannot be accounted for."""
        run, report, self._began = self._run, self.report, perf_counter()
        cause, complete, steps, frames, begun = "", False, list[Step](), None, False
        try:
            frames = self._frames = self._source()
            steps = self._steps()
            self._restore(steps)
            with run.lock:
                run.begin(self)
            begun = True
            with Writer(self.sinks, report, run.lock) as writer:
                yield from self._through(frames, steps, writer)
            complete = True
        except BaseException as error:
            cause = _CAUSES.get(type(error), type(error).__name__)
            lost = report.live and isinstance(error, SourceError)        # how a camera ends
            complete = type(error) in _CAUSES or lost
            raise
        finally:
            report.seconds += perf_counter() - self._began
            if frames is not None:
                _close(frames)
                self._count(frames, cause)
            if begun:
                try:
                    self._finish(steps, complete)
                except VisionError as error:
                    if cause in ("", _CAUSES[GeneratorExit]):
                        raise
                    report.notes.append(str(error))      # what ended it is what is told
        if report.unexplained:
            raise LostFrames(f"{report.unexplained} of {report.read} frames were decoded but not written")
        run.finished(self)
        self.complete = True
        for sink in self.sinks:
            sink.forget()

    def _finish(self, steps: Sequence[Step], complete: bool) -> None:
        """Tell every step and every sink that it is over. The first error is raised after all were told: what one
        cannot do takes nothing from the others."""
        report, failed = self.report, list[VisionError]()
        ends: dict[str, Any] = {}
        for step in steps:
            with _kept(failed, f"{step.key!r} failed at the end"):
                ends[step.key] = step.end()
        self.told = self._tally.lines({step.key: step.if_none for step in steps})
        for step in steps:
            with _kept(failed, f"{step.key!r} failed at the end"):
                report.notes += [note for note in step.notes if note not in report.notes]
                self.told += step.summary()
        with self._run.lock:
            for sink in self.sinks:
                with _kept(failed, "an output failed at its end", SinkError):
                    sink.end(ends, complete)
        for sink in self.sinks:
            report.notes += sink.notes
        if failed:
            raise failed[0]

    @property
    def _pictures(self) -> Sequence[Path]:
        return self.source.pictures if isinstance(self.source, Source) else ()

    def begin(self, targets: Iterable[Path]) -> None:
        """Take what was written by now, but for `targets`, as outputs of the sources before it."""
        whole = {path for sink in self.sinks for path in sink.paths}
        self._earlier = {path for sink in self.sinks for path in sink.written} - whole - set(targets)

    @property
    def outputs(self) -> list[Path]:
        """The files and folders that exist by now and have something of it, each once."""
        written = (path for sink in self.sinks for path in sink.written)
        return [path for path in dict.fromkeys(written) if path not in self._earlier]

    @property
    def lost(self) -> bool:
        """Whether it ended, or could not begin, because its live source was not there."""
        return isinstance(self.error, SourceError) and (self.report.live or self._frames is None)

    def interrupt(self) -> None:
        """End it, from another thread, with whole outputs."""
        self._stopped = True
        interrupt = getattr(self._frames, "interrupt", None)
        if interrupt is not None:
            interrupt()

    @property
    def _over(self) -> bool:
        """Whether nobody wants any more of it."""
        return self._stopped or any(sink.done for sink in self.sinks)

    def _source(self) -> Any:
        """The source, open, with times where the plan needs them."""
        source = self.source = self._open()
        self.info = getattr(source, "info", self.info)
        self.report.source = self.report.source or self.info.uri
        if getattr(source, "closed", False):
            raise UsageError(f"{self.report.source!r} was read to its end before, or closed. Open it again: read(...).")
        self._before = replace(getattr(source, "counts", Counts()))
        self.report.live = self.info.live or isinstance(source, Latest)
        if self._run.max_latency is not None and not self.report.live:
            raise UsageError(f"{self.report.source!r} is not live, and waits for nobody: a latency is kept to for "
                             "cameras and streams, and for a file that is read in real time (--realtime).")
        still = self.info.kind in ("picture", "pictures")
        if still and any(one.timed for one in self._run.plan) and isinstance(source, Source):
            source.at_rate(source.rate or _rate_of(self.info.uri, self._run.plan))
        if self.info.live and not isinstance(source, Latest):
            return latest(source)
        return source if isinstance(source, Latest) else ahead(source)

    def _steps(self) -> list[Step]:
        steps: dict[str, Step] = {}
        for one in self._run.plan:
            step = one.open(self.info, self._run.model_of(one))
            step.join(steps)
            steps[one.key] = step
        return list(steps.values())

    def _restore(self, steps: Sequence[Step]) -> None:
        """Go on where the run was killed. Where that cannot be, nothing is touched."""
        stored = self._stored
        if stored is None:
            return
        self.refused = True
        try:
            midway = "steps" in stored                   # else between two sources
            if midway:
                self._identity = identity(self.info, self._pictures)
                if self._identity != stored["source"]:
                    raise UsageError(f"{self.info.uri!r} is not what it was when the run was killed (its size or "
                                     "bytes of it differ). Run again without --resume.")
                for step in steps:
                    if step.about() != stored["engines"][step.key]:
                        raise UsageError(f"{step.key!r} ran as {stored['engines'][step.key]}, now as {step.about()}. "
                                         "Give the same --backend, --precision and --device.")
            pairs = list(zip(self.sinks, stored["sinks"], strict=True))
            for sink, state in pairs:
                if lacking := sink.lacks(state):
                    raise SinkError(f"{lacking}. Run again without --resume.")
            for sink, state in pairs:
                sink.restore(state)
            if not midway:
                self._run.stored = self._stored = None
                self.refused = False
                return
            for step in steps:
                step.restore(stored["steps"][step.key])
            for name in ("read", "inferred", "written", "seconds"):
                setattr(self.report, name, stored["report"][name])
            self._tally.restore(stored["tally"])
            self._trails.restore(stored["trails"])
            self._run.stored = None
            self.refused = False
        except VisionError:
            raise
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
            raise DataError(f"the checkpoint is not of such a run ({type(error).__name__}: {error}). Run again without "
                            "--resume.") from error

    def _through(self, frames: Any, steps: Sequence[Step], writer: Writer) -> Iterator[Item]:
        """The frames through the windows: a live source's one by one, so that its newest is never in line."""
        run, report = self._run, self.report
        windows = Windows([(step, one.every) for step, one in zip(steps, run.plan, strict=True)], report)
        after = None if self._stored is None else int(self._stored["after"])
        windows.count = 0 if self._stored is None else int(self._stored["count"])
        last = -1 if after is None else after

        def out(done: Iterable[tuple[Frame, dict[str, Any]]]) -> Iterator[Item]:
            for frame, results in done:
                item = Item(frame, results, steps, run.style, self._trails.add(frame.time, results))
                report.inferred += 1
                self._tally.add(item)
                writer.put(item)
                yield item

        ahead = any(step.ahead for step in steps)        # what looks ahead is never cut short
        incoming = self._incoming(frames, after)
        try:
            for frame in incoming:
                yield from out(windows.push(frame))
                last = frame.index
                if not ahead and (report.live or frame.image.nbytes > QUEUED_BYTES):     # so large a one goes by itself
                    yield from out(windows.drain())
                if self._over:
                    break
                due = self._keeps and run.checkpoint is not None and run.checkpoint.due
                if due and not report.live and not ahead:
                    yield from out(windows.drain())
                    self._save(steps, writer, last, windows.count)
        except VisionError:
            with suppress(VisionError):                  # what was begun before it is not lost
                yield from out(windows.drain())
            raise
        yield from out(windows.drain())
        if self.info.whole and self.info.kind not in ("camera", "stream") and not self._over:
            for step in steps:
                step.whole(last + 1)

    def _incoming(self, frames: Any, after: int | None) -> Iterator[Frame]:
        """The frames, counted; those that are too old are dropped, those before the checkpoint passed by."""
        report, oldest = self.report, self._run.max_latency
        source = iter(frames)
        while True:
            asked = perf_counter()
            frame = next(source, None)
            report.waited("read", perf_counter() - asked)
            if frame is None:
                return
            if not isinstance(frame, Frame):
                raise UsageError(f"a source gives frames, Frame(image, index, time, name); got {type(frame).__name__}.")
            if after is not None and frame.index <= after:
                continue
            report.read += 1
            if oldest is not None and monotonic() - frame.captured > oldest:
                report.drop(f"older than {oldest * 1000:g} ms", 1)
                continue
            yield frame

    def _save(self, steps: Sequence[Step], writer: Writer, last: int, count: int) -> None:
        """A checkpoint after the frame `last`: everything before it is written. None, now and later, where a step or a
        sink cannot be put down."""
        report = self.report
        writer.wait()
        self._identity = self._identity or identity(self.info, self._pictures)
        values = states(steps, self.sinks)
        self._keeps = values is not None
        if values is None:
            return
        counts: dict[str, float] = {name: getattr(report, name) for name in ("read", "inferred", "written")}
        counts["seconds"] = report.seconds + perf_counter() - self._began
        self._run.save({
            "at": self.key, "source": self._identity, "after": last, "count": count,
            "report": counts, "tally": self._tally.state(), "trails": self._trails.state(), **values,
        }, report)

    def _count(self, frames: Any, cause: str) -> None:
        """Take over what the source counted."""
        report = self.report
        skipped = getattr(frames, "skipped", 0)
        report.drop("late", skipped)
        report.read += skipped
        counts = getattr(frames, "counts", None)
        if counts is not None:
            before = self._before                        # the run: somebody may have had frames already
            report.corrupt = counts.corrupt - before.corrupt
            report.passed_over = counts.passed_over - before.passed_over
            decoded = counts.decoded - before.decoded
            report.read = max(report.read, decoded - report.passed_over)           # with those read ahead
        report.notes += getattr(frames, "notes", [])
        if cause or self._over:
            report.drop(cause or "stopped", report.unexplained)


@contextmanager
def _kept(failed: list[VisionError], what: str, kind: type[VisionError] = StepError) -> Iterator[None]:
    """Keep what is raised, as an error of ours."""
    try:
        yield
    except VisionError as error:
        failed.append(error)
    except Exception as error:
        made = kind(f"{what}: {type(error).__name__}: {error}")
        made.__cause__ = error
        failed.append(made)


def _close(frames: Any) -> None:
    close = getattr(frames, "close", None)
    if close is not None:
        close()


def _rate_of(uri: str, plan: Sequence[Spec]) -> float:
    """Frames a second of a folder of pictures, by the `seqinfo.ini` in it or above it. Raises UsageError."""
    from vision.tracking.mot import sequence_rate

    rate = sequence_rate(Path(uri)) or next((one.rate for one in plan if one.rate), None)
    if rate is None:
        raise UsageError("pictures have no times, and tracking needs them. Give --rate, frames a second.")
    return rate
