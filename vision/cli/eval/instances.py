"""`vision eval instances`: average precision of masks."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from vision.cli.eval.common import results, write
from vision.cli.eval.pictures import pictures_of
from vision.cli.options import EvalOptions, opened

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
) -> None:
    """Average precision of masks, of their borders and of boxes: scores from 0.01, at most 100 a picture."""
    from vision.data.truth import Truth
    from vision.metrics.detection import coco_rows, precision_table, summary
    from vision.tasks.instances import InstanceSegmenter

    truth = Truth.load(data).with_masks()
    folder = images or pictures_of(data, truth)
    model = InstanceSegmenter.load(*options.where)
    truth, category_of, unknown = truth.restricted(model.names)
    rows: list[dict[str, Any]] = []                       # masks as text: memory does not go by pixels
    results(
        [folder / image["file_name"] for image in truth.images], model,
        lambda i, found: rows.extend(coco_rows(truth.images[i]["id"], found, category_of)), options.quiet,
        partial(model.submit, min_score=0.01, max_detections=100, max_iou=max_iou),
    )
    print(f"{model.name} ({model.engine.label}) on {data}: "
          f"{len(truth.images)} pictures, {len(truth.annotations)} objects")
    if unknown:
        print(f"classes that the model does not know, left out: {', '.join(unknown)}")
    figures = {word: summary(precision_table(truth, rows, kind), truth.names) for kind, word in _KINDS}
    for word, of in figures.items():
        print(f"{word:<8} AP {of.ap:.4f}  AP50 {of.ap50:.4f}  AP75 {of.ap75:.4f}  "
              f"small {of.small:.4f}  medium {of.medium:.4f}  large {of.large:.4f}")
    for name, (ap, ap50) in figures["masks"].classes.items():
        print(f"  {name:<20} AP {ap:.4f}  AP50 {ap50:.4f}")
    write(options, model, {word: asdict(of) for word, of in figures.items()})
