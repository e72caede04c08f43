"""Frames through the steps of a plan into sinks: overlapped, in order, and accounted for.

Three threads share a run: one reads ahead, the caller's goes from step to step, one draws and writes. The
engines keep their devices busy by themselves. Every queue between them is bounded, so that memory does not
grow with the length of the video.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import RLock
from typing import Any, Self
from weakref import WeakSet

from vision.at_once import AtOnce
from vision.awaited import awaited
from vision.checkpoint import EVERY_S, Checkpoint, Standing, written_down
from vision.drawing import Style
from vision.errors import SourceError, UsageError, VisionError
from vision.io import Inputs, local_files, read
from vision.io.base import shown
from vision.io.listing import is_camera, is_url, streams_in
from vision.io.source import Member
from vision.item import Item
from vision.report import Report
from vision.sinks.base import Sink, SinkSpec
from vision.sources import Sources, openers_of
from vision.spec import nearest
from vision.steps.base import Pool, Spec
from vision.steps.plan import checked_plan
from vision.stream import Opener, Stream

__all__ = ["Item", "Report", "Run", "Stream"]


class Run:
    """A plan over one or more sources, into sinks: an iterator over items, and a context manager.

    source: what `read` gives, a name for `read`, any frames in order, a function that gives one of these, or a
        list of sources.
    plan: specs, in the order in which each step gets the results of those before it.
    sinks: where results go: specs such as `JsonLines("out.jsonl")`, opened and closed here, or open sinks of
        your own.
    device, precision, backend: where models run, as `vision.engine.load` has them.
    pool: models that are loaded already; whoever made the pool closes it.
    style: how results are drawn: what labels say, how long a track's trail is.
    max_latency: seconds, over 0; a frame of a live source that is older when its turn comes is dropped.
    free_only: refuse weights that may be used for research only.
    resume: continue where a run with these outputs was killed. Without a checkpoint it begins anew.
    checkpoint_every: seconds between checkpoints; 10 where every output can be resumed. 0: none.

    A source that is a list of videos is one stream a video, each with new steps. Raises UsageError for a plan that is
    not possible, SinkError for outputs that cannot be written, before anything is read or loaded.
    """

    def __init__(
        self,
        source: Any,
        plan: Sequence[Spec] | Spec,
        sinks: Sequence[SinkSpec | Sink] = (),
        *,
        device: str = "auto",
        precision: str = "auto",
        backend: str = "auto",
        pool: Pool | None = None,
        style: Style | None = None,
        max_latency: float | None = None,
        free_only: bool = False,
        resume: bool = False,
        checkpoint_every: float | None = None,
    ) -> None:
        if max_latency is not None and not max_latency > 0:
            raise UsageError(f"max_latency is a time over 0 seconds: no frame is younger than {max_latency:g}.")
        wanted = [plan] if isinstance(plan, Spec) else list(plan)
        for one in (sink for sink in sinks if isinstance(sink, SinkSpec)):
            one.check()
            wanted = [one.asks(step) for step in wanted]
        self.plan = checked_plan(wanted)
        self.max_latency, self.resume, self.style = max_latency, resume, style or Style()
        self.reports: list[Report] = []
        self.lock = RLock()                      # is held while sinks are called that several streams share
        self._names, self._openers, self._reading = openers_of(source)
        self._closing = ExitStack()
        self.pool = pool or self._closing.enter_context(Pool(device, precision, backend, free_only))
        self.pool.expect(self.plan)
        self._models: dict[str, Any] = {}
        self.sinks = [one.open(self.plan) if isinstance(one, SinkSpec) else one for one in sinks]
        for sink in self.sinks:
            self._closing.callback(sink.close)
        self.checkpoint = self._checkpoint(sinks, checkpoint_every)
        self._saved = self.checkpoint.load() if self.checkpoint and resume else None
        self.stored = self._saved                        # until a stream goes on there
        self.standing = Standing() if self.stored is None else Standing.of(self.stored)
        self._listed = any(map(_is_several, self._names))
        self._sources = Sources(self._names, self._openers, self.standing)
        inputs = [*self._names, *(file for one in self.plan for file in one.reads)]
        self._inputs = Inputs(inputs, self.standing.wrote)
        _check_sinks(self.sinks, sinks, self.plan, self._inputs, self._names, self.standing)
        if self.stored is not None:
            self.pool.choose(self.stored.get("chosen", {}))
        self._items: Generator[Item] | None = None
        self._streams = WeakSet[Stream]()                # that are under way
        self._interrupted = self._closed = False

    def streams(self) -> Iterator[Stream]:
        """The streams of all sources, one after the other: each an iterator over its items that raises what ended
        it. Use it in place of the run itself where one that fails must not end the others."""
        whole = True
        for key, uri, member in self._sources.left():
            several = isinstance(member, Member) or len(self._openers) > 1
            stream = Stream(self, shown(uri), member, key, self.stored, self.sinks, several=several)
            self._streams.add(stream)
            self.reports.append(stream.report)
            yield stream
            if stream.refused:                           # neither the checkpoint nor an output is touched
                return
            whole = whole and stream.complete
            if not stream.complete and stream.report.written and key not in self.standing.failed:
                self.standing.failed.append(key)
        if self.checkpoint is not None and whole and not any(r.dropped for r in self.reports):
            self.checkpoint.remove()

    def at_once(self) -> AtOnce | None:
        """The streams of several sources together, where one of them is live and would keep the others waiting for
        ever, or all are on the network; None where the sources are read one after the other (`streams`)."""
        if not any(map(_may_be_live, self._names, self._reading)):
            return None
        sources: list[tuple[str, Opener]] = []
        for number, (name, opener) in enumerate(zip(self._names, self._openers, strict=True)):
            if streams_in(name) > 1:
                sources += [one[1:] for one in self._sources.members(number, self._sources.opened(number))]
            else:
                sources.append((name, opener))
        live = any(is_camera(name) or is_url(name) for name, _ in sources)
        if len(sources) < 2 or not (live or any(one.get("realtime") for one in self._reading)):
            return None
        if self.resume:
            raise UsageError("sources that are read at once cannot be resumed. Run again without --resume.")
        self.checkpoint = None
        for one in self.plan:                            # here, and not in each thread
            self.model_of(one)
        return AtOnce(sources, self._apart, [sink for sink in self.sinks if sink.direct])

    def _apart(self, name: str, opener: Opener) -> Stream:
        """A stream of one of several sources that are read at once."""
        with self.lock:
            sinks = [sink.apart() for sink in self.sinks if not sink.direct]
            stream = Stream(self, shown(name), opener, (len(self.reports), name, ""), None, sinks, several=True)
            self.reports.append(stream.report)
            self._streams.add(stream)
        return stream

    @property
    def report(self) -> Report:
        """The report of the current stream, or of the last one."""
        return self.reports[-1] if self.reports else Report()

    def finish(self) -> Report:
        """Do everything that is left. Returns the report of the last stream. Raises the error that ended it."""
        for _ in self:
            pass
        return self.report

    def __iter__(self) -> Iterator[Item]:
        """Items of all streams. A stream that fails does not end the others: its error is raised at the end. Raises
        UsageError for a run that is closed."""
        if self._closed:
            raise UsageError("this run is closed: make another one.")
        self._items = self._items or self._all()
        return self._items

    def __aiter__(self) -> AsyncGenerator[Item]:
        """The same for `async for`: the run goes on in a thread of its own, and the event loop stays free. Leaving
        the loop, or being cancelled in it, ends the run with whole outputs."""
        return awaited(iter(self), self.interrupt)

    def interrupt(self) -> None:
        """End the run, from another thread, with whole outputs: the iteration stops."""
        self._interrupted = True
        for stream in list(self._streams):
            stream.interrupt()

    def _all(self) -> Generator[Item]:
        failed: VisionError | None = None
        at_once = self.at_once()
        if at_once is not None:
            for stream, item in at_once:
                if item is not None:
                    yield item
                failed = failed or stream.error
            if failed is not None:
                raise failed
            return
        for stream in self.streams():
            try:
                yield from stream
            except VisionError as error:
                if not stream.several:
                    raise
                failed = failed or error
            if self._interrupted or any(sink.done for sink in self.sinks):
                break
        if failed is not None:
            raise failed

    def close(self) -> None:
        """End what is under way, close the sinks, and the models that were loaded here. It cannot be run again."""
        self._closed = True
        if self._items is not None:
            self._items.close()
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Run({', '.join(map(shown, self._names)) or 'frames'}: {', '.join(one.key for one in self.plan)})"

    def _checkpoint(self, sinks: Sequence[Any], every: float | None) -> Checkpoint | None:
        """The checkpoint beside the first output, where the run can be resumed."""
        why = ("cameras, addresses, standard input and output and frames in memory are gone afterwards. Write to "
               "files, from files.")
        able = all(map(_on_disk, self._names))
        if not able and (self.resume or every):
            for name in self._names:
                if name and not (is_url(name) or is_camera(name) or name == "-" or _on_disk(name)):
                    read(name).close()                   # which says that it is not there
        files: list[Path] = []
        plan: dict[str, Any] = {}
        stopped = next((one.not_resumed for one in sinks if isinstance(one, SinkSpec) and one.not_resumed), "")
        try:
            plan = {**written_down(self.plan, sinks), "sources": self._names, "reading": self._reading}
            files = [path for sink in sinks for path in sink.files]
        except UsageError as error:
            able, why = False, str(error)
        able, why = able and not stopped, stopped or why
        able &= all(path.is_file() or path.is_dir() or not path.exists() for path in files)      # no pipe, no device
        if able and files and "-" not in map(str, files) and every != 0:
            first = files[0]
            name = f"{first.name or 'run'}.checkpoint"
            return Checkpoint(first.with_name(name) if first.name else first / name, every or EVERY_S, plan,
                              asked=self.resume or bool(every))
        if self.resume or every:
            raise UsageError(f"this run cannot be resumed: {why}")
        return None

    def model_of(self, one: Spec) -> Any:
        """What a spec's steps share, loaded once."""
        if one.key not in self._models:
            self._models[one.key] = one.load(self.pool)
        return self._models[one.key]

    def begin(self, stream: Stream) -> None:
        """Tell sinks that a source begins. Raises SinkError where one would overwrite an input."""
        targets = [path for sink in stream.sinks for path in sink.targets(stream.info) if str(path) != "-"]
        for path in targets:
            self._inputs.refuse(path)
        stream.begin(targets)
        for sink in stream.sinks:
            sink.address = getattr(stream.source, "address", "")
            sink.begin(stream.info)
        new = self.standing.writes(targets)
        if self.checkpoint is not None and self._saved is None:
            self.checkpoint.remove()                     # of an older run, whose outputs end here
        elif self._listed and new and self._saved is not None:           # so that they are no sources after a kill
            self._save({**self._saved, "outputs": self.standing.state()["outputs"]}, stream.report)

    def save(self, values: Mapping[str, Any], report: Report) -> None:
        """Write a checkpoint, where there is one: how the sinks stand, and the stream that is under way."""
        self._save({**values, **self.standing.state(), "chosen": self.pool.chosen}, report)

    def _save(self, values: Mapping[str, Any], report: Report) -> None:
        if self.checkpoint is not None:
            self._saved = values
            report.notes += filter(None, [self.checkpoint.save(values)])

    def finished(self, stream: Stream) -> None:
        """A stream was read to its end, and its outputs are whole. Raises SinkError."""
        self.standing.finish(stream.key)
        left = getattr(stream.source, "left", None)
        if left is not None:
            self.standing.left[str(stream.key[0])] = left
        if self.checkpoint is not None:
            sinks = [sink.state() for sink in self.sinks]
            if None not in sinks:
                self.save({"sinks": sinks}, stream.report)


