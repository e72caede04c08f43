"""`vision eval`: a model's figures on labelled pictures."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vision.cli import segment, track
from vision.cli.options import EvalOptions, opened
from vision.cli.progress import progress, share_of

if TYPE_CHECKING:
    from vision.metrics.detection import Truth
    from vision.pipeline import Step
    from vision.tasks.model import Model
    from vision.types import Frame


def _frames(paths: Sequence[Path]) -> Iterator[Frame]:
    """The pictures as frames, in this order; a frame's time is its index."""
    from vision.io import read
    from vision.types import Frame

    for index, path in enumerate(paths):
        with read(str(path), max_frames=1) as source:
            image = next(source).image
        yield Frame(image, index, float(index), str(path))


def results(paths: Sequence[Path], step: Step, take: Callable[[int, Any], None], quiet: bool) -> None:
    """Run a step over pictures and hand each result over with its picture's index."""
    from vision.pipeline import run

    with progress(step.model, share_of(0.0, None, len(paths)), quiet=quiet) as update:
        run(_frames(paths), step, [lambda item: take(item.frame.index, item.result)], watch=update)


def _pictures_of(path: Path, truth: Truth) -> Path:
    """The folder of a COCO file's pictures, where training finds them too."""
    from vision.errors import DataError
    from vision.train.detection_layouts import coco_pictures

    root = path.parent.parent if path.parent.name == "annotations" else path.parent
    split = path.stem.removeprefix("instances_")
    try:
        return coco_pictures(root, path, split, [image["file_name"] for image in truth.images])
    except DataError as error:
        raise DataError(f"{error} Name their folder: --images FOLDER") from None


def write(options: EvalOptions, model: Model, figures: dict[str, Any]) -> None:
    """The figures as JSON, where they are asked for."""
    if options.report is not None:
        finite = {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in figures.items()}
        facts = {"model": model.name, "engine": model.engine.label, **finite}
        options.report.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


@opened
def detect(
    options: EvalOptions,
    data: Annotated[Path, typer.Option(
        help="COCO annotation file (JSON), or a data set as `vision train detect` reads it: COCO, YOLO or "
             "Pascal VOC in a folder, a data.yaml")],
    split: Annotated[str, typer.Option(help="of such a data set")] = "val",
    images: Annotated[Path | None, typer.Option(
        help="folder of a file's pictures; looked for beside it unless given")] = None,
    max_iou: Annotated[float | None, typer.Option(min=0, max=1, help="of suppression")] = None,
    html: Annotated[Path | None, typer.Option(
        help="a page with plots, the confusion matrix and the worst pictures")] = None,
) -> None:
    """Average precision of a detector: scores from 0.01, at most 100 boxes a picture."""
    from vision.metrics.detection import Truth, coco_rows, precision_table, summary
    from vision.pipeline import apply
    from vision.tasks.detect import Detector
    from vision.train.detection_data import read_detection
    from vision.types import Detections

    if data.suffix == ".json":
        truth = Truth.load(data)
        folder = images or _pictures_of(data, truth)
    else:
        labelled = read_detection(data, split)
        for line in labelled.summary():
            print(line, file=sys.stderr)
        truth, folder = labelled.truth(), Path()                          # file names are whole paths
    detector = Detector.load(*options.where)
    truth, category_of, unknown = truth.restricted(detector.names)
    submit = partial(detector.submit, min_score=0.01, max_detections=100, max_iou=max_iou)
    found: list[Detections] = []
    results(
        [folder / image["file_name"] for image in truth.images], apply(detector, submit),
        lambda _, objects: found.append(objects), options.quiet,
    )
    rows = [coco_rows(i["id"], objects, category_of) for i, objects in zip(truth.images, found, strict=True)]
    table = precision_table(truth, chain.from_iterable(rows))
    figures = summary(table, truth.names)
    print(f"{detector.name} ({detector.engine.label}) on {data}: "
          f"{len(truth.images)} pictures, {len(truth.annotations)} objects")
    if unknown:
        print(f"classes that the model does not know, left out: {', '.join(unknown)}")
    print(f"AP {figures.ap:.4f}  AP50 {figures.ap50:.4f}  AP75 {figures.ap75:.4f}  "
          f"small {figures.small:.4f}  medium {figures.medium:.4f}  large {figures.large:.4f}")
    for of_class, (ap, ap50) in figures.classes.items():
        print(f"  {of_class:<20} AP {ap:.4f}  AP50 {ap50:.4f}")
    write(options, detector, asdict(figures))
    if html is not None:
        from vision.metrics.detection_errors import judge
        from vision.metrics.detection_page import page

        difficult = sum(a["iscrowd"] for a in truth.annotations)
        name = (data if data.is_dir() else data.parent).name
        facts = {
            "Model": f"{detector.name}, {detector.engine.label}",
            "Data": f"{data}: {len(truth.images)} pictures, {len(truth.annotations)} objects, "
                    f"{difficult} of them difficult (not judged)",
        }
        min_score = detector.card.min_score
        judged = judge(truth, found, category_of, min_score)
        html.write_text(page(
            f"{detector.name} on {name}", facts, figures, table[0, :, :, 0, -1], judged, folder,
            truth.names, min_score,
        ), encoding="utf-8")


