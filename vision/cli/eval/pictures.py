"""`vision eval`: a model's figures on labelled pictures."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from itertools import chain
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Annotated

import typer

from vision.cli.eval.common import ask_for, results, write
from vision.cli.options import EvalOptions, opened
from vision.cli.text import counted
from vision.errors import DataError, SourceError, plain
from vision.files import check_writable, write_whole

if TYPE_CHECKING:
    from vision.data.truth import Truth
    from vision.metrics.detection import AveragePrecision


def pictures_of(path: Path, truth: Truth) -> Path:
    """The folder of a COCO file's pictures, where training finds them too."""
    from vision.data.layouts import coco_pictures

    root = path.parent.parent if path.parent.name == "annotations" else path.parent
    split = path.stem.removeprefix("instances_")
    try:
        return coco_pictures(root, path, split, [image["file_name"] for image in truth.images])
    except DataError as error:
        raise DataError(f"{error} Name their folder: --images FOLDER") from None


def check_sizes(folder: Path, truth: Truth) -> None:
    """Raise DataError for a picture that has another size than its labels are for: nothing would be found there."""
    from vision.io.pictures import picture_size

    for image in truth.images:
        wanted = image.get("width"), image.get("height")
        with suppress(SourceError, OSError):             # what is broken or gone is told when it is read
            found = picture_size(folder / image["file_name"])
            if all(wanted) and found not in (wanted, wanted[::-1]):
                raise DataError(f"{image['file_name']!r} has {found[0]}x{found[1]} pixels, and its labels are for "
                                f"{wanted[0]}x{wanted[1]}. Give the pictures that were labelled.")


@opened
def detect(
    options: EvalOptions,
    data: Annotated[Path, typer.Option(
        help="COCO annotation file (JSON), or a data set as `vision train detect` reads it: COCO, YOLO or "
             "Pascal VOC in a folder, a data.yaml")],
    split: Annotated[str, typer.Option(help="which part of a data set")] = "val",
    images: Annotated[Path | None, typer.Option(
        help="folder of the pictures that the file names; beside it unless given")] = None,
    max_iou: Annotated[float | None, typer.Option(
        min=0, max=1, help="of two boxes of one class that overlap by more, only the better is kept")] = None,
    pictures: Annotated[int | None, typer.Option(min=1, help="only the first so many")] = None,
    tiles: Annotated[bool, typer.Option("--tiles", help="windows at full resolution, too")] = False,
    html: Annotated[Path | None, typer.Option(
        help="a page with plots, the confusion matrix and the worst pictures")] = None,
) -> None:
    """Average precision of a detector: scores from 0.01, at most 100 boxes a picture."""
    from vision.metrics.detection import coco_rows, precision_table, summary
    from vision.tasks.detect import Detector

    if html is not None:
        check_writable(html)
    truth, folder = _labelled(data, split, images, pictures)
    ask_for("faster-coco-eval", "average precision")
    detector = Detector.load(*options.where)
    truth, category_of, unknown = truth.restricted(detector.names)
    submit = partial(detector.submit, min_score=0.01, max_detections=100, max_iou=max_iou, tiles=tiles)
    paths = [folder / image["file_name"] for image in truth.images]
    began = perf_counter(), process_time()
    found = list(results(paths, detector, options.quiet, submit))
    times = _times(began, len(paths), getattr(detector.engine, "spent", {}))
    rows = [coco_rows(i["id"], objects, category_of) for i, objects in zip(truth.images, found, strict=True)]
    table = precision_table(truth, chain.from_iterable(rows))
    figures = summary(table, truth.names)
    difficult = sum(a["iscrowd"] for a in truth.annotations)
    held = (f"{counted(len(truth.images), 'picture')}, {counted(len(truth.annotations) - difficult, 'object')}"
            + (f" and {difficult} difficult or crowded, not judged" if difficult else ""))
    print(f"{detector.name} ({detector.engine.label}) on {data}: {held}")
    if unknown:
        print(plain(f"classes that the model does not know, left out: {', '.join(unknown)}"))
    _say(figures, times)
    objects = len(truth.annotations) - difficult
    write(options, detector, {
        **asdict(figures), "pictures": len(truth.images), "objects": objects, "difficult": difficult,
        "milliseconds": times})
    if html is not None:
        from vision.metrics.detection_errors import judge
        from vision.metrics.detection_page import page

        name = (data if data.is_dir() else data.parent).name
        facts = {
            "Model": f"{detector.name}, {detector.engine.label}",
            "Data": f"{data}: {held}",
        }
        min_score = detector.card.min_score
        judged = judge(truth, found, category_of, min_score)
        write_whole(html, page(
            f"{detector.name} on {name}", facts, figures, table[0, :, :, 0, -1], judged, folder,
            truth.names, min_score,
        ).encode())


