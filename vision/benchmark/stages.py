"""A plan taken apart: each step by itself, on frames in memory and with the results of those before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from vision.benchmark.bare import Recorder, recorded
from vision.errors import SourceError
from vision.io import read
from vision.report import Report
from vision.run import Run
from vision.steps.base import Pending, Pool, Ready, Spec, Step
from vision.types import Frame, Result
from vision.windows import Windows

MOST_BYTES = 2**30                             # of frames in memory


class _Known(Step):
    """A step whose results are known already."""

    def __init__(self, step: Step, results: Mapping[int, Result]) -> None:
        super().__init__(step.key)
        self._results = results

    def begin(self, frame: Frame, sofar: Mapping[str, Result]) -> Pending:
        """The frame's result."""
        return Ready(self._results[frame.index])


@dataclass
class Taken:
    """What a run found on the first frames of a source, for its steps to be measured one by one.

    frames: in memory. results: of each step, by its key and the frame's index. steps: that gave them. info: the
    source's. rate: that still pictures were given. engines: what each step asked of its engines.
    """

    uri: str
    plan: list[Spec]
    run: Run
    frames: list[Frame] = field(default_factory=list)
    results: dict[str, dict[int, Result]] = field(default_factory=dict)
    steps: dict[str, Step] = field(default_factory=dict)
    info: Any = None
    rate: float | None = None
    engines: dict[str, list[Recorder]] = field(default_factory=dict)

    def alone(self, spec: Spec) -> int:
        """Do the frames with one step, as many under way as it takes. Returns the frames that it looked at."""
        step, windows = self._windows(spec)
        for frame in self.frames:
            for _ in windows.push(frame):
                pass
        for _ in windows.drain():
            pass
        step.end()
        return len(self.results[spec.key])

    def one_by_one(self, spec: Spec) -> list[float]:
        """Seconds that each frame takes in one step while no other one is under way."""
        step, windows = self._windows(spec)
        times = []
        for frame in self.frames:
            began = perf_counter()
            for _ in (*windows.push(frame), *(() if step.ahead else windows.drain())):
                pass
            if frame.index in self.results[spec.key]:
                times.append(perf_counter() - began)
        for _ in windows.drain():
            pass
        step.end()
        return times

    def _windows(self, spec: Spec) -> tuple[Step, Windows]:
        step = spec.open(self.info, self.run.model_of(spec))
        step.join(self.steps)
        every = {one.key: one.every for one in self.plan}
        known = [(_Known(self.steps[key], self.results[key]), every[key])
                 for key in sorted(step.needs | step.uses) if key in self.results]
        return step, Windows([*known, (step, spec.every)], Report())


def take(uri: str, plan: Sequence[Spec], pool: Pool, most: int) -> Taken:
    """Run a plan on at most `most` frames of a source, a gigabyte in memory, and keep everything. Raises SourceError
    for a live source and one without frames."""
    with read(uri) as source:
        if source.info.live or source.info.kind == "list":
            raise SourceError(f"{uri!r} is {'live' if source.info.live else 'a list'}: a benchmark reads one file or "
                              "folder again and again.")
    run = Run(read(uri, max_frames=most), list(plan), pool=pool)
    taken = Taken(uri, run.plan, run, results={spec.key: {} for spec in run.plan})
    room = MOST_BYTES
    stream = next(run.streams())
    with closing(iter(stream)) as items:
        for item in items:
            room -= item.frame.image.nbytes
            if room < 0 and taken.frames:
                break
            taken.frames.append(item.frame)
            for key, result in item.results.items():
                taken.results[key][item.frame.index] = result
    if not taken.frames:
        raise SourceError(f"{uri!r} has no frame to measure on.")
    taken.info, taken.rate = stream.info, getattr(stream.source, "rate", None)
    for spec in run.plan:
        taken.steps[spec.key] = spec.open(taken.info, run.model_of(spec))
        taken.steps[spec.key].join(taken.steps)
    return taken


def record(taken: Taken) -> None:
    """Find out what each step asks of its engines."""
    for spec in taken.plan:
        with recorded(taken.run.model_of(spec)) as engines:
            taken.alone(spec)
        taken.engines[spec.key] = [one for one in engines if one.kept]
