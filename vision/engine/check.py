"""Do the back ends agree, how fast is each, and which may `auto` take? Each is compared with the reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import median

import numpy as np

from vision.card import Card
from vision.engine.backends import BACKENDS, PRECISIONS, start_engine
from vision.engine.base import CannotRun, Outputs
from vision.engine.choice import Candidate, allows, measure
from vision.engine.pictures import PictureEngine
from vision.engine.program import Program, program_of
from vision.errors import EngineError
from vision.types import Image
from vision.view import stretch


@dataclass(frozen=True)
class Row:
    """What was found of one way to run a network.

    engine: its label. streams: pictures at a time on a CPU, 0: as the back end likes. speed: pictures a second.
    output: the one that differs the most from the reference's. absolute: the largest difference of a number of
    it; of whole numbers (a class map, labels) the share that differs. relative: that over the output's largest
    magnitude, at least 1. allowed: whether `auto` may take it, None where nothing was measured that could
    judge; why: in words.
    """

    engine: str
    streams: int
    speed: float
    output: int
    absolute: float
    relative: float
    allowed: bool | None
    why: str


def check(card: Card, pictures: Sequence[Image], device: str = "cpu") -> list[Row]:
    """Compare every back end that is installed, in each precision that it has, with the reference: torch in
    float32 on the CPU, or onnxruntime for somebody's ONNX file.

    In float32 the largest difference judges, by the card's tolerance; in less the card's figures do.
    pictures: (H,W,3) uint8 BGR of any sizes, stretched to the size of the card. device: as in `load`, no
    `auto`. Raises EngineError where there is nothing to compare, as with a network that takes clips.
    """
    program = program_of(card)
    if len(program.shape) != 3:
        raise EngineError(
            f"{card.name!r} takes clips of {card.clip.frames} frames; only pictures are compared."
        )
    if not program.reference:
        raise EngineError(f"openvino alone runs {card.name!r}: there is nothing to compare it with.")
    batch = np.stack([stretch(picture, program.shape[1::-1]).pixels for picture in pictures])
    reference = start_engine(Candidate(program, program.reference, "cpu", "fp32"))
    expected = reference(batch)
    reference.close()
    ran: list[tuple[Candidate, PictureEngine, Outputs]] = []
    try:
        for candidate in every(card, program, device):
            with suppress(CannotRun):
                engine = start_engine(candidate)
                try:
                    ran.append((candidate, engine, engine.submit(batch).result()))
                except EngineError:
                    engine.close()
        speeds = [median(turns) for turns in measure([engine for _, engine, _ in ran], batch[:1])]
        return [_row(card, *one, expected, speed) for one, speed in zip(ran, speeds, strict=True)]
    finally:
        for _, engine, _ in ran:
            engine.close()


def every(card: Card, program: Program, device: str) -> Iterator[Candidate]:
    """Every way to run a card on a device, whether allowed or not."""
    for backend in BACKENDS:
        for precision in PRECISIONS:
            if precision != "int8":
                runs = program
            elif card.int8 is not None and backend == "openvino":
                runs = program_of(card.int8)
            else:
                continue
            for streams in (0, 1) if backend == "openvino" else (0,):
                yield Candidate(runs, backend, device, precision, streams)


def _row(
    card: Card, candidate: Candidate, engine: PictureEngine, outputs: Outputs, expected: Outputs, speed: float
) -> Row:
    differences = [difference(got, wanted) for got, wanted in zip(outputs, expected, strict=True)]
    worst = max(range(len(differences)), key=lambda i: differences[i][1])
    absolute, relative = differences[worst]
    if candidate.precision == "fp32":
        allowed: bool | None = relative <= card.tolerance
        why = f"differences up to {card.tolerance:g} are tolerated"
    else:
        allowed, why = allows(card, candidate.precision)
        if "not measured" in why and not allowed:
            allowed = None
    return Row(engine.label, candidate.streams, speed, worst, absolute, relative, allowed, why)


def difference(got: np.ndarray, wanted: np.ndarray) -> tuple[float, float]:
    """The largest of two outputs: as it is, and over the largest magnitude of `wanted`, at least 1. Of whole numbers
    both are the share that differs; infinite where the shapes do, or where one alone is no number."""
    if got.shape != wanted.shape:
        return float("inf"), float("inf")
    if not np.issubdtype(wanted.dtype, np.floating):
        share = float(np.mean(got != wanted))
        return share, share
    same = (got == wanted) | (np.isnan(got) & np.isnan(wanted))
    with np.errstate(invalid="ignore"):                  # infinity minus infinity, where both are the same
        apart = np.where(same, 0, np.abs(got - wanted))
    absolute = float("inf") if np.isnan(apart).any() else float(apart.max(initial=0))
    return absolute, absolute / max(1.0, float(np.abs(wanted[np.isfinite(wanted)]).max(initial=0)))
