"""A benchmark of a plan on a source: its stages, the bare engines, the whole run, and other people's beside it."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from vision.benchmark.bare import replay
from vision.benchmark.energy import Energy
from vision.benchmark.limits import limits
from vision.benchmark.meter import Figures, Latencies, Turn, figures, in_turns, shares
from vision.benchmark.peers import PEERS
from vision.benchmark.stages import Taken, record, take
from vision.benchmark.ways import Way, ways
from vision.engine.pictures import cores
from vision.errors import UsageError, VisionError
from vision.io import read
from vision.item import Item
from vision.report import Report
from vision.run import Run
from vision.sinks import JsonLines
from vision.steps.base import Pool, Spec

WHOLE, DECODE, WRITE = "whole run", "decode", "write"


@dataclass(frozen=True)
class Stage:
    """A part of a run. name: `decode`, a step's key, `write`, `whole run`, or a peer. engine: what runs its
    network, or nothing. figures: frames a second and what they cost. bound_fps: of its bare engines, None without one.
    share: of the bound that is reached, the median of the rounds; shares: each round's."""

    name: str
    engine: str
    figures: Figures
    bound_fps: float | None = None
    share: float | None = None
    shares: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        bound = None if self.bound_fps is None else round(self.bound_fps, 2)
        share = None if self.share is None else round(self.share, 3)
        return {"stage": self.name, "engine": self.engine, **self.figures.to_dict(), "bound_fps": bound,
                "share": share, "shares": [round(one, 3) for one in self.shares]}


@dataclass(frozen=True)
class Benchmark:
    """What was measured. source, size_wh, frames, rounds: on what. stages, ways: the figures. limit: the stage that
    limits the whole run. told: in words. helps: what would help. notes: what a reader should know. energy: what counted
    joules here."""

    source: str
    size_wh: tuple[int, int]
    frames: int
    rounds: int
    stages: list[Stage]
    ways: list[Way]
    limit: str
    told: str
    helps: str
    energy: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {
            "source": self.source, "size_wh": list(self.size_wh), "frames": self.frames, "rounds": self.rounds,
            "machine": platform.machine(), "cores": cores(), "date": str(date.today()),
            "energy": list(self.energy), "stages": [one.to_dict() for one in self.stages],
            "ways": [one.to_dict() for one in self.ways], "limit": self.limit, "told": self.told,
            "helps": self.helps, "notes": self.notes,
        }


def benchmark(
    uri: str,
    plan: Sequence[Spec],
    *,
    frames: int = 120,
    rounds: int = 3,
    batches: Sequence[int] = (1,),
    every_way: bool = True,
    peers: Sequence[str] = (),
    device: str = "auto",
    precision: str = "auto",
    backend: str = "auto",
    energy: Energy | None = None,
    told: Callable[[str], None] = lambda line: None,
) -> Benchmark:
    """Measure a plan on the first frames of a source.

    uri: a file or folder, as in `vision.read`. plan: specs. frames: how many, at most a gigabyte of them. rounds: of
    each thing, in turns, after one that warms up. batches: pictures that networks are given together. every_way:
    whether each network is also run in every other back end and precision. peers: of `PEERS`. device, precision,
    backend: of the run, as `vision.engine.load` has them. energy: what counts joules; what is there unless given.
    told: is called with a line as each part begins.

    Raises SourceError for a live source, UsageError for an impossible plan or peer, MissingExtra for a peer that is not
    installed.
    """
    for name, count in (("frames", frames), ("rounds", rounds), *(("batch", batch) for batch in batches)):
        if count < 1:
            raise UsageError(f"{name} is 1 or more; got {count}.")
    unknown = [peer for peer in peers if peer not in PEERS]
    if unknown:
        raise UsageError(f"there is no peer {unknown[0]!r}, only {', '.join(PEERS)}.")
    energy = energy or Energy()
    others = [PEERS[peer](plan) for peer in peers]
    with Pool(device, precision, backend) as pool, tempfile.TemporaryDirectory() as folder:
        told(f"loading, and the first run on {frames} frames at most")
        taken = take(uri, plan, pool, frames)
        record(taken)
        reports: list[Report] = []
        variants: dict[str, Callable[[], tuple[int, Latencies]]] = {DECODE: partial(_decode, taken)}
        for spec in taken.plan:
            variants[f"step {spec.key}"] = partial(_alone, taken, spec)
            if taken.engines[spec.key]:
                variants[f"bare {spec.key}"] = partial(_bare, taken, spec.key)
        variants[WRITE] = partial(_written, taken, Path(folder))
        variants[WHOLE] = partial(_whole, taken, pool, Path(folder), reports)
        for other in others:
            variants[other.name] = partial(other.run, uri, len(taken.frames))
        told(f"{len(variants)} parts in {rounds} rounds")
        turns = in_turns(variants, rounds, energy)
        stages = [*_stages(taken, turns), *(Stage(other.name, other.engine, figures(turns[other.name]))
                                            for other in others)]
        found, notes = _every_way(taken, batches, rounds, energy, told) if every_way else ([], [])
        last = reports[-rounds:]
        waited = {stage: sum(one.waited_s.get(stage, 0.0) for one in last) for stage in last[0].waited_s}
        limit, words, helps = limits(waited, sum(one.seconds for one in last), _running(taken), found)
        taken.run.close()
    height, width = taken.frames[0].image.shape[:2]
    return Benchmark(uri, (width, height), len(taken.frames), rounds, stages, found, limit, words, helps,
                     energy.counters, [*notes, *_uncounted(energy), *(other.note for other in others)])


