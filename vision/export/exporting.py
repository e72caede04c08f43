"""A file is written, opened again, measured against its source, and only then gets its name."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vision.card import Card
from vision.engine.base import CannotRun
from vision.engine.program import Program, Shape, program_of
from vision.errors import EngineError, UsageError, VisionError
from vision.export.formats import ANY, Writer, card_for, refusal, suffix_of, writer
from vision.export.measured import Difference, compared
from vision.inside import card_or_refuse
from vision.tasks.yolo import to_onnx
from vision.types import Image
from vision.weights import resolve
from vision.zoo import find

MAX_DROP = 0.01
MAX_BATCH = 1024
Metric = Callable[[str], float]


@dataclass(frozen=True)
class Exported:
    """What was written, and how near it is to its source.

    path: of the file; of the rejected one, where it is too far. card: the one inside. size: of the pictures that it
    takes, (H,W,3), or None: any. batch: how many it takes at a time, 0: any number. difference: on pictures.
    drop: of the task's metric, where it was measured. accepted: within what was allowed.
    """

    path: Path
    card: Card
    size: Shape | None
    batch: int
    difference: Difference
    drop: float | None
    accepted: bool


def export(
    model: str | Path | Card,
    target: Path,
    pictures: Sequence[Image],
    format: str = "onnx",
    size: str = "auto",
    batch: str = "auto",
    max_drop: float = MAX_DROP,
    metric: Metric | None = None,
) -> Exported:
    """Write a model as a file of another format, and measure that file against its source.

    model: as `--model` takes it. target: the file to write. pictures: (H,W,3) uint8 BGR of any sizes, to measure on.
    format: a key of `FORMATS`. size: of the pictures that the file takes: `auto` (any, where one graph is right for
    all sizes, else the card's), `any`, or WxH. batch: `auto` (any, where that can be), `any`, or a number.
    max_drop: the largest difference that is let pass: of outputs, relative to their largest; with a metric, how
    much that may fall. metric: called with the file's path, it gives by how much the metric fell against the source.

    A file that is too far is kept as `TARGET.rejected` alone. Raises UsageError for a value that cannot be, CannotRun
    for a format that cannot hold the network, EngineError for one whose package is missing.
    """
    if target.suffix != suffix_of(format):
        raise UsageError(f"{format} is written to a file that ends in {suffix_of(format)}; got {target.name!r}")
    card = _named(to_onnx(find(model)))
    write = writer(format, card)
    program = program_of(card)
    if target.resolve() == program.weights.resolve():
        raise UsageError(f"{str(target)!r} is the model itself. Name another file: -o FILE")
    if not pictures:
        raise UsageError("a file is measured on pictures: there are none")
    try:
        folder = tempfile.TemporaryDirectory(dir=target.parent, prefix=".export-")
    except OSError as error:
        raise UsageError(f"{str(target.parent)!r} cannot be written ({error.strerror}).") from error
    with folder as name:
        part = Path(name) / target.name
        shape, many = _written(program, write, part, (_size(size, program), size), batch, format)
        again = card_or_refuse(part)
        found = compared(program, again, pictures, shape, many)
        drop = None if metric is None else metric(str(part))
        accepted = (found.relative if drop is None else drop) <= max_drop
        path = _placed(part, target, accepted)
    return Exported(path, replace(again, file=str(path.absolute())), shape, many, found, drop, accepted)


def _named(card: Card) -> Card:
    """The card with its classes: those of a reader of text are in its file."""
    if card.task != "text" or card.classes:
        return card
    from vision.text.cards import reader_card

    return replace(card, names=reader_card(resolve(card)).names)


def _size(text: str, program: Program) -> Shape | None:
    """What pictures the file shall take. Raises UsageError."""
    usual = program.shape
    if text in ("auto", "any"):
        if text == "any" and not program.any_size:
            only = "x".join(map(str, usual[-2:-4:-1]))
            raise UsageError(f"{program.card.name!r} has no graph that is right for every size: --size auto ({only})")
        return None if program.any_size else usual
    try:
        width, height = (int(side) for side in text.split("x"))
        if not (1 <= width <= 8192 and 1 <= height <= 8192):
            raise ValueError
    except ValueError as error:
        raise UsageError(f"--size is auto, any or WIDTHxHEIGHT in pixels; got {text!r}") from error
    if program.input_wh is not None and program.input_wh != (width, height):
        raise UsageError(f"{program.card.name!r} takes {program.input_wh[0]}x{program.input_wh[1]} alone; got {text}")
    return (*usual[:-3], height, width, 3)


def _numbers(batch: str) -> tuple[int, ...]:
    """How many pictures at a time a file may take, the first choice first. Raises UsageError."""
    if batch in ("auto", "any"):
        return (ANY, 1) if batch == "auto" else (ANY,)
    if not batch.isdecimal() or not 1 <= int(batch) <= MAX_BATCH:
        raise UsageError(f"--batch is auto, any or a number up to {MAX_BATCH}; got {batch!r}")
    return (int(batch),)


def _written(
    program: Program, write: Writer, part: Path, asked: tuple[Shape | None, str], batch: str, format: str
) -> tuple[Shape | None, int]:
    """Write the file, for what `auto` may mean the widest that can be: what it takes."""
    numbers = _numbers(batch)
    shape, size = asked
    shapes = [shape, program.shape] if size == "auto" and shape is None else [shape]
    tries = [(one, many) for one in shapes for many in numbers]
    why = ""
    for one, many in tries:
        card = card_for(program, part, one, many)
        try:
            write(program, one, many, card, part)
            if (one, many) != tries[-1]:                       # the last one may fail in full view
                compared(program, card_or_refuse(part), [], one, many)
            return one, many
        except (CannotRun, VisionError) as error:
            why = why or str(error)
    raise refusal(format, program.card, why.rstrip("."))


def _placed(part: Path, target: Path, accepted: bool) -> Path:
    """Give the written files their name, or that of a rejected one; the path."""
    final = target if accepted else target.with_name(f"{target.name}.rejected")
    try:
        for file in sorted(part.parent.iterdir(), key=lambda one: one == part):      # the weights before the graph
            os.replace(file, target.with_name(file.name if accepted else f"{file.name}.rejected"))
    except OSError as error:
        raise EngineError(f"{str(final)!r} cannot be written ({error.strerror}).") from error
    return final
