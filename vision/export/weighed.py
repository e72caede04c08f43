"""What a change of a model brought: its size, its work and its time, before and after."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from statistics import median

import numpy as np

from vision.card import Card
from vision.engine.backends import start_engine
from vision.engine.base import CannotRun
from vision.engine.choice import Candidate, measure
from vision.engine.pictures import PictureEngine
from vision.engine.program import Program, program_of
from vision.weights import resolve


@dataclass(frozen=True)
class Weighed:
    """A model. megabytes: of its file. parameters: how many numbers learn, in millions. gmacs: 10^9 multiply-adds for
    one picture; both None where nothing can count them. ms: of a picture on the CPU, many under way; precision: in
    which that was measured."""

    megabytes: float
    parameters: float | None
    gmacs: float | None
    ms: float
    precision: str


def weighed(before: Card, after: Card) -> tuple[Weighed, Weighed]:
    """Both models, timed in turns on pictures of noise. after: of int8 graphs, whose layers are those of `before`.

    Raises WeightsError where a file is not there, CannotRun where one of them does not run.
    """
    programs = [program_of(before), program_of(after)]
    engines = [_engine(program) for program in programs]
    try:
        batch = np.random.default_rng(0).integers(0, 256, (1, *programs[1].shape), np.uint8)
        rates = [median(turns) for turns in measure(engines, batch)]
    finally:
        for engine in engines:
            engine.close()
    for program, rate in zip(programs, rates, strict=True):
        if not rate:
            raise CannotRun(f"{program.card.name!r} was opened, and does not run")
    counts = [_counts(program) for program in programs]
    counts[1] = counts[0] if programs[1].compressed else counts[1]
    first, second = (
        Weighed(resolve(card).stat().st_size / 1e6, *count, 1000 / rate, engine.precision)
        for card, count, rate, engine in zip((before, after), counts, rates, engines, strict=True)
    )
    return first, second


def _engine(program: Program) -> PictureEngine:
    precision = "int8" if program.compressed else "fp32"
    for backend in filter(None, (program.alone, "openvino", program.reference)):
        with suppress(CannotRun):
            return start_engine(Candidate(program, backend, "cpu", precision))
    raise CannotRun(f"nothing here runs {program.card.name!r} on the CPU")


def _counts(program: Program) -> tuple[float | None, float | None]:
    """Parameters in millions, and 10^9 multiply-adds."""
    from vision.inspect.layers import read_layers

    try:
        network = read_layers(program.onnx(program.shape), program.card.name)
    except CannotRun:
        return None, None
    return network.parameters / 1e6, network.macs / 1e9
