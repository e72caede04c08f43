"""`vision eval segment`: a segmenter on labelled pictures, in figures and on a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vision.cli.eval.common import images_of, results, write
from vision.cli.options import EvalOptions, opened
from vision.cli.text import counted
from vision.errors import DataError, plain
from vision.files import check_writable, write_whole


@opened
def segment(
    options: EvalOptions,
    data: Annotated[Path, typer.Option(help="folder with SPLIT/images and SPLIT/labels, or CamVid's layout")],
    split: Annotated[str, typer.Option(help="which part of it")] = "val",
    html: Annotated[Path | None, typer.Option(
        help="a page with the classes, the confusion matrix and the worst pictures")] = None,
) -> None:
    """Accuracy, class average, mean IoU and contour score of a segmenter."""
    import numpy as np

    from vision.data.segmentation import IGNORE, find_pairs, read_pair
    from vision.metrics.segmentation import Figures, contour_score
    from vision.metrics.segmentation_page import judge, page
    from vision.tasks.segment import Segmenter

    if html is not None:
        check_writable(html)
    pairs = find_pairs(data, split)
    segmenter = Segmenter.load(*options.where)
    names, classes = tuple(segmenter.names), len(segmenter.names)
    if names != pairs.names:
        raise DataError(
            f"{segmenter.name!r} has the classes {', '.join(names)}; {str(data)!r} has "
            f"{', '.join(pairs.names)}. They must be the same, in the same order."
        )
    judged, contour = [], list[float]()
    for i, found in enumerate(results(pairs.pictures, segmenter, options.quiet)):
        labels = read_pair(pairs, i)[1]
        judged.append(judge(str(pairs.pictures[i]), found.labels, labels, classes, IGNORE))
        contour.append(contour_score(found.labels, labels, classes, IGNORE))
    figures = Figures.of(np.sum([one.counts for one in judged], axis=0))
    bf = float(np.nanmean(contour))
    held = counted(len(contour), "picture")
    print(f"{segmenter.name} ({segmenter.engine.label}) on {data} {split}: {held}")
    if pairs.without:
        print(f"left out for want of labels: {len(pairs.without)}, first {plain(pairs.without[0].name)}")
    print(f"mIoU {figures.miou:.4f}  class average {figures.class_average:.4f}  "
          f"accuracy {figures.accuracy:.4f}  BF {bf:.4f}")
    for name, value in zip(names, figures.iou.tolist(), strict=True):
        print(f"  {plain(name):<20} IoU {value:.4f}")
    write(options, segmenter, {
        "miou": figures.miou, "class_average": figures.class_average, "accuracy": figures.accuracy, "bf": bf,
        **{f"iou {name}": float(value) for name, value in zip(names, figures.iou, strict=True)},
    })
    if html is not None:
        facts = {"Model": f"{segmenter.name}, {segmenter.engine.label}", "Data": f"{data}, {split}: {held}"}
        title = f"{segmenter.name} on {data.name}"
        write_whole(html, page(title, facts, judged, bf, names, lambda name: next(images_of([Path(name)]))).encode())
        print(f"page: {plain(str(html))}")
