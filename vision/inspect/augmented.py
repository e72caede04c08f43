"""What a recipe's augmentation does, as a contact sheet: boxes, masks and points move along."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from torch import Tensor

from vision.drawing import class_colour, colour
from vision.errors import DataError, UsageError
from vision.inspect.sheets import joined
from vision.io.pictures import PICTURE_SUFFIXES
from vision.types import Image

TASKS = ("classify", "detect", "instances", "segment")


def sheet_of(source: Path, task: str, settings: Any, rows: int = 4, variants: int = 5) -> Image:
    """A row a picture: as it is seen without changes where the task says so, then varied `variants` times, as training
    of `task` with `settings` has it. source: a picture or a folder of them (classify), or a data set of the task.
    Raises UsageError for another task, DataError for data that cannot be read."""
    makers: dict[str, Callable[..., Any]] = {
        "classify": _classify, "detect": _detect, "instances": _instances, "segment": _segment}
    if task not in makers:
        raise UsageError(f"what can be shown is {', '.join(TASKS)}; got {task!r}.")
    data, drawn = makers[task](source, settings)
    tiles = []
    for place in range(min(rows, len(data))):
        tiles += [drawn(data[place, 1 + seed + place * variants]) for seed in range(variants)]
    return joined(tiles, variants)


def _bgr(picture: Tensor) -> Image:
    return np.ascontiguousarray(picture.permute(1, 2, 0).numpy()[..., ::-1])


def _classify(source: Path, settings: Any) -> tuple[Any, Callable[..., Image]]:
    from vision.card import Card, Input
    from vision.classic import CLASSIC
    from vision.data.pictures import Pictures, read_pictures
    from vision.train.picture_set import TrainPictures, resize_of

    if source.is_file() and source.suffix.lower() in PICTURE_SUFFIXES:
        paths: tuple[Path, ...] = (source,)
    else:
        try:
            paths = read_pictures(source)[0].paths
        except DataError:
            paths = tuple(sorted(p for p in source.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES))
    if not paths:
        raise DataError(f"{str(source)!r} is no picture and has none.")
    side = settings.side or (CLASSIC[settings.model].side if settings.model in CLASSIC else 224)
    card = Card(name="", task="classify", file="", licence="", source="", names=("",),
                input=Input((side, side), resize_of(settings)))
    pictures = Pictures(paths, ((0,),) * len(paths), ("",), tuple(map(str, paths)))
    return TrainPictures(pictures, card, settings), lambda item: _bgr(item[0])


def _detect(source: Path, settings: Any) -> tuple[Any, Callable[..., Image]]:
    from vision.data.detection import read_detection
    from vision.train.detection_set import DetectionSet, PointedSet

    data = read_detection(source, "train")
    pointed = any(one.points.size for one in data.pictures)
    return (PointedSet if pointed else DetectionSet)(data, settings), _objects


def _instances(source: Path, settings: Any) -> tuple[Any, Callable[..., Image]]:
    from vision.data.instances import read_masks
    from vision.train.instance_masks import InstanceSet

    def drawn(item: tuple[Tensor, ...]) -> Image:
        picture, boxes, labels, masks, _ = item
        mixed = _bgr(picture)
        for mask, label in zip(masks.bool().numpy(), labels.tolist(), strict=True):
            mixed[mask] = mixed[mask] // 2 + np.array(colour(label), np.uint8) // 2
        return _objects((picture, boxes, labels), mixed)

    return InstanceSet(read_masks(source, "train"), settings), drawn


def _objects(item: tuple[Tensor, ...], ground: Image | None = None) -> Image:
    """Boxes (N,4) and, where there are some, points (N,K,2), on their picture (3,H,W) or what is drawn already."""
    picture, boxes, labels, *points = item
    drawn = _bgr(picture) if ground is None else ground
    for box, label in zip(boxes.round().int().tolist(), labels.tolist(), strict=True):
        cv2.rectangle(drawn, box[:2], box[2:], colour(label), 2)
    for at in (point for rows in points for point in rows.flatten(0, 1) if point.isfinite().all()):
        x, y = at.floor().int().tolist()
        cv2.circle(drawn, (x, y), 2, (255, 255, 255), cv2.FILLED, cv2.LINE_AA)
        cv2.circle(drawn, (x, y), 1, (60, 20, 220), cv2.FILLED, cv2.LINE_AA)
    return drawn


def _segment(source: Path, settings: Any) -> tuple[Any, Callable[..., Image]]:
    from dataclasses import replace

    from vision.data.segmentation import IGNORE, find_pairs
    from vision.train.segmentation import SegmentationSet, augmentation

    pairs = find_pairs(source, "train")
    few = replace(pairs, pictures=pairs.pictures[:8], maps=pairs.maps[:8])

    def drawn(item: tuple[Tensor, ...]) -> Image:
        picture, labels = _bgr(item[0]), item[1].numpy()
        palette = np.array([class_colour(c) for c in range(256)], np.uint8)
        mixed = cv2.addWeighted(picture, 0.5, palette[labels], 0.5, 0)
        return np.where((labels == IGNORE)[..., None], picture, mixed).astype(np.uint8)

    return SegmentationSet(few, augmentation(settings)), drawn
