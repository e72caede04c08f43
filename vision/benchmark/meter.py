"""What a turn of something costs: time, processor time, memory, energy. Things to compare take turns."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np

from vision.benchmark.energy import Energy

Latencies = Sequence[float]


@dataclass(frozen=True)
class Turn:
    """What one turn cost. count: frames or pictures. seconds: on the clock. busy_s: of all processors together.
    memory_mib: of the process, at its end. joules: of the machine, or None. latencies: seconds each, where known."""

    count: int
    seconds: float
    busy_s: float
    memory_mib: float
    joules: float | None = None
    latencies: tuple[float, ...] = ()


@dataclass(frozen=True)
class Figures:
    """The median of some turns.

    fps: frames, or pictures, a second. p50_ms, p95_ms, p99_ms: of the latencies of all turns; None without any.
    processor_s: of all processors together, a frame. memory_mib: the most. joules: a frame, or None.
    """

    fps: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    processor_s: float
    memory_mib: float
    joules: float | None

    def to_dict(self) -> dict[str, Any]:
        """As plain values, rounded to four digits."""
        return {name: None if value is None else float(f"{value:.4g}") for name, value in vars(self).items()}


def turn(go: Callable[[], tuple[int, Latencies]], energy: Energy | None = None) -> Turn:
    """One turn of `go`, which returns how many frames it did, and their latencies in seconds or none."""
    before = [] if energy is None else energy.read()
    began, busy = perf_counter(), process_time()
    count, latencies = go()
    seconds, busy = perf_counter() - began, process_time() - busy
    joules = None if energy is None else energy.since(before)
    return Turn(count, seconds, busy, memory_mib(), joules, tuple(latencies))


def in_turns(
    variants: Mapping[str, Callable[[], tuple[int, Latencies]]], rounds: int, energy: Energy | None = None,
    warm: bool = True,
) -> dict[str, list[Turn]]:
    """The turns of each variant, round by round: what else the machine does falls on all of them. warm: whether a round
    goes before that counts for none."""
    turns: dict[str, list[Turn]] = {name: [] for name in variants}
    for round_ in range(-1 if warm else 0, rounds):
        for name, go in variants.items():
            one = turn(go, energy)
            if round_ >= 0:
                turns[name].append(one)
    return turns


def figures(turns: Sequence[Turn], latencies: Latencies = ()) -> Figures:
    """The median of some turns, at least one. latencies: seconds, where they were measured apart."""
    times = list(latencies) or [each for one in turns for each in one.latencies]
    p50, p95, p99 = np.percentile(times, [50, 95, 99]) * 1000 if times else (None, None, None)
    joules = [one.joules / one.count for one in turns if one.joules is not None]
    return Figures(
        median(one.count / one.seconds for one in turns), p50, p95, p99,
        median(one.busy_s / one.count for one in turns), max(one.memory_mib for one in turns),
        median(joules) if joules else None,
    )


def shares(of: Sequence[Turn], bound: Sequence[Turn]) -> list[float]:
    """The rate of one variant over that of another, round by round."""
    return [(a.count / a.seconds) / (b.count / b.seconds) for a, b in zip(of, bound, strict=True)]


def memory_mib() -> float:
    """Memory that this process holds now, in MiB; where the system does not tell, the most that it held."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize() / 2**20
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / (2**20 if sys.platform == "darwin" else 2**10)
