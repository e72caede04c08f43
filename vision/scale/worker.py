"""What each worker does: a unit at a time, with the models that it loaded when it came up."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from time import perf_counter
from typing import IO, Any

from vision import __version__
from vision.errors import DataError, ModelError, SinkError, SourceError, UsageError, VisionError
from vision.io import Source, read
from vision.io.listing import is_recording, is_url
from vision.run import Run
from vision.scale.columns import write
from vision.scale.ranges import cuts, follows_on, memoryless, part_name
from vision.scale.store import PARTS, RECORDS, Store, filesystem
from vision.scale.units import Cut, Done, Failed, Outcome, Unit
from vision.sinks import JsonLines
from vision.steps.base import Pool
from vision.steps.plan import spec_of
from vision.types import Frame

_FINAL = (SourceError, DataError, UsageError, ModelError)        # another machine would say the same


@dataclass(frozen=True)
class Settings:
    """What a job is, in plain values: it goes to every worker.

    plan: specs as `to_dict` gives them. reading: arguments of `vision.read`. engine: `device`, `precision`, `backend`
    and `free_only` of a `Pool`. output: where results go. cut: seconds, over twice which a video is cut; 0: never.
    format: of the records, `jsonl` or `parquet`.
    """

    plan: tuple[Mapping[str, Any], ...]
    output: str
    reading: Mapping[str, Any] = field(default_factory=dict)
    engine: Mapping[str, Any] = field(default_factory=dict)
    cut: float = 600.0
    format: str = "jsonl"

    def same(self) -> dict[str, Any]:
        """What a job that is resumed must have in common with this one."""
        return {"version": __version__, "plan": [dict(one) for one in self.plan], "reading": dict(self.reading),
                "engine": dict(self.engine), "cut": self.cut, "format": self.format}


class Worker:
    """Does units. cores: processors that it keeps to, so that as many workers as cores do not stand in each other's
    way; 0: any. It does once its models are loaded: `auto` comes to what it comes to in a run by itself."""

    def __init__(self, settings: Settings, cores: int = 0) -> None:
        self.settings, self._cores = settings, cores
        self._held: list[IO[bytes]] = []
        self.pool: Pool | None = None

    def prepare(self, version: str) -> str:
        """Load the models. version: of whoever sends the work. Returns what is wrong, in a line; else nothing."""
        if version != __version__:
            return f"a machine has vision {__version__}, this one {version}. Install the same on all."
        try:
            self.store = Store(self.settings.output)
            self.plan = [spec_of(one) for one in self.settings.plan]
            self.pool = Pool(**self.settings.engine)
            self.pool.expect(self.plan)
            for one in self.plan:
                one.load(self.pool)
            self._held = keep_to(self._cores) if self._cores else []
        except VisionError as error:
            return f"{type(error).__name__}: {error}"
        return ""

    def process(self) -> int:
        """The process's id, on its machine."""
        return os.getpid()

    def place(self) -> str:
        """The machine, as Ray knows it."""
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def do(self, unit: Unit) -> Outcome:
        """Do a unit, and commit its records. What goes wrong is an outcome, too."""
        try:
            with tempfile.TemporaryDirectory(prefix="vision-") as folder:
                return self._do(unit, Path(folder))
        except Exception as error:                       # of anybody's code: this unit fails, and no other
            told = str(error) if isinstance(error, VisionError) else f"{type(error).__name__}: {error}"
            final = isinstance(error, _FINAL) or isinstance(error.__cause__, _FINAL)
            return Failed(told, again=not final)

    def join(self, unit: Unit, parts: list[Unit], done: list[Done]) -> Outcome:
        """Make one set of records of those of the ranges, unless one that died made it before. Done again as a whole,
        where they do not follow on."""
        outcome: Outcome
        try:
            if before := self._before(RECORDS, unit.name):
                outcome = before
            elif follows_on(done):
                with tempfile.TemporaryDirectory(prefix="vision-") as folder:
                    outcome = self._joined(unit, parts, done, Path(folder) / "records.jsonl")
            else:
                outcome = self.do(replace(unit, whole=True))
        except (VisionError, OSError) as error:
            return Failed(str(error), again=True)
        if isinstance(outcome, Done):
            with suppress(SinkError):                    # what is left over does no harm
                self.store.remove_files([f"{PARTS}/{part_name(part)}.{end}" for part in parts
                                         for end in ("json", "jsonl")])
        return outcome

    def _before(self, folder: str, name: str) -> Done | None:
        """What came of a unit that is committed; None where it is not."""
        note = self.store.note(folder, name)
        return None if note is None else Done(**{key: note[key] for key in Done.__dataclass_fields__})

    def _joined(self, unit: Unit, parts: list[Unit], done: list[Done], path: Path) -> Done:
        path.touch()
        for part in parts:
            self.store.fetch(f"{PARTS}/{part_name(part)}.jsonl", path)
        whole = Done(sum(one.frames for one in done), done[0].first, done[-1].last, 0,
                     sum(one.seconds for one in done), path.stat().st_size)
        path = self._formatted(path)
        self.store.commit(RECORDS, unit.name, path, {"source": unit.source, "ranges": len(parts), **asdict(whole)})
        return whole

    def _formatted(self, lines: Path) -> Path:
        """Records as the job wants them."""
        if self.settings.format == "jsonl":
            return lines
        path = lines.with_suffix(".parquet")
        write(lines, path, {one.key: one.task for one in self.plan})
        return path

    def _do(self, unit: Unit, folder: Path) -> Outcome:
        where, name = (RECORDS, unit.name) if unit.part is None else (PARTS, part_name(unit))
        if unit.part is not None and (before := self._before(where, name)):
            return before
        assert self.pool is not None
        began = perf_counter()
        reading = dict(self.settings.reading)
        if unit.part is not None:
            reading |= {"start": unit.start, "end": unit.end}
        source, local = opened(unit, reading, folder)
        if unit.part is None and not unit.whole and (at := self._cuts(source, local)):
            source.close()
            return Cut(at)
        records = folder / "records.jsonl"
        seen = _Indices()
        with Run(source, self.plan, [JsonLines(records)], pool=self.pool, checkpoint_every=0) as run:
            for item in run:
                seen.take(item.frame)
            report = run.report
        done = Done(report.written, seen.first, seen.last, report.corrupt, round(perf_counter() - began, 3),
                    records.stat().st_size)
        if unit.part is None:
            records = self._formatted(records)
        self.store.commit(where, name, records, {"source": unit.source, "notes": report.notes, **asdict(done)})
        return done

    def _cuts(self, source: Source, local: str) -> tuple[float, ...]:
        """Where a source is cut; nowhere unless it is a long video, read whole, that each step looks at frame by
        frame."""
        every, info, reading = self.settings.cut, source.info, self.settings.reading
        parts = any(reading.get(name) is not None for name in ("start", "end"))
        if not every or parts or reading.get("stride", 1) != 1 or info.kind != "video" or not info.duration:
            return ()
        if info.duration < 2 * every or reading.get("reader", "auto") != "auto":
            return ()
        if is_url(local) or is_recording(Path(local)):
            return ()
        assert self.pool is not None
        return cuts(local, info.duration, every) if memoryless(self.plan, info, self.pool) else ()


