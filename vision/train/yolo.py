"""YOLO by ultralytics' own trainer (AGPL-3.0, extra `yolo`), on the data that all detectors learn from."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml

from vision import published
from vision.boxes import xyxy_to_cxcywh
from vision.errors import ModelError, WeightsError
from vision.tasks.yolo import export, ultralytics
from vision.train.detection_data import DetectionData, read_splits
from vision.train.fit import Run
from vision.train.settings import Settings
from vision.weights import locate


def train_yolo(
    data: Path, model: str, settings: Settings, side: int, folder: Path, *, resume: bool = False,
    progress: bool = False,
) -> Run:
    """Hand over to ultralytics: the data is written as it wants it into `folder/data`, its run goes to
    `folder/ultralytics`, and the best weights become `folder/best.pt` and `folder/best.onnx` with
    `folder/card.json`, so that `vision detect --model FOLDER` opens them without ultralytics.

    model: `yolo11n.yaml` from scratch, a path or name of a `.pt` to start from; without an ending the
    `.pt` where it is here, else from scratch. side: of the square it trains on, in pixels. Of the settings
    epochs, batch, patience, seed and workers count; the rest is ultralytics' own choice.
    """
    yolo = ultralytics(f"training {model!r}")
    sets = dict(zip(("train", "val"), read_splits(data), strict=True))
    described = write_yolo(sets, folder / "data")
    last = folder / "ultralytics" / "weights" / "last.pt"
    if resume and not last.is_file():
        raise WeightsError(f"{str(folder)!r} has no {last.name} to resume from. Start without --resume.")
    net = yolo(str(last) if resume else _source(model), task="detect")
    try:
        net.train(
            data=str(described), epochs=settings.epochs, batch=settings.batch,
            patience=settings.patience or settings.epochs, seed=settings.seed, workers=settings.workers,
            imgsz=side, project=str(folder.absolute()), name="ultralytics", exist_ok=True, resume=resume,
            plots=False, verbose=progress, amp=settings.precision != "float32",
        )
    except Exception as error:
        raise ModelError(f"ultralytics' trainer gave up ({type(error).__name__}: {error}).") from error
    best = folder / "best.pt"
    shutil.copy(net.trainer.best, best)
    export(best, folder / "best.onnx")
    card = replace(
        published.onnx_detector(folder / "best.onnx"), name=folder.name, file="best.onnx",
        source=f"{model}, trained on {data.name} by ultralytics",
    )
    (folder / "card.json").write_text(card.to_json() + "\n", encoding="utf-8")
    box = net.trainer.validator.metrics.box
    return Run(best, {"ap": float(box.map), "ap50": float(box.map50)}, settings.epochs)


def write_yolo(sets: dict[str, DetectionData], folder: Path) -> Path:
    """The splits as a YOLO folder of links to the pictures: the path of its `data.yaml`. Crowds, which
    YOLO does not know, are left out."""
    for split, data in sets.items():
        for kind in ("images", "labels"):
            shutil.rmtree(folder / kind / split, ignore_errors=True)
            (folder / kind / split).mkdir(parents=True)
        for i, picture in enumerate(data.pictures):
            stem = f"{i:06d}-{picture.path.stem}"
            _link(picture.path.absolute(), folder / "images" / split / f"{stem}{picture.path.suffix}")
            shares = xyxy_to_cxcywh(picture.boxes) / np.tile(picture.size_wh, 2)
            lines = [
                f"{label} {' '.join(f'{value:.6f}' for value in row)}"
                for label, row, crowd in zip(picture.labels, shares, picture.crowd, strict=True) if not crowd
            ]
            (folder / "labels" / split / f"{stem}.txt").write_text("".join(f"{line}\n" for line in lines))
    described = folder / "data.yaml"
    content = {
        "path": str(folder.absolute()), **{split: f"images/{split}" for split in sets},
        "names": dict(enumerate(sets["train"].names)),
    }
    described.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return described


def _link(picture: Path, link: Path) -> None:
    try:
        os.symlink(picture, link)
    except OSError:                                      # a file system without links
        shutil.copy(picture, link)


def _source(model: str) -> str:
    """What ultralytics is to open: weights that are here, or the plan of a network."""
    if model.endswith((".yaml", ".yml")):
        return model
    card = published.yolo(model if model.endswith(".pt") else f"{model}.pt")
    found = locate(card)
    if found is not None:
        return str(found[1])
    if model.endswith(".pt"):
        raise WeightsError(f"there is no {model!r}. Fetch it: vision weights pull {model}")
    return f"{model}.yaml"
