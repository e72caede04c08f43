"""`vision eval classify`: how good a classifier is, in figures and on a page."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vision.cli.eval.common import ask_for, results, write
from vision.cli.options import EvalOptions, opened
from vision.cli.text import counted
from vision.errors import DataError, SourceError, plain
from vision.files import check_writable, write_whole

if TYPE_CHECKING:
    from vision.tasks.classify import Classifier
    from vision.types import Image


Crop = Literal["centre", "letterbox", "stretch", "ten"]


@opened
def classify(
    options: EvalOptions,
    data: Annotated[Path, typer.Option(
        help="folder with a folder of pictures for each class, or a CSV with the columns file and label or class_id")],
    html: Annotated[Path | None, typer.Option(
        help="a page with curves, calibration, the confusion matrix and the surest mistakes")] = None,
    crop: Annotated[Crop | None, typer.Option(help="what is seen of a picture; as the card says unless given")] = None,
) -> None:
    """Top-1 and top-5 accuracy of a classifier; mAP where a picture may be of several classes."""
    import numpy as np

    from vision.data.classification import labelled_pictures
    from vision.metrics.classification import accuracy
    from vision.tasks.classify import Classifier
    from vision.zoo import find, members

    if html is not None:
        check_writable(html)
        ask_for("torchmetrics", "the page")
    card = find((*members(options.model), options.model)[0], "classify")
    if card.config.get("multilabel"):
        ask_for("torchmetrics", "the mean average precision")
        _several(options, data, html, crop, card.classes)
        return
    pictures, left_out = labelled_pictures(data, card.classes)
    classifier = Classifier.load(*options.where)
    paths = [path for path, _ in pictures]
    scores = list(results(paths, classifier, options.quiet, partial(classifier.submit, crop=crop)))
    labels = [label for _, label in pictures]
    figures = {f"top{k}": accuracy(scores, labels, k) for k in (1, 5) if k == 1 or len(classifier.names) > k}
    print(f"{classifier.name} ({classifier.engine.label}) on {data}: {counted(len(pictures), 'picture')}")
    for line in left_out:
        print(plain(line))
    print("  ".join(f"{name.replace('top', 'top-')} {share:.4f}" for name, share in figures.items()))
    probs = np.stack([one.probs for one in scores])
    _told(options, classifier, html, data, paths, probs, np.array(labels), figures)


def _several(options: EvalOptions, data: Path, html: Path | None, crop: Crop | None, names: tuple[str, ...]) -> None:
    """Several classes a picture: a CSV with labels as `dog|grass`."""
    import numpy as np

    from vision.data.pictures import read_pictures
    from vision.tasks.classify import Classifier

    train, held = read_pictures(data, multilabel=True)
    pictures = held or train
    if unknown := sorted(set(pictures.names) - set(names)):
        raise DataError(f"{str(data)!r} has the classes {', '.join(unknown[:5])}, which the model does not know.")
    classifier = Classifier.load(*options.where)
    submit = partial(classifier.submit, crop=crop)
    probs = np.stack([one.probs for one in results(pictures.paths, classifier, options.quiet, submit)])
    ones = np.zeros((len(pictures), len(names)), np.int64)
    for row, labels in enumerate(pictures.labels):
        ones[row, [names.index(pictures.names[label]) for label in labels]] = 1
    print(f"{classifier.name} ({classifier.engine.label}) on {data}: {counted(len(pictures), 'picture')}")
    _told(options, classifier, html, data, pictures.paths, probs, ones, {})


def _told(
    options: EvalOptions, classifier: Classifier, html: Path | None, data: Path, paths: Any, probs: Any, labels: Any,
    figures: dict[str, float],
) -> None:
    """The other figures, where there is what does their arithmetic; and the page."""
    if find_spec("torchmetrics") is None:
        write(options, classifier, figures)
        return
    from vision.metrics.classification_page import Wrong, page
    from vision.metrics.classification_report import report

    made = report(probs, labels)
    told = {"map": "mAP", "balanced": "balanced", "f1": "F1", "mcc": "MCC", "ece": "ECE", "roc": "ROC area"}
    print("  ".join(f"{word} {made.figures[name]:.4f}" for name, word in told.items() if name in made.figures))
    write(options, classifier, {**figures, **made.figures})
    if html is None:
        return
    best = probs.argmax(1)
    wrong = [] if labels.ndim == 2 else [
        Wrong(str(paths[i]), int(labels[i]), int(best[i]), float(probs[i, best[i]]))
        for i in range(len(paths)) if best[i] != labels[i]
    ]
    facts = {"Model": f"{classifier.name}, {classifier.engine.label}",
             "Data": f"{data}: {counted(len(paths), 'picture')}"}
    title = f"{classifier.name} on {data.name}"
    write_whole(html, page(title, facts, made, classifier.names, wrong, _picture).encode())
    print(f"page: {plain(str(html))}")


def _picture(name: str) -> Image | None:
    from vision.io import read

    try:
        with read(name, max_frames=1) as source:
            return next(source).image
    except (SourceError, StopIteration):
        return None
