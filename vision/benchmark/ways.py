"""Every way to run a network here, on the very inputs that a step gave it: speed, latency, cost, agreement."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from vision.benchmark.bare import one_by_one, replay
from vision.benchmark.energy import Energy
from vision.benchmark.meter import Figures, Latencies, figures, in_turns
from vision.card import Card
from vision.engine.backends import start_engine
from vision.engine.base import Engine, Outputs
from vision.engine.check import difference, every
from vision.engine.choice import Candidate, allows
from vision.engine.program import program_of
from vision.errors import EngineError

_PICTURES = 24                      # that a turn is of, where the step gave as many
_COMPARED = 2
_TURN_S = 0.25                      # that a turn takes at most, but for its last pictures


@dataclass(frozen=True)
class Way:
    """One way to run a network.

    step: the key of the step that asked it. network: its name. backend, device, precision: as `load` has them.
    batch: pictures given together. figures: pictures a second, with the latency of one batch with nothing else under
    way. difference: the largest relative one from float32's outputs, None where there is no reference. allowed: whether
    `auto` may take it. why: in words.
    """

    step: str
    network: str
    backend: str
    device: str
    precision: str
    batch: int
    figures: Figures
    difference: float | None
    allowed: bool
    why: str

    @property
    def engine(self) -> str:
        """For a reader."""
        return f"{self.backend} {self.device.upper()} {self.precision}"

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        rest = {name: value for name, value in vars(self).items() if name != "figures"}
        return {**rest, **self.figures.to_dict()}


def ways(
    step: str, card: Card, inputs: Sequence[np.ndarray], batches: Sequence[int], device: str = "cpu", rounds: int = 2,
    energy: Energy | None = None,
) -> list[Way]:
    """Measure every back end that is installed, in each precision that it has.

    inputs: batches (B,...) uint8 that the step gave the network. batches: how many pictures are given together. device:
    as in `load`, no `auto`. Where the inputs are of several sizes, those of the most common one are taken.
    """
    program = program_of(card)
    singles = _of_one_size(inputs)
    expected = None
    if program.reference:
        reference = start_engine(Candidate(program, program.reference, "cpu", "fp32"))
        expected = _outputs(reference, singles[:_COMPARED])
        reference.close()
    with ExitStack() as closing:
        found: list[tuple[Candidate, Engine, float | None]] = []
        for candidate in every(card, program, device):
            slow = (candidate.backend, candidate.device) == ("torch", "cpu") and candidate.precision != "fp32"
            if candidate.streams or slow:                        # seconds a picture, in half precision on most CPUs
                continue
            try:
                engine = start_engine(candidate)
            except EngineError:
                continue
            closing.callback(engine.close)
            try:
                outputs = _outputs(engine, singles[:_COMPARED])          # which warms it up
            except EngineError:
                continue
            found.append((candidate, engine, None if expected is None else _worst(outputs, expected)))
        return [way for batch in batches for way in _measured(step, card, found, singles, batch, rounds, energy)]


def _measured(
    step: str, card: Card, found: Sequence[tuple[Candidate, Engine, float | None]], singles: Sequence[np.ndarray],
    batch: int, rounds: int, energy: Energy | None,
) -> list[Way]:
    given = together(singles, batch)
    turns = in_turns(
        {one.key: partial(_through, engine, given) for one, engine, _ in found}, rounds, energy, warm=batch > 1)
    rows = []
    for one, engine, off in found:
        allowed, why = allows(card, one.precision)
        figured = figures(turns[one.key], one_by_one(engine, given, _TURN_S))
        rows.append(Way(step, card.name, one.backend, one.device, one.precision, batch, figured, off, allowed, why))
    return rows


def _through(engine: Engine, given: Sequence[np.ndarray]) -> tuple[int, Latencies]:
    return replay(engine, given, _TURN_S), ()


def together(singles: Sequence[np.ndarray], batch: int) -> list[np.ndarray]:
    """Batches of `batch` pictures out of single ones (1,...), which come again where they are too few."""
    count = max(1, min(_PICTURES, len(singles)) // batch)
    return [np.concatenate([singles[(i * batch + j) % len(singles)] for j in range(batch)]) for i in range(count)]


def _of_one_size(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Single inputs (1,...) of the most common size, at most as many as are used."""
    shapes = [one.shape[1:] for one in inputs]
    common = max(set(shapes), key=shapes.count)
    rows = [batch[i : i + 1] for batch in inputs if batch.shape[1:] == common for i in range(len(batch))]
    return rows[:_PICTURES]


def _outputs(engine: Engine, singles: Sequence[np.ndarray]) -> list[Outputs]:
    return [engine.submit(one).result() for one in singles]


def _worst(outputs: Sequence[Outputs], expected: Sequence[Outputs]) -> float:
    pairs = [(a, b) for got, wanted in zip(outputs, expected, strict=True) for a, b in zip(got, wanted, strict=True)]
    return max(_apart(a, b) for a, b in pairs)


def _apart(got: np.ndarray, wanted: np.ndarray) -> float:
    return difference(got, wanted)[1]


