"""The bare engine: what a step asked of its engines, recorded, and asked again with nothing around it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import numpy as np

from vision.engine.base import Engine, Outputs

_KEPT_BYTES = 256 * 2**20


class Recorder:
    """An engine that keeps what it is asked, up to a quarter of a gigabyte.

    kept: batches (B,...) uint8. asked: how many came.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.kept: list[np.ndarray] = []
        self.asked = 0
        self._room = _KEPT_BYTES

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def submit(self, batch: np.ndarray) -> Future[Outputs]:
        """Start on a batch, and keep it."""
        self._keep(batch)
        return self.engine.submit(batch)

    def __call__(self, batch: np.ndarray) -> Outputs:
        """Run a batch, and keep it."""
        self._keep(batch)
        return self.engine(batch)

    def _keep(self, batch: np.ndarray) -> None:
        self.asked += 1
        if batch.nbytes <= self._room:
            self._room -= batch.nbytes
            self.kept.append(batch.copy())


@contextmanager
def recorded(model: Any) -> Iterator[list[Recorder]]:
    """Recorders in the place of all engines of a model, of whatever task, while the block lasts."""
    places = list(_engines(model, set()))
    recorders: dict[int, Recorder] = {}
    for owner, name, engine in places:
        setattr(owner, name, recorders.setdefault(id(engine), Recorder(engine)))
    try:
        yield list(recorders.values())
    finally:
        for owner, name, engine in places:
            setattr(owner, name, engine)


def _engines(thing: Any, seen: set[int]) -> Iterator[tuple[Any, str, Engine]]:
    """Where the engines of a model are: an object, the name of its attribute, the engine."""
    if id(thing) in seen or not type(thing).__module__.startswith("vision."):
        return
    seen.add(id(thing))
    for name, value in list(getattr(thing, "__dict__", {}).items()):
        if all(hasattr(value, part) for part in ("submit", "in_flight", "label", "precision")):
            yield thing, name, value
        else:
            for inner in value if isinstance(value, list | tuple) else (value,):
                yield from _engines(inner, seen)


def replay(engine: Engine, batches: Sequence[np.ndarray], most_s: float = float("inf")) -> int:
    """Run batches with as many under way as the engine asks for, until `most_s` seconds are over. Returns how many
    pictures were done."""
    under_way: deque[Future[Outputs]] = deque()
    pictures, ends = 0, perf_counter() + most_s
    for batch in batches:
        if len(under_way) >= engine.in_flight:
            under_way.popleft().result()
        if pictures and perf_counter() > ends:
            break
        under_way.append(engine.submit(batch))
        pictures += len(batch)
    for future in under_way:
        future.result()
    return pictures


def one_by_one(engine: Engine, batches: Sequence[np.ndarray], most_s: float = float("inf")) -> list[float]:
    """Seconds that each batch takes when nothing else is under way, until `most_s` are over. The first one is run once
    more before, for what it brings about."""
    times: list[float] = []
    for batch in batches[:1]:
        engine(batch)
    for batch in batches:
        began = perf_counter()
        engine(batch)
        times.append(perf_counter() - began)
        if sum(times) > most_s:
            break
    return times
