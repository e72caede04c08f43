"""`vision train action` and `vision eval action`: actions on labelled videos."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vision.cli.options import EvalOptions, opened
from vision.cli.train import prepare, with_settings
from vision.errors import UsageError
from vision.train.settings import Settings

if TYPE_CHECKING:
    from vision.io.clips import Scheme
    from vision.metrics.action import ActionFigures
    from vision.tasks.action import Recognizer
    from vision.train.action import Recipe
    from vision.train.clips import Videos
    from vision.types import Floats

Data = Annotated[Path, typer.Option(help="folder with a folder of videos for each class, as UCF101")]
Split = Annotated[int | None, typer.Option(min=1, max=3, help="UCF101's official lists 1, 2 or 3")]


def parts(data: Path, split: int | None, folds: int | None, everything: bool) -> list[tuple[Videos, Videos]]:
    """Pairs of training and held-out videos."""
    from vision.train import clips

    if sum((split is not None, folds is not None, everything)) != 1:
        raise UsageError(
            f"say what is held out: vision train action --data {data} -o FOLDER --folds 5 (cross-validation "
            "by group), or in its place --split 1 (UCF101's list), or --everything (nothing)."
        )
    if split is not None:
        (train, lacking), (test, absent) = (clips.listed(data, kind, split) for kind in ("train", "test"))
        if lacking + absent:
            print(f"{lacking + absent} videos of the lists are not in {data}: left out")
        return [(train, test)]
    videos = clips.find_videos(data)
    return clips.folds(videos, folds) if folds is not None else [(videos, videos)]


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
    print(f"video top-1 {figures.top1:.4f}  top-5 {figures.top5:.4f}  "
          f"mean of classes {figures.class_mean:.4f}  ({figures.videos} videos)")
    print(f"clip top-1  {figures.clip_top1:.4f}  ({figures.clips} clips)")
    for name, share, row in zip(names, figures.class_top1, figures.confusion, strict=True):
        if row.sum():
            print(f"  {name:<20} {share:.4f}  ({row.sum()} videos)")


def plain(figures: ActionFigures) -> dict[str, Any]:
    """The figures as plain values."""
    values = asdict(figures)
    values["class_top1"] = [None if v != v else round(float(v), 6) for v in figures.class_top1]
    return {**values, "confusion": figures.confusion.tolist()}


@opened
def evaluate(
    options: EvalOptions,
    data: Data,
    split: Split = None,
    scheme: Annotated[Literal["auto", "uniform", "dense", "centre", "whole"], typer.Option(
        help="which clips of a video; auto: ten evenly spaced, all of it for a 2D network")] = "auto",
    clips: Annotated[int | None, typer.Option(min=1, help="so many, evenly spaced (uniform; 10)")] = None,
    crops: Annotated[int, typer.Option(min=1, max=3, help="3: left, middle, right")] = 1,
    confusion: Annotated[Path | None, typer.Option(help="the confusion matrix as a PNG")] = None,
) -> None:
    """Top-1 and top-5 of actions, by videos and by clips; --split: UCF101's test list, else all videos."""
    from vision.chart import confusion_chart, save_png
    from vision.io.clips import centre, dense, uniform, whole
    from vision.metrics.action import action_figures
    from vision.tasks.action import Recognizer
    from vision.train.clips import find_videos, listed

    recognizer = Recognizer.load(*options.where)
    if scheme == "auto" and (clips is not None or not recognizer.card.clip.per_frame):
        scheme = "uniform"
    n = recognizer.length
    chosen = {
        "auto": whole(n), "whole": whole(n), "uniform": uniform(clips or 10, n), "centre": centre(n),
        "dense": dense(max(1, n // 2), n),
    }[scheme]
    videos, missing = (find_videos(data), 0) if split is None else listed(data, "test", split)
    probs, labels = measured(recognizer, videos, options.quiet, chosen, crops)
    figures = action_figures(probs, labels)
    how = f"{clips or 10} clips" if scheme == "uniform" else scheme.replace("auto", "whole")
    print(f"{recognizer.name} ({recognizer.engine.label}) on {data}: {how}, {crops} crop" + "s" * (crops > 1))
    if missing:
        print(f"{missing} videos of test list {split} are not there: left out")
    told(figures, recognizer.names)
    if confusion is not None:
        save_png(confusion, confusion_chart(figures.confusion, recognizer.names))
    if options.report is not None:
        facts = {"model": recognizer.name, "engine": recognizer.engine.label, "scheme": how, "crops": crops,
                 "missing": missing, "names": list(recognizer.names), **plain(figures)}
        options.report.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


@with_settings(epochs=24, batch=9, weight_decay=0.02)
def train(
    settings: Settings,
    data: Data,
    output: Annotated[Path, typer.Option("-o", "--output", help="folder of the run; of the folds' runs")],
    model: Annotated[str, typer.Option(
        help="c3d, c3d-lite, r3d_18, mc3_18, r2plus1d_18, mobilenet-average, -shift or -two-stream",
    )] = "mobilenet-two-stream",
    split: Split = None,
    folds: Annotated[int | None, typer.Option(min=2, help="cross-validate by group")] = None,
    everything: Annotated[bool, typer.Option("--everything", help="hold nothing out")] = False,
    linear_svm: Annotated[bool, typer.Option(
        "--linear-svm", help="freeze the network and fit a linear SVM on its descriptors; of two streams "
                             "that is the one way")] = False,
    feature: Annotated[str | None, typer.Option(help="the SVM's descriptor: fc6, pool5, pool")] = None,
    samples: Annotated[int, typer.Option(min=1, help="clips of each video an epoch")] = 4,
    weights: Annotated[Path | None, typer.Option(
        help="weights to start from; the last layer may have other classes")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on after the run's last whole epoch")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="no progress")] = False,
) -> None:
    """Action recognition, on folders of videos."""
    prepare()
    from vision.metrics.action import action_figures
    from vision.tasks.action import Recognizer
    from vision.train.action import recipe_of, train_action

    recipe = replace(recipe_of(model), samples=samples)
    pairs = parts(data, split, folds, everything)
    if recipe.channels == "two-stream" and not linear_svm:
        print(f"{model} stays as it is, and its last layer is fitted: a linear SVM", file=sys.stderr)
        linear_svm = True
    probs: list[Floats] = []
    labels: list[int] = []
    rows: dict[Path, Floats] = {}                          # descriptors: the same in all folds
    for n, (learned, held) in enumerate(pairs, start=1):
        folder = output / f"fold{n}" if folds else output
        if linear_svm:
            kept = _svm(recipe, learned, folder, weights, feature, rows, quiet)
        else:
            begun = resume and (not folds or (folder / "last.ckpt").exists())      # a later fold is not
            kept = train_action(
                learned, held, recipe, settings, folder, weights=weights, resume=begun, progress=not quiet
            ).weights
        print(f"weights with their card: {kept}")
        if not everything:
            found, truth = measured(Recognizer.load(kept), held, quiet)
            probs += found
            labels += truth
            told(action_figures(found, truth), learned.names)
    if len(pairs) > 1:
        print(f"all {len(pairs)} folds:")
        told(figures := action_figures(probs, labels), pairs[0][0].names)
        (output / "folds.json").write_text(json.dumps(plain(figures), indent=1) + "\n", encoding="utf-8")


def _svm(
    recipe: Recipe, videos: Videos, folder: Path, weights: Path | None, feature: str | None,
    rows: dict[Path, Floats], quiet: bool,
) -> Path:
    """Fit the SVM and make it the network's last layer."""
    import numpy as np

    from vision.io.clips import whole
    from vision.tasks.action import Recognizer
    from vision.train.action import linear_svm, started, with_head
    from vision.train.fit import save_weights

    if not recipe.per_frame:
        raise UsageError(
            "--linear-svm is for 2D networks, whose last layer it becomes. For C3D write the descriptors "
            "(vision action VIDEO --features fc6) and fit them with vision.train.action.linear_svm."
        )
    net, card = started(recipe, videos, folder.name, weights)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "best.safetensors"
    save_weights(path, net, card, {})
    if any(p not in rows for p in videos.paths):
        frozen = Recognizer.load(path)
        for video in _counted([p for p in videos.paths if p not in rows], "descriptors", quiet):
            rows[video] = frozen.features(video, feature or card.clip.features[0], whole(frozen.length))[0]
    head = linear_svm(np.stack([rows[p] for p in videos.paths]), videos.labels)
    save_weights(path, with_head(net, *head), card, {"head": "linear SVM", "videos": len(videos)})
    return path
