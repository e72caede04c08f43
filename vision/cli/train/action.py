"""What `vision train action` adds: cross-validation, and the figures of what was held out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision.cli.eval.action import measured, plain_figures, told
from vision.cli.train.going import begun_in_folds, go
from vision.errors import UsageError
from vision.files import write_json

if TYPE_CHECKING:
    from vision.train.action import ActionSettings
    from vision.types import Floats


def measured_runs(
    settings: ActionSettings, data: Path, output: Path, resume: bool, quiet: bool, folds: int | None,
) -> None:
    """Train once, or once a fold, and say how well what was held out is recognised."""
    from vision.data.videos import find_videos
    from vision.data.videos import folds as dealt
    from vision.metrics.action import action_figures
    from vision.tasks.action import Recognizer
    from vision.train.action import RECIPE

    if folds is not None and (settings.split is not None or settings.everything):
        raise UsageError("--folds, --split and --everything say what is held out: give one of them.")
    settled = RECIPE.settle(settings)
    if settled.linear_svm and not settings.linear_svm:
        print(f"{settings.model} stays as it is, and its last layer is fitted: a linear SVM", file=sys.stderr)
    probs: list[Floats] = []
    labels: list[int] = []
    shared: dict[Any, Any] = {}                            # descriptors are the same in all folds
    pairs: list[Any] = [data] if folds is None else dealt(find_videos(data), folds)
    report = None if folds is None else begun_in_folds(output, folds, resume)
    for n, pair in enumerate(pairs, start=1):
        folder = output / f"fold{n}" if folds else output
        begun = resume and (not folds or (folder / settled.checkpoint).exists())      # a later fold is not
        training, trained = go("action", settled, pair, folder, begun, quiet, shared)
        if settings.everything:
            continue
        with Recognizer.load(trained.weights) as recognizer:
            found, truth = measured(recognizer, training.data[1], quiet)
        probs += found
        labels += truth
        told(action_figures(found, truth), training.names)
    if report is not None:
        print(f"all {folds} folds:")
        told(figures := action_figures(probs, labels), training.names)
        write_json(report, {"parts": folds, **plain_figures(figures)})
