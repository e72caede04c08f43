"""How far is a file from the model that it was made of? Both run the same pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vision.card import Card
from vision.engine.backends import start_engine
from vision.engine.base import CannotRun
from vision.engine.check import difference
from vision.engine.choice import Candidate
from vision.engine.pictures import PictureEngine
from vision.engine.program import Program, Shape, program_of
from vision.types import Image
from vision.view import stretch

_STEP = 64                            # pixels: another width, for a graph that takes any


@dataclass(frozen=True)
class Difference:
    """The largest of all outputs. absolute: of a number; of whole numbers the share that differs. relative: that over
    the output's largest magnitude, at least 1. pictures: that were run."""

    absolute: float
    relative: float
    pictures: int


def compared(
    source: Program, card: Card, pictures: Sequence[Image], shape: Shape | None, batch: int
) -> Difference:
    """Run a file's card and its source, each in float32 by its reference, on the same pictures.

    pictures: (H,W,3) uint8 BGR, stretched to what the file takes; without any, noise. shape: that it takes, (H,W,3) or
    (T,H,W,3), or None: any, and then another size is run, too. batch: how many it takes at a time, and then as many are
    run together, too; 0: any number, and then two are.
    """
    file = program_of(card)
    before, after = _reference(source), _reference(file)
    worst, count = (0.0, 0.0), 0
    try:
        for some in _batches(pictures, shape or source.shape, shape is None, batch):
            wanted, got = before(some), _answer(after, some, batch != 1)
            if len(wanted) != len(got):
                return Difference(float("inf"), float("inf"), count)
            for one, other in zip(got, wanted, strict=True):
                worst = max(worst, difference(one, other)[::-1])
            count += len(some)
    finally:
        before.close()
        after.close()
    return Difference(worst[1], worst[0], count)


def _reference(program: Program) -> PictureEngine:
    if program.compressed:
        return start_engine(Candidate(program, program.alone, "cpu", "int8", 1))
    return start_engine(Candidate(program, program.reference, "cpu", "fp32", 1))


def _answer(engine: PictureEngine, batch: np.ndarray, together: bool) -> tuple[np.ndarray, ...]:
    """What the file gives: a batch goes through its graph as one where that is what it is for."""
    if not together or len(batch) == 1 or engine.backend != "onnxruntime":
        return engine(batch)
    import onnxruntime

    path = str(engine._program.weights)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3                       # errors only
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    try:
        return tuple(session.run(None, {session.get_inputs()[0].name: batch}))
    except Exception as error:                           # onnxruntime has a tree of its own
        raise CannotRun(f"{path!r} does not take batches") from error


def _batches(pictures: Sequence[Image], shape: Shape, any_size: bool, many: int) -> Iterator[np.ndarray]:
    noise = np.random.default_rng(0).integers(0, 256, shape[-3:], np.uint8)
    images = list(pictures) or [noise]
    sizes = [(shape[-2], shape[-3])]
    if any_size:
        sizes.append((sizes[0][0] + _STEP, sizes[0][1]))
    for size_wh in sizes:
        ready = [_clip(stretch(image, size_wh).pixels, shape) for image in images]
        yield from (one[None] for one in ready)
        if many != 1:
            yield np.stack([ready[-1 if i else 0] for i in range(many or 2)])


def _clip(picture: Image, shape: Shape) -> np.ndarray:
    """The picture, or the clip that it makes by moving sideways."""
    if len(shape) == 3:
        return picture
    return np.stack([np.roll(picture, 3 * step, axis=1) for step in range(shape[0])])
