"""What runs in each replica of a network on Ray Serve. Only replicas, and whoever deploys them, import this."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from ray import serve

from vision import __version__
from vision.card import Card
from vision.engine import Engine, Outputs, load
from vision.engine.base import Work
from vision.engine.pictures import BATCH
from vision.errors import EngineError

_BATCHES = 2                                     # at a time: the next one is made ready while one is worked on


class Where(NamedTuple):
    """Where a replica's engine runs, as `Engine` has these."""

    backend: str
    device: str
    precision: str
    label: str
    input_wh: tuple[int, int] | None
    in_flight: int


class Looked(NamedTuple):
    """An answer. outputs: of the batch that was sent. where: what it ran on. executions: of the graph, which no answer
    before told of."""

    outputs: Outputs
    where: Where
    executions: int


class Network:
    """A network with its engine, loaded once. version: of whoever deploys it, which this machine's must be.

    Raises EngineError for another version, and what `vision.engine.load` raises."""

    def __init__(self, card: Card, device: str, precision: str, backend: str, version: str) -> None:
        if version != __version__:
            raise EngineError(f"a machine has vision {__version__}, this one {version}. Install the same on all.")
        self.engine: Engine = load(card, device, precision, backend)
        self._told = 0                           # executions that answers have told of

    def where(self) -> Where:
        """Where it runs."""
        engine = self.engine
        return Where(engine.backend, engine.device, engine.precision, engine.label, engine.input_wh, engine.in_flight)

    async def __call__(self, batch: np.ndarray) -> Looked:
        """Run a batch (B,...) uint8."""
        answer: Looked | Exception = await self.together(batch)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=0.0, max_concurrent_batches=_BATCHES)
    async def together(self, waiting: list[np.ndarray]) -> list[Looked | Exception]:
        """Run what waits now, whoever sent it, pictures of one size at once. Nothing waits for a batch to fill."""
        sizes: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for number, batch in enumerate(waiting):
            sizes[batch.shape[1:]].append(number)
        answers: dict[int, Looked | Exception] = {}
        runs = [self._run([waiting[number] for number in numbers]) for numbers in sizes.values()]
        for numbers, found in zip(sizes.values(), await asyncio.gather(*runs), strict=True):
            answers.update(zip(numbers, found, strict=True))
        return [answers[number] for number in range(len(waiting))]

    async def _run(self, batches: Sequence[np.ndarray]) -> list[Looked] | list[Exception]:
        """Run batches of one picture size as one. What goes wrong is the answer to each of them."""
        try:
            future = await asyncio.to_thread(self.engine.submit, np.concatenate(batches))
            outputs = await asyncio.wrap_future(future)
        except Exception as error:
            return [error for _ in batches]
        edges = np.cumsum([len(one) for one in batches])[:-1]
        parts = zip(*(np.split(one, edges) for one in outputs), strict=True)
        return [Looked(part, self.where(), self._executions()) for part in parts]

    def _executions(self) -> int:
        """Those that no answer has told of."""
        before, self._told = self._told, getattr(self.engine, "work", Work()).executions
        return self._told - before
