"""`vision eval instances`: average precision of masks."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from vision.cli.eval.common import ask_for, results, write
from vision.cli.eval.pictures import check_sizes, pictures_of
from vision.cli.options import EvalOptions, opened
from vision.cli.text import counted
from vision.errors import plain

_KINDS: tuple[tuple[Literal["segm", "boundary", "bbox"], str], ...] = (
    ("segm", "masks"), ("boundary", "borders"), ("bbox", "boxes"),
)


@opened
def instances(
    options: EvalOptions,
    data: Annotated[Path, typer.Option(help="COCO annotation file (JSON) with masks")],
    images: Annotated[Path | None, typer.Option(
        help="folder of the pictures; looked for beside the file unless given")] = None,
    max_iou: Annotated[float | None, typer.Option(min=0, max=1, help="of suppression")] = None,
    tiles: Annotated[bool, typer.Option("--tiles", help="windows at full resolution, too")] = False,
) -> None:
    """Average precision of masks, of their borders and of boxes: scores from 0.01, at most 100 a picture."""
    from vision.data.truth import Truth
    from vision.metrics.detection import coco_rows, mask_fit, precision_table, summary
    from vision.people.outlines import instance_finder

    labelled = Truth.load(data)
    folder = images or pictures_of(data, labelled)
    check_sizes(folder, labelled)
    truth = labelled.sized(folder).with_masks()
    bare = sum(one["iscrowd"] for one in truth.annotations) - sum(one["iscrowd"] for one in labelled.annotations)
    ask_for("faster-coco-eval", "average precision")
    model = instance_finder(*options.where)
    truth, category_of, unknown = truth.restricted(model.names)
    submit = partial(model.submit, min_score=0.01, max_detections=100, max_iou=max_iou, tiles=tiles)
    paths = [folder / image["file_name"] for image in truth.images]
    found = results(paths, model, options.quiet, submit)
    rows = [row for image, objects in zip(truth.images, found, strict=True)            # masks as text: memory does not
            for row in coco_rows(image["id"], objects, category_of)]                   # go by pixels
    print(f"{model.name} ({model.engine.label}) on {data}: "
          f"{counted(len(truth.images), 'picture')}, {counted(len(truth.annotations), 'object')}")
    if bare:
        print(f"objects without a mask that can be used, not judged: {bare}")
    if unknown:
        print(plain(f"classes that the model does not know, left out: {', '.join(unknown)}"))
    figures = {word: summary(precision_table(truth, rows, kind), truth.names) for kind, word in _KINDS}
    for word, of in figures.items():
        print(f"{word:<8} AP {of.ap:.4f}  AP50 {of.ap50:.4f}  AP75 {of.ap75:.4f}  "
              f"small {of.small:.4f}  medium {of.medium:.4f}  large {of.large:.4f}")
    fit, count = mask_fit(truth, rows, model.card.min_score)
    print(f"masks of {count} objects larger than 96x96 pixels that were found (score {model.card.min_score:g} "
          f"or more): mean IoU {fit:.4f}")
    for name, (ap, ap50) in figures["masks"].classes.items():
        print(f"  {plain(name):<20} AP {ap:.4f}  AP50 {ap50:.4f}")
    write(options, model, {word: asdict(of) for word, of in figures.items()})
