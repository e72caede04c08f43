"""Which way of running a network is the fastest here: measured once, and kept in the cache.

A way (`Candidate`) is a back end, a precision and a number of streams. Which precisions may be taken is
the card's to say: its figures, measured on labelled data, may not fall by more than `TOLERATED`.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import statistics
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import cache as cached
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from vision.card import Card
from vision.engine import cache
from vision.engine.base import Engine, Outputs
from vision.engine.pictures import cores
from vision.engine.program import Program

TOLERATED = 0.01                # of a task's metric: what a lower precision may cost
_LOWER_IS_BETTER = frozenset({"NME"})
# of networks without figures: the largest change of a score that rounding was seen to make on those here
_ROUNDING = {"fp32": 0.0, "fp16": 0.01, "bf16": 0.1}
_NEAR = 0.97                    # of the best speed: a more exact way that is as fast as this is taken
_TURNS = 5
_ENOUGH = 12                    # turns of one candidate: a verdict that fewer contradict is measured again
_TURN = 0.12                    # seconds
_MOST = 0.9                     # seconds for one candidate
_PACKAGES = ("openvino", "onnxruntime", "torch", "vision")


@dataclass(frozen=True)
class Candidate:
    """A way of running a card's network. streams: pictures at a time on a CPU; 0: as the back end likes."""

    program: Program
    backend: str
    device: str
    precision: str
    streams: int = 0

    @property
    def key(self) -> str:
        """What a verdict calls it."""
        return f"{self.precision} {self.backend} {self.device} {self.streams}"


def allows(card: Card, precision: str) -> tuple[bool, str]:
    """Whether `auto` may take a precision for a card, and why.

    The first metric of the card's figures decides. A network without them runs in fp16 or bf16 where the
    card's tolerance of differences is wide enough for their rounding, and never in int8.
    """
    if precision == "fp32":
        return True, "exact"
    exact, found = card.figures.get("fp32"), card.figures.get(precision)
    if exact and found:
        metric = next(iter(exact))
        loss = exact[metric] - found[metric]
        loss = -loss if metric in _LOWER_IS_BETTER else loss
        return loss <= TOLERATED, f"{metric} {found[metric]:.4f}, in fp32 {exact[metric]:.4f}"
    allowed = _ROUNDING.get(precision, float("inf")) <= card.tolerance
    return allowed, f"not measured; the card tolerates differences of {card.tolerance:g}"


def measure(
    engines: Sequence[Engine], batch: np.ndarray, clock: Callable[[], float] = time.perf_counter
) -> list[list[float]]:
    """Pictures a second of each engine, in each of its turns after the first.

    Engines take turns, so that one that is fast at first and slow later is found out, and what else the
    machine does slows all of them. batch: one picture or clip, (1,...) uint8. Each engine is timed for less
    than a second, or for one turn where that takes longer. One that fails has 0.
    """
    rates: list[list[float]] = [[] for _ in engines]
    spent = [0.0] * len(engines)
    for engine in engines:
        _turn(engine, batch, 0.0, clock)                 # what the first pictures bring about counts for none
    for _ in range(_TURNS):
        for i, engine in enumerate(engines):
            if spent[i] < _MOST:
                rate, seconds = _turn(engine, batch, _TURN, clock)
                rates[i].append(rate)
                spent[i] += seconds
    return [of_one[1:] or of_one for of_one in rates]


