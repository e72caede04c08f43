"""`vision eval`: a model's figures on labelled pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vision.cli import segment, track
from vision.cli.progress import progress, share_of

if TYPE_CHECKING:
    from vision.pipeline import Step
    from vision.types import Frame

Model = Annotated[str, typer.Option(help="a name of `vision models`, or a path to weights")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps")]
Precision = Annotated[str, typer.Option(help="auto, fp32, fp16, bf16")]
Backend = Annotated[str, typer.Option(help="auto, torch, openvino, onnxruntime, opencv")]
Report = Annotated[Path | None, typer.Option(help="the figures as JSON")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="no progress")]


def _frames(paths: Sequence[Path]) -> Iterator[Frame]:
    """The pictures as frames, in this order; a frame's time is its index."""
    from vision.io import read
    from vision.types import Frame

    for index, path in enumerate(paths):
        with read(str(path), max_frames=1) as source:
            image = next(source).image
        yield Frame(image, index, float(index), str(path))


def _results(paths: Sequence[Path], step: Step, take: Callable[[int, Any], None], quiet: bool) -> None:
    """Run a step over pictures and hand each result over with its picture's index."""
    from vision.pipeline import run

    with progress(step.model, share_of(0.0, None, len(paths)), quiet=quiet) as update:
        run(_frames(paths), step, [lambda item: take(item.frame.index, item.result)], watch=update)


def _write(report: Path | None, figures: dict[str, Any]) -> None:
    if report is not None:
        finite = {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in figures.items()}
        report.write_text(json.dumps(finite, indent=1) + "\n", encoding="utf-8")


def detect(
    data: Annotated[Path, typer.Option(help="COCO annotation file (JSON)")],
    images: Annotated[Path | None, typer.Option(
        help="folder of the pictures; `images` beside the file unless given")] = None,
    model: Model = "default",
    device: Device = "auto",
    precision: Precision = "auto",
    backend: Backend = "auto",
    max_iou: Annotated[float | None, typer.Option(min=0, max=1, help="of suppression")] = None,
    report: Report = None,
    quiet: Quiet = False,
) -> None:
    """Average precision of a detector: scores from 0.01, at most 100 boxes a picture."""
    from vision.metrics.detection import Truth, average_precision, coco_rows
    from vision.pipeline import apply
    from vision.tasks.detect import Detector

    truth = Truth.load(data)
    detector = Detector.load(model, device, precision, backend)
    truth, category_of, unknown = truth.restricted(detector.names)
    folder = images or data.parent / "images"
    submit = partial(detector.submit, min_score=0.01, max_detections=100, max_iou=max_iou)
    rows: list[dict[str, Any]] = []
    _results(
        [folder / image["file_name"] for image in truth.images], apply(detector, submit),
        lambda i, found: rows.extend(coco_rows(truth.images[i]["id"], found, category_of)), quiet,
    )
    figures = average_precision(truth, rows)
    print(f"{detector.name} ({detector.engine.label}) on {data}: "
          f"{len(truth.images)} pictures, {len(truth.annotations)} objects")
    if unknown:
        print(f"classes that the model does not know, left out: {', '.join(unknown)}")
    print(f"AP {figures.ap:.4f}  AP50 {figures.ap50:.4f}  AP75 {figures.ap75:.4f}  "
          f"small {figures.small:.4f}  medium {figures.medium:.4f}  large {figures.large:.4f}")
    for name, (ap, ap50) in figures.classes.items():
        print(f"  {name:<20} AP {ap:.4f}  AP50 {ap50:.4f}")
    _write(report, {"model": detector.name, "engine": detector.engine.label, **asdict(figures)})


def classify(
    data: Annotated[Path, typer.Option(help="CSV with columns file and label or class_id")],
    model: Model = "default",
    device: Device = "auto",
    precision: Precision = "auto",
    backend: Backend = "auto",
    report: Report = None,
    quiet: Quiet = False,
) -> None:
    """Top-1 and top-5 accuracy of a classifier."""
    from vision.metrics.classification import accuracy, labelled_pictures
    from vision.pipeline import apply
    from vision.tasks.classify import Classifier
    from vision.types import Scores

    classifier = Classifier.load(model, device, precision, backend)
    pictures, missing = labelled_pictures(data, classifier.names)
    scores: list[Scores] = []
    _results([path for path, _ in pictures], apply(classifier), lambda _, found: scores.append(found), quiet)
    labels = [label for _, label in pictures]
    top1, top5 = accuracy(scores, labels, 1), accuracy(scores, labels, 5)
    print(f"{classifier.name} ({classifier.engine.label}) on {data}: {len(pictures)} pictures"
          + (f"; {missing} rows without a file" if missing else ""))
    print(f"top-1 {top1:.4f}  top-5 {top5:.4f}")
    _write(report, {"model": classifier.name, "engine": classifier.engine.label, "top1": top1, "top5": top5})


def landmarks(
    data: Annotated[Path, typer.Option(help="CSV of image, x0, y0 ... x67, y67, or dlib's XML")],
    images: Annotated[Path | None, typer.Option(
        help="folder of the pictures; `images` beside a CSV, an XML's own folder unless given")] = None,
    model: Model = "default",
    device: Device = "auto",
    precision: Precision = "auto",
    backend: Backend = "auto",
    report: Report = None,
    quiet: Quiet = False,
) -> None:
    """Normalised mean error of face landmarks on the iBUG 68 points."""
    from vision.faces.mesh import IBUG68
    from vision.metrics.landmarks import FAILED, compare, labelled_faces
    from vision.pipeline import apply
    from vision.tasks.landmarks import FaceLandmarker
    from vision.types import Floats

    pictures = labelled_faces(data, images)
    landmarker = FaceLandmarker.load(model, device, precision, backend)
    found: list[Floats] = []
    _results(
        [picture.path for picture in pictures], apply(landmarker),
        lambda _, faces: found.append(faces.points[:, IBUG68]), quiet,
    )
    figures = compare([picture.points for picture in pictures], found).summary()
    print(f"{landmarker.name} ({landmarker.engine.label}) on {data}: {len(pictures)} pictures, "
          f"{figures['found']} of {figures['faces']} faces found, {figures['surplus']} others")
    print(f"NME over outer eye corners: all 68 {figures['nme_ocular']:.4f}  inner 51 "
          f"{figures['nme_inner']:.4f}  jaw 17 {figures['nme_jaw']:.4f}; "
          f"over eye centres: all 68 {figures['nme_pupil']:.4f}")
    print(f"P90 {figures['p90']:.4f}  failures (above {FAILED}, or not found) {figures['failure_rate']:.4f}")
    _write(report, {"model": landmarker.name, "engine": landmarker.engine.label, **figures})


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
