"""Do the back ends agree? Each is compared with the reference on the same pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vision.card import Card
from vision.engine import BACKENDS, PRECISIONS, Outputs, load
from vision.engine.program import program_of
from vision.errors import EngineError
from vision.types import Image
from vision.view import stretch


@dataclass(frozen=True)
class Difference:
    """How far one output of an engine is from the reference's.

    engine: its label. output: its index. shape: of it, for all pictures. absolute: the largest
    difference of a number; of whole numbers (a class map, labels) the share that differs. relative:
    that over the output's largest magnitude, at least 1. within: it is not more than the card's
    tolerance.
    """

    engine: str
    output: int
    shape: tuple[int, ...]
    absolute: float
    relative: float
    within: bool


def check(card: Card, pictures: Sequence[Image], device: str = "auto") -> Iterator[Difference]:
    """Compare every back end that is installed, in each precision that it has, with the reference:
    torch in float32 on the CPU, or onnxruntime for somebody's ONNX file.

    pictures: (H,W,3) uint8 BGR of any sizes, stretched to the size of the card. Raises EngineError
    where there is nothing to compare, as with a network that takes clips.
    """
    if card.clip.frames > 1:
        raise EngineError(
            f"{card.name!r} takes clips of {card.clip.frames} frames; only pictures are compared."
        )
    by = program_of(card).reference
    if not by:
        raise EngineError(f"openvino alone runs {card.name!r}: there is nothing to compare it with.")
    reference = load(card, "cpu", "fp32", by)
    size_wh = reference.input_wh or card.input.size_wh
    batch = np.stack([stretch(picture, size_wh).pixels for picture in pictures])
    expected = reference(batch)
    seen = {reference.label}
    reference.close()
    for backend in BACKENDS:
        for precision in ("auto", *PRECISIONS):
            ran = _run(card, batch, device, precision, backend)
            if ran is not None and ran[0] not in seen:
                seen.add(ran[0])
                judged = card.int8 if card.int8 and ran[0].endswith("int8") else card
                yield from _differences(*ran, expected, judged.tolerance)


def _run(
    card: Card, batch: np.ndarray, device: str, precision: str, backend: str
) -> tuple[str, Outputs] | None:
    """The engine's label and outputs; None for one that cannot run this."""
    try:
        engine = load(card, device, precision, backend)
    except EngineError:
        return None
    try:
        return engine.label, engine(batch)
    except EngineError:
        return None
    finally:
        engine.close()


def _differences(
    engine: str, outputs: Outputs, expected: Outputs, tolerance: float
) -> Iterator[Difference]:
    for i, (got, wanted) in enumerate(zip(outputs, expected, strict=True)):
        if got.shape != wanted.shape:
            absolute = relative = float("inf")
        elif np.issubdtype(wanted.dtype, np.floating):
            absolute = float(np.abs(got - wanted).max(initial=0))
            relative = absolute / max(1.0, float(np.abs(wanted).max(initial=0)))
        else:
            absolute = relative = float(np.mean(got != wanted))
        yield Difference(engine, i, got.shape, absolute, relative, relative <= tolerance)