def medians(turns: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The speed of each candidate, of its turns."""
    return {key: statistics.median(of_one) for key, of_one in turns.items()}


def agree(turns: Mapping[str, Sequence[float]]) -> bool:
    """Whether the turns say together which candidate is the fastest: leaving out the best and the worst, it is
    ahead of each other one in all of them, or level with it. On a machine that does something else they may not."""
    speeds = medians(turns)
    first = max(speeds, key=speeds.__getitem__)
    for other in turns.keys() - {first}:
        ratios = sorted(b / a if a else 0.0 for a, b in zip(turns[first], turns[other], strict=False))[1:-1]
        if ratios and not (max(ratios) < 1 or _NEAR <= min(ratios) <= max(ratios) <= 1 / _NEAR):
            return False
    return True


def _turn(
    engine: Engine, batch: np.ndarray, seconds: float, clock: Callable[[], float]
) -> tuple[float, float]:
    """Keep an engine busy for a while: pictures a second, and how long it took."""
    begin, pictures = clock(), 0
    under_way: deque[Future[Outputs]] = deque()
    try:
        while True:
            if pictures == 0 or clock() - begin < seconds:
                while len(under_way) < engine.in_flight:
                    under_way.append(engine.submit(batch))
            if not under_way:
                break
            under_way.popleft().result()
            pictures += 1
    except Exception:                                    # it cannot run this after all: the others can
        return 0.0, clock() - begin
    took = max(clock() - begin, 1e-9)
    return pictures / took, took


def place(candidates: Sequence[Candidate]) -> str:
    """Where the verdict on candidates of one network is kept: a name in the cache, another one for another
    processor, version, network, size or set of candidates."""
    first = candidates[0].program
    facts = (
        _processor(), cores(), [_version(package) for package in _PACKAGES],
        [c.program.digest for c in candidates], first.shape, [c.key for c in candidates],
    )
    return f"verdicts/{hashlib.sha256(repr(facts).encode()).hexdigest()[:24]}.json"


def verdict(name: str) -> dict[str, list[float]]:
    """The turns that were measured, by candidate, or none."""
    kept = cache.read(name)
    if kept is None:
        return {}
    with suppress(ValueError, TypeError, AttributeError):
        return {key: [float(rate) for rate in rates] for key, rates in json.loads(kept).items() if rates}
    return {}


def settled(turns: Mapping[str, Sequence[float]]) -> bool:
    """Whether nothing more has to be measured: the turns agree, or there were enough of them for a median."""
    return bool(turns) and (agree(turns) or max(map(len, turns.values())) >= _ENOUGH)


def ranked(candidates: Sequence[Candidate], speeds: dict[str, float]) -> list[Candidate]:
    """The candidates, the fastest first; of those that are as good as that, the most exact first of all."""
    order = sorted(candidates, key=lambda c: -speeds.get(c.key, 0.0))
    best = speeds.get(order[0].key, 0.0)
    exactness = ("fp32", "fp16", "bf16", "int8")
    near = [c for c in order if speeds.get(c.key, 0.0) >= _NEAR * best]
    near.sort(key=lambda c: exactness.index(c.precision))
    return [near[0], *(c for c in order if c is not near[0])]


def told(candidates: Sequence[Candidate], speeds: dict[str, float]) -> str:
    """A verdict on one line: "gfl-voc bf16 on openvino: 53 frames/s here; int8 49, fp32 26"."""
    first, *others = ranked([c for c in candidates if speeds.get(c.key)], speeds)
    best: dict[str, float] = {}
    for other in others:
        where = "" if other.backend == first.backend else f" on {other.backend}"
        name = other.precision + where
        if (other.precision, other.backend) != (first.precision, first.backend):
            best[name] = max(best.get(name, 0.0), speeds[other.key])
    rest = ", ".join(f"{name} {speed:.0f}" for name, speed in best.items())
    return (f"{candidates[-1].program.card.name} {first.precision} on {first.backend}: "
            f"{speeds[first.key]:.0f} frames/s measured here{f'; {rest}' if rest else ''}")


@cached
def processor_flags() -> frozenset[str]:
    """What Linux says that the processor can do, or nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.split(":", 1)[1].split() for line in lines
                           if line.startswith(("flags", "Features"))), ()))


def _processor() -> tuple[str, ...]:
    return (platform.machine(), platform.processor(), os.environ.get("OMP_NUM_THREADS", ""),
            *sorted(processor_flags()))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