class _Indices:
    """The first and the last index of the frames that passed."""

    first: int | None = None
    last: int | None = None

    def take(self, frame: Frame) -> None:
        self.first = frame.index if self.first is None else self.first
        self.last = frame.index


def opened(unit: Unit, reading: Mapping[str, Any], folder: Path) -> tuple[Source, str]:
    """The source of a unit, open, and where it lies on this machine: what is in a store is copied into the folder
    first. It and its frames have the names that were given, wherever it lies. Raises SourceError."""
    local = unit.uri
    if is_url(unit.uri) and not unit.uri.startswith("http"):
        files, path = filesystem(unit.uri, SourceError)
        local = str(folder / (PurePosixPath(path).name or "source"))
        try:
            files.get_file(path, local)
        except Exception as error:                       # each store raises its own
            raise SourceError(f"{unit.source!r} cannot be fetched ({type(error).__name__}: {error}).") from error
    source = read(local, **reading)
    if unit.member is not None:
        source = source.members[unit.member]()
        source.rename(unit.source, lambda name: name.removeprefix(unit.below))
    else:
        source.rename(unit.source, lambda name: unit.source)
    return source, local


def keep_to(count: int) -> list[IO[bytes]]:
    """Keep this process to `count` processors that no other worker of this machine keeps to; where there are not so
    many left, to none. Returns what holds them: files, open as long as it lives."""
    if not hasattr(os, "sched_setaffinity") or sys.platform == "win32":
        return []
    import fcntl

    held: dict[int, IO[bytes]] = {}
    for core in sorted(os.sched_getaffinity(0)):
        path = Path(tempfile.gettempdir(), f"vision-core-{os.getuid()}-{core}")
        with suppress(OSError):
            file: IO[bytes] = path.open("ab")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                held[core] = file
            except OSError:
                file.close()
        if len(held) == count:
            os.sched_setaffinity(0, held)
            return list(held.values())
    for one in held.values():
        one.close()
    return []
