"""`vision eval action`: actions on labelled videos."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vision.cli.eval.common import write
from vision.cli.options import EvalOptions, opened
from vision.cli.text import counted
from vision.files import check_writable

if TYPE_CHECKING:
    from vision.data.videos import Videos
    from vision.io.clips import Scheme
    from vision.metrics.action import ActionFigures
    from vision.tasks.action import Recognizer
    from vision.types import Floats


def measured(
    recognizer: Recognizer, videos: Videos, quiet: bool, scheme: Scheme | None = None, crops: int = 1
) -> tuple[list[Floats], list[int]]:
    """The clips' probabilities of each video, and its label."""
    videos = videos.named(recognizer.names)
    paths = _counted(videos.paths, recognizer.name, quiet)
    return [recognizer.clip_probs(path, scheme, crops) for path in paths], list(videos.labels)


def _counted(paths: Sequence[Path], what: str, quiet: bool) -> Iterable[Path]:
    """The paths, with a bar on a terminal."""
    from rich.console import Console
    from rich.progress import track

    hidden = quiet or not sys.stderr.isatty()
    return track(paths, what, console=Console(stderr=True), disable=hidden)


def told(figures: ActionFigures, names: Any) -> None:
    """The figures as a table."""
    top5 = f"  top-5 {figures.top5:.4f}" if len(figures.confusion) > 5 else ""
    print(f"video top-1 {figures.top1:.4f}{top5}  "
          f"mean of classes {figures.class_mean:.4f}  ({counted(figures.videos, 'video')})")
    if figures.clips > figures.videos:                   # else a video is its one clip
        print(f"clip top-1  {figures.clip_top1:.4f}  ({counted(figures.clips, 'clip')})")
    for name, share, row in zip(names, figures.class_top1, figures.confusion, strict=True):
        if row.sum():
            print(f"  {name:<20} {share:.4f}  ({counted(row.sum(), 'video')})")


def plain_figures(figures: ActionFigures) -> dict[str, Any]:
    """The figures as plain values."""
    values = asdict(figures)
    if len(figures.confusion) <= 5:
        del values["top5"]                               # it would be 1 whatever was found
    if figures.clips == figures.videos:
        del values["clips"], values["clip_top1"]
    shares = [round(float(share), 6) for share in figures.class_top1]
    return {**values, "class_top1": shares, "confusion": figures.confusion.tolist()}


@opened
def action(
    options: EvalOptions,
    data: Annotated[Path, typer.Option(help="folder with a folder of videos for each class, as UCF101")],
    split: Annotated[int | None, typer.Option(min=1, max=3, help="UCF101's official lists 1, 2 or 3")] = None,
    scheme: Annotated[Literal["auto", "uniform", "dense", "centre", "whole"], typer.Option(
        help="which clips of a video; auto: ten evenly spaced, all of it for a 2D network")] = "auto",
    clips: Annotated[int | None, typer.Option(min=1, help="how many clips, evenly spaced (uniform; 10)")] = None,
    crops: Annotated[int, typer.Option(min=1, max=3, help="3: left, middle, right")] = 1,
    confusion: Annotated[Path | None, typer.Option(help="the confusion matrix as a PNG")] = None,
) -> None:
    """Top-1 and top-5 of actions, by videos and by clips; --split: UCF101's test list, else all videos."""
    from vision.chart import confusion_chart, save_png
    from vision.data.videos import find_videos, listed
    from vision.io.clips import centre, dense, uniform, whole
    from vision.metrics.action import action_figures
    from vision.tasks.action import Recognizer

    videos = find_videos(data) if split is None else listed(data, "test", split)
    if confusion is not None:
        check_writable(confusion)
    recognizer = Recognizer.load(*options.where)
    if scheme == "auto" and (clips is not None or not recognizer.card.clip.per_frame):
        scheme = "uniform"
    n = recognizer.length
    chosen = {
        "auto": whole(n), "whole": whole(n), "uniform": uniform(clips or 10, n), "centre": centre(n),
        "dense": dense(max(1, n // 2), n),
    }[scheme]
    probs, labels = measured(recognizer, videos, options.quiet, chosen, crops)
    figures = action_figures(probs, labels)
    how = f"{clips or 10} clips" if scheme == "uniform" else scheme.replace("auto", "whole")
    print(f"{recognizer.name} ({recognizer.engine.label}) on {data}: {how}, {counted(crops, 'crop')}")
    for line in videos.summary():
        print(line)
    told(figures, recognizer.names)
    if confusion is not None:
        save_png(confusion, confusion_chart(figures.confusion, recognizer.names))
    write(options, recognizer, {
        "scheme": how, "crops": crops, "names": list(recognizer.names), **plain_figures(figures),
    })