def _uncounted(energy: Energy) -> list[str]:
    """What a reader should know where there are no joules."""
    return [] if energy.counters else ["no joules: neither RAPL (as root, on most systems) nor NVML counts them here"]


def _source(taken: Taken) -> Any:
    return read(taken.uri, max_frames=len(taken.frames), rate=taken.rate)


def _decode(taken: Taken) -> tuple[int, Latencies]:
    times: list[float] = []
    with _source(taken) as source:
        began = perf_counter()
        for _ in source:
            times.append(perf_counter() - began)
            began = perf_counter()
    return len(times), times


def _alone(taken: Taken, spec: Spec) -> tuple[int, Latencies]:
    return taken.alone(spec), ()


def _bare(taken: Taken, key: str) -> tuple[int, Latencies]:
    """The engines of a step on what it asked them. Returns the frames that this was for: fewer than the step's where
    not all of it was kept."""
    share = 1.0
    for one in taken.engines[key]:
        replay(one.engine, one.kept)
        share = min(share, len(one.kept) / one.asked)
    return max(1, round(share * len(taken.results[key]))), ()


def _written(taken: Taken, folder: Path) -> tuple[int, Latencies]:
    """The records of all frames."""
    sink = JsonLines(folder / "written.jsonl").open(taken.plan)
    steps, times = list(taken.steps.values()), []
    sink.begin(taken.info)
    for frame in taken.frames:
        began = perf_counter()
        results = {key: found[frame.index] for key, found in taken.results.items() if frame.index in found}
        sink.take(Item(frame, results, steps))
        times.append(perf_counter() - began)
    sink.close()
    return len(times), times


def _whole(taken: Taken, pool: Pool, folder: Path, reports: list[Report]) -> tuple[int, Latencies]:
    """The plan from the file to records."""
    with Run(_source(taken), taken.plan, [JsonLines(folder / "out.jsonl")], pool=pool, checkpoint_every=0) as run:
        report = run.finish()
    reports.append(report)
    return report.inferred, list(report.latency)


def _stages(taken: Taken, turns: dict[str, list[Turn]]) -> list[Stage]:
    stages = [Stage(DECODE, "", figures(turns[DECODE]))]
    running = _labels(taken)
    for spec in taken.plan:
        own, bare = turns[f"step {spec.key}"], turns.get(f"bare {spec.key}")
        figured = figures(own, taken.one_by_one(spec))
        label = running.get(spec.key, "")
        if bare is None:
            stages.append(Stage(spec.key, label, figured))
        else:
            reached = shares(own, bare)
            stages.append(Stage(spec.key, label, figured, figures(bare).fps, median(reached), tuple(reached)))
    stages.append(Stage(WRITE, "", figures(turns[WRITE])))
    whole = turns[WHOLE]
    bounds = _together(taken, turns, len(whole))
    if not bounds:
        return [*stages, Stage(WHOLE, "", figures(whole))]
    reached = [one.count / one.seconds / bound for one, bound in zip(whole, bounds, strict=True)]
    return [*stages, Stage(WHOLE, "", figures(whole), median(bounds), median(reached), tuple(reached))]


def _together(taken: Taken, turns: dict[str, list[Turn]], rounds: int) -> list[float]:
    """Frames a second that all bare engines allow together, one after the other, in each round; empty without any."""
    engines = [spec.key for spec in taken.plan if f"bare {spec.key}" in turns]
    if not engines:
        return []
    bounds = []
    for number in range(rounds):
        seconds = 0.0
        for key in engines:
            one = turns[f"bare {key}"][number]
            seconds += one.seconds / one.count * len(taken.results[key]) / len(taken.frames)
        bounds.append(1 / seconds)
    return bounds


def _labels(taken: Taken) -> dict[str, str]:
    return {key: ", ".join(dict.fromkeys(one.label for one in engines)) for key, engines in taken.engines.items()
            if engines}


def _running(taken: Taken) -> dict[str, str]:
    return {key: f"{engines[0].backend} {engines[0].precision}" for key, engines in taken.engines.items() if engines}


def _every_way(
    taken: Taken, batches: Sequence[int], rounds: int, energy: Energy, told: Callable[[str], None]
) -> tuple[list[Way], list[str]]:
    """The ways of every network of the plan, once each; and what could not be measured."""
    found: list[Way] = []
    notes: list[str] = []
    seen: set[str] = set()
    for key, engines in taken.engines.items():
        for one in engines:
            card = getattr(one, "card", None)
            if card is None or card.name in seen:
                continue
            seen.add(card.name)
            told(f"{card.name} in every back end and precision")
            try:
                found += ways(key, card, one.kept, batches, one.device, max(1, rounds - 1), energy)
            except VisionError as error:
                notes.append(f"{card.name} was not run in other ways: {error}")
    return found, notes
