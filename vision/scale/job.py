"""A job: a plan over many sources, into one folder, each source exactly once."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from time import monotonic
from typing import Any

from vision.errors import SinkError, UsageError
from vision.scale.cluster import HERE, cluster
from vision.scale.columns import arrow
from vision.scale.crew import Crew, Task
from vision.scale.ranges import ranges
from vision.scale.store import PARTS, RECORDS, Store
from vision.scale.units import Cut, Done, Failed, Outcome, Unit, anywhere, units_of
from vision.scale.worker import Settings
from vision.steps.base import Spec
from vision.steps.plan import checked_plan

TRIES = 3                                        # for a unit, before it is given up
FORMATS = ("jsonl", "parquet")
_AT_ONCE = 16                                    # notes that are read, from a store that may be far away
_JOB, _MANIFEST = "job.json", "manifest.jsonl"


@dataclass
class Progress:
    """How far a job is.

    total: sources. done: those whose records are committed, with `kept`: those that an earlier run had committed.
    failed: what became of the others, by source. frames: with results, of this run. workers: that are up. died: that
    were lost. seconds: since the work began.
    """

    total: int
    kept: int = 0
    done: int = 0
    frames: int = 0
    workers: int = 0
    died: int = 0
    seconds: float = 0.0
    failed: dict[str, str] = field(default_factory=dict)


Told = Callable[[Progress, str], None]


@dataclass
class _Parts:
    """A source that is done in ranges. done: what came of each, None until it is there."""

    units: list[Unit]
    done: list[Done | None]


class Job:
    """A plan over many sources on Ray, with records in a file a source, and a manifest.

    plan: specs, as `vision.Run` takes them. sources: files, folders, globs, lists, addresses of fsspec's.
    output: a folder that all machines see, or fsspec's address of one.
    reading: arguments of `vision.read`. engine: `device`, `precision`, `backend`, `free_only`.
    address: of Ray; `local`: of this machine alone. workers: how many; None: one a processor or GPU.
    cut: seconds; a video of twice that is done in ranges, where no step remembers. 0: never.
    resume: go on with what is in the folder. format: of the records, `jsonl` or `parquet`.

    Raises UsageError for a plan, sources or an output that are not possible, before Ray is started.
    """

    def __init__(
        self, plan: Sequence[Spec], sources: Sequence[str], output: str, *, reading: Mapping[str, Any] | None = None,
        engine: Mapping[str, Any] | None = None, address: str = HERE, workers: int | None = None, cut: float = 600.0,
        resume: bool = False, format: str = "jsonl",
    ) -> None:
        if format not in FORMATS:
            raise UsageError(f"records are {' or '.join(FORMATS)}; got {format!r}.")
        if format == "parquet":
            arrow()
        specs = [one.anywhere().to_dict() for one in checked_plan(list(plan))]
        output = anywhere(output)
        self.settings = Settings(tuple(specs), output, dict(reading or {}), dict(engine or {}), cut, format)
        self.address, self.workers = address, workers
        self.units = units_of(sources)
        self.store = Store(output)
        if not self.store.shared:
            raise UsageError(f"{output!r} is in this process's memory, which no worker sees. Give a folder.")
        kept = self._begun(resume)
        self.progress = Progress(len(self.units), kept=len(kept), done=len(kept))
        self._todo = deque(one for one in self.units if one.name not in kept)
        self._tries: dict[Unit, int] = {}                # of those that have failed once
        self._places: dict[Unit, set[str]] = {}          # machines that are working on a unit, or failed at it
        self._parts: dict[str, _Parts] = {}              # of sources that are done in ranges, by name

    def run(self, told: Told = lambda progress, line: None) -> Progress:
        """Do all that is left. told: called after each unit, with a line on what went wrong, or none. Returns what came
        of it. Raises UsageError for a cluster that does not answer, EngineError where no worker comes up."""
        began = monotonic()
        progress = self.progress
        if self._todo:
            with cluster(self.address) as ray:
                self.store.write(_JOB, self.settings.same())
                crew = Crew(ray, self.settings, self.workers)
                for unit, outcome, what in crew.run(self._next, lambda: bool(self._todo)):
                    line = self._took(unit, outcome, what)
                    progress.workers, progress.died, progress.seconds = len(crew), crew.died, monotonic() - began
                    told(progress, line)
        progress.seconds = monotonic() - began
        self._finish()
        return progress

    def _begun(self, resume: bool) -> set[str]:
        """The names of the sources that are done. Raises UsageError for a folder that is another run's."""
        before = self.store.read(_JOB)
        where = self.settings.output
        if before is not None and not resume:
            raise UsageError(f"{where!r} holds the results of a run. Go on with --resume, or name another folder.")
        if before is None and self.store.committed():
            raise UsageError(f"{where!r} holds records of something else. Name another folder.")
        same = self.settings.same()
        if before is not None:
            other = sorted(key for key in {*before, *same} if before.get(key) != same.get(key))
            if other:
                raise UsageError(f"{where!r} is of another run: it differs in {', '.join(other)}. Name another folder.")
            there = sorted(self.store.committed() & {unit.name for unit in self.units})
            with ThreadPoolExecutor(_AT_ONCE) as threads:
                notes = threads.map(self.store.read, (f"{RECORDS}/{name}.json" for name in there))
            return {name for name, note in zip(there, notes, strict=True) if note is not None}       # which is whole
        return set()

    def _next(self, place: str, places: set[str]) -> tuple[Unit, Task] | None:
        """The next unit for a machine, and what a worker does with it: none that failed there, unless it failed on all
        of them."""
        unit = next((one for one in self._todo if place not in (had := self._places.get(one, set())) or had >= places),
                    None)
        if unit is None:
            return None
        self._todo.remove(unit)
        self._places.setdefault(unit, set()).add(place)
        parts = self._parts.get(unit.name)
        if parts is not None and unit.part is None:
            return unit, ("join", (unit, parts.units, parts.done))
        return unit, ("do", (unit,))

    def _took(self, unit: Unit, outcome: Outcome | None, what: str) -> str:
        """Take what came of a unit. Returns a line where something went wrong."""
        if not isinstance(outcome, Failed) and not what:
            self._places.pop(unit, None)
        match outcome:
            case Cut(at):
                units = ranges(unit, at)
                self._parts[unit.name] = _Parts(units, [None] * len(units))
                self._todo.extendleft(reversed(units))
                return ""
            case Done():
                self._did(unit, outcome)
                return ""
            case Failed(why, again):
                return self._again(unit, why) if again else self._gave_up(unit, why)
        if what:
            return self._again(unit, what)
        self._todo.appendleft(unit)
        return ""

    def _did(self, unit: Unit, done: Done) -> None:
        parts = self._parts.get(unit.name)
        if parts is None or unit.part is None:
            self.progress.done += 1
            self.progress.frames += 0 if parts else done.frames
            self._parts.pop(unit.name, None)
            self._tries.pop(unit, None)
            return
        parts.done[unit.part] = done
        self.progress.frames += done.frames
        if None not in parts.done:
            self._todo.appendleft(replace(unit, start=None, end=None, part=None))

    def _again(self, unit: Unit, why: str) -> str:
        """Let a unit be tried again, by whoever is free, unless it was often enough."""
        tries = self._tries[unit] = self._tries.get(unit, 0) + 1
        if tries >= TRIES:
            return self._gave_up(unit, f"{why}; tried {TRIES} times")
        self._todo.append(unit)
        return f"{unit}: {why}. Tried again ({tries + 1} of {TRIES})."

    def _gave_up(self, unit: Unit, why: str) -> str:
        self.progress.failed.setdefault(unit.source, why)
        self._tries.pop(unit, None)
        self._places.pop(unit, None)
        parts = self._parts.get(unit.name)
        if parts is not None:                            # its other ranges are of no use
            self._todo = deque(one for one in self._todo if one.name != unit.name)
        return f"{unit}: {why}"

    def _finish(self) -> None:
        """Write the manifest: a line a source, in their order, with what became of it."""
        failed, lines = self.progress.failed, []
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            notes = threads.map(self.store.read, (f"{RECORDS}/{unit.name}.json" for unit in self.units))
        for unit, note in zip(self.units, notes, strict=True):
            if note is None:
                failed.setdefault(unit.source, "not done")
            known = note or {"source": unit.source, "failed": failed[unit.source]}
            lines.append(json.dumps(known, ensure_ascii=False) + "\n")
        self.store.write_bytes(_MANIFEST, "".join(lines).encode(errors="backslashreplace"))
        with suppress(SinkError):                        # what is left over does no harm
            self.store.sweep(RECORDS)
            if failed:
                self.store.sweep(PARTS)
            else:
                self.store.remove(PARTS)

    def summary(self) -> dict[str, Any]:
        """What came of it, in plain values."""
        return asdict(self.progress)
