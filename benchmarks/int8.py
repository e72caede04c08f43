"""Which of the networks that ship are worth shipping in int8? Each is quantised, measured, and timed in turns.

    python benchmarks/int8.py DATA [--only NAME ...] [--pictures 300] [--json FILE]

DATA is the folder of the development data. A network is quantised on pictures that it is not measured on; its metric is
that of its task. int8 is a CPU's choice where it costs at most 0.01 of the metric and is faster here than the other
precisions.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import cv2
import numpy as np
import typer

from people import labelled          # of this folder

from vision.boxes import iou
from vision.cli.eval.pictures import pictures_of
from vision.cli.measured import metric_of
from vision.data.truth import Truth
from vision.engine.backends import start_engine
from vision.engine.base import CannotRun
from vision.engine.choice import TOLERATED, Candidate, measure
from vision.engine.compress import compress
from vision.engine.program import program_of
from vision.errors import UsageError
from vision.export.seen import batches
from vision.io import read
from vision.people.body import COCO_ROWS
from vision.people.face_detector import FaceDetector
from vision.people.pose import PoseEstimator
from vision.types import Image
from vision.weights import resolve
from vision.zoo import find

PRECISIONS = ("fp32", "bf16", "int8")
# of COCO's 17 key points, twice the deviation of those who label them
SPREAD = 2 * np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000
Metric = Callable[[str, str], float]                     # of a model in a precision


@dataclass(frozen=True)
class Case:
    """A network that ships. seen: pictures that its ranges come from. metric, on: its name, and what it is measured on;
    lower: whether less of it is better."""

    name: str
    seen: Iterator[Image]
    value: Metric | None
    metric: str = ""
    on: str = ""
    lower: bool = False


def pictures(path: Path) -> Iterator[Image]:
    """Those of a folder, or of a file that lists them."""
    if path.suffix == ".json":
        truth = Truth.load(path)
        folder = pictures_of(path, truth)
        yield from (cv2.imread(str(folder / listed["file_name"])) for listed in truth.images)
        return
    with read(path) as source:
        yield from (frame.image for frame in source)


def oks(file: Path) -> Metric:
    """Mean similarity of key points (COCO) over the people with any, in their labelled boxes."""
    truth, folder = json.loads(file.read_text()), pictures_of(file, Truth.load(file))
    names = {image["id"]: folder / image["file_name"] for image in truth["images"]}
    people = [one for one in truth["annotations"] if one.get("num_keypoints", 0) and not one["iscrowd"]]

    def value(model: str, precision: str) -> float:
        found = []
        with PoseEstimator.load(model, "cpu", precision) as estimator:
            for person in people:
                x, y, w, h = person["bbox"]
                box = np.array([[x, y, x + w, y + h]], np.float32)
                image = cv2.imread(str(names[person["image_id"]]))
                points = estimator(image, box, min_presence=0.0).points[0][list(COCO_ROWS)]
                wanted = np.array(person["keypoints"], np.float32).reshape(-1, 3)
                there = wanted[:, 2] > 0
                squares = ((points - wanted[:, :2]) ** 2).sum(1) / (2 * person["area"] * SPREAD**2 + 1e-9)
                found.append(np.exp(-squares[there]).mean())
        return float(np.mean(found))

    return value


def recall(folder: Path) -> Metric:
    """The share of dlib's labelled faces that are found, with an overlap of 0.4: its boxes are tighter."""
    def value(model: str, precision: str) -> float:
        hits = count = 0
        with FaceDetector.load(model, "cpu", precision) as detector:
            for image, boxes in labelled(folder):
                found = detector(image).boxes
                count += len(boxes)
                hits += int((iou(boxes, found).max(1, initial=0) > 0.4).sum()) if len(found) else 0
        return hits / count

    return value


def of_task(task: str, data: Path) -> Metric:
    """What `vision eval` says."""
    return lambda model, precision: metric_of(task, model, data, "cpu", precision).value


def text_apart(data: Path, folder: Path) -> tuple[Path, Path]:
    """Two folders of ICDAR's scenes and words: of even scenes to quantise on, of odd ones to measure on."""
    parts = folder / "even", folder / "odd"
    scenes = json.loads((data / "scenes.json").read_text())
    head, *words = (data / "words.csv").read_text().splitlines()
    for parity, part in enumerate(parts):
        part.mkdir()
        for name in ("scenes", "words"):
            (part / name).symlink_to(data / name)
        mine = [one for one in scenes if int(Path(one["file_name"]).stem.split("_")[1]) % 2 == parity]
        (part / "scenes.json").write_text(json.dumps(mine))
        (part / "words.csv").write_text("\n".join([head, *(w for w in words if int(w.split(",")[-1]) % 2 == parity)]))
    return parts


