"""`vision eval action`: actions on labelled videos."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vision.cli.eval.common import ask_for, write
from vision.cli.options import EvalOptions, opened
from vision.cli.text import counted
from vision.errors import SourceError, plain
from vision.files import check_writable, write_whole

if TYPE_CHECKING:
    from vision.data.videos import Videos
    from vision.io.clips import Scheme
    from vision.metrics.action import ActionFigures
    from vision.tasks.action import Recognizer
    from vision.types import Floats, Image


def measured(
    recognizer: Recognizer, videos: Videos, quiet: bool, scheme: Scheme | None = None, crops: int = 1
) -> tuple[list[Floats], list[int]]:
    """The clips' probabilities of each video, and its label. Where no video shows none of the actions, none is no
    answer."""
    labelled = videos.named(recognizer.names)
    paths = _counted(labelled.paths, recognizer.name, quiet)
    probs = [recognizer.clip_probs(path, scheme, crops) for path in paths]
    if recognizer.none is not None and recognizer.none not in labelled.labels:
        for one in probs:
            one[:, recognizer.none] = 0
            one /= one.sum(axis=1, keepdims=True)
    return probs, list(labelled.labels)


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
    html: Annotated[Path | None, typer.Option(
        help="a page with curves, calibration, the confusion matrix and the surest mistakes")] = None,
) -> None:
    """Top-1 and top-5 of actions, by videos and by clips; --split: UCF101's test list, else all videos."""
    from vision.chart import confusion_chart, save_png
    from vision.data.videos import find_videos, listed
    from vision.io.clips import centre, dense, uniform, whole
    from vision.metrics.action import action_figures
    from vision.tasks.action import Recognizer

    videos = find_videos(data) if split is None else listed(data, "test", split)
    for path in (confusion, html):
        if path is not None:
            check_writable(path)
    if html is not None:
        ask_for("torchmetrics", "the page")
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
    write(options, recognizer, {
        "scheme": how, "crops": crops, "names": list(recognizer.names), **plain_figures(figures),
    })
    if confusion is not None:
        save_png(confusion, confusion_chart(figures.confusion, recognizer.names))
    if html is not None:
        _page(html, recognizer, data, videos, [p.mean(axis=0) for p in probs], labels)


def _page(
    html: Path, recognizer: Recognizer, data: Path, videos: Videos, probs: Sequence[Floats], labels: Sequence[int]
) -> None:
    """The same page as a classifier's, with three frames of each video that was taken for another action."""
    import numpy as np

    from vision.metrics.classification_page import Wrong, page
    from vision.metrics.classification_report import report

    best = [int(p.argmax()) for p in probs]
    wrong = [
        Wrong(str(path), label, found, float(p[found]))
        for path, label, found, p in zip(videos.paths, labels, best, probs, strict=True) if found != label
    ]
    facts = {"Model": f"{recognizer.name}, {recognizer.engine.label}",
             "Data": f"{data}: {counted(len(labels), 'video')}"}
    made = report(np.stack(probs), np.array(labels))
    title = f"{recognizer.name} on {data.name}"
    write_whole(html, page(title, facts, made, recognizer.names, wrong, _strip, "videos", 348).encode())
    print(f"page: {plain(str(html))}")


def _strip(name: str) -> Image | None:
    """Three frames of a video side by side: near its beginning, in the middle, near its end."""
    import numpy as np

    from vision.io.clips import read_clips
    from vision.metrics.page_parts import fitted

    def spread(times: Any) -> Any:
        return np.rint(np.array([[0.1, 0.5, 0.9]]) * (len(times) - 1)).astype(np.int64)

    try:
        return np.concatenate(list(read_clips(name, spread, lambda image: fitted(image, 116))[0]), axis=1)
    except SourceError:
        return None
