"""`vision eval proposals`: how many objects selective search reaches."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from time import perf_counter, process_time
from typing import Annotated

import typer

from vision.cli.text import counted
from vision.errors import plain
from vision.files import check_writable, write_json


def proposals(
    data: Annotated[Path, typer.Option(
        help="pictures with boxes, as `vision train detect` reads them: COCO, YOLO or Pascal VOC in a folder, a "
             "data.yaml")],
    split: Annotated[str, typer.Option(help="which part of a data set")] = "val",
    most: Annotated[int, typer.Option(min=1, help="so many boxes a picture, the likeliest")] = 2000,
    spaces: Annotated[str, typer.Option(help="of colour: hsv, lab, rgi")] = "hsv,lab",
    scales: Annotated[str, typer.Option(help="of the first regions; larger ones leave small objects out")] = "50,100",
    pictures: Annotated[int | None, typer.Option(min=1, help="only the first so many")] = None,
    report: Annotated[Path | None, typer.Option(help="the figures as JSON")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="show no progress")] = False,
) -> None:
    """Recall of selective search's boxes, and how long it takes; difficult objects and crowds are left out."""
    from rich.console import Console
    from rich.progress import track

    from vision.cli.eval.common import images_of
    from vision.data.detection import read_detection
    from vision.metrics.proposals import proposal_figures
    from vision.proposals.search import SelectiveSearch, numbers

    if report is not None:
        check_writable(report)
    search = SelectiveSearch(tuple(spaces.split(",")), numbers(scales))
    labelled = read_detection(data, split)
    for line in labelled.summary():
        print(plain(line), file=sys.stderr)
    there = [(one, ~(one.difficult | one.crowd)) for one in labelled.pictures[:pictures]]
    images = images_of([one.path for one, _ in there])
    shown = track(images, "selective search", len(there), console=Console(stderr=True),
                  disable=quiet or not sys.stderr.isatty())
    found, seconds, used = [], [], process_time()
    for image in shown:
        began = perf_counter()
        found.append(search(image, most))
        seconds.append(perf_counter() - began)
    figures = proposal_figures(
        found, [one.boxes[keep] for one, keep in there], [one.labels[keep] for one, keep in there], labelled.names)
    mean, used = sum(seconds) / len(seconds), (process_time() - used) / len(seconds)
    print(f"selective search ({spaces}; scales {scales}) on {data}, {split}: {counted(len(there), 'picture')}, "
          f"{counted(figures.objects, 'object')}")
    print(f"{figures.boxes:.0f} boxes a picture, {mean:.2f} s, {used:.2f} s of the processor; the slowest "
          f"{max(seconds):.2f} s")
    print("recall at IoU  " + "  ".join(f"{at:g} {share:.4f}" for at, share in figures.recalls.items())
          + f"  mean best overlap {figures.best_overlap:.4f}")
    print("recall at 0.5 of the first  " + "  ".join(f"{n} {share:.4f}" for n, share in figures.by_count.items()))
    for name, share in figures.classes.items():
        print(f"  {plain(name):<20} {share:.4f}")
    if report is not None:
        write_json(report, {
            **asdict(figures), "seconds": mean, "processor_seconds": used, "spaces": spaces, "scales": scales})