def _labelled(data: Path, split: str, images: Path | None, most: int | None) -> tuple[Truth, Path]:
    """What is labelled, and the folder that its file names are in. Raises DataError."""
    from vision.data.detection import read_detection
    from vision.data.truth import Truth

    if data.suffix != ".json":
        labelled = read_detection(data, split)
        for line in labelled.summary():
            print(plain(line), file=sys.stderr)
        return labelled.truth().first(most), Path()      # file names are whole paths
    truth = Truth.load(data)
    folder = images or pictures_of(data, truth)
    truth = truth.first(most)
    check_sizes(folder, truth)
    return truth, folder


def _say(figures: AveragePrecision, times: dict[str, float]) -> None:
    """Print a detector's figures, and what a picture took."""
    print(f"AP {figures.ap:.4f}  AP50 {figures.ap50:.4f}  AP75 {figures.ap75:.4f}  "
          f"small {figures.small:.4f}  medium {figures.medium:.4f}  large {figures.large:.4f}")
    print(f"{times['wall']:.0f} ms a picture, reading included; processor time {times['processor']:.0f} ms"
          + "".join(f"; {what} {spent:.0f} ms" for what, spent in list(times.items())[2:]))
    for of_class, (ap, ap50) in figures.classes.items():
        print(f"  {plain(of_class):<20} AP {ap:.4f}  AP50 {ap50:.4f}")


def _times(began: tuple[float, float], pictures: int, spent: dict[str, float]) -> dict[str, float]:
    """Milliseconds a picture: on the clock, of the processor, and what an engine says that it spent them on."""
    used = {"wall": perf_counter() - began[0], "processor": process_time() - began[1], **spent}
    return {what: 1000 * seconds / max(1, pictures) for what, seconds in used.items()}


@opened
def landmarks(
    options: EvalOptions,
    data: Annotated[Path, typer.Option(help="CSV of image, x0, y0 ... x67, y67, or dlib's XML")],
    images: Annotated[Path | None, typer.Option(
        help="folder of the pictures; `images` beside a CSV, an XML's own folder unless given")] = None,
) -> None:
    """Normalised mean error of face landmarks on the iBUG 68 points."""
    from vision.data.faces import labelled_faces
    from vision.metrics.landmarks import FAILED, compare
    from vision.people.landmarks import FaceLandmarker
    from vision.people.mesh import IBUG68

    pictures = labelled_faces(data, images)
    landmarker = FaceLandmarker.load(*options.where)
    paths = [picture.path for picture in pictures]
    found = [faces.points[:, IBUG68] for faces in results(paths, landmarker, options.quiet)]
    figures = compare([picture.points for picture in pictures], found).summary()
    print(f"{landmarker.name} ({landmarker.engine.label}) on {data}: {counted(len(pictures), 'picture')}, "
          f"{figures['found']} of {figures['faces']} faces found, {figures['surplus']} others")
    print(f"NME over outer eye corners: all 68 {figures['nme_ocular']:.4f}  inner 51 "
          f"{figures['nme_inner']:.4f}  jaw 17 {figures['nme_jaw']:.4f}; "
          f"over eye centres: all 68 {figures['nme_pupil']:.4f}")
    print(f"P90 {figures['p90']:.4f}  failures (above {FAILED}, or not found) {figures['failure_rate']:.4f}")
    write(options, landmarker, figures)
