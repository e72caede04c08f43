"""`vision segment`: the class of every pixel."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vision.cli.options import EvalOptions, opened
from vision.cli.run import RunOptions, command, execute
from vision.errors import DataError

if TYPE_CHECKING:
    from vision.io import Source
    from vision.pipeline import Sink
    from vision.types import ClassMap


@command
def segment(
    run: RunOptions,
    model: Annotated[str, typer.Option(help="a name of `vision models`, or a path to weights")] = "default",
    index: Annotated[Path | None, typer.Option(
        help="folder of index PNGs, one a frame: a pixel's value is its class")] = None,
    rle: Annotated[bool, typer.Option("--rle", help="each class's runs in the records, as COCO's")] = False,
    tiled: Annotated[bool, typer.Option(
        "--tiled", help="large pictures in overlapping tiles at their own resolution")] = False,
    uncertainty: Annotated[Path | None, typer.Option(
        help="folder of variance PNGs (16 bit, 65535 is 0.25), from 16 passes with dropout")] = None,
) -> None:
    """Colour roads, pavements, people and cars: a class for every pixel."""
    from vision.pipeline import apply
    from vision.tasks.segment import Segmenter

    segmenter = Segmenter.load(
        model, run.device, run.precision, run.backend, uncertainty=uncertainty is not None
    )
    submit = partial(segmenter.submit, tiled=tiled, with_rle=rle)
    planes = _planes(index, uncertainty)
    execute(run, lambda source: apply(segmenter, submit), planes, (index, uncertainty))


def _planes(
    index: Path | None, uncertainty: Path | None
) -> Callable[[Source, ExitStack], Iterable[Sink]]:
    """The sinks of PNGs that this command has beyond the others'."""
    import numpy as np

    from vision.io import FrameNames, ImageFolder

    names = FrameNames()                                 # over all sources: two may have the same name

    def sinks(source: Source, stack: ExitStack) -> Iterable[Sink]:
        if index is not None:
            maps = stack.enter_context(ImageFolder(index))
            yield lambda item: maps.write(
                item.result.labels, names(item.frame.source, item.frame.index) + ".png"
            )
        if uncertainty is not None:
            planes = stack.enter_context(ImageFolder(uncertainty))
            yield lambda item: planes.write(
                np.rint(item.result.variance.clip(0, 0.25) * (65535 / 0.25)).astype(np.uint16),
                names(item.frame.source, item.frame.index) + ".png",
            )

    return sinks


@opened
def evaluate(
    options: EvalOptions,
    data: Annotated[Path, typer.Option(help="folder with SPLIT/images and SPLIT/labels, or CamVid's layout")],
    split: Annotated[str, typer.Option(help="which part of it")] = "val",
) -> None:
    """Accuracy, class average, mean IoU and contour score of a segmenter."""
    import numpy as np

    from vision.cli.evaluate import results, write
    from vision.metrics.segmentation import Figures, confusion, contour_score
    from vision.pipeline import apply
    from vision.tasks.segment import Segmenter
    from vision.train.segmentation import IGNORE, find_pairs, read_pair

    pairs = find_pairs(data, split)
    segmenter = Segmenter.load(*options.where)
    names, classes = tuple(segmenter.names), len(segmenter.names)
    if names != pairs.names:
        raise DataError(
            f"{segmenter.name!r} has the classes {', '.join(names)}; {str(data)!r} has "
            f"{', '.join(pairs.names)}. They must be the same, in the same order."
        )
    matrix = np.zeros((classes, classes), np.int64)
    contour: list[float] = []

    def take(i: int, found: ClassMap) -> None:
        nonlocal matrix
        labels = read_pair(pairs, i)[1]
        matrix = matrix + confusion(found.labels, labels, classes, IGNORE)
        contour.append(contour_score(found.labels, labels, classes, IGNORE))

    results(pairs.pictures, apply(segmenter), take, options.quiet)
    figures = Figures.of(matrix)
    bf = float(np.nanmean(contour))
    print(f"{segmenter.name} ({segmenter.engine.label}) on {data} {split}: {len(contour)} pictures")
    if pairs.without:
        print(f"left out for want of labels: {len(pairs.without)}, first {pairs.without[0].name}")
    print(f"mIoU {figures.miou:.4f}  class average {figures.class_average:.4f}  "
          f"accuracy {figures.accuracy:.4f}  BF {bf:.4f}")
    for name, value in zip(names, figures.iou.tolist(), strict=True):
        print(f"  {name:<20} IoU {value:.4f}")
    write(options, segmenter, {
        "miou": figures.miou, "class_average": figures.class_average, "accuracy": figures.accuracy, "bf": bf,
        **{f"iou {name}": float(value) for name, value in zip(names, figures.iou, strict=True)},
    })


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("segment")(segment)