@opened
def classify(
    options: EvalOptions,
    data: Annotated[Path, typer.Option(help="CSV with columns file and label or class_id")],
) -> None:
    """Top-1 and top-5 accuracy of a classifier."""
    from vision.metrics.classification import accuracy, labelled_pictures
    from vision.pipeline import apply
    from vision.tasks.classify import Classifier
    from vision.types import Scores

    classifier = Classifier.load(*options.where)
    pictures, missing = labelled_pictures(data, classifier.names)
    scores: list[Scores] = []
    paths = [path for path, _ in pictures]
    results(paths, apply(classifier), lambda _, found: scores.append(found), options.quiet)
    labels = [label for _, label in pictures]
    top1, top5 = accuracy(scores, labels, 1), accuracy(scores, labels, 5)
    print(f"{classifier.name} ({classifier.engine.label}) on {data}: {len(pictures)} pictures"
          + (f"; {missing} rows without a file" if missing else ""))
    print(f"top-1 {top1:.4f}  top-5 {top5:.4f}")
    write(options, classifier, {"top1": top1, "top5": top5})


@opened
def landmarks(
    options: EvalOptions,
    data: Annotated[Path, typer.Option(help="CSV of image, x0, y0 ... x67, y67, or dlib's XML")],
    images: Annotated[Path | None, typer.Option(
        help="folder of the pictures; `images` beside a CSV, an XML's own folder unless given")] = None,
) -> None:
    """Normalised mean error of face landmarks on the iBUG 68 points."""
    from vision.metrics.landmarks import FAILED, compare, labelled_faces
    from vision.people.landmarks import FaceLandmarker
    from vision.people.mesh import IBUG68
    from vision.pipeline import apply
    from vision.types import Floats

    pictures = labelled_faces(data, images)
    landmarker = FaceLandmarker.load(*options.where)
    found: list[Floats] = []
    results(
        [picture.path for picture in pictures], apply(landmarker),
        lambda _, faces: found.append(faces.points[:, IBUG68]), options.quiet,
    )
    figures = compare([picture.points for picture in pictures], found).summary()
    print(f"{landmarker.name} ({landmarker.engine.label}) on {data}: {len(pictures)} pictures, "
          f"{figures['found']} of {figures['faces']} faces found, {figures['surplus']} others")
    print(f"NME over outer eye corners: all 68 {figures['nme_ocular']:.4f}  inner 51 "
          f"{figures['nme_inner']:.4f}  jaw 17 {figures['nme_jaw']:.4f}; "
          f"over eye centres: all 68 {figures['nme_pupil']:.4f}")
    print(f"P90 {figures['p90']:.4f}  failures (above {FAILED}, or not found) {figures['failure_rate']:.4f}")
    write(options, landmarker, figures)


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    from vision.cli.action_train import evaluate as evaluate_action

    group = typer.Typer(help="A model's figures on labelled pictures.", no_args_is_help=True)
    group.command("detect")(detect)
    group.command("classify")(classify)
    group.command("segment")(segment.evaluate)
    group.command("landmarks")(landmarks)
    group.command("action")(evaluate_action)
    group.command("track")(track.evaluate)
    app.add_typer(group, name="eval")
