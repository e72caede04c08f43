"""`vision compress`: a model in int8, its ranges from pictures of its use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vision.cli.measured import metric_of
from vision.errors import UsageError, plain
from vision.zoo import find

if TYPE_CHECKING:
    from vision.card import Card
    from vision.types import Image


def compress(
    name: Annotated[str, typer.Argument(help="a name of `vision models`, or a path to weights")],
    data: Annotated[Path, typer.Option(
        help="pictures like those that it will see: a folder, a video, or a COCO file with `images` beside it")],
    output: Annotated[Path, typer.Option("-o", "--output", help="the file to write, NAME-int8.safetensors")],
    pictures: Annotated[int, typer.Option(min=1, help="how many pictures to look at")] = 300,
    stride: Annotated[int, typer.Option(min=1, help="look at every n-th frame only")] = 1,
    labelled: Annotated[Path | None, typer.Option(
        help="labelled data, as `vision eval` of the task takes it: its metric before and after")] = None,
    max_drop: Annotated[float, typer.Option(min=0, help="with --labelled: how much the metric may fall")] = 0.01,
) -> None:
    """Quantise a model to int8 (extra `compress`): a file with its card, which `--model` opens. One whose metric falls
    too far is kept as FILE.rejected, and the exit status is 1."""
    from vision.engine.compress import compress as quantised
    from vision.export.seen import TASKS, batches
    from vision.tasks.yolo import to_onnx
    from vision.weights import resolve

    card = to_onnx(find(name))                           # a YOLO .pt is an .onnx file by now
    if output.suffix != ".safetensors" or card.task not in TASKS:
        raise UsageError(
            f"a model for {', '.join(TASKS)} becomes a .safetensors file; got one for {card.task}, {output.name!r}"
        )
    handed = batches(card, _images(data, pictures, stride), pictures)
    small = quantised(card, handed, output, data.name)
    before, after = (path.stat().st_size / 1e6 for path in (resolve(card), output))
    print(plain(f"{output}: {small.source}; {after:.1f} MB, before {before:.1f} MB"))
    _told(card, replace(small, file=str(output.absolute())))
    if labelled is not None:
        _judged(card.task, name, output, labelled, max_drop)


def _told(before: Card, after: Card) -> None:
    """Both models side by side: size, parameters, work, time."""
    from vision.export.weighed import weighed

    for title, one in zip(("before", "after"), weighed(before, after), strict=True):
        counts = "" if one.parameters is None else f"{one.parameters:.2f} M parameters, {one.gmacs:.3f} GMACs, "
        print(f"{title + ':':8}{one.megabytes:6.1f} MB, {counts}{one.ms:.1f} ms a picture in {one.precision}")


def _judged(task: str, name: str, output: Path, labelled: Path, max_drop: float) -> None:
    """The metric before and after; a file that costs too much loses its name."""
    before, after = metric_of(task, name, labelled, precision="fp32"), metric_of(task, str(output), labelled)
    print(f"{before.name}: {after.value:.4f}, before {before.value:.4f}")
    if before.fall(after) > max_drop:
        rejected = output.with_name(f"{output.name}.rejected")
        output.replace(rejected)
        print(plain(f"REJECTED: it falls by more than --max-drop {max_drop:g}; kept as {rejected}"))
        raise typer.Exit(1)


def _images(data: Path, most: int, stride: int) -> Iterator[Image]:
    """Up to `most` pictures: the listed ones of a COCO file evenly, else the first ones of a source."""
    from vision.cli.eval.pictures import pictures_of
    from vision.data.truth import Truth
    from vision.io import read

    if data.suffix != ".json":
        with read(data, stride=stride, max_frames=most) as source:
            yield from (frame.image for frame in source)
        return
    truth = Truth.load(data)
    folder, listed = pictures_of(data, truth), truth.images
    for picture in listed[:: max(stride, len(listed) // most)][:most]:
        with read(folder / picture["file_name"]) as source:
            yield next(source).image


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compress")(compress)
