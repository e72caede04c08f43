"""What `vision train classify` adds: cross-validation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision.cli.train.going import begun_in_folds, go
from vision.errors import DataError
from vision.files import write_json

if TYPE_CHECKING:
    from vision.train.classify import ClassifySettings


def runs(settings: ClassifySettings, data: Path, output: Path, resume: bool, quiet: bool, folds: int | None) -> None:
    """Train once, or once a fold, each into its own folder, and say the mean of the figures."""
    if folds is None:
        go("classify", settings, data, output, resume, quiet)
        return
    from vision.data.pictures import dealt, read_pictures

    if not data.exists():
        raise DataError(f"there is no {str(data)!r}. Give a folder of labelled data.")
    whole, held = read_pictures(data, settings.group, settings.multilabel)
    if held is not None:
        raise DataError(f"{str(data)!r} says itself what is held out: leave --folds out, or give its train folder.")
    pairs, report = dealt(whole, folds, settings.seed), begun_in_folds(output, folds, resume)
    figures: list[dict[str, float]] = []
    words: Any = {}
    for number, pair in enumerate(pairs, start=1):
        folder = output / f"fold{number}"
        begun = resume and (folder / settings.checkpoint).exists()             # a later fold is not
        _, trained = go("classify", settings, pair, folder, begun, quiet)
        figures.append(dict(trained.figures))
        words = trained.words
    means = {name: sum(each[name] for each in figures) / folds for name in figures[0]}
    print(f"all {folds} folds: " + "  ".join(f"{word} {means[name]:.4f}" for name, word in words.items()))
    write_json(report, {"parts": folds, "mean": means, "folds": figures})