def _may_be_live(name: str, reading: Mapping[str, Any]) -> bool:
    """Whether a source is live by its name or by how it is read, or a list that may hold such a one."""
    return is_camera(name) or is_url(name) or Path(name).suffix.lower() == ".txt" or bool(reading.get("realtime"))


def _is_several(name: str) -> bool:
    """Whether a source may have files that it is not named by: a folder, a glob or a list."""
    return not Path(name).is_file() or Path(name).suffix.lower() == ".txt"


def _on_disk(name: str) -> bool:
    """Whether a source can be read again from its beginning."""
    try:
        return bool(name and local_files(name))
    except SourceError:
        return False


def _check_sinks(
    sinks: Sequence[Sink], specs: Sequence[Any], plan: Sequence[Spec], inputs: Inputs, names: Sequence[str],
    standing: Standing,
) -> None:
    """Raise UsageError for two sinks on one path, for a sink whose needs no step gives and for one of one video where
    there are several sources, SinkError for one that would overwrite an input."""
    keys = {one.key for one in plan}
    seen: set[str] = set()
    for sink, one in zip(sinks, specs, strict=True):
        lacking = sorted(sink.needs - keys)
        if lacking:
            raise UsageError(f"{type(one).__name__} needs the results of {lacking[0]!r}. {nearest(lacking[0], keys)}")
        if sink.one_source and (sources := len(names) if len(names) != 1 else
                                streams_in(names[0], standing.wrote)) > 1:
            files = ", ".join(map(str, sink.paths))
            raise UsageError(f"{files!r} is of one video; got {sources} sources. Several sources need a folder.")
        for path in sink.paths:
            if str(path) != "-":
                inputs.refuse(path)
        for path in one.files if isinstance(one, SinkSpec) else sink.paths:
            if path.exists() and not (path.is_file() or path.is_dir()):          # /dev/null
                continue
            real = "-" if str(path) == "-" else os.path.realpath(path)
            if real == "-" and isinstance(one, SinkSpec) and not one.streams:
                raise UsageError("only records and events go to standard output (-). Name a file or a folder.")
            if real in seen:
                raise UsageError(f"{str(path)!r} is given for two outputs. Give each its own.")
            seen.add(real)