def cases(data: Path, folder: Path) -> list[Case]:
    coco, camvid, faces = data / "coco_instances", data / "camvid", data / "faces"
    even, odd = text_apart(data / "icdar2015", folder)
    scenes = (cv2.imread(str(even / one["file_name"])) for one in json.loads((even / "scenes.json").read_text()))
    again = (cv2.imread(str(even / one["file_name"])) for one in json.loads((even / "scenes.json").read_text()))
    dlib = [image for image, _ in labelled(faces / "dlib_faces68")]
    segment = of_task("segment", camvid)
    return [
        Case("gfl-voc", pictures(data / "voc2007/train.json"), of_task("detect", data / "voc2007/val.json"), "AP",
             "501 pictures of VOC2007"),
        Case("nanodet-g-masks", pictures(coco / "train.json"), of_task("instances", coco / "val.json"), "mask AP50",
             "93 pictures of COCO"),
        Case("mobilenet-v2", pictures(data / "voc2007/train.json"),
             of_task("classify", data / "imagenet_sample/labels.csv"), "top-1", "50 pictures of ImageNet"),
        *(Case(name, pictures(camvid / "train"), segment, "mIoU", "101 pictures of CamVid") for name in (
            "fpn-lite0-camvid", "fcn8s-mobilenetv2-camvid", "segnet-mobilenetv2-camvid")),
        Case("blazeface-full", pictures(coco / "train.json"), recall(faces / "dlib_faces68"), "recall", "43 faces"),
        Case("blazeface-back", pictures(coco / "train.json"), recall(faces / "dlib_faces68"), "recall", "43 faces"),
        Case("facemesh", iter(dlib), of_task("landmarks", faces / "keypoints.csv"), "NME", "279 faces of YouTube Faces",
             True),
        Case("iris", iter(dlib), None),
        Case("blazepose-full", pictures(data / "voc2007/train.json"), oks(coco / "val.json"), "OKS",
             "64 people of COCO"),
        Case("dlib-face", iter(dlib), of_task("identity", faces / "images"), "AUC", "pairs of 277 pictures"),
        Case("face-attributes", iter(dlib), None),
        Case("blazepalm", pictures(coco / "train.json"), None),
        Case("handmesh", pictures(coco / "train.json"), None),
        Case("selfie", pictures(coco / "train.json"), None),
        Case("ppocrv6-tiny-det", scenes, of_task("text-boxes", odd), "Hmean", "odd scenes of ICDAR 2015"),
        Case("ppocrv6-tiny-rec", again, of_task("text", odd), "word accuracy", "words of these"),
    ]


def speeds(name: str, small: Path, batch: np.ndarray) -> dict[str, float]:
    """Pictures a second in each precision on OpenVINO, many under way, in turns: the best number of streams."""
    whole, made = program_of(find(name)), program_of(find(small))
    engines, keys = [], []
    for precision in PRECISIONS:
        for streams in (0, 1):
            try:
                program = made if precision == "int8" else whole
                engines.append(start_engine(Candidate(program, "openvino", "cpu", precision, streams)))
                keys.append(precision)
            except CannotRun:
                continue
    best: dict[str, float] = {}
    for key, turns in zip(keys, measure(engines, batch), strict=True):
        best[key] = max(best.get(key, 0.0), median(turns))
    for engine in engines:
        engine.close()
    return best


def judged(case: Case, figures: dict[str, float], speed: dict[str, float]) -> str:
    """The verdict in words."""
    rest = max(speed["fp32"], speed.get("bf16", 0.0))
    ahead = speed["int8"] / rest
    quick = f"{ahead:.2f} of the best other speed"
    if not figures:
        return f"stays in float: no labels here judge it ({quick})"
    cost = (figures["int8"] - figures["fp32"]) * (1 if case.lower else -1)
    if cost > TOLERATED:
        return f"stays in float: costs {cost:.4f} ({quick})"
    return f"int8: costs {max(0.0, cost):.4f}, {quick}" if ahead > 1 else f"stays in float: no faster, {quick}"


def row(case: Case, most: int, folder: Path) -> dict[str, Any]:
    """Quantise a network, and measure it."""
    card = find(case.name)
    handed = batches(card, islice(case.seen, most), most)
    small = folder / f"{case.name}-int8.safetensors"
    compress(card, handed, small, "the benchmark")
    figures = {} if case.value is None else {
        precision: case.value(str(small) if precision == "int8" else case.name,
                              "auto" if precision == "int8" else precision) for precision in PRECISIONS}
    speed = speeds(case.name, small, next(b for b in handed if b.shape == handed[0].shape))
    sizes = [path.stat().st_size / 1e6 for path in (resolve(card), small)]
    return {"name": case.name, "metric": case.metric, "on": case.on, "figures": figures, "speed": speed, "mb": sizes,
            "verdict": judged(case, figures, speed)}


def main(
    data: Path,
    only: Annotated[list[str] | None, typer.Option(help="these networks alone")] = None,
    pictures: Annotated[int, typer.Option(help="to take the ranges from")] = 300,
    keep: Annotated[Path | None, typer.Option(help="folder for the files that are made")] = None,
    out: Annotated[Path | None, typer.Option("--json")] = None,
) -> None:
    os.environ.setdefault("VISION_MEASURE", "no")
    print("| network | metric | fp32 | bf16 | int8 | frames/s fp32 | bf16 | int8 | MB | in int8 | verdict |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    with TemporaryDirectory() as name:
        folder = keep or Path(name)
        folder.mkdir(exist_ok=True)
        some = [case for case in cases(data, Path(name)) if not only or case.name in only]
        if not some:
            raise UsageError("none of these networks ships")
        for case in some:
            found = row(case, pictures, folder)
            values = [f"{found['figures'][p]:.4f}" if found["figures"] else "" for p in PRECISIONS]
            rates = [f"{found['speed'][p]:.0f}" if p in found["speed"] else "" for p in PRECISIONS]
            sizes = [f"{one:.1f}" for one in found["mb"]]
            print("|", " | ".join([case.name, f"{case.metric}, {case.on}" if case.on else "", *values, *rates, *sizes,
                                   found["verdict"]]), "|", flush=True)
            if out is not None:
                with out.open("a") as file:
                    file.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    typer.run(main)
