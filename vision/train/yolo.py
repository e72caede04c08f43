"""YOLO by ultralytics' own trainer (AGPL-3.0, extra `yolo`), on the data that all detectors learn from."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml

from vision import published
from vision.boxes import xyxy_to_cxcywh
from vision.data.detection import DetectionData
from vision.errors import ModelError, WeightsError
from vision.tasks.yolo import export, ultralytics
from vision.train.recipe import Trained
from vision.weights import locate

if TYPE_CHECKING:
    from vision.train.training import Training


def train_yolo(training: Training) -> Trained:
    """Hand over to ultralytics: the data is written as it wants it into `folder/data`, its run goes to
    `folder/ultralytics`, and the best weights become `folder/best.pt` and `folder/best.onnx` with
    `folder/card.json`, so that `vision detect --model FOLDER` opens them without ultralytics.

    Of the settings epochs, batch, patience, seed, workers, precision and the longer side of `crop` count; the rest is
    ultralytics' own choice.
    """
    settings, folder = training.settings, training.folder
    yolo = ultralytics(f"training {settings.model!r}")
    described = write_yolo(dict(zip(("train", "val"), training.data, strict=True)), folder / "data")
    last = folder / settings.checkpoint
    net = yolo(str(last) if training.resume else source(settings.model), task="detect")
    try:
        net.train(
            data=str(described), epochs=settings.epochs, batch=settings.batch,
            patience=settings.patience or settings.epochs, seed=settings.seed, workers=settings.workers,
            imgsz=max(settings.crop), project=str(folder.absolute()), name="ultralytics", exist_ok=True,
            resume=training.resume, plots=False, verbose=False, amp=settings.precision != "float32",
        )
    except Exception as error:
        raise ModelError(f"ultralytics' trainer gave up ({type(error).__name__}: {error}).") from error
    best = folder / "best.pt"
    shutil.copy(net.trainer.best, best)
    export(best, folder / "best.onnx")
    card = replace(
        published.onnx_detector(folder / "best.onnx"), name=folder.name, file="best.onnx",
        source=f"{settings.model}, trained on {training.source} by ultralytics",
    )
    (folder / "card.json").write_text(card.to_json() + "\n", encoding="utf-8")
    box = net.trainer.validator.metrics.box
    figures = {"ap": float(box.map), "ap50": float(box.map50)}
    return Trained(best, figures, settings.epochs, {"ap": "AP", "ap50": "AP50"})


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


def source(model: str) -> str:
    """What ultralytics is to open: weights that are here, or the plan of a network. Raises WeightsError."""
    if model.endswith((".yaml", ".yml")):
        return model
    card = published.yolo(model if model.endswith(".pt") else f"{model}.pt")
    found = locate(card)
    if found is not None:
        return str(found[1])
    if model.endswith(".pt"):
        raise WeightsError(f"there is no {model!r}. Fetch it: vision weights pull {model}")
    return f"{model}.yaml"
